//! The server at the other end: one of the real ones, or the mock.

use std::{fmt, fs, net::SocketAddr, path::Path};

use ferryway_mocks::ftp_server::{FtpServer, FtpServerBuilder};
use tokio::runtime::Handle;

use crate::{
    Unavailable,
    servers::{Options, RealServer, ServerKind, Site},
};

/// Which server a cell of the matrix is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The mock server of this project.
    Mock,
    /// A real one.
    Real(ServerKind),
}

impl Kind {
    /// Whether an upload that broke off can be taken up where it ended. Else it starts anew:
    /// pure-ftpd cuts a file off where a store starts again, and the others take no offset for one.
    pub fn resumes_uploads(self) -> bool {
        !matches!(
            self,
            Self::Real(
                ServerKind::PureFtpd
                    | ServerKind::PureFtpdAtomic
                    | ServerKind::ProftpdDefaults
                    | ServerKind::ProftpdHiddenStores
            )
        )
    }

    /// Whether it writes uploads to files of names of its own, which a kill leaves behind, and
    /// gives them theirs at the end.
    pub fn names_uploads_at_their_end(self) -> bool {
        matches!(self, Self::Real(ServerKind::PureFtpdAtomic | ServerKind::ProftpdHiddenStores))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mock => f.write_str("the mock"),
            Self::Real(kind) => kind.fmt(f),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub enum Server {
    /// The mock, and how it is started again.
    Mock {
        /// How it was set up.
        builder: Box<FtpServerBuilder>,
        /// The server itself.
        running: FtpServer,
        /// The runtime it is in.
        handle: Handle,
    },
    /// A real one.
    Real(Box<RealServer>),
}

impl Server {
    /// Starts one on `root`, which is at `site` unless it is the mock; `rate` limits each
    /// transfer, in bytes per second.
    pub fn start(
        kind: Kind,
        root: &Path,
        site: Site,
        rate: Option<u64>,
        handle: &Handle,
    ) -> Result<Self, Unavailable> {
        match kind {
            Kind::Mock => {
                let builder = FtpServer::builder(root).bytes_per_second(rate.unwrap_or(0));
                let running = handle.block_on(builder.start());
                let running = running.map_err(|error| Unavailable::new(kind, error))?;
                Ok(Self::Mock { builder: Box::new(builder), running, handle: handle.clone() })
            }
            Kind::Real(kind) => {
                let extra = rate.map(|rate| limit(kind, rate)).unwrap_or_default();
                let options = Options { site, extra };
                RealServer::start_with(kind, root, options).map(|real| Self::Real(Box::new(real)))
            }
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Mock { running, .. } => running.addr(),
            Self::Real(real) => real.addr(),
        }
    }

    /// The keys of the partner's table that lead here.
    pub fn keys(&self) -> String {
        self.keys_by_way_of(self.addr())
    }

    /// The keys that lead here by way of a relay at `addr`.
    pub fn keys_by_way_of(&self, addr: SocketAddr) -> String {
        let (user, password, tls) = match self {
            Self::Mock { .. } => ("ferry", "any", None),
            Self::Real(real) => (real.user(), real.password(), real.certificate()),
        };
        let tls = match tls {
            None => "tls = \"off\"".to_owned(),
            Some(certificate) => format!(
                "tls = \"explicit\"\ntls_server_name = \"localhost\"\ntls_ca_file = \"{}\"",
                certificate.display()
            ),
        };
        format!(
            "host = \"{}\"\nport = {}\nuser = \"{user}\"\npassword = \"{password}\"\n{tls}\n",
            addr.ip(),
            addr.port()
        )
    }

    /// Lets the server's user write in a folder that the test made.
    pub fn grant(&self, path: &Path) {
        if let Self::Real(real) = self {
            real.grant(path).unwrap();
        }
    }

    /// Ends the server and all its sessions.
    pub fn stop(&mut self) {
        match self {
            Self::Mock { running, handle, .. } => handle.block_on(running.stop()),
            Self::Real(real) => real.stop(),
        }
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        match self {
            Self::Mock { builder, running, handle } => {
                let again = handle.block_on(builder.start_on(running.addr()));
                *running = again.unwrap();
            }
            Self::Real(real) => real.start_again().unwrap(),
        }
    }

    /// Restarts it as an operator does, who gives it time to end.
    pub fn restart(&mut self) {
        match self {
            Self::Mock { .. } => self.stop(),
            Self::Real(real) => real.stop_in_order().unwrap(),
        }
        self.start_again();
    }

    /// What it said and did, to be shown with a failure.
    pub fn logs(&self) -> String {
        match self {
            Self::Mock { running, .. } => running.transcript().to_string(),
            Self::Real(real) => real.logs(),
        }
    }
}

/// The bytes of the largest file below a folder: how far a transfer into it is, whatever the
/// receiver calls the file meanwhile.
pub fn largest(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let facts = entry.metadata().ok()?;
        Some(if facts.is_dir() { largest(&entry.path()) } else { facts.len() })
    });
    sizes.max().unwrap_or(0)
}

/// The lines that slow a server down to `rate` bytes per second.
fn limit(kind: ServerKind, rate: u64) -> Vec<String> {
    let kib = rate / 1024;
    match kind {
        ServerKind::Vsftpd | ServerKind::VsftpdNoLock | ServerKind::VsftpdTls(_) => {
            vec![format!("anon_max_rate={rate}")]
        }
        ServerKind::Proftpd
        | ServerKind::ProftpdDefaults
        | ServerKind::ProftpdHiddenStores
        | ServerKind::ProftpdTls => vec![format!("TransferRate STOR,RETR {kib}")],
        ServerKind::PureFtpd | ServerKind::PureFtpdAtomic => {
            vec!["--userbandwidth".to_owned(), kib.to_string()]
        }
        ServerKind::Pyftpdlib | ServerKind::PyftpdlibLocking => [
            "from pyftpdlib.handlers import ThrottledDTPHandler".to_owned(),
            "handler.dtp_handler = ThrottledDTPHandler".to_owned(),
            format!("ThrottledDTPHandler.read_limit = {rate}"),
            format!("ThrottledDTPHandler.write_limit = {rate}"),
        ]
        .into(),
    }
}
