//! What the operator is told, and when: the one place where the host's events become messages
//! of the catalogue.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use ferryway_core::{
    Epoch, JobId, PartnerName,
    message::Message,
    reception::{Introduction, Rebuff, Visitor},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    causes::chain,
    config::{Config, Fault},
    control::api::{Command, Service},
    exits::When,
    journal::{
        JournalError, Takeover, Warning,
        record::{Fence, Job, Origin},
    },
    loader::Plugins,
    log::{OperatorLog, system_clock},
    partner::source_address::Standing,
    service::ServiceError,
};

/// How long the last lines of a host may take to reach the disk.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Tells the operator.
#[derive(Debug)]
pub struct Notices {
    log: OperatorLog,
    /// Partners of whose outage the operator has been told: one line for each outage, not one
    /// for each of its jobs.
    out: Mutex<BTreeSet<PartnerName>>,
}

/// The host.
impl Notices {
    /// Writes to the operator's log of the install directory.
    pub fn open(config: &Config) -> Self {
        let folder = config.install.logs();
        let log = OperatorLog::open(&folder, config.instance.clone(), config.log, system_clock());
        Self { log, out: Mutex::default() }
    }

    /// What loaded and what did not.
    pub fn plugins(&self, plugins: &Plugins) {
        for plugin in &plugins.loaded {
            let file = plugin.path.display().to_string();
            let transport = plugin.transport.name().to_owned();
            self.log.host(Message::PluginLoaded { file, transport });
        }
        for refused in &plugins.refused {
            let file = refused.path.display().to_string();
            let reason = refused.refusal.to_string();
            self.log.host(Message::PluginRefused { file, reason });
        }
    }

    /// What the configuration leaves to be wished for.
    pub fn config_warnings<'a>(&self, faults: impl IntoIterator<Item = &'a Fault>) {
        for fault in faults {
            self.log.host(Message::ConfigWarning { warning: fault.to_string() });
        }
    }

    /// The instance is ours.
    pub fn took_over(&self, takeover: &Takeover, host: &str, node: &str, elapsed: Duration) {
        let (host, node, epoch) = (host.to_owned(), node.to_owned(), takeover.epoch);
        self.log.host(Message::HostStarted { host, node: node.clone(), epoch });
        if let Some((previous, _)) = takeover.previous {
            self.log.host(Message::TakenOver { node, epoch, previous });
            let jobs = takeover.in_flight.len();
            let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.log.host(Message::JournalCopied { jobs, milliseconds });
        }
        for warning in &takeover.warnings {
            self.log.host(journal_warning(warning));
        }
    }

    /// The jobs of the last owner are taken up, and new ones can come.
    pub fn ready(&self, restarted: usize, settled: usize) {
        self.log.host(Message::HostReady { restarted, settled });
    }

    /// A stop has begun.
    pub fn stopping(&self, jobs: usize) {
        self.log.host(Message::HostStopping { jobs });
    }

    /// The stop took longer than allowed.
    pub fn stop_took_too_long(&self, jobs: usize, limit: Duration) {
        self.log.host(Message::StopTimedOut { jobs, seconds: limit.as_secs() });
    }

    /// The host ends as told.
    pub fn stopped(&self) {
        self.log.host(Message::HostStopped {});
        self.log.flush(LAST_LINES);
    }

    /// The host ends for another reason.
    pub fn ended(&self, error: &ServiceError) {
        let message = match error {
            ServiceError::Journal(JournalError::Fenced { current, owner, .. }) => {
                Message::Fenced { owner: owner.clone(), epoch: *current }
            }
            ServiceError::Journal(error) => Message::JournalFailed { reason: chain(error) },
            other => Message::SelfFenced { cause: chain(other) },
        };
        self.log.host(message);
        self.log.flush(LAST_LINES);
    }

    /// A changed configuration is in force.
    pub fn reloaded(&self, config: &Config) {
        self.log.configure(config.log);
        let (partners, definitions) = (config.partners.len(), config.definitions.len());
        self.log.host(Message::ConfigReloaded { partners, definitions });
    }

    /// Some changed keys are not taken up by a reload.
    pub fn counts_later(&self, keys: &str) {
        self.log.host(Message::ReloadCountsLater { keys: keys.to_owned() });
    }

    /// A changed configuration is not taken up.
    pub fn reload_refused(&self, faults: &[Fault]) {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        self.log.host(Message::ConfigRefused { faults: faults.len(), first });
    }

    /// It stands otherwise with the source address.
    pub fn source_address(&self, standing: &Standing) {
        let message = match standing.clone() {
            Standing::System => Message::SourceAddressOfSystem {},
            Standing::Ours(source) => {
                Message::SourceAddress { address: source.address, place: source.place() }
            }
            Standing::NotOurs(source) => {
                Message::SourceAddressAbsent { address: source.address, place: source.place() }
            }
            Standing::Unclear(fault) => Message::SourceAddressUnclear { fault: fault.to_string() },
        };
        self.log.host(message);
    }

    /// A service of the host runs.
    pub fn service_started(&self, service: Service) {
        self.log.host(Message::ServiceStarted { service: service.to_string() });
    }

    /// A service of the host runs no more.
    pub fn service_stopped(&self, service: Service) {
        self.log.host(Message::ServiceStopped { service: service.to_string() });
    }

    /// Finished jobs were forgotten.
    pub fn pruned(&self, jobs: u64, before: Timestamp) {
        let before = before.to_zoned(TimeZone::system()).strftime("%Y/%m/%d").to_string();
        self.log.host(Message::HistoryPruned { jobs, before });
    }
}

