//! Jobs in flight as the writer left them, so that the next step of one does not have to read its
//! row.
//!
//! Nobody but the writer changes a row, and the writer ends when a transaction fails; so what it
//! wrote last is what is there. What else it does to a row of a job in flight than a step, it
//! [takes](Known::take) the job out for.

use std::{collections::HashMap, sync::Arc};

use ferryway_core::JobId;

use super::entries::Place;
use crate::journal::record::{Job, JobState};

/// The jobs and the places of their newest entries; bounded, and without their states, of which each
/// step brings a new one. Boxed, for a map has places for more than it holds.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<JobId, Box<(Job, Option<Place>)>>);

impl Known {
    /// As many jobs as a commit has writes; more would cost memory for those that rest.
    const LIMIT: usize = 1024;

    /// A job in flight as its row is now. It has to be [put](Self::put) back to be known again.
    pub(super) fn take(&mut self, id: &JobId) -> Option<(Job, Option<Place>)> {
        self.0.remove(id).map(|known| *known)
    }

    /// Remembers a job whose row has just been written.
    pub(super) fn put(&mut self, job: &Job, newest: Option<Place>) {
        if !job.status.in_flight() {
            return;
        }
        if self.0.len() >= Self::LIMIT {
            // Who is at work is soon known again.
            self.0.clear();
        }
        self.0.insert(job.id.clone(), Box::new((without_state(job), newest)));
    }
}

fn without_state(job: &Job) -> Job {
    Job {
        id: job.id.clone(),
        run: job.run,
        sequence: job.sequence,
        spec: Arc::clone(&job.spec),
        status: job.status,
        version: job.version,
        epoch: job.epoch,
        accepted_at: job.accepted_at,
        updated_at: job.updated_at,
        state: JobState::default(),
        checkpoint: job.checkpoint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use ferryway_core::{Direction, Epoch, Event, RunNumber};
    use jiff::Timestamp;

    use super::*;
    use crate::journal::record::JobSpec;

    fn job(run: u64) -> Job {
        let (definition, partner) = ("A".parse().unwrap(), "P".parse().unwrap());
        let spec = JobSpec::plain(definition, partner, Direction::Send, ("a", "b"));
        Job::accepted(spec, RunNumber(run), run, (Epoch::FIRST, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn the_newest_of_many_jobs_in_flight_are_known() {
        let mut known = Known::default();
        for run in 1..=3000 {
            known.put(&job(run), Some(7));
            assert!(known.0.len() <= Known::LIMIT);
        }
        let last = job(3000);
        assert_eq!(known.take(&last.id), Some((last.clone(), Some(7))));
        assert_eq!(known.take(&last.id), None);
        let (moving, _) = last.step(&[], None, |state| state.attempts = 1).unwrap();
        known.put(&moving, None);
        let (kept, _) = known.take(&moving.id).unwrap();
        assert_eq!(kept, Job { state: JobState::default(), ..moving });
        let (ended, _) = last.step(&[Event::Fail], None, |_| {}).unwrap();
        known.put(&ended, None);
        assert_eq!(known.take(&ended.id), None);
    }
}
