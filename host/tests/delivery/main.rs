//! The delivery protocol, in one process: every step of a delivery fails, loses its answer or
//! kills its owner, former owners go on after their end, and the result is held to one oracle.

// Helpers of an integration test report what is wrong by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, reason = "the modules of a test are no interface")]

mod adoption;
mod clean;
mod crash;
mod disk;
mod door;
mod effects;
mod every_point;
mod exits;
mod ftp;
mod gate;
mod house;
mod lab;
mod late;
mod life;
mod log;
mod operators;
mod oracle;
mod points;
mod settle;
mod swapped_disk;
mod trouble;
mod two_hosts;
mod wire;
mod zombie;
