//! A host made of memory: what the control API promises, without transfers.
#![allow(dead_code)] // Each test that uses it needs a part of it.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use ferryway_core::{Direction, Epoch, Event, JobId, PartnerName, RunNumber, Status, apply};
use ferryway_host::{
    control::{
        Operations,
        api::{
            Command, Health, JobView, PartnerProbed, ProbeRequest, Probed, Progress, Reason,
            Refusal, Service, ServiceOrder, ServiceState, SubmitRequest,
        },
    },
    journal::record::{Entry, HistoryQuery, Job, JobSpec},
    partner::habits::{Findings, Folders, Idle, Locking, OpenFile, Restart},
};
use jiff::Timestamp;
use tokio::sync::{RwLock, RwLockWriteGuard, watch};

/// The host. It knows every definition but `NOPE`, and every job starts as accepted and stays
/// so until the test moves it.
pub struct FakeOperations {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    gate: RwLock<()>,
}

#[derive(Default)]
struct State {
    jobs: Vec<JobView>,
    entries: Vec<(JobId, Entry)>,
    refusal: Option<Refusal>,
    calls: usize,
    services: Vec<Service>,
}

impl FakeOperations {
    /// A host without jobs.
    pub fn new() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0), gate: RwLock::new(()) }
    }

    /// As long as this is kept, no submission gets further than to be asked for.
    pub async fn close_gate(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// From now on every call that can refuse does, with this.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        self.lock().refusal = refusal;
    }

    /// Moves a job along these events and then changes it at will.
    pub fn advance(&self, id: &JobId, events: &[Event], change: impl FnOnce(&mut JobView)) {
        {
            let mut state = self.lock();
            let at = state.jobs.iter().position(|view| view.job.id == *id).expect("a known job");
            for &event in events {
                let view = &mut state.jobs[at];
                view.job.status = apply(view.job.status, event).expect("a legal event");
                let entry = entry(&view.job, Some(event), None);
                state.entries.push((id.clone(), entry));
            }
            change(&mut state.jobs[at]);
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// Completes a job from the status `accepted`.
    pub fn complete(&self, id: &JobId) {
        use Event::{Begin, Complete, Connect, Prepare, Published, Verify};
        let events = [Prepare, Connect, Begin, Verify, Event::Publish, Published, Complete];
        self.advance(id, &events, |view| {
            view.job.state.attempts = 1;
            view.job.state.published = 1;
            view.job.state.size = Some(2_048);
            view.job.state.moved_bytes = 2_048;
            view.progress = None;
        });
    }

    /// Begins a job's first attempt, with this much across.
    pub fn transfer(&self, id: &JobId, done: u64, total: u64) {
        self.advance(id, &[Event::Prepare, Event::Connect, Event::Begin], |view| {
            view.job.state.attempts = 1;
            view.progress = Some(Progress { done, total, resumed_at: 0 });
        });
    }

    /// How often the host was asked.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// The job that was accepted last.
    pub fn newest(&self) -> JobId {
        self.lock().jobs.last().expect("a job").job.id.clone()
    }

    /// Waits until the host was asked this often, or fails after ten seconds.
    pub async fn called(&self, times: usize) {
        let mut changes = self.changed.subscribe();
        let enough = changes.wait_for(|_| self.lock().calls >= times);
        drop(tokio::time::timeout(Duration::from_secs(10), enough).await.expect("calls in time"));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked")
    }

    fn enter(&self) -> Result<MutexGuard<'_, State>, Refusal> {
        self.lock().calls += 1;
        self.changed.send_modify(|count| *count += 1);
        let state = self.lock();
        match &state.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(state),
        }
    }
}

#[async_trait]
impl Operations for FakeOperations {
    async fn submit(&self, requests: Vec<SubmitRequest>) -> Result<Vec<Job>, Refusal> {
        drop(self.enter()?);
        let _open = self.gate.read().await;
        let mut state = self.lock();
        if requests.iter().any(|request| request.definition.as_str() == "NOPE") {
            return Err(Refusal::new(Reason::NotFound, "there is no definition `NOPE`"));
        }
        let accept = |request| accept(&mut state, request);
        Ok(requests.into_iter().map(accept).collect())
    }

    async fn command(&self, id: &JobId, command: Command) -> Result<Job, Refusal> {
        let mut state = self.enter()?;
        let view = state.jobs.iter_mut().find(|view| view.job.id == *id);
        let job = &mut view.ok_or_else(|| unknown(id))?.job;
        let event = match command {
            Command::Hold => Event::Suspend,
            Command::Release => Event::Release,
            Command::Restart { force: false } => Event::Restart,
            Command::Restart { force: true } => Event::ForceRestart,
            Command::Cancel => Event::Cancel,
        };
        let conflict = |error| Refusal::new(Reason::Conflict, format!("job {id}: {error}"));
        job.status = apply(job.status, event).map_err(conflict)?;
        job.state.held = command == Command::Hold;
        job.version += 1;
        let job = job.clone();
        let entry = entry(&job, Some(event), Some("ordered by an operator"));
        state.entries.push((id.clone(), entry));
        Ok(job)
    }

    async fn jobs(&self) -> Result<Vec<JobView>, Refusal> {
        let state = self.enter()?;
        Ok(state.jobs.iter().filter(|view| view.job.status.in_flight()).cloned().collect())
    }

    async fn job(&self, id: &JobId) -> Result<JobView, Refusal> {
        let state = self.enter()?;
        state.jobs.iter().find(|view| view.job.id == *id).cloned().ok_or_else(|| unknown(id))
    }

