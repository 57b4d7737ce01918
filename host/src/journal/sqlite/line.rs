//! The line of writes before the writer: bounded, in order, and failed as a whole once the
//! journal is closed, even while the writer is stuck in the disk.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ferryway_core::JobId;
use jiff::Timestamp;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::journal::{
    JournalError, Result,
    record::{Checkpoint, Fence, Job, JobSpec, Leftover, Staging, Step},
};

/// Writes that may wait before their callers have to.
const CAPACITY: usize = 4096;
/// Writes in one commit.
const BATCH: usize = 1024;
/// How long a patient write waits for others to share its commit with. An impatient one is
/// never kept waiting, and takes all before it along.
const PATIENCE: Duration = Duration::from_millis(2);

/// What a write does.
#[derive(Debug)]
pub(super) enum Write {
    /// Answers with [`Answer::Jobs`].
    Accept(Vec<Request>),
    /// Answers with [`Answer::Job`]. The text is the step's state as JSON.
    Step(Box<Step>, String),
    /// Answers with [`Answer::Done`], as the next three do.
    PutStaging(Staging),
    PutLeftover(Leftover),
    ForgetLeftover(Leftover),
    RaiseFence(Fence),
    /// Answers with [`Answer::Count`], as the next one does.
    Prune(Timestamp),
    Probe,
}

/// A request to accept a job.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) spec: JobSpec,
    /// The spec as JSON.
    pub(super) text: String,
    /// The job in an earlier epoch's history that has the same key.
    pub(super) known: Option<Box<Job>>,
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Answer {
    Jobs(Vec<Job>),
    Job(Box<Job>),
    Count(u64),
    Done,
}

/// Where the answer goes; of the kind that the write answers with.
#[derive(Debug)]
pub(super) enum Reply {
    Jobs(oneshot::Sender<Result<Vec<Job>>>),
    Job(oneshot::Sender<Result<Job>>),
    Count(oneshot::Sender<Result<u64>>),
    Done(oneshot::Sender<Result<()>>),
}

/// What the writer has to do next.
#[derive(Debug)]
pub(super) enum Turn {
    /// Write these, then [`settle`](Line::settle) as many answers.
    Write(Vec<Write>, HashMap<JobId, Checkpoint>),
    /// Nothing came for a while.
    Idle,
    /// Nothing more will come.
    End,
}

