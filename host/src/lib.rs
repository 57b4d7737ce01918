//! The Ferryway service: configuration, plugins, journal, recovery, scheduler and control API.

pub mod attempt;
pub mod causes;
pub mod cli;
pub mod config;
pub mod control;
#[cfg(feature = "laboratory")]
pub mod demo;
pub mod digest;
pub mod durable;
pub mod exits;
pub mod install;
pub mod journal;
#[cfg(feature = "laboratory")]
mod judged;
#[cfg(feature = "laboratory")]
mod laboratory;
pub mod loader;
mod locks;
pub mod log;
pub mod notices;
pub mod partner;
pub mod reception;
pub mod recovery;
pub mod scheduler;
pub mod service;
pub mod services;
#[cfg(feature = "laboratory")]
pub mod simulator;
mod supervisor;
