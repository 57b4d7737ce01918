//! The desk: what the control API asks of the host, on the caller's own task where it can.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use ferryway_core::{JobId, PartnerName, RemotePath, Status};
use tokio::sync::{mpsc, oneshot};

use super::{Shared, desk::Ordered, orders::Order};
use crate::{
    config::{Config, Template, Told},
    control::{
        Operations,
        api::{
            Command, Health, JobView, PartnerProbed, ProbeRequest, Probed, Reason, Refusal,
            Service, ServiceOrder, ServiceState, SubmitRequest,
        },
    },
    journal::{
        JournalError,
        record::{Entry, HistoryQuery, Job, JobSpec, Origin},
    },
    service::ServiceError,
    services::{Services, StartWith},
    supervisor,
};

/// Takes orders for the scheduler.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    services: Arc<Services>,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, orders: mpsc::Sender<Order>) -> Self {
        Self { shared, orders, services: Arc::default() }
    }

    /// Starts the services of a host that begins.
    ///
    /// # Errors
    /// As [`Services::open`].
    pub async fn open(&self, with: StartWith) -> Result<(), ServiceError> {
        self.services.open(with, &self.shared, self).await
    }

    /// Closes the door, at the end of the host.
    pub async fn close(&self) {
        self.services.close().await;
    }

    /// Parks all jobs and ends the scheduler; returns when that is done, or it has ended.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop { done }).await.is_ok() {
            // A scheduler that ended otherwise drops the sender, which is an end as well.
            let _ended = stopped.await;
        }
    }

    /// Waits no longer for a system of this name that says it is back: its jobs go on now.
    ///
    /// # Errors
    /// The host is stopping.
    pub async fn returned(&self, system: PartnerName) -> Result<(), Refusal> {
        self.ask(|done| Order::Returned { system, done }).await
    }

    /// Lets jobs move; or stops those that do and starts no more, and returns when none moves.
    ///
    /// # Errors
    /// The host is stopping.
    pub async fn let_move(&self, on: bool) -> Result<(), Refusal> {
        self.ask(|done| Order::Move { on, done }).await
    }

    /// Has the partners told that this host can be reached. Returns at once; they are told in
    /// the background.
    pub async fn greet(&self) {
        // A scheduler that is gone has nobody to greet.
        let _ended = self.orders.send(Order::Greet).await;
    }

    /// Whether the host does its work: the scheduler answers, and the journal sees that the
    /// instance is still ours.
    ///
    /// # Errors
    /// Which of them does not, and why.
    pub async fn pulse(&self) -> Result<(), Refusal> {
        self.ask(|reply| Order::Count { reply }).await?;
        self.shared.journal.check_ownership().await.map_err(|error| refuse(&error))
    }

    async fn accept(&self, specs: Vec<JobSpec>) -> Result<Vec<Job>, Refusal> {
        let jobs = self.shared.journal.accept(specs).await.map_err(|error| refuse(&error))?;
        self.shared.notices.accepted(&jobs);
        let fresh = jobs.iter().filter(|job| job.status == Status::Accepted).cloned().collect();
        // A scheduler that is gone leaves the jobs to its successor: they are on record.
        let _ended = self.orders.send(Order::Add(fresh)).await;
        Ok(jobs)
    }

    /// What a request asks for.
    fn spec(&self, config: &Config, request: &SubmitRequest) -> Result<JobSpec, Refusal> {
        let spec = spec(config, request)?;
        Ok(JobSpec { told: self.told(config, &spec.partner), ..spec })
    }

    /// Who is told of the jobs with a partner.
    fn told(&self, config: &Config, partner: &PartnerName) -> Option<PartnerName> {
        let partner = config.partners.get(partner)?;
        match &partner.notices {
            Some(Told::Nobody) => None,
            Some(Told::Partner(told)) => Some(told.clone()),
            None => {
                let transport = self.shared.plugins.transport(&partner.transport.name)?;
                transport.capabilities().notices.then(|| partner.name.clone())
            }
        }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let stopping = |_| Refusal::new(Reason::Unavailable, "the host is stopping");
        self.orders.send(order(reply)).await.map_err(|_| stopping(()))?;
        answer.await.map_err(|_| stopping(()))
    }
}

