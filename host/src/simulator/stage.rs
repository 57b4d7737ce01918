//! What a run plays on: a folder that goes away, with disks, install directories and hosts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{DefinitionId, Event, JobId, Status};
use ferryway_mocks::{
    oracle::Exit,
    program::{At, Program},
};
use tempfile::TempDir;

use super::{
    disks::Disks,
    exits::Side,
    held::Held,
    rows::Disk,
    settings::{DATA, DEFINITION, FILE, RECEIVED, Receiving, SENDER, Sending},
    trace::Trace,
};
use crate::{
    control::api::SubmitRequest,
    exits::When,
    journal::record::{HistoryQuery, Job},
    judged,
    laboratory::{
        Deadline, Failure,
        hosts::{self, HostProcess, Place},
        install,
    },
};

/// The file's size in bytes: more than the buffers on the way hold.
pub(super) const SIZE: u64 = 1 << 20;
/// The time for any step of a run on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// The folder of it all.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    pub(super) disks: Disks,
    pub(super) trace: Trace,
    /// The post-exits of sender and receiver, which lie outside of all nodes.
    programs: [Program; 2],
}

impl Stage {
    /// Sets the folder up for these clusters; the shared disk of each is its first node's.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(clusters: &[&[&'static str]]) -> Result<Self, Failure> {
        let memory = Path::new("/dev/shm");
        // A disk in memory, where there is one: many runs would wait for the same real disk.
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new()
            .prefix("ferryway-sim-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(|error| Failure::io("make a folder in", &parent, error))?;
        let disks = Disks::new(folder.path(), clusters);
        let disks = disks.map_err(|error| Failure::io("make disks in", folder.path(), error))?;
        for node in clusters.iter().copied().flatten() {
            make_folder(&folder.path().join("run").join(node))?;
        }
        let program = |side: Side| {
            let place = folder.path().join("exits").join(side.as_str());
            make_folder(&place)?;
            Program::new(&place).map_err(|error| Failure::io("write a program in", &place, error))
        };
        let programs = [program(Side::Sender)?, program(Side::Receiver)?];
        Ok(Self { folder, disks, trace: Trace::new(), programs })
    }

    /// Has the next run of a side's post-exit held when it has done its work.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn hold_exit(&self, side: Side) -> Result<Held, Failure> {
        let program = self.program(side);
        let held = program.hold(At::After, 1);
        held.map_err(|error| Failure(format!("the {side}'s post-exit is not held: {error}")))?;
        Ok(Held::Exit(program.clone()))
    }

    fn program(&self, side: Side) -> &Program {
        &self.programs[side as usize]
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

    /// Makes the install directory of a cluster that sends, on the shared disk of its owner.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn install_sender(&self, owner: &str, settings: Sending) -> Result<(), Failure> {
        let definition = settings.definition(self.program(Side::Sender));
        self.install(owner, &settings.configuration(), &definition)
    }

    /// Makes the install directory of a cluster that receives, on the shared disk of its owner.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn install_receiver(&self, owner: &str, settings: Receiving) -> Result<(), Failure> {
        let configuration = settings.configuration(&self.received(owner, settings.files));
        let reception = settings.reception(self.program(Side::Receiver));
        self.install(owner, &configuration, &reception)
    }

    /// Lets the next owner of a cluster that receives find its own disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn adapt_receiver(&self, owner: &str, settings: Receiving) -> Result<(), Failure> {
        let file = self.install_dir(owner).join("ferryway.toml");
        let text = settings.configuration(&self.received(owner, settings.files));
        fs::write(&file, text).map_err(|error| Failure::io("write", &file, error))
    }

    /// Makes the folder that a node receives in, with the target's folder in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn make_received(&self, node: &str, disk: Disk) -> Result<PathBuf, Failure> {
        let folder = self.received(node, disk);
        make_folder(&folder.join("in"))?;
        Ok(folder)
    }

    /// The folder that a node receives in.
    pub(super) fn received(&self, node: &str, disk: Disk) -> PathBuf {
        match disk {
            Disk::Shared => self.install_dir(node).join(RECEIVED),
            Disk::Local => self.disks.local(node).join(RECEIVED),
        }
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

    /// Starts the host of a node that sends, whose way to the partner begins at `address`, and
    /// waits until it owns the instance.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn start_sender(
        &self,
        node: &'static str,
        address: Ipv4Addr,
    ) -> Result<HostProcess, Failure> {
        let address = address.to_string();
        let variables = [("HOSTNM", SENDER), ("NODE", node), ("PARTNER_ADDRESS", &address)];
        self.start_host(node, &variables).await
    }

    /// Starts the host of a node that receives, and waits until its door is open. It is the
    /// `nth` host of its instance.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn start_receiver(
        &self,
        node: &'static str,
        nth: usize,
    ) -> Result<(HostProcess, SocketAddr), Failure> {
        let host = self.start_host(node, &[]).await?;
        let door = hosts::door(&self.install_dir(node), nth, Deadline::after(LIMIT)).await?;
        Ok((host, door))
    }

    async fn start_host(
        &self,
        node: &'static str,
        variables: &[(&str, &str)],
    ) -> Result<HostProcess, Failure> {
        let mut host = HostProcess::start(Place {
            node,
            install: &self.install_dir(node),
            run_dir: &self.folder.path().join("run").join(node),
            log: &self.log(node),
            variables,
        })?;
        let health = host.ready(Deadline::after(LIMIT)).await?;
        self.trace.event(node, format!("its host owns the instance in epoch {}", health.epoch));
        Ok(host)
    }

    /// The end of what a node's host printed.
    pub(super) fn last_words(&self, node: &str) -> String {
        hosts::tail(&self.log(node))
    }

    /// The jobs about which the log of a node's instance asks the operator (0215E), each as often
    /// as it does.
    pub(super) fn questions(&self, node: &str) -> Vec<JobId> {
        judged::questions(&self.install_dir(node))
    }

    fn install(&self, owner: &str, configuration: &str, definition: &str) -> Result<(), Failure> {
        let place = self.install_dir(owner);
        make_folder(&place)?;
        let furnished = install::furnish(&place, configuration, definition);
        furnished.map_err(|error| Failure::io("furnish", &place, error))
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

/// What is on record at a host.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) jobs: Vec<Job>,
    /// Their post-exits, for the judge.
    pub(super) exits: Vec<Exit>,
}

/// Takes the record of a host.
///
/// # Errors
/// When it does not answer.
pub(super) async fn record(stage: &Stage, host: &HostProcess) -> Result<Record, Failure> {
    let failed = |error| Failure(format!("the host of {} tells nothing: {error}", host.node));
    let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
    let mut jobs = host.client.history(&query).await.map_err(failed)?;
    jobs.extend(host.client.jobs().await.map_err(failed)?.into_iter().map(|view| view.job));
    let (mut exits, questions) = (Vec::new(), stage.questions(host.node));
    for job in &jobs {
        let entries = host.client.entries(&job.id).await.map_err(failed)?;
        let side = if job.spec.origin.is_some() { Side::Receiver } else { Side::Sender };
        stage.trace.add_journal(&format!("{side} {}", job.id), &entries);
        let runs = |when: When| stage.program(side).runs(when.as_str());
        let asked = questions.iter().filter(|asked| **asked == job.id).count();
        exits.extend(judged::exits(job, &entries, runs).into_iter().map(|exit| Exit {
            name: format!("{side}'s {}", exit.name),
            asked: Some(asked),
            ..exit
        }));
    }
    Ok(Record { jobs, exits })
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

fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::io("make", path, error))
}