/// Partners.
impl Notices {
    /// A partner cannot be used.
    pub fn partner_unusable(&self, partner: &PartnerName, reason: &str) {
        let (partner, reason) = (partner.clone(), reason.to_owned());
        self.log.host(Message::PartnerUnusable { partner, reason });
    }

    /// A partner cannot be reached.
    pub fn partner_out(&self, partner: &PartnerName, reason: &str, delay: Duration) {
        if self.out().insert(partner.clone()) {
            let (partner, reason) = (partner.clone(), reason.to_owned());
            let seconds = delay.as_secs();
            self.log.host(Message::PartnerOut { partner, seconds, reason });
        }
    }

    /// A partner answers.
    pub fn partner_back(&self, partner: &PartnerName) {
        if self.out().remove(partner) {
            self.log.host(Message::PartnerBack { partner: partner.clone() });
        }
    }

    /// A former owner's folder is out of its reach.
    pub fn staging_revoked(&self, partner: &PartnerName, epoch: Epoch) {
        self.log.host(Message::StagingRevoked { partner: partner.clone(), epoch });
    }

    /// A former owner's folder is still in its reach.
    pub fn staging_not_revoked(&self, partner: &PartnerName, folder: String, reason: String) {
        self.log.host(Message::StagingNotRevoked { partner: partner.clone(), folder, reason });
    }

    /// A partner showed a habit that decides how jobs are resumed.
    pub fn learned(&self, partner: &PartnerName, behaviour: &str) {
        let (partner, behaviour) = (partner.clone(), behaviour.to_owned());
        self.log.host(Message::ServerBehaviour { partner, behaviour });
    }

    /// A leftover is gone.
    pub fn leftover_removed(&self, partner: &PartnerName, path: String) {
        self.log.host(Message::LeftoverRemoved { partner: partner.clone(), path });
    }

    /// A leftover stays for now.
    pub fn leftover_kept(&self, partner: &PartnerName, path: String, reason: String) {
        self.log.host(Message::LeftoverKept { partner: partner.clone(), path, reason });
    }

    fn out(&self) -> std::sync::MutexGuard<'_, BTreeSet<PartnerName>> {
        self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Hosts that come.
impl Notices {
    /// The door is open.
    pub fn door_open(&self, transport: &str, address: SocketAddr) {
        let (transport, address) = (transport.to_owned(), address.to_string());
        self.log.host(Message::DoorOpen { transport, address });
    }

    /// A visitor has a new ownership.
    pub fn visitor_entered(&self, fence: &Fence, address: IpAddr) {
        let Fence { visitor, instance, epoch } = fence.clone();
        let address = address.to_string();
        self.log.host(Message::VisitorEntered { visitor, instance, epoch, address });
    }

    /// A system is back, and so many jobs that waited for it go on.
    pub fn returned(&self, system: &PartnerName, jobs: usize) {
        self.log.host(Message::PartnerReturned { partner: system.clone(), jobs });
    }

    /// Somebody did not get as far as to say who it is.
    pub fn turned_away(&self, rebuff: &Rebuff) {
        let (address, cause) = (rebuff.address.to_string(), rebuff.cause.to_string());
        let detail = rebuff.detail.clone();
        self.log.host(Message::VisitorTurnedAway { address, cause, detail });
    }

    /// Somebody is not expected.
    pub fn visitor_unknown(&self, visitor: &Visitor) {
        let Introduction { host, instance, .. } = visitor.introduction.clone();
        let address = visitor.address.to_string();
        self.log.host(Message::VisitorUnknown { host, instance, address });
    }

