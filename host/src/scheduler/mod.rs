//! Moves the jobs: one task that knows them all decides which goes next, starts a task for
//! each try, and hears of its end.

mod attempt_task;
mod desk;
mod greeting;
mod operations;
mod orders;
mod partners;
pub mod queue;
mod withdrawals;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicBool},
    time::Duration,
};

use ferryway_core::{Event, JobId, PartnerName, Status};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    attempt::{Context, Folders, Run},
    config::Config,
    control::api::JobView,
    exits::{self, Runner},
    journal::{JournalError, JournalStore, record::Job},
    loader::Plugins,
    locks::lock,
    notices::Notices,
    partner::{PartnerState, source_address::SourceAddresses},
    reception::Register,
};
use attempt_task::{Ended, Halt, Next};
pub use operations::Desk;
use orders::Order;
use partners::Tidied;
use queue::Queue;
use withdrawals::{UnderWay, Withdrawn};

/// Orders that may wait for the scheduler.
const ORDERS: usize = 1024;

/// What the scheduler and its desk share.
pub struct Shared {
    /// The configuration in force.
    pub config: RwLock<Arc<Config>>,
    /// The transports.
    pub plugins: Arc<Plugins>,
    /// The journal.
    pub journal: Arc<dyn JournalStore>,
    /// Tells the operator.
    pub notices: Arc<Notices>,
    /// The jobs of the receiving side, which the scheduler leaves alone.
    pub receiving: Arc<Register>,
    /// This node's name.
    pub node: String,
    /// When the host started.
    pub started_at: Timestamp,
}

/// The task that moves the jobs.
pub struct Scheduler {
    shared: Arc<Shared>,
    context: Arc<Context>,
    orders: mpsc::Receiver<Order>,
    sources: Arc<SourceAddresses>,
    partners: BTreeMap<PartnerName, Arc<PartnerState>>,
    queue: Queue,
    /// Whether jobs may move.
    moves: bool,
    /// Who waits until none moves.
    standstill: Vec<oneshot::Sender<()>>,
    jobs: HashMap<JobId, InFlight>,
    tasks: JoinSet<Ended>,
    /// The job of each task that tries one.
    of_task: HashMap<tokio::task::Id, JobId>,
    /// Partners on the way to hear that a job is withdrawn.
    withdrawals: JoinSet<Withdrawn>,
    /// The jobs that they are about.
    withdrawing: BTreeMap<PartnerName, HashMap<JobId, UnderWay>>,
    chores: JoinSet<Tidied>,
    /// Partners that were tidied since their last job.
    tidy: HashSet<PartnerName>,
    /// Partners that could not be tidied, and how often in a row.
    untidy: HashMap<PartnerName, u32>,
    /// Tell partners that this host is back.
    greetings: JoinSet<()>,
    waiters: Vec<Waiter>,
}

struct InFlight {
    job: Arc<Mutex<Job>>,
    /// Whether no partner can have been told of it.
    untold: Arc<AtomicBool>,
    attempt: Option<Attempt>,
}

struct Attempt {
    run: Run,
    stop: Option<oneshot::Sender<Halt>>,
    /// Its partner has come back meanwhile: a failure may be one of before, and is no reason to
    /// wait.
    outlived: bool,
    /// What to do with the job when the try has stopped.
    then: Vec<desk::Ordered>,
}

struct Waiter {
    remaining: HashSet<JobId>,
    done: oneshot::Sender<()>,
}

/// Why the scheduler ended.
pub type End = Result<(), JournalError>;

