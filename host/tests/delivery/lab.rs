//! An instance on a disk of its own, a partner in memory, and the nodes that serve it one
//! after the other, or at once.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use ferryway_core::{
    Algorithm, Direction, JobId, Publish, ResumePolicy, Status,
    transport::{Capabilities, Partner, Rename, Resume, Session, Transport},
};
use ferryway_host::{
    config::{Config, Environment, RetryPolicy},
    control::{
        Operations,
        api::{Command, Refusal, SubmitRequest},
    },
    journal::{
        Hook, JournalError, JournalStore, NodeName, Options, SqliteJournal,
        record::{HistoryQuery, Job},
    },
    loader::{Plugin, Plugins},
    notices::Notices,
    reception::Register,
    recovery,
    scheduler::{Desk, End, Scheduler, Shared},
};
use ferryway_mocks::memory_transport::{MemoryPartner, MemoryTransport};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    disk::{files_below, in_memory},
    effects::Effects,
    wire::{Log, Wire},
};

/// Nothing here takes as long.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Tidying up takes no longer than this.
const QUIET_LIMIT: Duration = Duration::from_secs(30);

/// Where jobs deliver.
pub const TARGET: &str = "in/report.csv";

/// From this size on, files are resumed.
pub const RESUME_MIN: usize = 64 * 1024;

/// What kind of partner and job a lab is about.
#[derive(Clone, Debug)]
pub struct Setup {
    pub direction: Direction,
    pub publish: Publish,
    pub resume: ResumePolicy,
    pub staging: &'static str,
    pub late_close: &'static str,
    pub rename: Rename,
    pub lists_hidden: bool,
    pub checksums: bool,
    pub old_target: bool,
    pub size: usize,
    pub retries: u32,
    pub sessions: usize,
    pub settle_delay: u64,
    /// Finished jobs that stay out of the history's files.
    pub keep_recent: u64,
    /// The exits of the definition, as lines of TOML; `@` stands for the scripted program.
    pub exits: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            direction: Direction::Send,
            publish: Publish::Atomic,
            resume: ResumePolicy::Verified,
            staging: "folder",
            late_close: "keeps",
            rename: Rename::Replaces,
            lists_hidden: true,
            checksums: true,
            old_target: false,
            size: 3 * RESUME_MIN,
            retries: 50,
            sessions: 4,
            settle_delay: 0,
            keep_recent: 1000,
            exits: "",
        }
    }
}

/// The instance, its partner and what happened.
pub struct Lab {
    pub dir: TempDir,
    pub setup: Setup,
    pub partner: MemoryPartner,
    pub log: Log,
    pub remote: Option<Remote>,
    /// What exits do; nobody's death takes it back.
    pub effects: Arc<Effects>,
    /// Folders that live as long as the lab.
    pub kept: Vec<TempDir>,
}

/// Another partner than the one in memory.
pub struct Remote {
    pub transport: Arc<dyn Transport>,
    /// What belongs to the transport, as lines of TOML.
    pub settings: String,
    /// Where its files are.
    pub folder: PathBuf,
}

/// One node at work.
pub struct Node {
    pub desk: Desk,
    pub journal: Arc<SqliteJournal>,
    pub scheduler: JoinHandle<End>,
}

impl Lab {
    /// An instance with one definition, its source and, if the setup says so, an old target.
    pub fn new(setup: Setup) -> Self {
        Self::with_remote(setup, None)
    }

    /// As [`new`](Self::new), with another partner.
    pub fn with_remote(setup: Setup, remote: Option<Remote>) -> Self {
        let (partner, log) = (MemoryPartner::new(), Log::default());
        let (effects, kept) = (Arc::new(Effects::new()), Vec::new());
        let lab = Self { dir: in_memory(), setup, partner, log, remote, effects, kept };
        for folder in ["definitions", "data", "logs"] {
            std::fs::create_dir(lab.path().join(folder)).unwrap();
        }
        lab.write_config("");
        lab.partner.make_folders("in");
        let content = content(1, lab.setup.size);
        match lab.setup.direction {
            Direction::Send => {
                lab.write_source("report.csv", &content);
                if lab.setup.old_target {
                    lab.put(TARGET, b"the old report");
                }
            }
            Direction::Fetch => {
                lab.put(TARGET, &content);
                if lab.setup.old_target {
                    lab.write_source("report.csv", b"the old report");
                }
            }
        }
        lab
    }

    /// The install directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The local side of the definition.
    pub fn local(&self) -> PathBuf {
        self.path().join("data/report.csv")
    }

