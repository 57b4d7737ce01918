//! What is durable: the jobs and the staging folders. Statuses move by the host's own table, so
//! that a step of the model that the host could not record ends the test.

use ferryway_core::{Event, Outcome, Status, apply};
use ferryway_host::scheduler::events_at_takeover;

use super::names::{Attempt, Folder, Name};

/// An epoch's journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Journal {
    /// The jobs in the order of acceptance, all to one target.
    pub jobs: Vec<Job>,
    /// The staging folders of all epochs, with every name each may bear, the oldest first.
    pub staging: Vec<(u8, Vec<Folder>)>,
}

/// A job on record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// Where it stands.
    pub status: Status,
    /// The number of the newest attempt.
    pub attempts: u8,
    /// The partials of attempts that may exist, the oldest first.
    pub partials: Vec<Partial>,
    /// Set from before the rename until the job is done.
    pub intent: Option<Intent>,
    /// The version of the source that was delivered.
    pub delivered: Option<u8>,
}

/// The partial of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Partial {
    /// The version of the source.
    pub version: u8,
    /// The name under which it was made.
    pub name: Name,
}

/// The intent to rename a token onto the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The version of the source that was verified.
    pub version: u8,
    /// Every name the token may bear, the oldest first.
    pub names: Vec<Name>,
    /// Every name the old target may bear that was moved out of the way.
    pub displaced: Vec<Name>,
    /// Names to which it was to be moved by commands that were lost.
    pub barred: Vec<Name>,
}

impl Journal {
    pub(super) fn with_jobs(jobs: u8) -> Self {
        let job = Job {
            status: Status::Accepted,
            attempts: 0,
            partials: Vec::new(),
            intent: None,
            delivered: None,
        };
        Self { jobs: vec![job; jobs.into()], staging: Vec::new() }
    }

    /// What recovery does with the predecessor's jobs.
    pub(super) fn take_over(&mut self) {
        for job in &mut self.jobs {
            job.step(events_at_takeover(job.status));
        }
    }

    /// Every name at which a file may be that was made as `name`: folders move as a whole.
    pub fn locations(&self, name: Name) -> Vec<Name> {
        for (_, names) in &self.staging {
            if let Some(from) = names.iter().position(|folder| *folder == name.folder) {
                return names[from..].iter().map(|&folder| Name { folder, ..name }).collect();
            }
        }
        vec![name]
    }
}

impl Job {
    /// Moves the status.
    ///
    /// # Panics
    /// When the host's table does not allow it: the model and the host have parted.
    #[expect(clippy::panic, reason = "a test must not go on with a model that is no model")]
    pub(super) fn step(&mut self, events: &[Event]) {
        for &event in events {
            match apply(self.status, event) {
                Ok(status) => self.status = status,
                Err(error) => panic!("the model takes a step that the host cannot record: {error}"),
            }
        }
    }

    /// The events from where the job stands to one that follows connecting.
    pub(super) fn walk_to(&mut self, event: Event) {
        if self.status == Status::Accepted {
            self.step(&[Event::Prepare, Event::Connect, event]);
        }
    }

    /// Whether it ended without delivering and waits for an operator.
    pub fn failed(&self) -> bool {
        self.status == Status::Idle(Outcome::Failed)
    }

    /// Counts another attempt of `job` and gives what makes its names its own.
    pub(super) fn next_attempt(&mut self, job: u8, epoch: u8) -> Attempt {
        self.attempts += 1;
        Attempt { job, epoch, number: self.attempts }
    }
}
