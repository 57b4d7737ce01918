//! A mock FTP server on a real folder: as fast as real ones, with their quirks, and with
//! faults at exact points.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use ferryway_mocks::ftp_server::{Behaviour, Cut, FtpServer, Rule};
//!
//! let folder = tempfile::tempdir()?;
//! let server = FtpServer::builder(folder.path())
//!     .behaviour(Behaviour::vsftpd())
//!     .user("ferry", "secret")
//!     .start()
//!     .await?;
//! let fault = server.faults().add(Rule::cut_at("STOR", 1 << 20, Cut::Rst));
//! // ... a client at server.addr() stores a file ...
//! assert_eq!(fault.fired(), 1, "{}", server.transcript());
//! # Ok(())
//! # }
//! ```

mod ascii;
mod behaviour;
mod data;
mod disk;
mod faults;
mod files;
mod hashing;
mod ledger;
mod listing;
mod locks;
mod presets;
mod pump;
mod reply;
mod session;
mod shared;
mod tls;
mod transcript;
mod transfer;
mod tree;
mod upload;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

pub use behaviour::{
    Behaviour, HiddenNames, ListAbsent, ListOptions, Lock, NameList, RenameOver, RestBeyondEnd,
    Tail,
};
pub use disk::Disk;
pub use faults::{Action, Cut, Fault, FaultPlan, NeverFired, Rule, When};
pub use ledger::{Rename, Transfer};
pub use tls::{TlsConfig, TlsSetupError};
pub use transcript::{Entry, Side, Transcript};

use ledger::Ledger;
use session::Session;
use shared::Shared;

/// A running server. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct FtpServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// What a server is to be. It can start several servers, also one after the other on the
/// same port; they share faults and transcript.
#[derive(Clone, Debug)]
pub struct FtpServerBuilder {
    root: PathBuf,
    behaviour: Behaviour,
    users: Vec<User>,
    anonymous: bool,
    tls: Option<TlsConfig>,
    faults: FaultPlan,
    transcript: Transcript,
    disk: Disk,
    bytes_per_second: u64,
    upload_bytes_per_second: u64,
    receive_buffer_bytes: Option<u32>,
}

