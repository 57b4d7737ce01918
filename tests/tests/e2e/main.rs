//! The real host against real FTP servers and the mock: every scenario on every kind of
//! server, and each cell judged by one oracle.
//!
//! `FERRYWAY_TEST_BIG=1` makes the long transfers a gibibyte in a debug build too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test's helper functions fail the test"
)]

mod deliver;
mod exits;
mod host_to_host;
mod hostile;
mod instances;
mod interrupted;
mod matrix;
mod orders;
mod peers;
mod probe;
mod receivers;
mod service;
mod services;
mod strangers;
mod takeover;
mod trouble;
mod volume;
mod waits;
mod withdrawals;
