//! What a job's owner needs to go on. It is written with each step of a job, so what stands at its
//! default is left out.

use ferryway_core::{
    Digest, Epoch,
    notice::Standing,
    status::{Outcome, Status},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of a job that its owner rewrites as it goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobState {
    /// The number of the newest attempt; numbers are never used twice.
    #[serde(skip_serializing_if = "is_default")]
    pub attempts: u32,
    /// Tries that failed since the last success or restart.
    #[serde(skip_serializing_if = "is_default")]
    pub failures: u32,
    /// Not to be tried before this time.
    #[serde(skip_serializing_if = "is_default")]
    pub not_before: Option<Timestamp>,
    /// The newest attempt, while its partial may exist.
    #[serde(skip_serializing_if = "is_default")]
    pub attempt: Option<Attempt>,
    /// The attempts before it, the oldest first, until what they left is moved or removed.
    #[serde(skip_serializing_if = "is_default")]
    pub earlier: Vec<Attempt>,
    /// Set once a rename onto the target was intended, until the job is delivered.
    #[serde(skip_serializing_if = "is_default")]
    pub intent: Option<Intent>,
    /// Size of the delivered file in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub size: Option<u64>,
    /// Hash of the delivered file.
    #[serde(skip_serializing_if = "is_default")]
    pub digest: Option<Digest>,
    /// Bytes put on the wire by all attempts that ended or were recorded.
    #[serde(skip_serializing_if = "is_default")]
    pub moved_bytes: u64,
    /// How often the target was put in place on behalf of this job.
    #[serde(skip_serializing_if = "is_default")]
    pub published: u32,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "is_default")]
    pub last_error: Option<String>,
    /// Whether an operator holds the job (else a suspended job ran out of retries).
    #[serde(skip_serializing_if = "is_default")]
    pub held: bool,
    /// How often the job was restarted by force, each time to deliver once more.
    #[serde(skip_serializing_if = "is_default")]
    pub forced: u32,
    /// The pre-exit of this delivery.
    #[serde(skip_serializing_if = "is_default")]
    pub pre_exit: ExitState,
    /// The post-exit of this delivery.
    #[serde(skip_serializing_if = "is_default")]
    pub post_exit: ExitState,
    /// How the partner's own job stood when it was last heard of.
    #[serde(skip_serializing_if = "is_default")]
    pub peer: Option<Standing>,
    /// How often an operator has let the job go on; of a receiving job, its visitor's operator,
    /// as it was last announced.
    #[serde(skip_serializing_if = "is_default")]
    pub starts: u32,
    /// Whether the job's end has been said to its other side: of a receiving job, that its
    /// visitor asks for it no more.
    #[serde(skip_serializing_if = "is_default")]
    pub withdrawn: bool,
    /// How often in a row it has waited for the partner's own job.
    #[serde(skip_serializing_if = "is_default")]
    pub waits: u32,
}

/// What is known of a user exit's runs. An exit whose end is on record never runs again, unless
/// an operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExitState {
    /// How often it was about to start.
    #[serde(skip_serializing_if = "is_default")]
    pub starts: u32,
    /// How its last run ended.
    #[serde(skip_serializing_if = "is_default")]
    pub end: Option<ExitEnd>,
}

/// How a user exit ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitEnd {
    /// Whether this is a success by the exit's own codes.
    pub success: bool,
    /// How, in words: `exit code 3`, `signal 9`, `no end within 60 s`.
    pub how: String,
    /// The end of what it printed.
    pub output: String,
}

/// One try on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number.
    pub number: u32,
    /// The epoch that began it.
    pub epoch: Epoch,
    /// What the source looked like. All that lies under the names is of this version.
    pub fingerprint: Fingerprint,
    /// Every name that the partial may bear, the oldest first: remote paths for a send, names
    /// beside the local target for a fetch.
    pub names: Vec<String>,
}

/// What tells one version of a source from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last modification, in nanoseconds since 1970, where it is known.
    pub modified_ns: Option<i64>,
    /// The file's identity on its file system, where it has one.
    pub identity: Option<String>,
}

/// The durable intent to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Every partial that was to be renamed onto the target; one is added by each attempt
    /// that gets this far. None is taken out, unless an operator gives all of them up: an
    /// intent without any only says what became of the old target.
    pub tokens: Vec<Token>,
    /// Every name that the moved-away old target may bear, the oldest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub displaced: Vec<String>,
    /// Names to which the old target was to be moved, by commands that were lost. An empty file
    /// of ours at each makes the partner refuse the move, however late it reads it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub barred: Vec<String>,
}

/// A verified partial: found under one of its names, it is not published; found under none
/// on a partner that shows its witness, it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The attempt that made it.
    pub attempt: u32,
    /// Every name it may bear, the oldest first.
    pub names: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub digest: Option<Digest>,
    /// The partner's own hash of it, where the partner offers one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proof: Option<Digest>,
    /// What the partner shows as long as it is the one that held the token: the folder in
    /// which the token was made, by its first name, or the mark beside it. `None` where there
    /// is nothing of the kind.
    #[serde(default, skip_serializing_if = "is_default")]
    pub witness: Option<String>,
}

impl JobState {
    /// Makes what follows another delivery: its exits are to run again, and the partner is told
    /// of it as of another job.
    pub(super) fn deliver_once_more(&mut self) {
        self.forced += 1;
        self.pre_exit = ExitState::default();
        self.post_exit = ExitState::default();
        self.peer = None;
    }

    /// Lets the job go on because an operator says so.
    pub fn start_again(&mut self) {
        self.starts += 1;
        self.withdrawn = false;
        // The partner's own job may begin anew with the next announcement, unless it has its file.
        let done = Status::ReceiverIdle(Outcome::Completed);
        self.peer = self.peer.take().filter(|peer| peer.status == done);
    }

    /// Makes `attempt` the newest one; the one before it is kept with its own names.
    pub fn begin_attempt(&mut self, attempt: Attempt) {
        self.attempts = attempt.number;
        self.earlier.extend(self.attempt.replace(attempt));
    }

    /// Forgets all attempts: their partials are moved, removed or noted.
    pub fn forget_attempts(&mut self) {
        self.attempt = None;
        self.earlier.clear();
    }

    /// Every attempt whose partial may exist, the oldest first.
    pub fn unfinished(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.attempt)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_at_its_default_is_left_out_and_read_with_or_without() {
        let state = JobState { attempts: 2, held: true, ..JobState::default() };
        let short = r#"{"attempts":2,"held":true}"#;
        assert_eq!(serde_json::to_string(&state).unwrap(), short);
        // As states were written when nothing was left out.
        let long = r#"{"attempts":2,"failures":0,"not_before":null,"earlier":[],"intent":null,
            "held":true,"pre_exit":{"starts":0,"end":null},"withdrawn":false}"#;
        for text in [short, long] {
            assert_eq!(serde_json::from_str::<JobState>(text).unwrap(), state);
        }
    }
}
