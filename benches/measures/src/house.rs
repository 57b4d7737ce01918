//! A host in this process whose partner is in memory: all of a delivery but the network.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use ferryway_core::{
    Algorithm, Status,
    transport::{Capabilities, Transport},
};
use ferryway_host::{
    config::{Config, Environment},
    control::{Operations, api::SubmitRequest},
    journal::{JournalStore, NodeName, Options, SqliteJournal},
    loader::{Plugin, Plugins},
    notices::Notices,
    reception::Register,
    recovery,
    scheduler::{Desk, End, Scheduler, Shared},
};
use ferryway_mocks::memory_transport::{MemoryPartner, MemoryTransport};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::{
    Failure,
    jobs::{DEFINITION, INSTANCE, PARTNER},
};

/// No job here takes as long, not even under valgrind.
const LIMIT: Duration = Duration::from_secs(600);

/// A host at work.
pub struct House {
    desk: Desk,
    scheduler: JoinHandle<End>,
    source: PathBuf,
}

impl House {
    /// Opens a host in an install directory that has a journal at most. It sends a file of this
    /// size; without one, it takes over what is in flight and moves nothing.
    ///
    /// # Errors
    /// When the system refuses, or the host does not start.
    pub async fn open(install: &Path, size: Option<usize>) -> Result<Self, Failure> {
        for folder in ["definitions", "data", "logs"] {
            fs::create_dir(install.join(folder))?;
        }
        let source = install.join("data/file");
        fs::write(&source, vec![7; size.unwrap_or_default()])?;
        let host = format!(
            "[instance]\nname = \"{INSTANCE}\"\n[roots]\nsend = [\"data\"]\nreceive = [\"data\"]\n\
             [partners.{PARTNER}]\ntransport = \"{}\"\n",
            MemoryTransport::NAME
        );
        let definition = format!(
            "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"{PARTNER}\"\n\
             direction = \"send\"\nlocal = \"file\"\nremote = \"in/{{job}}\"\n"
        );
        fs::write(install.join("ferryway.toml"), host)?;
        fs::write(install.join("definitions/scale.toml"), definition)?;
        let environment = Environment::with_variables::<&str, &str>(7, "node", []);
        let config = Config::load_in(install, environment)
            .map_err(|faults| format!("the configuration has faults: {faults:?}"))?;
        let (scheduler, desk) = start(install, config).await?;
        let scheduler = if size.is_some() { scheduler } else { scheduler.at_rest() };
        let scheduler = tokio::spawn(scheduler.run());
        Ok(Self { desk, scheduler, source })
    }

    /// Sends the file so many times, each as a job of its own.
    ///
    /// # Errors
    /// When a job is not completed.
    pub async fn send(&self, times: usize) -> Result<(), Failure> {
        let request = SubmitRequest {
            definition: DEFINITION.parse()?,
            local: Some(self.source.clone()),
            remote: None,
            key: None,
        };
        let jobs = self.desk.submit(vec![request; times]).await?;
        let ids = jobs.into_iter().map(|job| job.id).collect();
        let ended = self.desk.wait(ids, LIMIT).await?;
        match ended.iter().find(|job| !matches!(job.status, Status::Idle(_))) {
            None => Ok(()),
            Some(job) => Err(format!("{} is in status {}", job.id, job.status.code()).into()),
        }
    }

    /// Ends the host.
    ///
    /// # Errors
    /// What ended it before.
    pub async fn close(self) -> Result<(), Failure> {
        self.desk.stop().await;
        Ok(self.scheduler.await??)
    }
}

async fn start(install: &Path, config: Config) -> Result<(Scheduler, Desk), Failure> {
    let options = Options::new(install, NodeName("node".to_owned()), config.instance.clone());
    let taken = tokio::task::spawn_blocking(move || SqliteJournal::take_over(options));
    let (journal, takeover) = taken.await??;
    let journal = Arc::new(journal) as Arc<dyn JournalStore>;
    let notices = Arc::new(Notices::open(&config));
    let (jobs, written) = recovery::take_up(&*journal, takeover.in_flight, &notices).await?;
    let partner = MemoryPartner::new();
    partner.make_folders("in");
    let transport = MemoryTransport::new(partner);
    // Its cheapest hash: what is measured is the host. SHA-256, which valgrind knows only without the processor's help,
    // would be more than all the rest.
    let capabilities =
        Capabilities { checksums: vec![Algorithm::Crc32], ..transport.capabilities() };
    let plugin = Plugin {
        path: PathBuf::from("linked"),
        name: "linked".to_owned(),
        version: "0".to_owned(),
        transport: Arc::new(transport.with_capabilities(capabilities)),
    };
    let (receiving, jobs) =
        Register::take_up(&config, Arc::clone(&journal), Arc::clone(&notices), jobs);
    let shared = Arc::new(Shared {
        config: RwLock::new(Arc::new(config)),
        plugins: Arc::new(Plugins { loaded: vec![plugin], ..Plugins::default() }),
        journal,
        notices,
        receiving,
        node: "node".to_owned(),
        started_at: Timestamp::now(),
    });
    let made = Scheduler::new(shared, jobs).await?;
    written.durable().await?;
    Ok(made)
}
