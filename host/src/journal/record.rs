//! What the journal holds.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferryway_core::{
    DefinitionId, Epoch, Event, IllegalTransition, JobId, PartnerName, RunNumber, Status, apply,
    notice::Reference,
    policy::{Direction, OnFailure, OnTakeover, Publish, ResumePolicy},
};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::config::{Template, TemplateValues};

mod elsewhere;
mod origin;
mod state;

pub use elsewhere::{Fence, Leftover, Staging, StagingState};
pub use origin::Origin;
pub use state::{Attempt, ExitEnd, ExitState, Fingerprint, Intent, JobState, Token};

/// A job: one run of a transfer definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id, never used twice.
    pub id: JobId,
    /// Which run of its definition it is.
    pub run: RunNumber,
    /// Place in the order of acceptance, over all definitions. Jobs to one target are
    /// published in this order.
    pub sequence: u64,
    /// What was asked for, which nobody changes: all copies of the job share it.
    pub spec: Arc<JobSpec>,
    /// Where it stands.
    pub status: Status,
    /// Counts the job's writes; a write names the version it saw.
    pub version: u64,
    /// The epoch of the last write.
    pub epoch: Epoch,
    /// When the request became durable.
    pub accepted_at: Timestamp,
    /// When the last write became durable.
    pub updated_at: Timestamp,
    /// What its owner needs to go on.
    pub state: JobState,
    /// How far the newest attempt got, as far as recorded.
    pub checkpoint: Option<Checkpoint>,
}

/// What was asked for: the definition as it stood when the job was submitted. A later change
/// of the definition does not touch jobs in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The definition.
    pub definition: DefinitionId,
    /// The partner.
    pub partner: PartnerName,
    /// Which way the bytes go.
    pub direction: Direction,
    /// The file on our side, as a template. Empty for a receiving job whose file this host does
    /// not see.
    pub local: String,
    /// The file on the partner's side, as a template.
    pub remote: String,
    /// Waiting jobs with a larger number go first.
    #[serde(default)]
    pub priority: i32,
    /// How the file appears under its name.
    pub publish: Publish,
    /// When an interrupted transfer goes on from where it was.
    pub resume: ResumePolicy,
    /// Seconds to wait before looking once more at what was published; 0 for not at all.
    #[serde(default)]
    pub settle_delay_s: u64,
    /// The submitter's own key: a second request with the same key is the same job.
    #[serde(default)]
    pub key: Option<String>,
    /// The partner that is told about the job: the same one, or another host behind the same
    /// door. Without one nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<PartnerName>,
    /// The job of another host that this one is the receiving side of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The user's programs around the transfer.
    #[serde(default, skip_serializing_if = "Exits::is_none")]
    pub exits: Exits,
}

/// The user's programs around a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exits {
    /// Runs before the file is looked at.
    pub pre: Option<Exit>,
    /// Runs after the file is delivered.
    pub post: Option<Exit>,
}

/// A program of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The program, below the install directory's `exits/` or absolute, and its arguments.
    pub command: Vec<String>,
    /// Seconds after which it is ended by force.
    pub timeout_s: u64,
    /// Exit codes that mean success.
    pub success: Vec<i32>,
    /// Exit codes that mean: try again later. Of a pre-exit only.
    #[serde(default)]
    pub retry: Vec<i32>,
    /// What becomes of the job when it fails. Of a post-exit only: without its pre-exit no job
    /// goes on.
    pub on_failure: OnFailure,
    /// What a new owner does when its end is not known. Of a post-exit only: a pre-exit is run
    /// again.
    pub on_takeover: OnTakeover,
}

/// How far an attempt got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The attempt.
    pub attempt: u32,
    /// The file offset up to which the bytes were handed over.
    pub offset: u64,
    /// Bytes that this attempt put on the wire.
    pub moved_bytes: u64,
}

/// A write to one job: all of it becomes durable, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The job.
    pub job: JobId,
    /// The version that this write replaces.
    pub version: u64,
    /// What happened, in order; empty when only the state changes.
    pub events: Vec<Event>,
    /// The state from now on.
    pub state: JobState,
    /// A sentence for the job's record, for people.
    pub note: Option<String>,
    /// Whether nobody is held up by this write: it may wait a moment for company.
    pub patient: bool,
}

/// An entry of a job's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// What happened; `None` for a change of state only, and for the acceptance.
    pub event: Option<Event>,
    /// The status after it.
    pub status: Status,
    /// A sentence for people.
    pub note: Option<String>,
}