/// Somebody who may log in.
#[derive(Clone)]
pub struct User {
    /// What USER names.
    pub name: String,
    /// What PASS must tell.
    pub password: String,
    /// The folder below the root where the user's sessions start, such as `/` or `/home/ferry`.
    pub home: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FtpServer {
    /// A server whose clients see the folder `root` as `/`.
    pub fn builder(root: impl Into<PathBuf>) -> FtpServerBuilder {
        FtpServerBuilder {
            root: root.into(),
            behaviour: Behaviour::default(),
            users: Vec::new(),
            anonymous: false,
            tls: None,
            faults: FaultPlan::new(),
            transcript: Transcript::new(),
            disk: Disk::Normal,
            bytes_per_second: 0,
            upload_bytes_per_second: 0,
            receive_buffer_bytes: None,
        }
    }

    /// Where the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is to go wrong; rules may be added at any time.
    pub fn faults(&self) -> &FaultPlan {
        &self.shared.faults
    }

    /// What was said so far.
    pub fn transcript(&self) -> &Transcript {
        &self.shared.transcript
    }

    /// The transfers of files so far, running ones included, in the order of their beginning.
    pub fn transfers(&self) -> Vec<Transfer> {
        self.shared.ledger.transfers()
    }

    /// The renames so far, as they were performed.
    pub fn renames(&self) -> Vec<Rename> {
        self.shared.ledger.renames()
    }

    /// How many control connections are open.
    pub fn sessions(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Waits until so many control connections are open; `false` when they are not after
    /// `limit`.
    pub async fn wait_for_sessions(&self, number: usize, limit: Duration) -> bool {
        let mut open = self.shared.open.subscribe();
        matches!(timeout(limit, open.wait_for(|&open| open == number)).await, Ok(Ok(_)))
    }

    /// Changes the disk, also under running transfers.
    pub fn set_disk(&self, disk: Disk) {
        self.shared.disk.set(disk);
    }

    /// Limits each transfer that starts from now on; `None` takes the limit away.
    pub fn set_bytes_per_second(&self, limit: Option<u64>) {
        self.shared.bytes_per_second.store(limit.unwrap_or(0), Ordering::Relaxed);
    }

    /// Ends every session in this manner, stalled and mute ones too. New ones are taken.
    pub fn cut_all(&self, cut: Cut) {
        self.shared.cuts.send_modify(|(round, how)| (*round, *how) = (*round + 1, cut));
    }

    /// Loses power and starts again at once: the latest rename is undone, and every session
    /// ends in this manner. New ones are taken.
    pub fn lose_power(&self, cut: Cut) {
        self.shared.lose_power(cut);
    }

    /// Ends every session and stops listening. When this returns the port is free, and all
    /// files are closed and unlocked.
    pub async fn stop(&mut self) {
        self.stopping.send_replace(true);
        // It fails only when the task was aborted, which ends the server as well.
        let _ended = (&mut self.accepting).await;
    }
}

impl Drop for FtpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FtpServerBuilder {
    /// The kind of server.
    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Somebody who may log in and starts at `/`. Without any user everybody may log in,
    /// with any password.
    #[must_use]
    pub fn user(self, name: &str, password: &str) -> Self {
        let (name, password) = (name.to_owned(), password.to_owned());
        self.users([User { name, password, home: "/".to_owned() }])
    }

    /// More users.
    #[must_use]
    pub fn users(mut self, users: impl IntoIterator<Item = User>) -> Self {
        self.users.extend(users);
        self
    }

    /// Whether `anonymous` and `ftp` may log in, with any password, beside the users.
    #[must_use]
    pub fn anonymous(mut self, allowed: bool) -> Self {
        self.anonymous = allowed;
        self
    }

    /// FTPS.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The faults, shared with the caller and with other servers of the same plan.
    #[must_use]
    pub fn faults(mut self, faults: FaultPlan) -> Self {
        self.faults = faults;
        self
    }

    /// The disk at the start.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// Limits each transfer, up and down.
    #[must_use]
    pub fn bytes_per_second(mut self, limit: u64) -> Self {
        self.bytes_per_second = limit;
        self
    }

    /// Limits each upload, below the other limit if there is one (proftpd's `TransferRate STOR`).
    #[must_use]
    pub fn upload_bytes_per_second(mut self, limit: u64) -> Self {
        self.upload_bytes_per_second = limit;
        self
    }

    /// Limits what the system takes for a data connection from which the server reads nothing;
    /// else it takes megabytes.
    #[must_use]
    pub fn receive_buffer_bytes(mut self, limit: u32) -> Self {
        self.receive_buffer_bytes = Some(limit);
        self
    }

    /// Starts on a free port of 127.0.0.1, on the caller's runtime.
    ///
    /// # Errors
    /// When the root is no folder, no port is free, or TLS cannot be set up.
    pub async fn start(&self) -> io::Result<FtpServer> {
        self.start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on a given address: the one of a stopped server, say.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the address is taken.
    pub async fn start_on(&self, addr: SocketAddr) -> io::Result<FtpServer> {
        let acceptor = self.tls.as_ref().map(TlsConfig::acceptor).transpose();
        let shared = Arc::new(Shared {
            root: self.root.canonicalize()?,
            behaviour: self.behaviour.clone(),
            users: self.users.clone(),
            anonymous: self.anonymous || self.users.is_empty(),
            tls: self.tls.clone().zip(acceptor.map_err(io::Error::other)?),
            faults: self.faults.clone(),
            transcript: self.transcript.clone(),
            disk: disk::DiskState::new(self.disk),
            locks: Arc::default(),
            bytes_per_second: AtomicU64::new(self.bytes_per_second),
            upload_bytes_per_second: self.upload_bytes_per_second,
            receive_buffer_bytes: self.receive_buffer_bytes,
            ledger: Ledger::default(),
            renamed: Mutex::default(),
            open: watch::Sender::new(0),
            cuts: watch::Sender::new((0, Cut::Fin)),
        });
        let listener = TcpListener::bind(addr).await?;
        let (addr, stopping) = (listener.local_addr()?, watch::Sender::new(false));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), stopping.subscribe()));
        Ok(FtpServer { addr, shared, stopping, accepting })
    }
}

/// Takes connections until told to stop; then ends their sessions and waits for that.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|&stopping| stopping) => break,
            Some(_ended) = sessions.join_next() => {}
            taken = listener.accept() => if let Ok((tcp, _)) = taken {
                start_session(&mut sessions, tcp, &shared);
            },
        }
    }
    drop(listener);
    sessions.shutdown().await;
}

fn start_session(sessions: &mut JoinSet<()>, tcp: TcpStream, shared: &Arc<Shared>) {
    let counted = shared::Counted::new(Arc::clone(shared));
    // A connection without addresses is already gone.
    if let Ok(session) = Session::new(Arc::clone(shared), tcp, shared.next_session()) {
        sessions.spawn(async move {
            session.run().await;
            drop(counted);
        });
    }
}
