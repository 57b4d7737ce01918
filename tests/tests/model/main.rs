//! The delivery protocol, searched to the end: where it is safe, what each of its rules is good
//! for, and what `publish = "direct"` does. docs/model.md tells the whole.
//!
//! `cargo test -p ferryway-tests --test model -- --ignored --nocapture` searches the
//! large settings and prints the figures.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod check;
mod direct;
mod drift;
mod mutations;
mod safe;
