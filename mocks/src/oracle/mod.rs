//! The one judge of deliveries: what must hold in the end, whatever happened on the way.
//!
//! Whoever looks at an end fills in an [`Observation`]: from a server's ledger, from folders on
//! a disk, from the journal. [`judge`] knows nothing of how it was seen, and lists every
//! [`Violation`]. A layer that cannot see something says so ([`Publishes::Unseen`], `None`), and
//! that rule is not applied; nothing is taken for good by default.

mod exits;
mod names;

use std::fmt;

use ferryway_core::{Digest, JobId, Outcome, Status};

pub use exits::{Broken, Exit, Moment, Promise, Run};
pub use names::{job_of, stays};

/// What was seen in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The jobs whose submitters were told an id, in the order of acceptance.
    pub acknowledged: Vec<JobId>,
    /// Every job on record.
    pub jobs: Vec<Job>,
    /// Every job on record at the receiving side; `None` where that has none, or nobody looked.
    pub receiving: Option<Vec<Receiving>>,
    /// The files that the jobs were to put in place.
    pub targets: Vec<Target>,
    /// What lies about on both sides beside sources and targets, as paths, without what
    /// [`stays`].
    pub strays: Vec<String>,
    /// Whatever a former owner did after the takeover that somebody else could notice.
    pub late_effects: Vec<String>,
    /// The exits of the jobs that have any.
    pub exits: Vec<Exit>,
}

/// A job as the journal has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Where it stands.
    pub status: Status,
    /// How often it put its target in place, by its own count.
    pub published: u32,
    /// Whether an intent or an attempt is still on record.
    pub unfinished: bool,
    /// What it delivered, as it says.
    pub delivered: Option<Content>,
}

/// A job of the receiving side as its journal has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiving {
    /// Its id.
    pub id: JobId,
    /// The sender's job that it belongs to.
    pub of: JobId,
    /// Where it stands.
    pub status: Status,
    /// What it received, as it says; `None` where it does not know.
    pub delivered: Option<Content>,
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub size: u64,
    /// Its hash.
    pub digest: Digest,
}

/// A file that jobs were to put in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its path.
    pub path: String,
    /// The jobs that were to, in the order of acceptance.
    pub jobs: Vec<JobId>,
    /// What it must be in the end.
    pub expected: Content,
    /// What it is; `None` when it is not there.
    pub found: Option<Content>,
    /// How it came to be.
    pub publishes: Publishes,
    /// Whatever else happened to its name: a reader may have seen it.
    pub intrusions: Vec<String>,
}

/// How a target came to be, as far as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publishes {
    /// Nobody saw.
    Unseen,
    /// It was put in place by so many renames.
    Times(u32),
    /// It was put in place by renames of these jobs' partials, in this order.
    By(Vec<JobId>),
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A job was acknowledged and is not on record.
    Lost(JobId),
    /// A job is on record for which nobody was told an id, though somebody was told of others.
    Unasked(JobId),
    /// A job has not completed.
    NotCompleted(JobId, Status),
    /// A job counts another number of publishes than one.
    Miscounted(JobId, u32),
    /// A job that has ended keeps an intent or an attempt.
    Unfinished(JobId),
    /// A job says that it delivered something else than it had to.
    WrongProof(JobId),
    /// A job has so many jobs at the receiving side, and not one.
    Unpaired(JobId, usize),
    /// A job has completed and the receiving side's job has not, or the other way round.
    Disagree(JobId, Status, Status),
    /// Both sides have another file on record as delivered.
    OtherFile(JobId),
    /// A target is not there.
    Absent(String),
    /// A target is something else than it must be: its path, its size and the size it must have.
    Differs(String, u64, u64),
    /// A target was put in place so often instead of so often.
    PublishedTimes(String, usize, usize),
    /// A target was put in place by these jobs, which is not their order.
    OutOfOrder(String, Vec<JobId>),
    /// Something else happened to a target's name.
    Intrusion(String, String),
    /// Something was left behind.
    Stray(String),
    /// A former owner did something that counts.
    LateEffect(String),
    /// An exit of a job did not run as promised.
    Exit(JobId, String, Broken),
}

/// Every violation; none when all is as promised. See [`verdict`] for a text.
pub fn judge(seen: &Observation) -> Vec<Violation> {
    let mut found = Vec::new();
    let on_record = |id: &JobId| seen.jobs.iter().find(|job| job.id == *id);
    let lost = seen.acknowledged.iter().filter(|id| on_record(id).is_none());
    found.extend(lost.cloned().map(Violation::Lost));
    for job in &seen.jobs {
        if !seen.acknowledged.contains(&job.id) {
            found.push(Violation::Unasked(job.id.clone()));
        }
        let target = seen.targets.iter().find(|target| target.jobs.contains(&job.id));
        found.extend(judge_job(job, target));
    }
    if let Some(receiving) = &seen.receiving {
        found.extend(judge_pairs(&seen.jobs, receiving));
    }
    for target in &seen.targets {
        found.extend(judge_target(target));
    }
    found.extend(seen.strays.iter().cloned().map(Violation::Stray));
    found.extend(seen.late_effects.iter().cloned().map(Violation::LateEffect));
    for exit in &seen.exits {
        let broken = exits::judge(exit).into_iter();
        found.extend(broken.map(|how| Violation::Exit(exit.job.clone(), exit.name.clone(), how)));
    }
    found
}

