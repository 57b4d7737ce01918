//! The Ferryway service: configuration, plugins, journal, recovery, scheduler and control API.

pub mod attempt;
pub mod causes;
pub mod cli;
pub mod config;
pub mod control;
#[cfg(all(unix, feature = "laboratory"))]
pub mod demo;
pub mod digest;
pub mod durable;
pub mod exits;
pub mod install;
pub mod journal;
#[cfg(all(unix, feature = "laboratory"))]
pub mod judged;
#[cfg(all(unix, feature = "laboratory"))]
mod laboratory;
pub mod loader;
mod locks;
pub mod log;
pub mod notices;
pub mod partner;
mod platform;
pub mod reception;
pub mod recovery;
pub mod scheduler;
#[cfg(windows)]
mod scm;
pub mod service;
pub mod services;
#[cfg(all(unix, feature = "laboratory"))]
pub mod simulator;
mod supervisor;