impl Shared {
    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Scheduler {
    /// A scheduler of the jobs in flight, as recovery left them, and the desk that takes its
    /// orders. Nothing leaves this host before it [runs](Self::run).
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn new(shared: Arc<Shared>, jobs: Vec<Job>) -> Result<(Self, Desk), JournalError> {
        let (sender, orders) = mpsc::channel(ORDERS);
        let config = shared.config();
        let context = Arc::new(Context {
            journal: Arc::clone(&shared.journal),
            roots: config.roots.clone(),
            notices: Arc::clone(&shared.notices),
            folders: Folders::new(Arc::clone(&shared.journal)),
            exits: Runner::new(
                config.install.clone(),
                config.instance.clone(),
                config.roots.clone(),
                shared.journal.epoch(),
                Arc::clone(&shared.notices),
            ),
        });
        let desk = Desk::new(Arc::clone(&shared), sender);
        let sources = SourceAddresses::new(&config.install, Arc::clone(&shared.notices));
        let mut scheduler = Self {
            shared,
            context,
            orders,
            sources,
            partners: BTreeMap::new(),
            queue: Queue::default(),
            moves: true,
            standstill: Vec::new(),
            jobs: HashMap::with_capacity(jobs.len()),
            tasks: JoinSet::new(),
            of_task: HashMap::new(),
            withdrawals: JoinSet::new(),
            withdrawing: BTreeMap::new(),
            chores: JoinSet::new(),
            tidy: HashSet::new(),
            untidy: HashMap::new(),
            greetings: JoinSet::new(),
            waiters: Vec::new(),
        };
        scheduler.open_partners().await?;
        scheduler.queue.reserve(jobs.len());
        for job in jobs {
            scheduler.take_in(job);
        }
        Ok((scheduler, desk))
    }

    /// Lets no job move before it is told to.
    #[must_use]
    pub fn at_rest(mut self) -> Self {
        self.moves = false;
        self
    }

    /// Moves jobs until told to stop or the journal closes.
    ///
    /// # Errors
    /// Why the journal closed: the host must end at once.
    pub async fn run(mut self) -> End {
        let journal = Arc::clone(&self.shared.journal);
        let closed = journal.closed();
        tokio::pin!(closed);
        self.withdraw_unheard().await?;
        loop {
            // One time for both: what falls due between two looks at the clock would be seen
            // by neither.
            let now = Timestamp::now();
            if self.moves {
                self.start_what_may_go(now);
                self.tidy_up();
            } else if self.tasks.is_empty() {
                self.stand_still().await;
            }
            let next_due = self.until_next_due(now);
            tokio::select! {
                biased;
                error = &mut closed => return Err(error),
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    match ended {
                        Ok((task, ended)) => {
                            self.of_task.remove(&task);
                            self.ended(ended).await?;
                        }
                        Err(error) => self.broke(&error).await?,
                    }
                }
                Some(_greeted) = self.greetings.join_next(), if !self.greetings.is_empty() => {}
                Some(told) = self.withdrawals.join_next(), if !self.withdrawals.is_empty() => {
                    match told {
                        Ok(withdrawn) => self.withdrawn(withdrawn).await?,
                        Err(error) => tracing::error!(%error, "a withdrawal broke"),
                    }
                }
                Some(tidied) = self.chores.join_next(), if !self.chores.is_empty() => {
                    match tidied {
                        Ok(tidied) => self.tidied(tidied),
                        Err(error) => {
                            tracing::error!(%error, "the task that tidies a partner broke");
                        }
                    }
                }
                order = self.orders.recv() => match order {
                    None => return self.stop(None).await,
                    Some(Order::Stop { done }) => return self.stop(Some(done)).await,
                    Some(order) => self.carry_out(order).await?,
                },
                () = tokio::time::sleep(next_due) => {}
            }
        }
    }

    /// Takes a job in flight into the lines.
    fn take_in(&mut self, job: Job) {
        if self.jobs.contains_key(&job.id) {
            // A second request with the key of a job in flight.
            return;
        }
        let due = match job.status {
            Status::Suspended => None,
            Status::PostExit if exits::after_takeover(&job).waits() => None,
            _ => Some(job.state.not_before.unwrap_or(Timestamp::UNIX_EPOCH)),
        };
        self.queue.insert(&job, due);
        self.tidy.remove(&job.spec.partner);
        // Accepted here, and nothing has been done with it yet.
        let untold = job.version == 1 && job.epoch == self.shared.journal.epoch();
        let untold = Arc::new(AtomicBool::new(untold));
        let id = job.id.clone();
        let in_flight = InFlight { job: Arc::new(Mutex::new(job)), untold, attempt: None };
        self.jobs.insert(id, in_flight);
    }

    fn start_what_may_go(&mut self, now: Timestamp) {
        let config = self.shared.config();
        loop {
            let partners = &self.partners;
            let limit = |name: &PartnerName| {
                // A job of an unknown partner starts at once, to be suspended with its reason.
                partners.get(name).map_or(1, |partner| partner.config.jobs)
            };
            let next = self.queue.start_next(now, config.limits.jobs, limit);
            let Some(id) = next else { return };
            self.start(&id);
        }
    }

    fn start(&mut self, id: &JobId) {
        let Some(in_flight) = self.jobs.get_mut(id) else { return };
        let (partner, told) = {
            let job = lock(&in_flight.job);
            let told = job.spec.told.as_ref().and_then(|told| self.partners.get(told));
            (job.spec.partner.clone(), told.cloned())
        };
        let Some(partner) = self.partners.get(&partner).cloned() else {
            self.tasks.spawn(attempt_task::without_partner(
                Arc::clone(&self.context),
                Arc::clone(&in_flight.job),
                Arc::clone(&self.shared.notices),
            ));
            return;
        };
        let run = Run::new(Arc::clone(&self.context), partner, told, Arc::clone(&in_flight.job))
            .untold_by(Arc::clone(&in_flight.untold));
        let (stop, stopped) = oneshot::channel();
        in_flight.attempt =
            Some(Attempt { run: run.clone(), stop: Some(stop), outlived: false, then: Vec::new() });
        let task = attempt_task::run(run, stopped, Arc::clone(&self.shared.notices));
        self.of_task.insert(self.tasks.spawn(task).id(), id.clone());
    }