#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    /// Wakes the writer.
    arrived: Condvar,
    /// Wakes the watchdog.
    ended: Condvar,
    room: Semaphore,
    closed: watch::Sender<Option<JournalError>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Write, Reply)>,
    /// Replies of the batch that the writer is at.
    writing: Vec<Reply>,
    checkpoints: HashMap<JobId, Checkpoint>,
    /// Since when something waits; `None` when nothing does.
    waiting_since: Option<Instant>,
    /// Somebody is held up by what waits.
    urgent: bool,
    /// The writer sleeps until something arrives.
    sleeping: bool,
    /// Since when the writer is away from the line.
    busy_since: Option<Instant>,
    ending: bool,
    closed: Option<JournalError>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            ended: Condvar::new(),
            room: Semaphore::new(CAPACITY),
            closed: watch::Sender::new(None),
        }
    }

    /// Puts a write in line, waiting for room.
    pub(super) async fn push(&self, write: Write, reply: Reply) -> Result<()> {
        // The semaphore is closed together with the line.
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
        }
        let mut state = self.lock();
        if let Some(cause) = &state.closed {
            return Err(cause.clone());
        }
        if state.ending {
            return Err(JournalError::Closed);
        }
        let patient = matches!(&write, Write::Step(step, _) if step.patient);
        state.waiting.push_back((write, reply));
        self.announce(&mut state, patient);
        Ok(())
    }

    /// Remembers a checkpoint for the next commit, and wakes the writer to make one.
    pub(super) fn note(&self, job: &JobId, checkpoint: Checkpoint) {
        let mut state = self.lock();
        if state.closed.is_some() || state.ending {
            return;
        }
        match state.checkpoints.entry(job.clone()) {
            hash_map::Entry::Occupied(mut older) => {
                if older.get().attempt <= checkpoint.attempt {
                    older.insert(checkpoint);
                }
            }
            hash_map::Entry::Vacant(none) => {
                none.insert(checkpoint);
            }
        }
        self.announce(&mut state, false);
    }

    /// The writer's next turn: whatever is there, up to a batch, as soon as something is.
    pub(super) fn take(&self, idle_after: Duration) -> Turn {
        let deadline = Instant::now() + idle_after;
        let mut state = self.lock();
        state.busy_since = None;
        loop {
            if state.closed.is_some() {
                return Turn::End;
            }
            let until = match state.waiting_since {
                Some(_) if state.urgent || state.ending => break,
                Some(since) => since + PATIENCE,
                None if state.ending => return Turn::End,
                None => deadline,
            };
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                if state.waiting_since.is_some() {
                    break;
                }
                state.busy_since = Some(Instant::now());
                return Turn::Idle;
            };
            state.sleeping = true;
            state = self
                .arrived
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
            state.sleeping = false;
        }
        let count = state.waiting.len().min(BATCH);
        let mut writes = Vec::with_capacity(count);
        let mut replies = Vec::with_capacity(count);
        for (write, reply) in state.waiting.drain(..count) {
            writes.push(write);
            replies.push(reply);
        }
        state.writing = replies;
        if state.waiting.is_empty() {
            state.waiting_since = None;
            state.urgent = false;
        }
        state.busy_since = Some(Instant::now());
        self.room.add_permits(count);
        Turn::Write(writes, std::mem::take(&mut state.checkpoints))
    }

    /// Answers the batch, unless it was failed meanwhile.
    pub(super) fn settle(&self, answers: Vec<Result<Answer>>) {
        let replies = std::mem::take(&mut self.lock().writing);
        for (reply, answer) in replies.into_iter().zip(answers) {
            reply.send(answer);
        }
    }

    /// Fails every write, waiting, being written, and to come. The first cause stays.
    pub(super) fn fail(&self, cause: &JournalError) {
        let (cause, replies) = {
            let mut state = self.lock();
            let cause = state.closed.get_or_insert_with(|| cause.clone()).clone();
            let mut replies = std::mem::take(&mut state.writing);
            replies.extend(state.waiting.drain(..).map(|(_, reply)| reply));
            state.checkpoints.clear();
            (cause, replies)
        };
        for reply in replies {
            reply.send(Err(cause.clone()));
        }
        self.room.close();
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(cause);
            first
        });
        self.arrived.notify_all();
        self.ended.notify_all();
    }

    /// Lets the writer end after what is in line.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.arrived.notify_all();
    }

    /// Why the line is closed, if it is.
    pub(super) fn cause(&self) -> Option<JournalError> {
        self.lock().closed.clone()
    }

    /// Resolves, with the cause, when the line is closed.
    pub(super) async fn closed(&self) -> JournalError {
        let mut closed = self.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or(JournalError::Closed),
            Err(_) => JournalError::Closed,
        }
    }

    /// Waits until the line is closed, at most so long; tells since when the writer is busy,
    /// or `None` when the line is closed.
    pub(super) fn watch(&self, pause: Duration) -> Option<Duration> {
        let state = self.lock();
        let (state, _) = self
            .ended
            .wait_timeout_while(state, pause, |state| state.closed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match state.closed {
            Some(_) => None,
            None => Some(state.busy_since.map_or(Duration::ZERO, |since| since.elapsed())),
        }
    }

    /// Tells the writer of something new. Waking is a call to the system: only a sleeper is
    /// woken, and only when it would sleep too long.
    fn announce(&self, state: &mut State, patient: bool) {
        let first = state.waiting_since.is_none();
        if first {
            state.waiting_since = Some(Instant::now());
        }
        let pressing = !patient && !std::mem::replace(&mut state.urgent, true);
        if state.sleeping && (first || pressing) {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reply {
    /// A receiver that was dropped is not interested.
    fn send(self, answer: Result<Answer>) {
        let _unheard = match (self, answer) {
            (Self::Jobs(to), Ok(Answer::Jobs(jobs))) => to.send(Ok(jobs)).is_err(),
            (Self::Job(to), Ok(Answer::Job(job))) => to.send(Ok(*job)).is_err(),
            (Self::Count(to), Ok(Answer::Count(count))) => to.send(Ok(count)).is_err(),
            (Self::Done(to), Ok(Answer::Done)) => to.send(Ok(())).is_err(),
            (Self::Jobs(to), Err(error)) => to.send(Err(error)).is_err(),
            (Self::Job(to), Err(error)) => to.send(Err(error)).is_err(),
            (Self::Count(to), Err(error)) => to.send(Err(error)).is_err(),
            (Self::Done(to), Err(error)) => to.send(Err(error)).is_err(),
            // Dropped: whoever waits learns that there is no answer.
            (_, Ok(_)) => true,
        };
    }
}
