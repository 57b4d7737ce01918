//! The receiving end of a real host, with the socket plugin loaded from its library at both
//! ends: the contract, the fence, the folders, and what a visitor leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "the modules of a test are no interface")]

mod contract;
mod durable;
mod exits;
mod fencing;
mod fetches;
mod folders;
mod house;
mod leaving;
mod notices;
mod words;