#[async_trait]
impl Operations for Desk {
    async fn submit(&self, requests: Vec<SubmitRequest>) -> Result<Vec<Job>, Refusal> {
        let config = self.shared.config();
        let specs =
            requests.iter().map(|request| self.spec(&config, request)).collect::<Result<_, _>>()?;
        // A task of its own: a caller that goes away between the two steps must not leave a
        // job on record that nobody moves.
        let desk = self.clone();
        let accepted = tokio::spawn(async move { desk.accept(specs).await }).await;
        accepted.unwrap_or_else(|error| Err(Refusal::new(Reason::Unavailable, error.to_string())))
    }

    async fn command(&self, job: &JobId, command: Command) -> Result<Job, Refusal> {
        if let Some(done) = self.shared.receiving.command(job, command).await {
            return done;
        }
        let job = job.clone();
        self.ask(|reply| Order::Command(Ordered { job, command, reply })).await?
    }

    async fn jobs(&self) -> Result<Vec<JobView>, Refusal> {
        let mut views = self.ask(|reply| Order::View { reply }).await?;
        views.extend(self.shared.receiving.views());
        views.sort_unstable_by_key(|view| view.job.sequence);
        Ok(views)
    }

    async fn job(&self, id: &JobId) -> Result<JobView, Refusal> {
        if let Some(view) = self.shared.receiving.view(id) {
            return Ok(view);
        }
        let asked = id.clone();
        if let Some(view) = self.ask(|reply| Order::ViewOne { id: asked, reply }).await? {
            return Ok(view);
        }
        match self.shared.journal.job(id).await.map_err(|error| refuse(&error))? {
            Some(job) => Ok(JobView { job, progress: None, waits_for: None, at_rest: true }),
            None => Err(unknown(id)),
        }
    }

    async fn entries(&self, id: &JobId) -> Result<Vec<Entry>, Refusal> {
        self.shared.journal.entries(id).await.map_err(|error| refuse(&error))
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Job>, Refusal> {
        self.shared.journal.history(query).await.map_err(|error| refuse(&error))
    }

    async fn wait(&self, jobs: Vec<JobId>, limit: Duration) -> Result<Vec<Job>, Refusal> {
        let (done, ended) = oneshot::channel();
        let order = Order::Wait { jobs: jobs.clone(), done };
        if self.orders.send(order).await.is_ok() {
            let all = async { tokio::join!(ended, self.shared.receiving.wait(&jobs)) };
            // The time being over is no error: the answer shows how the jobs are then.
            let _in_time = tokio::time::timeout(limit, all).await;
        }
        let found = self.shared.journal.jobs(&jobs).await.map_err(|error| refuse(&error))?;
        jobs.iter().zip(found).map(|(id, job)| job.ok_or_else(|| unknown(id))).collect()
    }

    async fn health(&self) -> Health {
        let (moving, in_flight) =
            self.ask(|reply| Order::Count { reply }).await.unwrap_or_default();
        Health {
            instance: self.shared.config().instance.clone(),
            epoch: self.shared.journal.epoch(),
            node: self.shared.node.clone(),
            pid: std::process::id(),
            started_at: self.shared.started_at,
            recovered: true,
            moving,
            in_flight: in_flight + self.shared.receiving.count(),
            services: self.services.running(),
        }
    }

    async fn probe(&self) -> Result<Probed, Refusal> {
        let began = Instant::now();
        self.shared.journal.probe().await.map_err(|error| refuse(&error))?;
        Ok(Probed { took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX) })
    }

    async fn probe_partner(
        &self,
        partner: &PartnerName,
        request: ProbeRequest,
    ) -> Result<PartnerProbed, Refusal> {
        let name = partner.clone();
        let Some(open) = self.ask(|reply| Order::Partner { name, reply }).await? else {
            let message = format!(
                "there is no partner {partner}, or it cannot be used; `ferryway check` lists the \
                 faults"
            );
            return Err(Refusal::new(Reason::NotFound, message));
        };
        let conflict = |message| Refusal::new(Reason::Conflict, message);
        let Ok(_alone) = open.probing.try_lock() else {
            return Err(conflict(format!("partner {partner} is being probed already")));
        };
        let silent = request.silent_s.map(Duration::from_secs);
        let findings = open.probe(request.folder.as_ref(), silent).await;
        let findings = findings.map_err(|failure| {
            conflict(format!("partner {partner} cannot be probed: {}", failure.chain()))
        })?;
        Ok(PartnerProbed { advice: findings.advice(), findings })
    }

