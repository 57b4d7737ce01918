//! A host that receives, without jobs of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ferryway_core::{
    Epoch, JobId,
    bytes::Meter,
    reception::Introduction,
    transport::{Partner, Result, Session, Transport, Upload},
};
use ferryway_host::{
    config::{Config, Environment},
    journal::{Hook, JournalStore, NodeName, Options, Point, SqliteJournal},
    loader::{Loader, Plugin, Plugins},
    notices::Notices,
    reception::{self, OpenDoor, Register},
    recovery,
    scheduler::{Desk, Scheduler, Shared},
};
use ferryway_mocks::streams;
use ferryway_socket::Socket;
use tempfile::TempDir;
use tokio::sync::Mutex;

pub const LIMIT: Duration = Duration::from_secs(20);

/// How the plugin comes into the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugged {
    Linked,
    Loaded,
}

impl Plugged {
    /// The transport, the same for both ends of a test.
    pub fn transport(self) -> Arc<dyn Transport> {
        // A library is entered once in a process.
        static LOADED: OnceLock<Plugins> = OnceLock::new();
        match self {
            Self::Linked => Arc::new(Socket::default()),
            Self::Loaded => {
                let load = || Loader::of_installation(Path::new("/nonexistent")).load();
                LOADED.get_or_init(load).transport("socket").expect("the library is there")
            }
        }
    }
}

/// An install directory with a door.
pub struct House {
    dir: TempDir,
    plugged: Plugged,
    /// Whether the disk of the journal takes no commit any more.
    pub broken: Arc<AtomicBool>,
    /// Whoever holds it holds up every commit.
    pub disk: Arc<Mutex<()>>,
}

/// The house, open.
pub struct Open {
    pub door: OpenDoor,
    pub journal: Arc<SqliteJournal>,
    pub shared: Arc<Shared>,
    pub desk: Desk,
    transport: Arc<dyn Transport>,
}

const VISITORS: &str = "\
    [listen.visitors.BOTH]\nhost_name = \"both.example\"\ninstance = \"suite\"\n\
    may = [\"send\", \"fetch\"]\n\
    [listen.visitors.SENDER]\nhost_name = \"sender.example\"\ninstance = \"suite\"\n\
    may = [\"send\"]\n\
    [listen.visitors.FETCHER]\nhost_name = \"fetcher.example\"\ninstance = \"suite\"\n\
    may = [\"fetch\"]\n";

impl House {
    pub fn new(plugged: Plugged) -> Self {
        Self::with_sessions(plugged, 64)
    }