    /// A visitor asked for what it may not have.
    pub fn visitor_overreached(&self, visitor: &PartnerName, reason: &str) {
        let (visitor, reason) = (visitor.clone(), reason.to_owned());
        self.log.host(Message::VisitorOverreached { visitor, reason });
    }

    /// A former owner came.
    pub fn visitor_outdated(&self, fence: &Fence, newest: Epoch) {
        let Fence { visitor, instance, epoch } = fence.clone();
        self.log.host(Message::VisitorOutdated { visitor, instance, epoch, newest });
    }
}

/// Jobs.
impl Notices {
    /// Requests are on record.
    pub fn accepted(&self, jobs: &[Job]) {
        for job in jobs {
            let partner = job.spec.partner.clone();
            self.tell(job, |job| Message::JobAccepted { job, partner });
        }
    }

    /// A try begins on the wire.
    pub fn attempt(&self, job: &Job, attempt: u32) {
        self.tell(job, |job| Message::JobStarted { job, attempt });
    }

    /// A try goes on where an earlier one stopped.
    pub fn resumed(&self, job: &Job, offset: u64, size: u64) {
        self.tell(job, |job| Message::ResumedFrom { job, offset, size });
    }

    /// A former owner's partial is ours now.
    pub fn adopted(&self, job: &Job, partial: String, bytes: u64) {
        self.tell(job, |job| Message::PartialAdopted { job, partial, bytes });
    }

    /// What an earlier try left is not used.
    pub fn fresh_start(&self, job: &Job, reason: &str) {
        let reason = reason.to_owned();
        self.tell(job, |job| Message::FreshStart { job, reason });
    }

    /// The job is done.
    pub fn completed(&self, job: &Job) {
        let bytes = job.state.size.unwrap_or_default();
        self.tell(job, |job| Message::JobCompleted { job, bytes });
    }

    /// An earlier intent had come to its end.
    pub fn found_published(&self, job: &Job, target: String) {
        self.tell(job, |job| Message::FoundPublished { job, target });
    }

    /// An earlier intent is brought to its end.
    pub fn published_at_settle(&self, job: &Job, target: String) {
        self.tell(job, |job| Message::PublishedAtSettle { job, target });
    }

    /// What became of an earlier intent cannot be found out.
    pub fn outcome_unknown(&self, job: &Job, target: String) {
        self.tell(job, |job| Message::OutcomeUnknown { job, target });
    }

    /// A publish had not lasted when it was looked at again.
    pub fn publish_lost(&self, job: &Job, target: String) {
        self.tell(job, |job| Message::PublishLost { job, target });
    }

    /// The job ended without delivering.
    pub fn failed(&self, job: &Job, reason: &str) {
        let reason = reason.to_owned();
        self.tell(job, |job| Message::JobFailed { job, reason });
    }

    /// A try failed and another follows.
    pub fn retry(&self, job: &Job, due: Timestamp, reason: &str) {
        let (attempt, reason) = (job.state.attempts, reason.to_owned());
        self.tell(job, |job| Message::AttemptFailed { job, attempt, reason });
        let time = due.to_zoned(TimeZone::system()).strftime("%Y/%m/%d %H:%M:%S").to_string();
        self.tell(job, |job| Message::RetryAt { job, time, attempt: attempt + 1 });
    }

    /// The job waits for an operator.
    pub fn suspended(&self, job: &Job, reason: &str) {
        let reason = reason.to_owned();
        self.tell(job, |job| Message::JobSuspended { job, reason });
    }

    /// The partner of a delivered job is not configured any more.
    pub fn partner_is_gone(&self, job: &Job) {
        let (partner, path) = (job.spec.partner.clone(), job.remote());
        self.tell(job, |job| Message::PartnerIsGone { job, partner, path });
    }

    /// An operator's order was carried out.
    pub fn ordered(&self, job: &Job, command: Command) {
        self.tell(job, |job| match command {
            Command::Hold => Message::JobHeld { job },
            Command::Release => Message::JobReleased { job },
            Command::Restart { force: false } => Message::JobRestarted { job },
            Command::Restart { force: true } => Message::JobForced { job },
            Command::Cancel => Message::JobCancelled { job },
        });
    }

    /// A job of the last owner is taken up.
    pub fn taken_up(&self, job: &Job) {
        let status = job.status.to_string();
        self.tell(job, |job| Message::Recovering { job, status });
    }

