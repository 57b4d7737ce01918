//! What this machine cannot offer to a test.

use std::{env, fmt, io::Write};

/// Something a test needs is not to be had on this machine.
#[derive(Debug)]
pub struct Unavailable {
    what: String,
    why: String,
}

impl Unavailable {
    /// `what` the test needs, and `why` it is missing with what to do about it.
    pub fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { what: what.to_string(), why: why.to_string() }
    }

    /// Ends a test that cannot run here: the caller returns after it.
    ///
    /// Prints a `SKIPPED:` line that the test runner does not swallow.
    ///
    /// # Panics
    /// Where the environment variable `CI` is set: there everything is to run.
    #[track_caller]
    #[expect(clippy::panic, reason = "the test is to fail here")]
    pub fn skip(&self) {
        if env::var_os("CI").is_some() {
            panic!("{self}");
        }
        // The test runner captures `eprintln!`, which would hide the line.
        let line = format!("SKIPPED: {self}\n");
        std::io::stderr().write_all(line.as_bytes()).ok();
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not available: {}", self.what, self.why)
    }
}

impl std::error::Error for Unavailable {}
