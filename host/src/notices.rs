//! What the operator is told, and when: the one place where the host's events become messages
//! of the catalogue.

use std::time::Duration;

use ferryway_core::PartnerName;

use crate::{control::api::Command, journal::record::Job};

/// Tells the operator.
#[derive(Debug, Default)]
pub struct Notices {}

#[allow(missing_docs, clippy::unused_self)]
impl Notices {
    pub fn accepted(&self, _jobs: &[Job]) {}
    pub fn completed(&self, _job: &Job) {}
    pub fn failed(&self, _job: &Job, _reason: &str) {}
    pub fn retry(&self, _job: &Job, _failures: u32, _delay: Duration, _reason: &str) {}
    pub fn suspended(&self, _job: &Job, _reason: &str) {}
    pub fn ordered(&self, _job: &Job, _command: Command) {}
    pub fn partner_out(&self, _job: &Job, _reason: &str, _delay: Duration) {}
    pub fn partner_unusable(&self, _name: &PartnerName, _reason: &str) {}
    pub fn reloaded(&self, _text: &str) {}
    pub fn reload_refused(&self, _faults: &[String]) {}
    pub fn open(_config: &crate::config::Config) -> Self { Self::default() }
    pub fn refused_plugins(&self, _plugins: &crate::loader::Plugins) {}
    pub fn took_over(&self, _takeover: &crate::journal::Takeover, _node: &str) {}
    pub fn cannot_recover(&self, _job: &Job) {}
    pub fn taken_up(&self, _job: &Job) {}
    pub fn started(&self) {}
    pub fn stopping(&self) {}
    pub fn stop_took_too_long(&self, _limit: Duration) {}
    pub fn stopped(&self) {}
    pub fn ended(&self, _error: &crate::service::ServiceError) {}
}