    async fn service(
        &self,
        service: Service,
        order: ServiceOrder,
    ) -> Result<ServiceState, Refusal> {
        self.services.carry_out(service, order, &self.shared, self).await
    }

    async fn reload(&self) -> Result<String, Refusal> {
        let _told = supervisor::Reload::begin();
        let install = self.shared.config().install.path().to_owned();
        let loaded = tokio::task::spawn_blocking(move || Config::load(&install)).await;
        let loaded =
            loaded.map_err(|error| Refusal::new(Reason::Unavailable, error.to_string()))?;
        let config = loaded.map_err(|faults| {
            self.shared.notices.reload_refused(&faults);
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            let message = format!("the old configuration stays in force:\n{}", faults.join("\n"));
            Refusal::new(Reason::Invalid, message)
        })?;
        let text = format!(
            "{} partners and {} definitions are in force",
            config.partners.len(),
            config.definitions.len()
        );
        self.shared.notices.reloaded(&config);
        {
            let mut current =
                self.shared.config.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            *current = Arc::new(config);
        }
        let waiting = self.ask(|waiting| Order::Reloaded { waiting }).await?;
        self.services.review().await;
        if waiting.is_empty() {
            return Ok(text);
        }
        let keys = waiting.join(", ");
        self.shared.notices.counts_later(&keys);
        Ok(format!("{text}; counts from the next start of the host: {keys}"))
    }
}

/// What a request asks for, by the definition as it stands.
fn spec(config: &Config, request: &SubmitRequest) -> Result<JobSpec, Refusal> {
    let invalid = |message: String| Refusal::new(Reason::Invalid, message);
    if let Some(key) = request.key.as_ref().filter(|key| key.starts_with(Origin::KEYS)) {
        return Err(invalid(format!(
            "keys that begin with `{}` are those of jobs that visitors announce: begin `{key}` \
             with something else",
            Origin::KEYS
        )));
    }
    let Some(definition) = config.definitions.get(&request.definition) else {
        let message = format!(
            "there is no definition {}; `ferryway check` lists those in force",
            request.definition
        );
        return Err(Refusal::new(Reason::NotFound, message));
    };
    let local = match (&request.local, &definition.local) {
        (Some(local), _) => {
            let file = config.roots.resolve(local, definition.direction);
            let file = file.map_err(|error| invalid(format!("{}: {error}", definition.id)))?;
            Template::literal(&file.path().display().to_string())
        }
        (None, Some(template)) => template.as_str().to_owned(),
        (None, None) => {
            return Err(invalid(format!(
                "definition {} names no local file: name one in the request",
                definition.id
            )));
        }
    };
    let remote = match &request.remote {
        Some(remote) => {
            let path = remote.parse::<RemotePath>();
            let path = path.map_err(|error| invalid(format!("{}: {error}", definition.id)))?;
            Template::literal(path.as_str())
        }
        None => definition.remote.as_str().to_owned(),
    };
    Ok(JobSpec {
        definition: definition.id.clone(),
        partner: definition.partner.clone(),
        direction: definition.direction,
        local,
        remote,
        priority: definition.priority,
        publish: definition.publish,
        resume: definition.resume,
        settle_delay_s: definition.settle_delay.as_secs(),
        key: request.key.clone(),
        told: None,
        origin: None,
        exits: definition.exits.clone(),
    })
}

fn unknown(id: &JobId) -> Refusal {
    Refusal::new(Reason::NotFound, format!("there is no job {id}"))
}

fn refuse(error: &JournalError) -> Refusal {
    match error {
        JournalError::Unknown(_) => Refusal::new(Reason::NotFound, error.to_string()),
        error if error.is_fatal() => super::desk::unavailable(error),
        error => Refusal::new(Reason::Conflict, error.to_string()),
    }
}
