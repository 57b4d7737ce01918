//! Real FTP servers, started by the test that wants one.
//!
//! `tests/servers/install.sh` unpacks them into `target/ftp-servers`, or into
//! the folder in the environment variable `FERRYWAY_FTP_SERVERS`; servers found
//! in `PATH` will do as well.

mod pieces;
mod proftpd;
mod pure_ftpd;
mod pyftpdlib;
mod vsftpd;

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_mocks::ftp_server::Behaviour;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Unavailable, net::Place, process::ProcessTree, raw_ftp::RawFtp, wait::holds_within};
use pieces::Setup;

/// How long a server may take until its first greeting.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to end in good order.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Ports to try before giving up.
const START_ATTEMPTS: usize = 5;

/// A server program and how it is set up; what each does when two sessions write
/// one file, and with renames and restarts, differs most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// vsftpd as it comes: an upload locks its file, a second one waits.
    Vsftpd,
    /// vsftpd with `lock_upload_files=NO`.
    VsftpdNoLock,
    /// vsftpd that requires TLS, and with `true` that data connections resume the
    /// session of the control connection.
    VsftpdTls(bool),
    /// proftpd that allows overwriting and restarts; HASH and XCRC where its
    /// `mod_digest` is there.
    Proftpd,
    /// proftpd as it comes: an existing file can be neither overwritten, nor
    /// replaced by a rename, nor restarted.
    ProftpdDefaults,
    /// proftpd that writes to a hidden file and renames it at the end.
    ProftpdHiddenStores,
    /// proftpd that requires TLS, with session reuse.
    ProftpdTls,
    /// pure-ftpd as it comes. Runs only as root.
    PureFtpd,
    /// pure-ftpd with `-0`: atomic uploads. Runs only as root.
    PureFtpdAtomic,
    /// pyftpdlib as it comes.
    Pyftpdlib,
    /// pyftpdlib that refuses (550) to open a file another session writes.
    PyftpdlibLocking,
}

impl ServerKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Vsftpd,
        Self::VsftpdNoLock,
        Self::VsftpdTls(true),
        Self::VsftpdTls(false),
        Self::Proftpd,
        Self::ProftpdDefaults,
        Self::ProftpdHiddenStores,
        Self::ProftpdTls,
        Self::PureFtpd,
        Self::PureFtpdAtomic,
        Self::Pyftpdlib,
        Self::PyftpdlibLocking,
    ];

    /// Whether it refuses clients without TLS.
    pub const fn requires_tls(self) -> bool {
        matches!(self, Self::VsftpdTls(_) | Self::ProftpdTls)
    }

    /// The mock server's preset that imitates it, TLS aside: its name in
    /// [`Behaviour::presets`].
    pub const fn preset(self) -> &'static str {
        match self {
            Self::Vsftpd | Self::VsftpdTls(_) => "vsftpd",
            Self::VsftpdNoLock => "vsftpd_without_lock",
            Self::Proftpd | Self::ProftpdTls => "proftpd",
            Self::ProftpdDefaults => "proftpd_defaults",
            Self::ProftpdHiddenStores => "proftpd_hidden_stores",
            Self::PureFtpd => "pure_ftpd",
            Self::PureFtpdAtomic => "pure_ftpd_atomic",
            Self::Pyftpdlib => "pyftpdlib",
            Self::PyftpdlibLocking => "pyftpdlib_with_flock",
        }
    }

    /// The mock server of that preset.
    pub fn imitation(self) -> Option<Behaviour> {
        let presets = Behaviour::presets().into_iter();
        presets.filter(|(name, _)| *name == self.preset()).map(|(_, behaviour)| behaviour).next()
    }

    fn prepare(self, setup: &Setup<'_>) -> Result<std::process::Command, Unavailable> {
        match self {
            Self::Vsftpd | Self::VsftpdNoLock | Self::VsftpdTls(_) => vsftpd::prepare(self, setup),
            Self::Proftpd
            | Self::ProftpdDefaults
            | Self::ProftpdHiddenStores
            | Self::ProftpdTls => proftpd::prepare(self, setup),
            Self::PureFtpd | Self::PureFtpdAtomic => pure_ftpd::prepare(self, setup),
            Self::Pyftpdlib | Self::PyftpdlibLocking => pyftpdlib::prepare(self, setup),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vsftpd => "vsftpd",
            Self::VsftpdNoLock => "vsftpd without locks",
            Self::VsftpdTls(true) => "vsftpd with TLS and session reuse",
            Self::VsftpdTls(false) => "vsftpd with TLS",
            Self::Proftpd => "proftpd",
            Self::ProftpdDefaults => "proftpd with its defaults",
            Self::ProftpdHiddenStores => "proftpd with hidden stores",
            Self::ProftpdTls => "proftpd with TLS",
            Self::PureFtpd => "pure-ftpd",
            Self::PureFtpdAtomic => "pure-ftpd with atomic uploads",
            Self::Pyftpdlib => "pyftpdlib",
            Self::PyftpdlibLocking => "pyftpdlib with locks",
        })
    }
}

