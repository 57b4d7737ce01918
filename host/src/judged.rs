//! What the judge of deliveries is told of a job on record, and of its exits.

use std::path::Path;

use ferryway_core::{Event, JobId, policy::OnTakeover};
use ferryway_mocks::oracle::{self, Moment, Promise, Run};

use crate::{
    exits::When,
    journal::record::{self, Entry, Job},
    laboratory::hosts,
};

/// How a record says that an operator took a post-exit for done.
const RELEASED: &str = "released by an operator";

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
/// `runs`. Nobody has looked for questions to the operator.
pub fn exits(job: &Job, entries: &[Entry], runs: impl Fn(When) -> Vec<Run>) -> Vec<oracle::Exit> {
    let exit = |&when: &When| {
        Some(oracle::Exit {
            job: job.id.clone(),
            name: when.to_string(),
            promise: promise(when, when.exit(&job.spec)?),
            record: entries.iter().flat_map(|entry| moments(when, entry)).collect(),
            runs: runs(when),
            asked: None,
        })
    };
    When::EACH.iter().filter_map(exit).collect()
}

/// The jobs about which the log of an install directory asks the operator (0215E), each as often as
/// it does.
pub fn questions(install: &Path) -> Vec<JobId> {
    let lines = hosts::messages(install, "0215E");
    let job = |line: &String| line.rsplit_once("Job(")?.1.strip_suffix(')')?.parse().ok();
    lines.iter().filter_map(job).collect()
}

/// Without its pre-exit's success no job goes on, so that is run again.
fn promise(when: When, exit: &record::Exit) -> Promise {
    match (when, exit.on_takeover) {
        (When::Pre, _) | (When::Post, OnTakeover::Rerun) => Promise::AtLeastOnce,
        (When::Post, OnTakeover::Skip) => Promise::AtMostOnce,
        (When::Post, OnTakeover::Ask) => Promise::OnceOrAsk,
    }
}

/// What an entry of a job's record says of an exit, in this order. A receiving job's may say
/// first why.
fn moments(when: When, entry: &Entry) -> Vec<Moment> {
    let note = entry.note.as_deref().unwrap_or_default();
    let says = |what: &str| note.contains(&format!("the {when}-exit {what}"));
    let found = [
        (entry.event == Some(Event::Restart), Moment::Restart),
        (note.starts_with(RELEASED), Moment::Release),
        (says("starts"), Moment::Start),
        (says("ended"), Moment::End),
    ];
    found.into_iter().filter_map(|(is_it, moment)| is_it.then_some(moment)).collect()
}
