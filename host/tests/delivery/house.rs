//! The receiving installation of a lab: a real reception with a journal of its own, which
//! nodes serve one after the other, behind one address.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU16, Ordering},
    },
};

use ferryway_core::{
    Direction, Outcome, async_trait,
    reception::Listener,
    transport::{Capabilities, ConfigFault, Partner, Result, Session, Transport},
};
use ferryway_host::{
    config::{Config, Environment},
    journal::{
        Hook, JournalError, JournalStore, NodeName, Options, SqliteJournal, record::HistoryQuery,
    },
    loader::{Plugin, Plugins},
    notices::Notices,
    reception::{self, OpenDoor, Register},
    recovery,
    scheduler::{Desk, End, Scheduler, Shared},
};
use ferryway_socket::Socket;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    disk::{camera, in_memory},
    lab::Remote,
    wire::{Log, Wire},
};

/// The install directory, and where its visitors come to.
pub struct House {
    dir: TempDir,
    port: Arc<AtomicU16>,
    pub log: Log,
}

/// A node that receives.
pub struct Host {
    door: OpenDoor,
    journal: Arc<dyn JournalStore>,
    desk: Desk,
    scheduler: JoinHandle<End>,
}

/// The way to whichever node has the address.
struct Redirect {
    socket: Socket,
    port: Arc<AtomicU16>,
}

impl House {
    pub fn new() -> Self {
        let dir = in_memory();
        for folder in ["definitions", "logs", "received/in"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let configuration = "[instance]\nname = \"day\"\n[roots]\nreceive = [\"received\"]\n\
             [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n\
             security = \"plain\"\ntimeout_s = 20\n\
             [listen.visitors.NIGHT]\nhost_name = \"node1\"\ninstance = \"night\"\n\
             may = [\"send\", \"fetch\"]\n";
        std::fs::write(dir.path().join("ferryway.toml"), configuration).unwrap();
        Self { dir, port: Arc::default(), log: Log::default() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What it has received.
    pub fn received(&self) -> PathBuf {
        self.path().join("received")
    }

    /// What takes an image of its disk from another thread.
    pub fn camera(&self) -> impl Fn() -> TempDir + Send + Sync + 'static {
        camera(self.path(), Direction::Fetch)
    }

    /// From now on the disk is this one; whoever still writes to the old one is dead.
    pub fn mount(&mut self, image: TempDir) {
        self.dir = image;
    }

    /// This house as the partner of a lab.
    pub fn partner(&self) -> Remote {
        let transport = Redirect { socket: Socket::default(), port: Arc::clone(&self.port) };
        // The port is filled in on the way.
        let settings =
            "host = '127.0.0.1'\nport = 1\nsecurity = 'plain'\ntimeout_s = 20".to_owned();
        Remote { transport: Arc::new(transport), settings, folder: self.received() }
    }

    /// What is asked of a node here goes through such a wire.
    pub fn wire(&self, node: &str) -> Wire {
        Wire::new(node, Arc::new(Socket::default()), self.log.clone())
    }

    /// Lets a node take the house over and open its door.
    ///
    /// # Errors
    /// As the journal fails.
    pub async fn open(
        &self,
        wire: Wire,
        node: &str,
        hook: Hook,
    ) -> std::result::Result<Host, String> {
        let environment = Environment::with_variables::<&str, &str>(7, "day.example", []);
        let config = Config::load_in(self.path(), environment);
        let config = config.unwrap_or_else(|faults| panic!("{faults:?}"));
        let mut options =
            Options::new(self.path(), NodeName(node.to_owned()), config.instance.clone());
        options.replace = true;
        options.hook = hook;
        let taken = tokio::task::spawn_blocking(move || SqliteJournal::take_over(options));
        let (journal, takeover) = taken.await.unwrap().map_err(|error| error.to_string())?;
        let journal: Arc<dyn JournalStore> = Arc::new(journal);
        let notices = Arc::new(Notices::open(&config));
        let (jobs, written) = recovery::take_up(&*journal, takeover.in_flight, &notices)
            .await
            .map_err(|error| error.to_string())?;
        let plugin = Plugin {
            path: PathBuf::from("linked"),
            name: "linked".to_owned(),
            version: "0".to_owned(),
            transport: Arc::new(wire),
        };
        let (receiving, own) =
            Register::take_up(&config, Arc::clone(&journal), Arc::clone(&notices), jobs);
        let shared = Arc::new(Shared {
            config: RwLock::new(Arc::new(config)),
            plugins: Arc::new(Plugins { loaded: vec![plugin], ..Plugins::default() }),
            journal: Arc::clone(&journal),
            notices,
            receiving,
            node: node.to_owned(),
            started_at: jiff::Timestamp::now(),
        });
        let (scheduler, desk) =
            Scheduler::new(Arc::clone(&shared), own).await.map_err(|error| error.to_string())?;
        written.durable().await.map_err(|error| error.to_string())?;
        shared.receiving.resume_exits().await.map_err(|error| error.to_string())?;
        let scheduler = tokio::spawn(scheduler.run());
        let door = reception::open(&shared, &desk).await.map_err(|error| error.to_string())?;
        let door = door.expect("a door");
        self.port.store(door.address().port(), Ordering::SeqCst);
        Ok(Host { door, journal, desk, scheduler })
    }
}

impl Host {
    /// The job of each accepted job of the visitor is at its good end, and there is no other.
    ///
    /// # Errors
    /// With what there is in place of that.
    pub async fn check(&self, accepted: usize) -> std::result::Result<(), String> {
        let told = |error: JournalError| error.to_string();
        let moving = self.journal.in_flight().await.map_err(told)?;
        let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        let ended = self.journal.history(query).await.map_err(told)?;
        let good = ended.iter().filter(|job| job.status.outcome() == Some(Outcome::Completed));
        match (moving.len(), ended.len(), good.count()) {
            (0, all, good) if all == accepted && good == accepted => Ok(()),
            _ => Err(format!("the receiving host has {moving:?} and {ended:?}")),
        }
    }

    /// The node is gone, without a word to anybody.
    pub async fn dies(self) {
        drop(self.door);
        self.scheduler.abort();
        drop(self.scheduler.await);
        drop(self.desk);
    }
}

#[async_trait]
impl Transport for Redirect {
    fn name(&self) -> &'static str {
        self.socket.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.socket.capabilities()
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        self.socket.check_config(settings)
    }

    async fn connect(&self, mut partner: Partner) -> Result<Box<dyn Session>> {
        let port = self.port.load(Ordering::SeqCst);
        partner.settings.insert("port".to_owned(), i64::from(port).into());
        // Each owner is another process in earnest, with a connection of its own.
        let epoch = partner.ours.epoch.number();
        partner.name = format!("E{epoch}P{port}").parse().expect("a name");
        self.socket.connect(partner).await
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        None
    }
}
