//! The plugin loader with real libraries: what it loads, what it refuses and how it says so,
//! and what a loaded plugin can do to its host, and cannot.

// Helpers of an integration test are test code, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod boundary;
mod foreign;
mod good;
mod log;
mod refused;
mod support;