    /// Hears that the task of a try panicked: our own bug, which must not keep its job moving
    /// for ever.
    async fn broke(&mut self, error: &tokio::task::JoinError) -> End {
        tracing::error!(%error, "the task of a try broke");
        let Some(id) = self.of_task.remove(&error.id()) else { return Ok(()) };
        let stands = self.jobs.get(&id).map(|in_flight| lock(&in_flight.job).status);
        let next = match stands {
            // Its exit may have run.
            Some(Status::PostExit) => Next::Suspended,
            _ => Next::Again(Timestamp::now() + Duration::from_secs(60)),
        };
        self.ended(Ended { id, next }).await
    }

    /// Hears of the end of a try.
    async fn ended(&mut self, ended: Ended) -> End {
        let Ended { id, next } = ended;
        let Some(in_flight) = self.jobs.get_mut(&id) else { return Ok(()) };
        let attempt = in_flight.attempt.take();
        let outlived = attempt.as_ref().is_some_and(|attempt| attempt.outlived);
        let then = attempt.map(|attempt| attempt.then).unwrap_or_default();
        match next {
            Next::Fatal(error) => return Err(error),
            Next::Done => {
                let job = lock(&in_flight.job).clone();
                self.leave_out(&id);
                self.withdraw(&job);
            }
            Next::Again(_) | Next::PartnerOut(_) if outlived => {
                let partner = lock(&in_flight.job).spec.partner.clone();
                if let Some(partner) = self.partners.get(&partner) {
                    partner.came_back();
                }
                self.queue.put_back(&id, Some(Timestamp::now()));
            }
            Next::Again(due) => self.queue.put_back(&id, Some(due)),
            Next::Suspended => {
                let job = lock(&in_flight.job).clone();
                self.queue.put_back(&id, None);
                self.tell_waiters(&id);
                self.withdraw(&job);
            }
            Next::Parked => self.queue.put_back(&id, Some(Timestamp::now())),
            Next::PartnerOut(delay) => {
                let until = Timestamp::now() + delay;
                let partner = lock(&in_flight.job).spec.partner.clone();
                self.queue.partner_out(&partner, until);
                self.queue.put_back(&id, Some(Timestamp::now()));
            }
        }
        for ordered in then {
            self.command(ordered).await?;
        }
        Ok(())
    }

    /// Forgets a job that ended.
    fn leave_out(&mut self, id: &JobId) {
        self.queue.remove(id);
        self.jobs.remove(id);
        self.tell_waiters(id);
    }

    fn tell_waiters(&mut self, id: &JobId) {
        for waiter in &mut self.waiters {
            waiter.remaining.remove(id);
        }
        for waiter in self.waiters.extract_if(.., |waiter| waiter.remaining.is_empty()) {
            // Who waited may have gone.
            let _gone = waiter.done.send(());
        }
    }

    fn until_next_due(&self, now: Timestamp) -> Duration {
        let due = self.queue.next_due(now).filter(|_| self.moves);
        let due = due.map(|due| due.duration_since(now));
        let due = due.and_then(|due| Duration::try_from(due).ok());
        // A clock that is set back must not make a job wait for hours.
        due.unwrap_or(Duration::from_secs(60))
            .clamp(Duration::from_millis(1), Duration::from_secs(60))
    }

    fn view(&self, in_flight: &InFlight) -> JobView {
        let job = lock(&in_flight.job).clone();
        let progress = in_flight.attempt.as_ref().and_then(|a| a.run.moving.progress());
        let waits_for = self.queue.waits_for(&job.id).cloned();
        let at_rest = self.queue.rests(&job.id);
        JobView { job, progress, waits_for, at_rest }
    }

    fn let_move(&mut self, on: bool, done: oneshot::Sender<()>) {
        self.moves = on;
        if on {
            let _gone = done.send(());
        } else {
            self.stop_tries();
            self.standstill.push(done);
        }
    }

    fn stop_tries(&mut self) {
        for in_flight in self.jobs.values_mut() {
            if let Some(stop) = in_flight.attempt.as_mut().and_then(|a| a.stop.take()) {
                // The try may have ended by itself.
                let _ended = stop.send(Halt::AfterExit);
            }
        }
    }

    /// Stops all tries, parks their jobs, and says good-bye to the partners.
    async fn stop(mut self, done: Option<oneshot::Sender<()>>) -> End {
        self.stop_tries();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Ended { next: Next::Fatal(error), .. }) = ended {
                return Err(error);
            }
        }
        self.leave_withdrawals();
        self.leave_partners().await;
        if let Some(done) = done {
            let _gone = done.send(());
        }
        Ok(())
    }
}

/// The events that bring a job of a former owner to where it is taken up; none when it stays
/// as it is.
pub fn events_at_takeover(status: Status) -> &'static [Event] {
    match ferryway_core::apply(status, Event::TakeOver) {
        Ok(next) if next != status => &[Event::TakeOver],
        _ => &[],
    }
}