    pub fn write_source(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join("data").join(name), bytes).unwrap();
    }

    /// Puts a file at the partner.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        match &self.remote {
            None => self.partner.put(path, bytes),
            Some(remote) => std::fs::write(remote.folder.join(path), bytes).unwrap(),
        }
    }

    /// The bytes of a file at the partner.
    pub fn remote_bytes(&self, path: &str) -> Option<Vec<u8>> {
        match &self.remote {
            None => self.partner.bytes(path),
            Some(remote) => std::fs::read(remote.folder.join(path)).ok(),
        }
    }

    /// The paths of all files at the partner.
    pub fn remote_files(&self) -> Vec<String> {
        match &self.remote {
            None => self.partner.files(),
            Some(remote) => files_below(&remote.folder, ""),
        }
    }

    /// Writes the configuration, with more lines for the partner.
    pub fn write_config(&self, more: &str) {
        let Setup { direction, publish, resume, staging, .. } = &self.setup;
        let Setup { late_close, sessions, settle_delay, .. } = &self.setup;
        let exits = self.setup.exits.replace('@', &self.effects.command());
        let (name, settings) = match &self.remote {
            Some(remote) => (remote.transport.name(), remote.settings.as_str()),
            None => (MemoryTransport::NAME, ""),
        };
        let host = format!(
            "[instance]\nname = \"night\"\n[roots]\nsend = [\"data\"]\nreceive = [\"data\"]\n\
             [limits]\njobs = 16\n[partners.BANK]\ntransport = \"{name}\"\nsessions = {sessions}\n\
             staging = \"{staging}\"\nresume_min_bytes = {RESUME_MIN}\n\
             late_close = \"{late_close}\"\n{settings}\n{more}\n"
        );
        let definition = format!(
            "[[definition]]\nid = \"PRDY01\"\npartner = \"BANK\"\ndirection = \"{direction}\"\n\
             local = \"report.csv\"\nremote = \"{TARGET}\"\npublish = \"{publish}\"\n\
             resume = \"{resume}\"\nsettle_delay_s = {settle_delay}\n{exits}"
        );
        std::fs::write(self.path().join("ferryway.toml"), host).unwrap();
        std::fs::write(self.path().join("definitions/a.toml"), definition).unwrap();
    }

    fn config(&self) -> Config {
        let environment = Environment::with_variables::<&str, &str>(7, "node1", []);
        let mut config =
            Config::load_in(self.path(), environment).unwrap_or_else(|faults| panic!("{faults:?}"));
        for partner in config.partners.values_mut() {
            // Seconds are the smallest unit of the file; a test has no time for them.
            partner.retry = RetryPolicy {
                attempts: self.setup.retries,
                first: Duration::from_millis(1),
                max: Duration::from_millis(4),
                factor: 1.5,
            };
        }
        config
    }

    fn memory(&self) -> Arc<dyn Transport> {
        let Setup { rename, lists_hidden, checksums, .. } = self.setup;
        let checksums = match checksums {
            true => vec![Algorithm::Sha256, Algorithm::Crc32],
            false => Vec::new(),
        };
        Arc::new(MemoryTransport::new(self.partner.clone()).with_capabilities(Capabilities {
            resume: Resume::AtOffset,
            rename,
            size: true,
            folders: true,
            lists_hidden,
            checksums,
            epoch_fencing: false,
            notices: false,
            rooms: 0,
        }))
    }

    /// A session of somebody else with the partner.
    pub async fn session(&self) -> Box<dyn Session> {
        let name = "BANK".parse().unwrap();
        let partner = Partner {
            name,
            settings: toml::Table::new(),
            source_address: None,
            ours: ferryway_mocks::conformance::introduction(),
        };
        self.memory().connect(partner).await.unwrap()
    }

    /// Somebody at the partner takes the target away.
    pub async fn consume(&self) {
        let mut session = self.session().await;
        session.remove(TARGET.parse().unwrap()).await.expect("the target is there");
    }

    /// A node's way to the partner.
    pub fn wire(&self, node: &str) -> Wire {
        let inner = match &self.remote {
            Some(remote) => Arc::clone(&remote.transport),
            None => self.memory(),
        };
        Wire::new(node, inner, self.log.clone())
    }

    /// Starts a node, which takes the instance over.
    pub async fn start(&self, name: &str) -> Node {
        self.start_with(self.wire(name), name, Hook::default()).await.expect("the node starts")
    }

    /// Starts a node that takes the instance over and moves nothing.
    pub async fn start_idle(&self, name: &str) -> Node {
        let opened = self.open(self.wire(name), name, Hook::default()).await;
        let (_scheduler, desk, journal) = opened.expect("the node starts");
        Node { desk, journal, scheduler: tokio::spawn(std::future::pending()) }
    }

    /// The first line of the operator's log with this text, which may still be on its way.
    pub async fn log_line(&self, text: &str) -> String {
        let path = self.path().join("logs/ferryway.log");
        let started = tokio::time::Instant::now();
        loop {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(started.elapsed() < LIMIT, "no `{text}` in:\n{log}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Starts a node with this way to the partner; fails as the journal does.
    pub async fn start_with(
        &self,
        wire: Wire,
        name: &str,
        hook: Hook,
    ) -> Result<Node, JournalError> {
        let (scheduler, desk, journal) = self.open(wire, name, hook).await?;
        Ok(Node { desk, journal, scheduler: tokio::spawn(scheduler.run()) })
    }

    async fn open(
        &self,
        wire: Wire,
        name: &str,
        hook: Hook,
    ) -> Result<(Scheduler, Desk, Arc<SqliteJournal>), JournalError> {
        let config = self.config();
        let mut options =
            Options::new(self.path(), NodeName(name.to_owned()), config.instance.clone());
        options.replace = true;
        options.hook = hook;
        options.keep_recent = self.setup.keep_recent;
        let taken = tokio::task::spawn_blocking(move || SqliteJournal::take_over(options));
        let (journal, takeover) = taken.await.unwrap()?;
        let journal = Arc::new(journal);
        let notices = Arc::new(Notices::open(&config));
        let (jobs, written) = recovery::take_up(&*journal, takeover.in_flight, &notices).await?;
        let plugin = Plugin {
            path: PathBuf::from("linked"),
            name: "linked".to_owned(),
            version: "0".to_owned(),
            transport: Arc::new(wire.clone()),
        };
        let store = Arc::clone(&journal) as Arc<dyn JournalStore>;
        let (receiving, jobs) =
            Register::take_up(&config, Arc::clone(&store), Arc::clone(&notices), jobs);
        let shared = Arc::new(Shared {
            config: RwLock::new(Arc::new(config)),
            plugins: Arc::new(Plugins { loaded: vec![plugin], ..Plugins::default() }),
            journal: store,
            notices: Arc::clone(&notices),
            receiving,
            node: name.to_owned(),
            started_at: Timestamp::now(),
        });
        let (scheduler, desk) = Scheduler::new(shared, jobs).await?;
        written.durable().await?;
        Ok((scheduler, desk, journal))
    }
}

impl Node {
    /// Asks for a run of the definition.
    pub async fn submit(&self) -> Result<Job, Refusal> {
        self.submit_as(None, None).await
    }

    /// Asks for a run of the definition with another local file and a key.
    pub async fn submit_as(&self, local: Option<&str>, key: Option<&str>) -> Result<Job, Refusal> {
        let request = SubmitRequest {
            definition: "PRDY01".parse().unwrap(),
            local: local.map(PathBuf::from),
            remote: local.and(Some(TARGET.to_owned())),
            key: key.map(str::to_owned),
        };
        Ok(self.desk.submit(vec![request]).await?.remove(0))
    }

    /// Waits until the job has ended or is suspended.
    pub async fn rest(&self, id: &JobId) -> Job {
        self.desk.wait(vec![id.clone()], LIMIT).await.expect("the host answers").remove(0)
    }

    /// As [`rest`](Self::rest), for a node that may end meanwhile.
    pub async fn desk_wait(&self, id: &JobId) -> Result<Vec<Job>, Refusal> {
        self.desk.wait(vec![id.clone()], LIMIT).await
    }

    /// Every job on record.
    pub async fn all(&self) -> Vec<Job> {
        let mut jobs = self.journal.in_flight().await.unwrap();
        let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        jobs.extend(self.journal.history(query).await.unwrap());
        jobs
    }

    pub async fn command(&self, id: &JobId, command: Command) -> Result<Job, Refusal> {
        self.desk.command(id, command).await
    }

    /// The node is gone, without a word to anybody.
    pub async fn dies(self) {
        self.scheduler.abort();
        drop(self.scheduler.await);
    }

    /// Waits until nothing is left to do: no job moves and the partner is tidied.
    pub async fn quiet(&self) -> Result<(), String> {
        let partner = "BANK".parse().unwrap();
        let started = tokio::time::Instant::now();
        loop {
            let jobs = self.journal.in_flight().await.map_err(|error| error.to_string())?;
            let moving =
                jobs.iter().filter(|j| !matches!(j.status, Status::Suspended | Status::PostExit));
            let (moving, in_flight) = (moving.count(), jobs.len());
            let staging =
                self.journal.staging(&partner).await.map_err(|error| error.to_string())?;
            // A folder that a job in flight may still need stays. One that is not revoked
            // waits for the first job of this epoch.
            let ours = self.journal.epoch();
            let old = staging.iter().filter(|staging| staging.is_spent(ours)).count();
            let leftovers =
                self.journal.leftovers(&partner).await.map_err(|error| error.to_string())?;
            if moving == 0 && leftovers.is_empty() && (old == 0 || in_flight > 0) {
                return Ok(());
            }
            if started.elapsed() > QUIET_LIMIT {
                return Err(format!(
                    "not quiet: {moving} jobs moving, staging {staging:?}, leftovers {leftovers:?}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends after its desk was told to stop.
    pub async fn stop_again(self) {
        self.scheduler.await.expect("the scheduler ends").expect("without an error");
        self.journal.close().await.expect("the journal closes");
    }

    /// Ends as told, leaving no trace on the partner.
    pub async fn stop(self) {
        timeout(LIMIT, self.desk.stop()).await.expect("the scheduler stops");
        self.stop_again().await;
    }
}

/// Bytes that differ from version to version, and from place to place.
pub fn content(version: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(version);
    std::iter::repeat_with(|| random.u8(..)).take(size).collect()
}
