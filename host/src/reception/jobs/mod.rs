//! The jobs of the receiving side: one for each job that a visitor announced, moved by what the
//! visitor tells and does.
//!
//! `receiver` is one of them on its way, `way` the events between its statuses, `notice` what
//! becomes of a notice, `file` what this host sees of the file, `exits` the user's programs,
//! `orders` what an operator says.

mod exits;
mod file;
mod notice;
mod orders;
mod receiver;
mod way;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use ferryway_core::{Direction, Event, JobId, PartnerName, RemotePath, Status, apply};

use super::refusal::Refusal;
use crate::{
    config::Config,
    control::api::JobView,
    exits::Runner,
    journal::{self, JournalStore, record::Job},
    locks::lock,
    notices::Notices,
};
use tokio::sync::Semaphore;

pub(super) use notice::Teller;
use notice::exit_runs;
pub(super) use receiver::Receiver;
use receiver::Turn;
use way::up_to_publishing;

/// The jobs of the receiving side that have not ended. Nobody else moves them.
pub struct Register {
    journal: Arc<dyn JournalStore>,
    notices: Arc<Notices>,
    runner: Runner,
    /// Places for exits that run at once.
    places: Arc<Semaphore>,
    places_in_all: usize,
    /// Whether the host ends.
    ending: AtomicBool,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    by_id: HashMap<JobId, Arc<Receiver>>,
    by_key: HashMap<String, Arc<Receiver>>,
    /// The last that was announced for each file of a visitor.
    by_file: HashMap<(PartnerName, String), Arc<Receiver>>,
    of_visitor: HashMap<PartnerName, usize>,
}

/// Since when something is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Since this call, which has seen that the instance is ours.
    Now,
    /// For longer, or there was nothing to write.
    Before,
}

impl Register {
    /// The register of the jobs of the receiving side among those in flight; the others come
    /// back.
    pub fn take_up(
        config: &Config,
        journal: Arc<dyn JournalStore>,
        notices: Arc<Notices>,
        mut jobs: Vec<Job>,
    ) -> (Arc<Self>, Vec<Job>) {
        let mut index = Index::default();
        for job in jobs.extract_if(.., |job| job.spec.origin.is_some()) {
            index.enter(&Arc::new(Receiver::new(job)));
        }
        let runner = Runner::new(
            config.install.clone(),
            config.instance.clone(),
            config.roots.clone(),
            journal.epoch(),
            Arc::clone(&notices),
        );
        let places_in_all = config.limits.jobs;
        let places = Arc::new(Semaphore::new(places_in_all));
        let index = Mutex::new(index);
        let ending = AtomicBool::new(false);
        let register = Self { journal, notices, runner, places, places_in_all, ending, index };
        (Arc::new(register), jobs)
    }

    /// All of them, in no order.
    pub fn views(&self) -> Vec<JobView> {
        lock(&self.index).by_id.values().map(|receiver| receiver.view()).collect()
    }