/// `Ok` when all is as promised.
///
/// # Errors
/// Every violation, one a line.
pub fn verdict(seen: &Observation) -> Result<(), String> {
    let violations = judge(seen);
    if violations.is_empty() {
        return Ok(());
    }
    Err(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn judge_job(job: &Job, target: Option<&Target>) -> Vec<Violation> {
    let mut found = Vec::new();
    if job.status != Status::Idle(Outcome::Completed) {
        found.push(Violation::NotCompleted(job.id.clone(), job.status));
        // What it lacks follows from that.
        return found;
    }
    if job.published != 1 {
        found.push(Violation::Miscounted(job.id.clone(), job.published));
    }
    if job.unfinished {
        found.push(Violation::Unfinished(job.id.clone()));
    }
    let newest = target.filter(|target| target.jobs.last() == Some(&job.id));
    if newest.is_some_and(|target| job.delivered.as_ref() != Some(&target.expected))
        || job.delivered.is_none()
    {
        found.push(Violation::WrongProof(job.id.clone()));
    }
    found
}

/// Each job has one at the receiving side, and both agree on whether the file is delivered.
fn judge_pairs(jobs: &[Job], receiving: &[Receiving]) -> Vec<Violation> {
    let mut found = Vec::new();
    for job in jobs {
        let of_it: Vec<_> = receiving.iter().filter(|other| other.of == job.id).collect();
        let [other] = of_it[..] else {
            found.push(Violation::Unpaired(job.id.clone(), of_it.len()));
            continue;
        };
        let completed = |status: Status| status.outcome() == Some(Outcome::Completed);
        if completed(job.status) != completed(other.status) {
            found.push(Violation::Disagree(job.id.clone(), job.status, other.status));
        }
        if other.delivered.is_some() && job.delivered.is_some() && other.delivered != job.delivered
        {
            found.push(Violation::OtherFile(job.id.clone()));
        }
    }
    let strange = |other: &&Receiving| jobs.iter().all(|job| job.id != other.of);
    found
        .extend(receiving.iter().filter(strange).map(|other| Violation::Unasked(other.id.clone())));
    found
}

fn judge_target(target: &Target) -> Vec<Violation> {
    let mut found = Vec::new();
    let path = || target.path.clone();
    match &target.found {
        None => found.push(Violation::Absent(path())),
        Some(content) if *content != target.expected => {
            found.push(Violation::Differs(path(), content.size, target.expected.size));
        }
        Some(_) => {}
    }
    let wanted = target.jobs.len();
    let times = match &target.publishes {
        Publishes::Unseen => wanted,
        Publishes::Times(times) => *times as usize,
        Publishes::By(jobs) => jobs.len(),
    };
    if times != wanted {
        found.push(Violation::PublishedTimes(path(), times, wanted));
    } else if let Publishes::By(jobs) = &target.publishes
        && *jobs != target.jobs
    {
        found.push(Violation::OutOfOrder(path(), jobs.clone()));
    }
    let intrusions = target.intrusions.iter().cloned();
    found.extend(intrusions.map(|what| Violation::Intrusion(path(), what)));
    found
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(job) => write!(f, "job {job} was acknowledged and is not on record"),
            Self::Unasked(job) => write!(f, "job {job} is on record and nobody was told of it"),
            Self::NotCompleted(job, status) => write!(f, "job {job} is {status}"),
            Self::Miscounted(job, times) => write!(f, "job {job} counts {times} publishes"),
            Self::Unfinished(job) => write!(f, "job {job} has ended and is not finished"),
            Self::WrongProof(job) => write!(f, "job {job} has no proof of what it delivered"),
            Self::Unpaired(job, count) => {
                write!(f, "job {job} has {count} jobs at the receiving side, not one")
            }
            Self::OtherFile(job) => write!(f, "both sides of job {job} tell of different files"),
            Self::Disagree(job, here, there) => {
                write!(f, "job {job} is {here}, and the receiving side's is {there}")
            }
            Self::Absent(path) => write!(f, "there is no {path}"),
            Self::Differs(path, size, wanted) => {
                write!(f, "{path} is not what was sent: {size} bytes, {wanted} were to be there")
            }
            Self::PublishedTimes(path, times, wanted) => {
                write!(f, "{path} was published {times} times, not {wanted}")
            }
            Self::OutOfOrder(path, jobs) => {
                let jobs: Vec<_> = jobs.iter().map(ToString::to_string).collect();
                write!(f, "{path} was published out of order: {}", jobs.join(", "))
            }
            Self::Intrusion(path, what) => write!(f, "{path} was touched by `{what}`"),
            Self::Stray(path) => write!(f, "{path} was left behind"),
            Self::Exit(job, name, how) => write!(f, "the {name}-exit of job {job} {how}"),
            Self::LateEffect(what) => write!(f, "after the takeover a former owner {what}"),
        }
    }
}
