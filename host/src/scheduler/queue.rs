//! Which job moves next. Pure: it is told the time and reads no clock.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use ferryway_core::{JobId, PartnerName, policy::Direction};
use jiff::Timestamp;

use crate::journal::record::Job;

/// Where a job delivers. Jobs to one target move one after the other, in the order of their
/// acceptance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A path on a partner.
    Remote(PartnerName, String),
    /// A path of ours.
    Local(std::path::PathBuf),
}

/// The jobs in flight, as far as their order is concerned.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<JobId, Entry>,
    targets: HashMap<Target, BTreeMap<u64, JobId>>,
    /// The job that moves to each target: not the first in line when an older one was restarted
    /// meanwhile.
    moving_to: HashMap<Target, JobId>,
    partners: BTreeMap<PartnerName, Partner>,
    /// Jobs that may go later than now.
    later: BTreeSet<(Timestamp, JobId)>,
    moving: usize,
}

#[derive(Debug, Default)]
struct Partner {
    /// The first of each target that may go now: the highest priority, then the oldest.
    ready: BTreeSet<(Reverse<i32>, u64, JobId)>,
    moving: usize,
    /// Nothing starts before this time.
    out_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    partner: PartnerName,
    /// Who is told of the job, and may be waited for as well.
    told: Option<PartnerName>,
    target: Target,
    priority: i32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May go from this time on, when it is the first of its target.
    Waiting(Timestamp),
    Moving,
    /// Goes when an operator says so; later jobs to its target wait.
    Suspended,
}

impl Target {
    /// Where a job delivers.
    pub fn of(job: &Job) -> Self {
        match job.spec.direction {
            Direction::Send => Self::Remote(job.spec.partner.clone(), job.remote()),
            Direction::Fetch => Self::Local(job.local()),
        }
    }
}

impl Queue {
    /// Makes room for so many more jobs.
    pub fn reserve(&mut self, jobs: usize) {
        self.entries.reserve(jobs);
        self.targets.reserve(jobs);
    }

    /// Takes a job in; it may go from `due` on, or waits for an operator when that is `None`.
    pub fn insert(&mut self, job: &Job, due: Option<Timestamp>) {
        let entry = Entry {
            sequence: job.sequence,
            partner: job.spec.partner.clone(),
            told: job.spec.told.clone(),
            target: Target::of(job),
            priority: job.spec.priority,
            state: due.map_or(State::Suspended, State::Waiting),
        };
        let line = self.targets.entry(entry.target.clone()).or_default();
        // A job restarted from the history may be older than the one that was the first.
        let displaced = line.first_key_value().map(|(_, id)| id.clone());
        line.insert(entry.sequence, job.id.clone());
        self.entries.insert(job.id.clone(), entry);
        if let Some(displaced) = displaced {
            self.settle_place(&displaced);
        }
        self.settle_place(&job.id);
    }

    /// The next job to start, which then counts as moving; `jobs` is the limit over all
    /// partners, `per_partner` each one's.
    pub fn start_next(
        &mut self,
        now: Timestamp,
        jobs: usize,
        per_partner: impl Fn(&PartnerName) -> usize,
    ) -> Option<JobId> {
        if self.moving >= jobs {
            return None;
        }
        self.promote(now);
        let (_, id) = self
            .partners
            .iter()
            .filter(|(name, partner)| {
                partner.moving < per_partner(name)
                    && partner.out_until.is_none_or(|until| until <= now)
            })
            .filter_map(|(_, partner)| partner.ready.first())
            .map(|(priority, sequence, id)| ((*priority, *sequence), id.clone()))
            .min()?;
        let entry = self.entries.get_mut(&id)?;
        entry.state = State::Moving;
        self.moving_to.insert(entry.target.clone(), id.clone());
        let partner = self.partners.entry(entry.partner.clone()).or_default();
        partner.ready.remove(&(Reverse(entry.priority), entry.sequence, id.clone()));
        partner.moving += 1;
        self.moving += 1;
        Some(id)
    }