    async fn entries(&self, id: &JobId) -> Result<Vec<Entry>, Refusal> {
        let state = self.enter()?;
        let entries = state.entries.iter().filter(|(job, _)| job == id);
        let entries: Vec<Entry> = entries.map(|(_, entry)| entry.clone()).collect();
        if entries.is_empty() { Err(unknown(id)) } else { Ok(entries) }
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Job>, Refusal> {
        let state = self.enter()?;
        let fits = |job: &Job| {
            !job.status.in_flight()
                && query.definition.as_ref().is_none_or(|id| *id == job.spec.definition)
                && query.since.is_none_or(|since| job.updated_at >= since)
                && query.until.is_none_or(|until| job.updated_at < until)
                && query.before_sequence.is_none_or(|before| job.sequence < before)
        };
        let newest = state.jobs.iter().rev().map(|view| &view.job);
        Ok(newest.filter(|job| fits(job)).take(query.limit).cloned().collect())
    }

    async fn wait(&self, jobs: Vec<JobId>, limit: Duration) -> Result<Vec<Job>, Refusal> {
        drop(self.enter()?);
        let mut changes = self.changed.subscribe();
        let find = |id: &JobId| {
            let state = self.lock();
            let view = state.jobs.iter().find(|view| view.job.id == *id);
            view.map(|view| view.job.clone()).ok_or_else(|| unknown(id))
        };
        let look = || jobs.iter().map(find).collect::<Result<Vec<Job>, Refusal>>();
        look()?;
        let moving = |job: &Job| job.status.in_flight() && job.status != Status::Suspended;
        let ended = changes.wait_for(|_| look().is_ok_and(|jobs| !jobs.iter().any(moving)));
        drop(tokio::time::timeout(limit, ended).await);
        look()
    }

    async fn health(&self) -> Health {
        let state = self.lock();
        Health {
            instance: "night".parse().expect("a valid name"),
            epoch: Epoch::FIRST,
            node: "node1".to_owned(),
            pid: std::process::id(),
            started_at: start(),
            recovered: true,
            moving: state.jobs.iter().filter(|view| view.progress.is_some()).count(),
            in_flight: state.jobs.iter().filter(|view| view.job.status.in_flight()).count(),
            services: state.services.clone(),
        }
    }

    async fn probe(&self) -> Result<Probed, Refusal> {
        drop(self.enter()?);
        let _open = self.gate.read().await;
        Ok(Probed { took_us: 2_500 })
    }

    async fn probe_partner(
        &self,
        partner: &PartnerName,
        request: ProbeRequest,
    ) -> Result<PartnerProbed, Refusal> {
        drop(self.enter()?);
        let findings = Findings {
            partner: partner.clone(),
            folder: request.folder,
            locking: Locking::Waits,
            open_file: OpenFile::Follows,
            folders: Folders::Always,
            replaces: Some(true),
            restart: Restart::Truncates,
            checksums: Vec::new(),
            lists_hidden: true,
            fences: false,
            idle: request.silent_s.map(|silent_s| Idle { silent_s, alive: false }),
            left: Vec::new(),
        };
        Ok(PartnerProbed { advice: findings.advice(), findings })
    }

    async fn service(
        &self,
        service: Service,
        order: ServiceOrder,
    ) -> Result<ServiceState, Refusal> {
        let mut state = self.enter()?;
        let running = order == ServiceOrder::Start;
        let changed = state.services.contains(&service) != running;
        state.services.retain(|other| *other != service);
        if running {
            state.services.push(service);
        }
        Ok(ServiceState { service, running, changed })
    }

    async fn reload(&self) -> Result<String, Refusal> {
        drop(self.enter()?);
        Ok("2 definitions are in force".to_owned())
    }
}

/// When everything here happened: 2000-03-01 10:06:18 UTC.
pub fn start() -> Timestamp {
    Timestamp::from_second(951_905_178).expect("a time in range")
}

fn accept(state: &mut State, request: SubmitRequest) -> Job {
    let known = |view: &&JobView| request.key.is_some() && view.job.spec.key == request.key;
    if let Some(view) = state.jobs.iter().find(known) {
        return view.job.clone();
    }
    let of_definition = |view: &&JobView| view.job.spec.definition == request.definition;
    let run = RunNumber(1 + state.jobs.iter().filter(of_definition).count() as u64);
    let local = request.local.as_deref().map(|local| local.to_str().expect("UTF-8"));
    let local = local.unwrap_or("/data/out.csv").to_owned();
    let remote = request.remote.unwrap_or_else(|| "in/out.csv".to_owned());
    let spec = JobSpec {
        key: request.key,
        ..JobSpec::plain(
            request.definition,
            "bank".parse().expect("a valid name"),
            Direction::Send,
            (&local, &remote),
        )
    };
    let sequence = 1 + state.jobs.len() as u64;
    let job = Job::accepted(spec, run, sequence, (Epoch::FIRST, start()));
    state.entries.push((job.id.clone(), entry(&job, None, Some("accepted"))));
    let view = JobView { job: job.clone(), progress: None, waits_for: None, at_rest: false };
    state.jobs.push(view);
    job
}

fn entry(job: &Job, event: Option<Event>, note: Option<&str>) -> Entry {
    let note = note.map(str::to_owned);
    Entry { at: start(), epoch: job.epoch, event, status: job.status, note }
}

fn unknown(id: &JobId) -> Refusal {
    Refusal::new(Reason::NotFound, format!("there is no job `{id}`"))
}