    /// One of them.
    pub fn view(&self, id: &JobId) -> Option<JobView> {
        lock(&self.index).by_id.get(id).map(|receiver| receiver.view())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.index).by_id.len()
    }

    /// Waits until each of these that is in flight has ended, or waits for an operator.
    pub async fn wait(&self, jobs: &[JobId]) {
        let waited: Vec<_> = {
            let index = lock(&self.index);
            jobs.iter().filter_map(|id| index.by_id.get(id).cloned()).collect()
        };
        for receiver in waited {
            receiver.at_rest().await;
        }
    }

    /// The job that a visitor announced for this file and direction.
    pub(super) fn of_file(
        &self,
        visitor: &PartnerName,
        path: &RemotePath,
        direction: Direction,
    ) -> Option<Arc<Receiver>> {
        let key = (visitor.clone(), path.as_str().to_owned());
        let found = lock(&self.index).by_file.get(&key).cloned();
        found.filter(|receiver| receiver.look(|job| job.spec.direction == direction))
    }

    /// Shows that the visitor does what `event` says, where that is the next step of the job.
    ///
    /// # Errors
    /// The journal takes no more writes.
    pub(super) async fn walk(&self, receiver: &Arc<Receiver>, event: Event) -> journal::Result<()> {
        let turn = Turn::of(receiver, self).await;
        if apply(turn.status(), event).is_ok() {
            drop(turn.queue(&[event], None, |_| {}).await?);
        }
        Ok(())
    }

    /// Puts on record that the visitor is about to put its file in place; durable on `Ok`, which
    /// tells whether that is so since now.
    ///
    /// # Errors
    /// While the job's pre-exit runs, which may still refuse the file, and when the journal fails.
    pub(super) async fn publishing(&self, receiver: &Arc<Receiver>) -> Result<Written, Refusal> {
        let turn = Turn::of(receiver, self).await;
        if turn.status() == Status::ReceiverPreparing && receiver.is_busy() {
            return Err(exit_runs());
        }
        let events = up_to_publishing(turn.status());
        if !turn.status().in_flight() || events.is_empty() {
            return Ok(Written::Before);
        }
        turn.record(events, None, |_| {}).await?;
        Ok(Written::Now)
    }

    fn all(&self) -> Vec<Arc<Receiver>> {
        lock(&self.index).by_id.values().cloned().collect()
    }

    fn by_id(&self, id: &JobId) -> Option<Arc<Receiver>> {
        lock(&self.index).by_id.get(id).cloned()
    }

    fn by_key(&self, key: &str) -> Option<Arc<Receiver>> {
        lock(&self.index).by_key.get(key).cloned()
    }

    /// Takes a job in, and gives the one that counts: another when somebody was faster.
    fn enter(&self, receiver: Arc<Receiver>) -> Arc<Receiver> {
        let mut index = lock(&self.index);
        if let Some(known) = index.by_id.get(&receiver.id()) {
            return Arc::clone(known);
        }
        index.enter(&receiver);
        receiver
    }

    /// A job that is on record, as it is there: in the register as long as it has not ended.
    fn recorded(&self, job: Job) -> Arc<Receiver> {
        let in_flight = job.status.in_flight();
        let receiver = Arc::new(Receiver::new(job));
        if in_flight { self.enter(receiver) } else { receiver }
    }

    /// Forgets a job that ended, when nobody changes it any more.
    fn settle(&self, receiver: &Arc<Receiver>) {
        let in_flight = receiver.look(|job| job.status.in_flight());
        let mut index = lock(&self.index);
        match in_flight {
            true => index.expect_file(receiver),
            false => index.leave(receiver),
        }
    }
}

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Register").field("jobs", &self.count()).finish_non_exhaustive()
    }
}

impl Index {
    fn enter(&mut self, receiver: &Arc<Receiver>) {
        let job = receiver.job();
        if let Some(origin) = &job.spec.origin {
            self.by_key.insert(origin.key(), Arc::clone(receiver));
        }
        *self.of_visitor.entry(job.spec.partner.clone()).or_default() += 1;
        if job.status.in_flight() {
            self.by_file.insert(file(&job), Arc::clone(receiver));
        }
        self.by_id.insert(job.id, Arc::clone(receiver));
    }

    /// Expects the file of a job that came back from its end, unless another waits for it.
    fn expect_file(&mut self, receiver: &Arc<Receiver>) {
        let file = receiver.look(file);
        self.by_file.entry(file).or_insert_with(|| Arc::clone(receiver));
    }

    fn leave(&mut self, receiver: &Arc<Receiver>) {
        let job = receiver.job();
        if !self.by_id.get(&job.id).is_some_and(|known| Arc::ptr_eq(known, receiver)) {
            return;
        }
        self.by_id.remove(&job.id);
        if let Some(origin) = &job.spec.origin {
            self.by_key.remove(&origin.key());
        }
        if let Some(count) = self.of_visitor.get_mut(&job.spec.partner) {
            *count -= 1;
        }
        let file = file(&job);
        if self.by_file.get(&file).is_some_and(|last| Arc::ptr_eq(last, receiver)) {
            self.by_file.remove(&file);
        }
    }
}

/// What a visitor's file is known by.
fn file(job: &Job) -> (PartnerName, String) {
    (job.spec.partner.clone(), job.remote())
}
