//! Moves the jobs.
pub mod queue;