    pub fn with_sessions(plugged: Plugged, sessions: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["definitions", "logs", "received", "offered"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let configuration = format!(
            "[instance]\nname = \"day\"\n\
             [roots]\nreceive = [\"received\"]\nsend = [\"offered\"]\n\
             [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n\
             sessions = {sessions}\nsecurity = \"plain\"\ntimeout_s = 20\n{VISITORS}"
        );
        fs::write(dir.path().join("ferryway.toml"), configuration).unwrap();
        Self { dir, plugged, broken: Arc::default(), disk: Arc::default() }
    }

    fn config(&self) -> Config {
        let environment = Environment::with_variables::<&str, &str>(7, "day.example", []);
        let config = Config::load_in(self.dir.path(), environment);
        config.unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    pub async fn open(&self) -> Open {
        let config = self.config();
        let mut options =
            Options::new(self.dir.path(), NodeName("node".to_owned()), config.instance.clone());
        options.replace = true;
        let (broken, disk) = (Arc::clone(&self.broken), Arc::clone(&self.disk));
        options.hook = Hook::new(move |point| {
            if point == Point::Executed {
                drop(disk.blocking_lock());
            }
            match point == Point::Executed && broken.load(Ordering::Acquire) {
                true => Err(io::Error::other("as planned")),
                false => Ok(()),
            }
        });
        let taken = tokio::task::spawn_blocking(move || SqliteJournal::take_over(options));
        let (journal, takeover) = taken.await.unwrap().unwrap();
        let journal = Arc::new(journal);
        let notices = Arc::new(Notices::open(&config));
        let (jobs, written) =
            recovery::take_up(&*journal, takeover.in_flight, &notices).await.unwrap();
        let store = Arc::clone(&journal) as Arc<dyn JournalStore>;
        let (receiving, own) =
            Register::take_up(&config, Arc::clone(&store), Arc::clone(&notices), jobs);
        assert!(own.is_empty(), "{own:?}");
        let transport = self.plugged.transport();
        let plugin = Plugin {
            path: PathBuf::from("here"),
            name: "here".to_owned(),
            version: "0".to_owned(),
            transport: Arc::clone(&transport),
        };
        let shared = Arc::new(Shared {
            notices,
            receiving,
            config: RwLock::new(Arc::new(config)),
            plugins: Arc::new(Plugins { loaded: vec![plugin], ..Plugins::default() }),
            journal: store,
            node: "node".to_owned(),
            started_at: jiff::Timestamp::now(),
        });
        let (scheduler, desk) = Scheduler::new(Arc::clone(&shared), Vec::new()).await.unwrap();
        written.durable().await.unwrap();
        shared.receiving.resume_exits().await.unwrap();
        // Ends with the last desk, which the door has.
        tokio::spawn(scheduler.run());
        let door = reception::open(&shared, &desk).await.unwrap().expect("a door");
        Open { door, journal, shared, desk, transport }
    }

    /// Lets a visitor have announced so many jobs.
    pub fn limit_jobs(&self, jobs: usize) {
        let file = self.dir.path().join("ferryway.toml");
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("may = ", &format!("jobs = {jobs}\nmay = "));
        fs::write(&file, text).unwrap();
    }

    /// Adds to the configuration.
    pub fn configure(&self, text: &str) {
        let file = self.dir.path().join("ferryway.toml");
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, before + text).unwrap();
    }

    /// Adds to the definitions.
    pub fn define(&self, text: &str) {
        fs::write(self.dir.path().join("definitions/all.toml"), text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn received(&self) -> PathBuf {
        self.dir.path().join("received")
    }

    pub fn offered(&self) -> PathBuf {
        self.dir.path().join("offered")
    }

    /// The first line of the operator's log with this code, which may still be on its way.
    pub async fn log_line(&self, code: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(code)) {
                return line.to_owned();
            }
            assert!(started.elapsed() < LIMIT, "no {code} in\n{log}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("logs/ferryway.log")).unwrap_or_default()
    }
}

impl Open {
    /// Takes up the configuration as it is now.
    pub fn reload(&self, house: &House) {
        *self.shared.config.write().unwrap() = Arc::new(house.config());
        self.door.review();
    }

    /// Waits until what the register shows of a job is on record.
    pub async fn settle(&self, job: &JobId) {
        let shown = self.shared.receiving.view(job).unwrap().job.status;
        let started = Instant::now();
        while self.journal.job(job).await.unwrap().unwrap().status != shown {
            assert!(started.elapsed() < LIMIT, "{shown} is not recorded");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn partner(&self, host: &str, epoch: u64) -> Partner {
        let port = self.door.address().port();
        let settings =
            format!("host = '127.0.0.1'\nport = {port}\nsecurity = 'plain'\ntimeout_s = 20\n");
        let ours = Introduction {
            host: host.to_owned(),
            instance: "suite".parse().unwrap(),
            epoch: Epoch::new(epoch).unwrap(),
        };
        // Each epoch is another process in earnest, with a connection of its own.
        let name = format!("E{epoch}").parse().unwrap();
        Partner { name, settings: settings.parse().unwrap(), source_address: None, ours }
    }

    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport)
    }

    pub async fn try_session(&self, host: &str, epoch: u64) -> Result<Box<dyn Session>> {
        self.transport.connect(self.partner(host, epoch)).await
    }

    pub async fn session(&self, host: &str, epoch: u64) -> Box<dyn Session> {
        self.try_session(host, epoch).await.unwrap()
    }
}

pub fn upload(path: &str, offset: u64, bytes: &[u8]) -> Upload {
    let (source, length) = (streams::source(bytes), bytes.len() as u64);
    Upload { path: path.parse().unwrap(), offset, length, source, meter: Meter::new() }
}
