//! A partner as the running host knows it: its sessions, its staging folders, its habits.

pub mod habits;
pub mod pace;
pub mod pool;
pub mod source_address;
pub mod staging;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ferryway_core::{
    InstanceName, PartnerName, RemotePath, TransportError,
    bytes::{Meter, Source},
    transport::{Session, Upload},
};

use crate::{
    config::{LateClose, PartnerConfig, RetryPolicy},
    journal::{JournalStore, Result, record::Staging},
    locks::lock,
    notices::Notices,
};
use pool::Pool;

/// A partner of the running host.
pub struct PartnerState {
    /// Its name.
    pub name: PartnerName,
    /// How it is configured.
    pub config: PartnerConfig,
    /// Its sessions.
    pub pool: Arc<Pool>,
    instance: InstanceName,
    journal: Arc<dyn JournalStore>,
    notices: Arc<Notices>,
    /// Held while staging folders are made or revoked: one at a time.
    staging: tokio::sync::Mutex<staging::Folders>,
    late_close: Mutex<LateClose>,
    replaces: Mutex<Option<bool>>,
    outage: Mutex<Outage>,
    /// Held while the partner is [probed](Self::probe).
    pub probing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Outage {
    failures: u32,
    until: Option<Instant>,
}

impl PartnerState {
    /// A partner with what the journal knows of its staging folders.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn open(
        name: PartnerName,
        config: PartnerConfig,
        pool: Arc<Pool>,
        instance: InstanceName,
        journal: Arc<dyn JournalStore>,
        notices: Arc<Notices>,
    ) -> Result<Arc<Self>> {
        let known = journal.staging(&name).await?;
        let folders = staging::Folders::new(known);
        Ok(Arc::new(Self {
            name,
            config,
            pool,
            instance,
            journal,
            notices,
            staging: tokio::sync::Mutex::new(folders),
            late_close: Mutex::new(LateClose::Probe),
            replaces: Mutex::default(),
            outage: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
        }))
    }

    /// What is known of the partner's staging folders.
    pub async fn staging_records(&self) -> Vec<Staging> {
        self.staging.lock().await.records().to_vec()
    }

    /// The folder that holds the epochs' staging folders for targets beside `target`; another
    /// one after each of `losses`.
    ///
    /// # Errors
    /// When the path becomes too long.
    pub fn staging_base(
        &self,
        target: &RemotePath,
        losses: u32,
    ) -> Result<RemotePath, ferryway_core::path::InvalidPath> {
        target.sibling(self.config.staging_folder.as_str())?.join(&self.own_name(losses))
    }

    /// What tells our staging from that of others. Two partners of the configuration may be
    /// one server: each revokes its own folders only.
    fn own_name(&self, losses: u32) -> String {
        let own = format!("{}.{}", self.instance, self.name);
        match losses {
            0 => own,
            again => format!("{own}.{}", again + 1),
        }
    }

    /// What the partner does when an upload ends late, as far as it is known.
    pub fn late_close(&self) -> LateClose {
        match self.config.late_close {
            LateClose::Probe => *lock(&self.late_close),
            known => known,
        }
    }

    /// Keeps what a probe found.
    pub fn learn_late_close(&self, found: LateClose) {
        *lock(&self.late_close) = found;
    }

    /// Notes that the partner could not be reached, and tells how long to leave it alone.
    pub fn went_out(&self) -> Duration {
        let mut outage = lock(&self.outage);
        let now = Instant::now();
        // Jobs that fail together are one outage, not many.
        if outage.until.is_none_or(|until| until <= now) {
            outage.failures = outage.failures.saturating_add(1);
            outage.until = Some(now + backoff(&self.config.retry, outage.failures));
        }
        outage.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Notes that the partner answers, and tells whether it had been out.
    pub fn came_back(&self) -> bool {
        let mut outage = lock(&self.outage);
        std::mem::take(&mut *outage).failures > 0
    }
}

impl std::fmt::Debug for PartnerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartnerState").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The delay before try `number` of a thing that is tried for ever, with a random part, so
/// that many who wait do not come back at one moment.
pub fn backoff(policy: &RetryPolicy, number: u32) -> Duration {
    let number = number.clamp(1, policy.attempts.max(1));
    policy.delay(number).unwrap_or(policy.max).mul_f64(0.5 + 0.5 * fastrand::f64())
}

/// Stores these bytes at an offset of a file.
async fn store(
    session: &mut dyn Session,
    path: &RemotePath,
    bytes: &'static [u8],
    offset: u64,
) -> Result<(), TransportError> {
    let upload = Upload {
        path: path.clone(),
        offset,
        length: bytes.len() as u64,
        source: Source::of_bytes(bytes.to_vec()),
        meter: Meter::new(),
    };
    session.store(upload).await.map(drop)
}