    /// A job's post-exit may have run: nobody but an operator can decide.
    pub fn cannot_recover(&self, job: &Job) {
        self.tell(job, |job| Message::CannotRecover { job });
    }

    /// A program of the user's starts.
    pub fn exit_started(&self, job: &Job, when: When) {
        let (exit, run) = (when.to_string(), when.state(&job.state).starts);
        self.tell(job, |job| Message::ExitStarted { job, exit, run });
    }

    /// A program of the user's has ended, and all is well.
    pub fn exit_ended(&self, job: &Job, when: When, how: &str) {
        let (exit, how) = (when.to_string(), how.to_owned());
        self.tell(job, |job| Message::ExitEnded { job, exit, how });
    }

    /// A program of the user's has failed.
    pub fn exit_failed(&self, job: &Job, when: When, how: &str) {
        let (exit, how) = (when.to_string(), how.to_owned());
        self.tell(job, |job| Message::ExitFailed { job, exit, how });
    }

    /// A program of the user's was ended by force.
    pub fn exit_timed_out(&self, job: &Job, when: When, limit: Duration) {
        let (exit, seconds) = (when.to_string(), limit.as_secs());
        self.tell(job, |job| Message::ExitTimedOut { job, exit, seconds });
    }

    /// A job still waits at its post-exit, which has failed.
    pub fn exit_waits(&self, job: &Job) {
        let end = job.state.post_exit.end.as_ref();
        self.exit_failed(job, When::Post, end.map_or("", |end| end.how.as_str()));
    }

    /// A program of the user's that may not have run is taken for done.
    pub fn exit_skipped(&self, job: &Job) {
        self.tell(job, |job| Message::ExitSkipped { job });
    }

    fn tell(&self, job: &Job, message: impl FnOnce(JobId) -> Message) {
        self.log.job(&job.spec.definition, message(job.id.clone()));
    }
}

/// Jobs with another side.
impl Notices {
    /// A visitor has a job for us.
    pub fn announced(&self, job: &Job, origin: &Origin) {
        let (visitor, peer) = (origin.visitor.clone(), origin.of.job.clone());
        self.tell(job, |job| Message::JobAnnounced { job, visitor, peer });
    }

    /// What a visitor says it has delivered is not here.
    pub fn not_as_delivered(&self, job: &Job, reason: &str) {
        let reason = reason.to_owned();
        self.tell(job, |job| Message::NotAsDelivered { job, reason });
    }

    /// A visitor's job ends without delivering.
    pub fn withdrawn(&self, job: &Job, reason: &str) {
        let reason = reason.to_owned();
        self.tell(job, |job| Message::JobWithdrawn { job, reason });
    }

    /// The partner's own job still has something to do.
    pub fn partner_job_open(&self, job: &Job, partner: &PartnerName, peer: JobId, open: &str) {
        let (partner, open) = (partner.clone(), open.to_owned());
        self.tell(job, |job| Message::PartnerJobOpen { job, partner, peer, open });
    }

    /// The partner's host does not take the job, or its word, now.
    pub fn partner_delays(&self, job: &Job, partner: &PartnerName, reason: &str) {
        let (partner, path, reason) = (partner.clone(), job.remote(), reason.to_owned());
        self.tell(job, |job| Message::PartnerDelays { job, partner, path, reason });
    }

    /// Whoever is to be told of a delivered job is not configured any more.
    pub fn told_is_gone(&self, job: &Job, partner: &PartnerName) {
        let (partner, path) = (partner.clone(), job.remote());
        self.tell(job, |job| Message::ToldIsGone { job, partner, path });
    }

    /// The partner does not have what was delivered to it.
    pub fn sent_anew(&self, job: &Job, partner: &PartnerName, reason: &str) {
        let (partner, reason) = (partner.clone(), reason.to_owned());
        self.tell(job, |job| Message::SentAnew { job, partner, reason });
    }

    /// The partner may still wait for a job that has ended.
    pub fn withdrawal_untold(&self, job: &Job, partner: &PartnerName, reason: &str) {
        let (partner, reason) = (partner.clone(), reason.to_owned());
        self.tell(job, |job| Message::WithdrawalUntold { job, partner, reason });
    }
}

fn journal_warning(warning: &Warning) -> Message {
    match warning {
        Warning::LockHeld { holder } => {
            let node = holder.as_ref().map_or("unknown", |(node, _)| node).to_owned();
            Message::LockHeld { node }
        }
        Warning::NoMountProtection { device } => {
            Message::NoMultiMountProtection { path: device.clone() }
        }
        other => Message::JournalWarning { warning: other.to_string() },
    }
}
