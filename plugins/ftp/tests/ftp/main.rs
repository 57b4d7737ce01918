//! The transport against the mock server: what it sends, what it makes of the answers, and
//! what is left of a session after a fault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod connecting;
mod early;
mod faults;
mod looking;
mod support;
mod transfers;
