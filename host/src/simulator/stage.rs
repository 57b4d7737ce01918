//! What a run plays on: a folder that goes away with its disks, partners and install directories.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{DefinitionId, Event, JobId, Publish, Status};
use ferryway_mocks::ftp_server::{Behaviour, FtpServer, FtpServerBuilder, Lock};
use tempfile::TempDir;

use super::{
    disks::Disks,
    rows::{Disk, LockMode},
    trace::Trace,
};
use crate::{
    control::api::SubmitRequest,
    journal::record::{HistoryQuery, Job},
    laboratory::{
        Deadline, Failure,
        hosts::{self, HostProcess, Place},
        install, relay,
    },
};

/// The instance's name, which is part of the names that the partner sees.
pub(super) const INSTANCE: &str = "sim";
/// The file's name on our side.
pub(super) const FILE: &str = "ledger.dat";
/// The file's name on the partner's side.
pub(super) const TARGET: &str = "in/ledger.dat";
/// The file's size in bytes: more than the buffers on the way hold.
pub(super) const SIZE: u64 = 1 << 20;
/// The time for any step of a run on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

const PARTNER: &str = "bank";
const DEFINITION: &str = "SIMUL1";
/// The folder of the sources, on whichever disk.
const DATA: &str = "data";

/// The folder of it all.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    pub(super) disks: Disks,
    pub(super) trace: Trace,
}

/// What an install directory says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) policy: Publish,
    /// The disk of the source.
    pub(super) source: Disk,
    /// The port of the partner; its address is each node's own.
    pub(super) port: u16,
    /// Retries before the job is suspended.
    pub(super) retries: u32,
}

impl Stage {
    /// Sets the folder up; the shared disk is the first node's.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(nodes: &[&'static str]) -> Result<Self, Failure> {
        let memory = Path::new("/dev/shm");
        // A disk in memory, where there is one: many runs would wait for the same real disk.
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new()
            .prefix("ferryway-sim-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(|error| Failure::io("make a folder in", &parent, error))?;
        let disks = Disks::new(folder.path(), nodes);
        let disks = disks.map_err(|error| Failure::io("make disks in", folder.path(), error))?;
        for node in nodes {
            make_folder(&folder.path().join("run").join(node))?;
        }
        Ok(Self { folder, disks, trace: Trace::new() })
    }

    /// Makes the folder that an FTP server serves, with the target's folder in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn make_server_root(&self, name: &str) -> Result<PathBuf, Failure> {
        let root = self.server_root(name);
        make_folder(&root.join("in"))?;
        Ok(root)
    }

    /// The folder that an FTP server serves.
    pub(super) fn server_root(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes an install directory on the shared disk of its owner.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn install(&self, owner: &str, settings: Settings) -> Result<(), Failure> {
        let place = self.install_dir(owner);
        make_folder(&place)?;
        let furnished = install::furnish(&place, &configuration(settings), &definition(settings));
        furnished.map_err(|error| Failure::io("furnish", &place, error))
    }

    /// Makes the source on a node's disk from a seed, and gives its path.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn make_source(
        &self,
        node: &str,
        disk: Disk,
        seed: u64,
    ) -> Result<PathBuf, Failure> {
        let folder = match disk {
            Disk::Shared => self.install_dir(node).join(DATA),
            Disk::Local => self.disks.local(node).join(DATA),
        };
        make_folder(&folder)?;
        let path = folder.join(FILE);
        install::make_file(&path, SIZE, seed)
            .map_err(|error| Failure::io("write", &path, error))?;
        Ok(path)
    }

    /// Starts a node's host, whose way to the partner begins at `address`, and waits until it
    /// owns the instance.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn start_host(
        &self,
        node: &'static str,
        address: Ipv4Addr,
    ) -> Result<HostProcess, Failure> {
        let mut host = HostProcess::start(Place {
            node,
            install: &self.install_dir(node),
            run_dir: &self.folder.path().join("run").join(node),
            log: &self.log(node),
            variables: &[("PARTNER_ADDRESS", &address.to_string())],
        })?;
        let health = host.ready(Deadline::after(LIMIT)).await?;
        self.trace.event(node, format!("its host owns the instance in epoch {}", health.epoch));
        Ok(host)
    }

    /// The end of what a node's host printed.
    pub(super) fn last_words(&self, node: &str) -> String {
        hosts::tail(&self.log(node))
    }

    fn install_dir(&self, owner: &str) -> PathBuf {
        self.disks.shared(owner).join("instance")
    }

    fn log(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("{node}.log"))
    }
}

