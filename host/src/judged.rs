//! What the judge of deliveries is told of a job on record.

use ferryway_core::{Event, policy::OnTakeover};
use ferryway_mocks::oracle::{self, Moment, Promise, Run};

use crate::{
    exits::When,
    journal::record::{self, Entry, Job},
};

impl From<Job> for oracle::Job {
    fn from(job: Job) -> Self {
        let delivered = delivered(&job);
        Self {
            id: job.id,
            status: job.status,
            published: job.state.published,
            unfinished: job.state.intent.is_some() || job.state.attempt.is_some(),
            delivered,
        }
    }
}

/// A job of the receiving side; what is nobody's job there is told as its own.
impl From<&Job> for oracle::Receiving {
    fn from(job: &Job) -> Self {
        let origin = job.spec.origin.as_ref();
        Self {
            id: job.id.clone(),
            of: origin.map_or(&job.id, |origin| &origin.of.job).clone(),
            status: job.status,
            delivered: delivered(job),
        }
    }
}

fn delivered(job: &Job) -> Option<oracle::Content> {
    let (size, digest) = job.state.size.zip(job.state.digest.clone())?;
    Some(oracle::Content { size, digest })
}

/// The exits of a job by its own record, `entries`, with what they themselves noted of their
/// `runs`.
pub fn exits(job: &Job, entries: &[Entry], runs: impl Fn(When) -> Vec<Run>) -> Vec<oracle::Exit> {
    // Without its pre-exit's success no job goes on, so that is run again.
    let promise = |when: When, exit: &record::Exit| match (when, exit.on_takeover) {
        (When::Pre, _) | (_, OnTakeover::Rerun) => Promise::AtLeastOnce,
        _ => Promise::AtMostOnce,
    };
    let exit = |&when: &When| {
        Some(oracle::Exit {
            job: job.id.clone(),
            name: when.to_string(),
            promise: promise(when, when.exit(&job.spec)?),
            record: moments(when, entries),
            runs: runs(when),
        })
    };
    When::EACH.iter().filter_map(exit).collect()
}

fn moments(when: When, entries: &[Entry]) -> Vec<Moment> {
    let moment = |entry: &Entry| {
        let note = entry.note.as_deref().unwrap_or_default();
        // A receiving job's record may say first why.
        if entry.event == Some(Event::Restart) {
            Some(Moment::Restart)
        } else if note.contains(&format!("the {when}-exit starts")) {
            Some(Moment::Start)
        } else if note.contains(&format!("the {when}-exit ended")) {
            Some(Moment::End)
        } else {
            None
        }
    };
    entries.iter().filter_map(moment).collect()
}
