//! What the exits of a lab do.

use std::ops::Deref;

use ferryway_host::{
    journal::record::{Entry, Job},
    judged,
};
use ferryway_mocks::{oracle::Exit, program::Program};
use tempfile::TempDir;

pub use ferryway_mocks::program::At;

use crate::disk::in_memory;

/// A program in a folder outside of the instance's and the partner's.
pub struct Effects {
    program: Program,
    _folder: TempDir,
}

impl Effects {
    pub fn new() -> Self {
        let folder = in_memory();
        Self { program: Program::new(folder.path()).unwrap(), _folder: folder }
    }

    /// The exits of a job, for the judge.
    pub fn of(&self, job: &Job, entries: &[Entry]) -> Vec<Exit> {
        judged::exits(job, entries, |when| self.runs(when.as_str()))
    }
}

impl Deref for Effects {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}