    /// Takes a moving or waiting job back into line; it may go from `due` on, or waits for an
    /// operator when that is `None`.
    pub fn put_back(&mut self, id: &JobId, due: Option<Timestamp>) {
        self.stand_still(id);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.state = due.map_or(State::Suspended, State::Waiting);
        }
        self.settle_place(id);
        if let Some(first) = self.waits_for(id).cloned() {
            self.settle_place(&first);
        }
    }

    /// Takes out a job that ended.
    pub fn remove(&mut self, id: &JobId) {
        self.stand_still(id);
        let Some(entry) = self.entries.remove(id) else { return };
        if let Some(line) = self.targets.get_mut(&entry.target) {
            line.remove(&entry.sequence);
            let next = line.first_key_value().map(|(_, id)| id.clone());
            match next {
                Some(next) => self.settle_place(&next),
                None => drop(self.targets.remove(&entry.target)),
            }
        }
    }

    /// Starts nothing with a partner before a time, nor before a later one that was given earlier.
    pub fn partner_out(&mut self, name: &PartnerName, until: Timestamp) {
        let out_until = &mut self.partners.entry(name.clone()).or_default().out_until;
        *out_until = (*out_until).max(Some(until));
    }

    /// Ends the outage of a partner and lets each of its jobs, and of those that it is told of,
    /// that waits for a later time go now; tells how many waited.
    pub fn partner_back(&mut self, name: &PartnerName, now: Timestamp) -> usize {
        let held_back = self.partners.get_mut(name).map_or(0, |partner| {
            let was_out = partner.out_until.take().is_some_and(|until| until > now);
            if was_out { partner.ready.len() } else { 0 }
        });
        let concerned = |entry: &Entry| entry.partner == *name || entry.told.as_ref() == Some(name);
        let later = |(id, entry): (&JobId, &Entry)| match entry.state {
            State::Waiting(due) if due > now && concerned(entry) => Some(id.clone()),
            _ => None,
        };
        let later: Vec<_> = self.entries.iter().filter_map(later).collect();
        for id in &later {
            self.put_back(id, Some(now));
        }
        held_back + later.len()
    }

    /// When the next job may go that may not go now.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let later = self.later.first().map(|(due, _)| *due);
        let out = self
            .partners
            .values()
            .filter(|partner| !partner.ready.is_empty())
            .filter_map(|partner| partner.out_until.filter(|until| *until > now))
            .min();
        [later, out].into_iter().flatten().min()
    }

    /// The job that has to end or stand still before this one may go.
    pub fn waits_for(&self, id: &JobId) -> Option<&JobId> {
        let entry = self.entries.get(id)?;
        let (_, first) = self.targets.get(&entry.target)?.first_key_value()?;
        let next = self.moving_to.get(&entry.target).unwrap_or(first);
        (next != id).then_some(next)
    }

    /// Whether the job waits for an operator, or is not in flight.
    pub fn rests(&self, id: &JobId) -> bool {
        self.entries.get(id).is_none_or(|entry| entry.state == State::Suspended)
    }

    /// Whether the job is moving.
    pub fn is_moving(&self, id: &JobId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.state == State::Moving)
    }

    /// Jobs that move, over all partners.
    pub fn moving(&self) -> usize {
        self.moving
    }

    /// Jobs that move with one partner.
    pub fn moving_with(&self, name: &PartnerName) -> usize {
        self.partners.get(name).map_or(0, |partner| partner.moving)
    }

    /// Undoes what [`start_next`](Self::start_next) counted, and takes the job out of the lines
    /// of those that may go.
    fn stand_still(&mut self, id: &JobId) {
        let Some(entry) = self.entries.get(id) else { return };
        let partner = self.partners.entry(entry.partner.clone()).or_default();
        match entry.state {
            State::Moving => {
                partner.moving -= 1;
                self.moving -= 1;
                self.moving_to.remove(&entry.target);
            }
            State::Waiting(due) => {
                partner.ready.remove(&(Reverse(entry.priority), entry.sequence, id.clone()));
                self.later.remove(&(due, id.clone()));
            }
            State::Suspended => {}
        }
    }

    /// Puts a waiting job into the line it belongs to: none when it is not the first of its
    /// target.
    fn settle_place(&mut self, id: &JobId) {
        let first = self.waits_for(id).is_none();
        let Some(entry) = self.entries.get(id) else { return };
        let State::Waiting(due) = entry.state else { return };
        let partner = self.partners.entry(entry.partner.clone()).or_default();
        partner.ready.remove(&(Reverse(entry.priority), entry.sequence, id.clone()));
        if first {
            self.later.insert((due, id.clone()));
        } else {
            self.later.remove(&(due, id.clone()));
        }
    }

    fn promote(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.later.first().cloned() {
            if due > now {
                return;
            }
            self.later.pop_first();
            if let Some(entry) = self.entries.get(&id) {
                let partner = self.partners.entry(entry.partner.clone()).or_default();
                partner.ready.insert((Reverse(entry.priority), entry.sequence, id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferryway_core::{Epoch, RunNumber};

    use super::*;
    use crate::journal::record::JobSpec;

    fn job(run: u64, partner: &str, remote: &str, priority: i32) -> Job {
        let definition = "PRDY01".parse().unwrap();
        Job::accepted(
            JobSpec {
                priority,
                ..JobSpec::plain(
                    definition,
                    partner.parse().unwrap(),
                    Direction::Send,
                    ("/a", remote),
                )
            },
            RunNumber(run),
            run,
            (Epoch::FIRST, Timestamp::UNIX_EPOCH),
        )
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn start(queue: &mut Queue, now: i64) -> Option<String> {
        queue.start_next(at(now), 100, |_| 100).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn jobs_to_one_target_go_one_after_the_other_in_order() {
        let mut queue = Queue::default();
        let [first, second, other] =
            [job(1, "A", "x", 0), job(2, "A", "x", 9), job(3, "A", "y", 0)];
        for job in [&second, &first, &other] {
            queue.insert(job, Some(at(0)));
        }
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY011"));
        assert_eq!(queue.waits_for(&second.id), Some(&first.id));
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY013"));
        assert_eq!(start(&mut queue, 0), None);
        // A failed try keeps its place before the later job.
        queue.put_back(&first.id, Some(at(5)));
        assert_eq!(start(&mut queue, 0), None);
        assert_eq!(queue.next_due(at(0)), Some(at(5)));
        assert_eq!(start(&mut queue, 5).as_deref(), Some("PRDY011"));
        queue.remove(&first.id);
        assert_eq!(start(&mut queue, 5).as_deref(), Some("PRDY012"));
        assert_eq!(queue.moving(), 2);
    }

    #[test]
    fn a_suspended_job_holds_back_its_successors_until_it_ends() {
        let mut queue = Queue::default();
        let [first, second] = [job(1, "A", "x", 0), job(2, "A", "x", 0)];
        queue.insert(&first, None);
        queue.insert(&second, Some(at(0)));
        assert_eq!(start(&mut queue, 0), None);
        queue.put_back(&first.id, Some(at(0)));
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY011"));
    }

    #[test]
    fn an_older_job_waits_for_a_newer_one_that_moves_already() {
        let mut queue = Queue::default();
        let [older, newer] = [job(1, "A", "x", 0), job(2, "A", "x", 0)];
        queue.insert(&newer, Some(at(0)));
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY012"));
        queue.insert(&older, Some(at(0)));
        assert_eq!(queue.waits_for(&older.id), Some(&newer.id));
        assert_eq!(start(&mut queue, 0), None);
        // A failed try gives the older one its turn.
        queue.put_back(&newer.id, Some(at(0)));
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY011"));
        assert_eq!(start(&mut queue, 0), None);
        queue.remove(&older.id);
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY012"));
        queue.remove(&newer.id);
        assert_eq!((queue.moving(), start(&mut queue, 0)), (0, None));
    }

    #[test]
    fn limits_and_outages_hold_jobs_back() {
        let mut queue = Queue::default();
        for run in 1..=3 {
            queue.insert(&job(run, "A", &format!("f{run}"), 0), Some(at(0)));
        }
        queue.insert(&job(4, "B", "x", -1), Some(at(0)));
        let one = |queue: &mut Queue, jobs| queue.start_next(at(0), jobs, |_| 1);
        assert_eq!(one(&mut queue, 1).unwrap().as_str(), "PRDY011");
        assert_eq!(one(&mut queue, 1), None);
        assert_eq!(one(&mut queue, 9).unwrap().as_str(), "PRDY014");
        assert_eq!(one(&mut queue, 9), None);
        queue.partner_out(&"A".parse().unwrap(), at(7));
        queue.partner_out(&"A".parse().unwrap(), at(2));
        assert_eq!(start(&mut queue, 6), None);
        assert_eq!(queue.next_due(at(6)), Some(at(7)));
        assert_eq!(start(&mut queue, 7).as_deref(), Some("PRDY012"));
    }

    #[test]
    fn a_partner_that_is_back_is_waited_for_no_longer() {
        let mut queue = Queue::default();
        queue.insert(&job(1, "A", "x", 0), Some(at(0)));
        queue.insert(&job(2, "A", "y", 0), Some(at(500)));
        queue.insert(&job(3, "B", "x", 0), Some(at(500)));
        queue.insert(&job(4, "A", "z", 0), None);
        let mut told = job(5, "B", "y", 0);
        Arc::make_mut(&mut told.spec).told = Some("A".parse().unwrap());
        queue.insert(&told, Some(at(500)));
        let name = "A".parse().unwrap();
        queue.partner_out(&name, at(900));
        assert_eq!(start(&mut queue, 1), None);
        assert_eq!(queue.partner_back(&name, at(1)), 3);
        assert_eq!(start(&mut queue, 1).as_deref(), Some("PRDY011"));
        assert_eq!(start(&mut queue, 1).as_deref(), Some("PRDY012"));
        assert_eq!(start(&mut queue, 1).as_deref(), Some("PRDY015"));
        // Neither another partner's job nor one that an operator has to release.
        assert_eq!(start(&mut queue, 1), None);
        assert_eq!(queue.partner_back(&name, at(2)), 0);
    }

    #[test]
    fn a_higher_priority_goes_first() {
        let mut queue = Queue::default();
        queue.insert(&job(1, "A", "x", 0), Some(at(0)));
        queue.insert(&job(2, "A", "y", 5), Some(at(0)));
        assert_eq!(start(&mut queue, 0).as_deref(), Some("PRDY012"));
    }
}
