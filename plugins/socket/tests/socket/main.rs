//! Both ends of the transport on loopback, with a partner in memory behind the door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "the modules of a test are no interface")]

mod conformance;
mod ends;
mod hostile;
mod packed;
mod security;