/// Where a server is.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The address to listen on.
    pub address: Ipv4Addr,
    /// The port to listen on, where nobody else can have it; else the system chooses.
    pub port: Option<u16>,
    /// The place in a network of the test's own; else where the test is.
    pub place: Option<Place>,
}

impl Default for Site {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST, port: None, place: None }
    }
}

/// What may be asked of a server beyond its kind.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where it is.
    pub site: Site,
    /// Lines for the end of its configuration, in its own language. For pure-ftpd
    /// these are arguments, for pyftpdlib lines of Python that see `handler`.
    pub extra: Vec<String>,
}

/// A server that runs, or ran, for one test; dropping it kills it with all its
/// sessions.
#[derive(Debug)]
pub struct RealServer {
    kind: ServerKind,
    root: PathBuf,
    options: Options,
    port: u16,
    home: String,
    // Dropped before the folder its configuration and logs are in.
    process: Option<ProcessTree>,
    state: TempDir,
}

impl RealServer {
    /// Starts a server that serves the folder `root`, and logs in to it once.
    ///
    /// # Errors
    /// It is not installed, needs root, or did not start; its log is in the message.
    pub fn start(kind: ServerKind, root: &Path) -> Result<Self, Unavailable> {
        Self::start_with(kind, root, Options::default())
    }

    /// Like [`RealServer::start`]; when there is no such server here the test is
    /// skipped visibly (`None`), or fails where `CI` is set.
    pub fn start_or_skip(kind: ServerKind, root: &Path) -> Option<Self> {
        Self::start(kind, root).inspect_err(Unavailable::skip).ok()
    }

