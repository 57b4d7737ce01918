//! The rows of the failover table, with real hosts and real FTP servers: what becomes of a
//! transfer when one side of it changes nodes. `docs/failover-servers.md` is the table as it was
//! measured here.
//!
//! Each row is a module, each cell in it a module with two tests: `direct`, where the bytes go
//! straight to the target and the outcome depends on server, disk and death, and `atomic`, where
//! it does not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test's helper functions fail the test"
)]

mod client;
mod rows;
mod server;