/// Which finished jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryQuery {
    /// Only of this definition.
    pub definition: Option<DefinitionId>,
    /// Only jobs that ended at or after this time.
    pub since: Option<Timestamp>,
    /// Only jobs that ended before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest first.
    pub limit: usize,
    /// Go on after the last job of an earlier page.
    pub before_sequence: Option<u64>,
}

impl JobSpec {
    /// A transfer with the default policies, and nothing around it. The files are templates.
    pub fn plain(
        definition: DefinitionId,
        partner: PartnerName,
        direction: Direction,
        (local, remote): (&str, &str),
    ) -> Self {
        Self {
            definition,
            partner,
            direction,
            local: local.to_owned(),
            remote: remote.to_owned(),
            priority: 0,
            publish: Publish::Atomic,
            resume: ResumePolicy::Verified,
            settle_delay_s: 0,
            key: None,
            told: None,
            origin: None,
            exits: Exits::default(),
        }
    }

    /// The first status of a job, and the events that follow at once: a receiving job without a
    /// pre-exit waits for its data from the moment when it is on record.
    pub fn beginning(&self) -> (Status, &'static [Event]) {
        match (&self.origin, &self.exits.pre) {
            (None, _) => (Status::Accepted, &[]),
            (Some(_), Some(_)) => (Status::ReceiverAnnounced, &[]),
            (Some(_), None) => (Status::ReceiverAnnounced, &[Event::Prepare, Event::Connect]),
        }
    }
}

impl Exits {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.pre.is_none() && self.post.is_none()
    }
}

impl Job {
    /// A run of a definition as it is accepted by an owner at a time: the journal's `sequence`th job.
    pub fn accepted(spec: JobSpec, run: RunNumber, sequence: u64, by: (Epoch, Timestamp)) -> Self {
        Self {
            id: JobId::new(&spec.definition, run),
            run,
            sequence,
            status: spec.beginning().0,
            spec: Arc::new(spec),
            version: 1,
            epoch: by.0,
            accepted_at: by.1,
            updated_at: by.1,
            state: JobState::default(),
            checkpoint: None,
        }
    }

    /// The next version of this job, and the write that makes it durable.
    ///
    /// # Errors
    /// When the status does not allow an event.
    pub fn step(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> Result<(Self, Step), IllegalTransition> {
        let mut next = self.clone();
        for &event in events {
            next.status = apply(next.status, event)?;
            if event == Event::ForceRestart {
                next.state.deliver_once_more();
            }
        }
        change(&mut next.state);
        next.version += 1;
        let step = Step {
            job: self.id.clone(),
            version: self.version,
            events: events.to_vec(),
            state: next.state.clone(),
            note,
            patient: false,
        };
        Ok((next, step))
    }

    /// The job and its present delivery, as a partner is told.
    pub fn reference(&self) -> Reference {
        Reference { job: self.id.clone(), delivery: self.state.forced + 1 }
    }

    /// Whether a partner was told of the job, has one of its own for it as far as is known, and
    /// has not heard that nobody delivers it, or asks for it any more.
    pub fn is_unheard(&self) -> bool {
        // One that is completed before its partner's own job an operator has ended.
        let ends = matches!(self.status, Status::Suspended | Status::Idle(_));
        let over = self.state.peer.as_ref().is_some_and(|peer| !peer.status.in_flight());
        // What is held, or may have been published, is no end.
        ends && self.spec.told.is_some()
            && !over
            && !self.state.held
            && !self.state.withdrawn
            && self.state.intent.is_none()
    }

    /// The file on our side. A template that no longer parses is taken as it stands.
    pub fn local(&self) -> PathBuf {
        let name = self.spec.remote.rsplit('/').next().unwrap_or_default();
        // The name comes out of a template itself.
        let name = self.fill(name, "");
        PathBuf::from(self.fill(&self.spec.local, &name))
    }

    /// The file on the partner's side.
    pub fn remote(&self) -> String {
        let local = Path::new(&self.spec.local);
        let name = local.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // The name comes out of a template itself.
        let name = self.fill(name, "");
        self.fill(&self.spec.remote, &name)
    }

    fn fill(&self, template: &str, name: &str) -> String {
        let date = self.accepted_at.to_zoned(TimeZone::system()).date();
        match template.parse::<Template>() {
            Ok(template) => {
                template.fill(&TemplateValues { name, job: &self.id, run: self.run, date })
            }
            Err(_) => template.to_owned(),
        }
    }

    /// The checkpoint, if it is the newest attempt's.
    pub fn current_checkpoint(&self) -> Option<&Checkpoint> {
        let attempt = self.state.attempt.as_ref()?;
        self.checkpoint.as_ref().filter(|checkpoint| checkpoint.attempt == attempt.number)
    }
}