    /// Starts a server with options.
    ///
    /// # Errors
    /// Those of [`RealServer::start`].
    pub fn start_with(
        kind: ServerKind,
        root: &Path,
        options: Options,
    ) -> Result<Self, Unavailable> {
        let unavailable = |error: io::Error| Unavailable::new(kind, error);
        let root = root.canonicalize().map_err(unavailable)?;
        let state = tempfile::Builder::new().prefix("ferryway-server-").tempdir();
        let mut server = Self {
            kind,
            root,
            options,
            port: 0,
            home: String::new(),
            process: None,
            state: state.map_err(unavailable)?,
        };
        let mut failure = None;
        for _ in 0..START_ATTEMPTS {
            // The port may be taken between our release and the server's bind.
            server.port = match server.options.site.port {
                Some(port) => port,
                None => free_port(server.options.site.address).map_err(unavailable)?,
            };
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(Launch::Impossible(reason)) => return Err(reason),
                Err(Launch::Ended(reason)) => failure = Some(reason),
            }
        }
        let reason = failure.unwrap_or_else(|| "no port is free".to_owned());
        Err(Unavailable::new(kind, reason))
    }

    /// Its kind.
    pub const fn kind(&self) -> ServerKind {
        self.kind
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (self.options.site.address, self.port).into()
    }

    /// The user that may log in and do everything.
    pub const fn user(&self) -> &'static str {
        match self.kind {
            ServerKind::Vsftpd | ServerKind::VsftpdNoLock | ServerKind::VsftpdTls(_) => "anonymous",
            _ => pieces::USER,
        }
    }

    /// That user's password.
    pub const fn password(&self) -> &'static str {
        pieces::PASSWORD
    }

    /// The folder on disk it serves.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The certificate (PEM) it shows, which signs itself; for `localhost` and
    /// 127.0.0.1.
    pub fn certificate(&self) -> Option<PathBuf> {
        self.kind.requires_tls().then(|| pieces::certificate_path(self.state.path()))
    }

    /// The absolute path by which clients know `relative`, a path below the root:
    /// not every server makes its root their `/`.
    pub fn remote(&self, relative: &str) -> String {
        format!("{}/{relative}", self.home.trim_end_matches('/'))
    }

    /// Lets the server's user write `path`, something below the root that the test
    /// itself made.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn grant(&self, path: &Path) -> io::Result<()> {
        match self.kind {
            ServerKind::PureFtpd | ServerKind::PureFtpdAtomic => pure_ftpd::grant(path),
            _ => Ok(()),
        }
    }

    /// A new session of a bare client, logged in, in binary mode, over TLS where
    /// the server requires it.
    ///
    /// # Errors
    /// Those of [`RawFtp`].
    pub fn session(&self) -> io::Result<RawFtp> {
        let mut ftp = RawFtp::connect(self.addr())?;
        if let Some(certificate) = self.certificate() {
            ftp = ftp.secure(&certificate)?;
        }
        ftp.login(self.user(), self.password())?;
        Ok(ftp)
    }

    /// Kills the server and all its sessions; files and port stay as they are.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it on the port it had, killing it first if it runs.
    ///
    /// # Errors
    /// Those of [`RealServer::start`], and that the port is taken now.
    pub fn start_again(&mut self) -> Result<(), Unavailable> {
        self.stop();
        self.launch().map_err(|launch| match launch {
            Launch::Impossible(reason) => reason,
            Launch::Ended(reason) => Unavailable::new(self.kind, reason),
        })
    }

    /// Ends the listener alone, as a service stop does: its sessions may go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn terminate(&self) -> io::Result<()> {
        self.running()?.signal(Signal::TERM)
    }

    /// Asks the server to end with all its sessions, as the stop of its service does, and kills
    /// what is left of it after a while.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop_in_order(&mut self) -> io::Result<()> {
        let stopped = || io::Error::other(format!("{} is stopped", self.kind));
        self.process.take().ok_or_else(stopped)?.terminate(STOP_LIMIT)
    }

    /// Stops the server and its sessions where they are, connections and locks
    /// held, as a suspended machine does.
    ///
    /// # Errors
    /// It does not run, or does not stop.
    pub fn freeze(&self) -> io::Result<()> {
        self.running()?.freeze()
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.running()?.thaw();
        Ok(())
    }

    /// Everything the server printed and logged, to be shown with a failure.
    pub fn logs(&self) -> String {
        let files = fs::read_dir(self.state.path()).into_iter().flatten().flatten();
        let mut logs: Vec<_> = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        let show = |path: &PathBuf| {
            let text = fs::read(path).unwrap_or_default();
            format!("--- {}\n{}", path.display(), String::from_utf8_lossy(&text))
        };
        logs.iter().map(show).collect()
    }

    fn running(&self) -> io::Result<&ProcessTree> {
        self.process.as_ref().ok_or_else(|| io::Error::other(format!("{} is stopped", self.kind)))
    }

    fn launch(&mut self) -> Result<(), Launch> {
        let setup = Setup {
            root: &self.root,
            state: self.state.path(),
            address: self.addr(),
            extra: &self.options.extra,
        };
        let mut command = self.kind.prepare(&setup).map_err(Launch::Impossible)?;
        if let Some(place) = self.options.site.place {
            command = place.inside(&command);
        }
        let log = self.state.path().join("output.log");
        let spawned = ProcessTree::spawn(&command, &log);
        let process =
            spawned.map_err(|error| Launch::Impossible(Unavailable::new(self.kind, error)))?;
        self.home = self.await_login(process)?;
        Ok(())
    }

    /// Waits until a login works and keeps the process; the folder it starts in.
    fn await_login(&mut self, mut process: ProcessTree) -> Result<String, Launch> {
        let mut ended = None;
        let mut folder = Err(io::Error::other("it does not answer"));
        holds_within(START_LIMIT, || {
            ended = process.ended().ok().flatten();
            folder = self.session().and_then(|mut ftp| ftp.folder());
            ended.is_some() || folder.is_ok()
        });
        match (ended, folder) {
            (None, Ok(folder)) => {
                self.process = Some(process);
                Ok(folder)
            }
            (Some(status), _) => {
                Err(Launch::Ended(format!("it ended with {status}\n{}", self.logs())))
            }
            (None, Err(error)) => Err(Launch::Impossible(Unavailable::new(
                self.kind,
                format!("no login within {START_LIMIT:?}: {error}\n{}", self.logs()),
            ))),
        }
    }
}

/// Why a launch failed.
enum Launch {
    /// Trying again would not help.
    Impossible(Unavailable),
    /// The program ended, as it does when its port is taken.
    Ended(String),
}

fn free_port(address: Ipv4Addr) -> io::Result<u16> {
    Ok(TcpListener::bind((address, 0))?.local_addr()?.port())
}