/// Submits the job.
///
/// # Errors
/// When it is not acknowledged.
pub(super) async fn submit(host: &HostProcess) -> Result<JobId, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure(format!("no job was accepted: {error}"));
    let definition: DefinitionId = DEFINITION.parse().map_err(|error| refused(&error))?;
    let request = SubmitRequest { definition, local: None, remote: None, key: None };
    let jobs = host.client.submit(&[request]).await.map_err(|error| refused(&error))?;
    jobs.into_iter().next().map(|job| job.id).ok_or_else(|| refused(&"the answer is empty"))
}

/// Waits until the job has ended or is suspended.
///
/// # Errors
/// When it moves for too long, or the host does not answer.
pub(super) async fn rest(host: &HostProcess, job: &JobId) -> Result<Job, Failure> {
    let jobs = host.client.wait(std::slice::from_ref(job), LIMIT).await;
    let job = jobs
        .map_err(|error| Failure(format!("the host of {}: {error}", host.node)))?
        .into_iter()
        .next()
        .ok_or_else(|| Failure(format!("the host of {} does not know job {job}", host.node)))?;
    match job.status {
        Status::Idle(_) | Status::Suspended => Ok(job),
        moving => Err(Failure(format!("job {} is still {} after {LIMIT:?}", job.id, moving))),
    }
}

/// Takes the journal of the job, and every job on record.
///
/// # Errors
/// When the host does not answer.
pub(super) async fn record(
    stage: &Stage,
    host: &HostProcess,
    job: &JobId,
) -> Result<Vec<Job>, Failure> {
    let failed = |error| Failure(format!("the host of {} tells nothing: {error}", host.node));
    let entries = host.client.entries(job).await.map_err(failed)?;
    stage.trace.add_journal(job, &entries);
    let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
    let mut jobs = host.client.history(&query).await.map_err(failed)?;
    jobs.extend(host.client.jobs().await.map_err(failed)?.into_iter().map(|view| view.job));
    Ok(jobs)
}

/// Whether a try of the job failed, as its record has it.
///
/// # Errors
/// When the host does not answer.
pub(super) async fn met_an_error(host: &HostProcess, job: &JobId) -> Result<bool, Failure> {
    let entries = host.client.entries(job).await;
    let entries = entries.map_err(|error| Failure(error.to_string()))?;
    Ok(entries.iter().any(|entry| entry.event == Some(Event::Retry)))
}

/// A server on a folder. It offers no hashes, as most do not: the sizes alone must not
/// deceive us. What is under way to it is less than the rest of the file.
pub(super) fn server(root: &Path, lock: LockMode) -> FtpServerBuilder {
    let lock = match lock {
        LockMode::None => Lock::None,
        LockMode::Refuse => Lock::refuse(),
        LockMode::Block => Lock::BlockThenTruncate,
    };
    FtpServer::builder(root)
        .behaviour(Behaviour::proftpd().with_lock(lock))
        .receive_buffer_bytes(relay::BUFFER_BYTES)
}

fn configuration(settings: Settings) -> String {
    let Settings { source, port, retries, .. } = settings;
    let root = match source {
        Disk::Shared => DATA.to_owned(),
        // From the instance's folder on the shared disk to the node's own disk.
        Disk::Local => format!("../../local/{DATA}"),
    };
    format!(
        "[instance]\nname = \"{INSTANCE}\"\n\n[roots]\nsend = [\"{root}\"]\n\n\
         [partners.{PARTNER}]\ntransport = \"ftp\"\nhost = {{ env = \"PARTNER_ADDRESS\" }}\n\
         port = {port}\nuser = {{ env = \"HOSTNM\" }}\npassword = \"simulated\"\ntls = \"off\"\n\
         timeout_s = 1\nconnect_timeout_s = 2\nresume_min_bytes = 65536\n\n\
         [partners.{PARTNER}.retry]\nattempts = {retries}\nfirst_s = 1\nmax_s = 1\n"
    )
}

fn definition(settings: Settings) -> String {
    format!(
        "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"{PARTNER}\"\ndirection = \"send\"\n\
         local = \"{FILE}\"\nremote = \"{TARGET}\"\npublish = \"{}\"\n",
        settings.policy
    )
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::io("make", path, error))
}
