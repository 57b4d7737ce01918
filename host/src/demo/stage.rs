//! What the demo plays on: a folder that goes away, the file to send, the partner's server and
//! the install directory.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ferryway_mocks::ftp_server::{Behaviour, FtpServer};
use tempfile::TempDir;

use crate::laboratory::{
    Failure,
    hosts::{self, HostProcess, Place},
    install,
};

/// The instance's name, which is part of the names that the partner sees.
pub(super) const INSTANCE: &str = "demo";
/// The transfer definition.
pub(super) const DEFINITION: &str = "DEMO01";
/// The file's name on our side.
pub(super) const FILE: &str = "ledger.dat";
/// The file's name on the partner's side.
pub(super) const TARGET: &str = "in/ledger.dat";

/// How long the upload would take without interruption: long enough that it is cut in the
/// middle, whatever the machine.
const UPLOAD_SECONDS: u64 = 4;

/// Everything the demo needs beside the hosts. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    pub(super) server: FtpServer,
    /// Bytes in a second that the server takes.
    pub(super) rate: u64,
    /// Size of the file in bytes.
    pub(super) size: u64,
}

impl Stage {
    /// Sets all up, with a file of `size` bytes made from `seed`.
    ///
    /// # Errors
    /// When the system refuses something.
    pub(super) async fn set_up(size: u64, seed: u64, keep: bool) -> Result<Self, Failure> {
        let mut folder = tempfile::Builder::new()
            .prefix("ferryway-demo-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| Failure::io("make a folder in", &env::temp_dir(), error))?;
        folder.disable_cleanup(keep);
        let path = folder.path().to_owned();
        for inner in ["partner/in", "install/data", "run"] {
            let inner = path.join(inner);
            fs::create_dir_all(&inner).map_err(|error| Failure::io("make", &inner, error))?;
        }
        let rate = size / UPLOAD_SECONDS;
        // As most servers are: no command that tells a file's hash, so the bytes already there
        // are proved by reading them back.
        let server = FtpServer::builder(path.join("partner"))
            .behaviour(Behaviour::proftpd())
            .user("ferry", "demo")
            .upload_bytes_per_second(rate)
            .start()
            .await
            .map_err(|error| Failure::io("start an FTP server on", &path, error))?;
        let stage = Self { folder, server, rate, size };
        install::furnish(&stage.install_dir(), &configuration(stage.server.addr()), &definition())
            .map_err(|error| Failure::io("furnish", &stage.install_dir(), error))?;
        let source = stage.source();
        let made = tokio::task::spawn_blocking({
            let source = source.clone();
            move || install::make_file(&source, size, seed)
        });
        made.await
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(|error| Failure::io("write", &source, error))?;
        Ok(stage)
    }

    /// The folder of it all.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The install directory, which stands for the shared disk.
    pub(super) fn install_dir(&self) -> PathBuf {
        self.folder().join("install")
    }

    /// Starts the host of a node.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn start_host(&self, node: &'static str) -> Result<HostProcess, Failure> {
        HostProcess::start(Place {
            node,
            install: &self.install_dir(),
            run_dir: &self.folder().join("run").join(node),
            log: &self.log(node),
            variables: &[],
        })
    }

    /// The last lines of what the hosts of these nodes printed, under their names.
    pub(super) fn logs(&self, nodes: &[&str]) -> String {
        nodes
            .iter()
            .map(|node| (node, hosts::tail(&self.log(node))))
            .filter(|(_, text)| !text.is_empty())
            .map(|(node, text)| format!("--- the end of {node}'s log ---\n{text}\n"))
            .collect()
    }

    fn log(&self, node: &str) -> PathBuf {
        self.folder().join(format!("{node}.log"))
    }

    /// The file to send.
    pub(super) fn source(&self) -> PathBuf {
        self.install_dir().join("data").join(FILE)
    }

    /// What the partner's users see as `/`.
    pub(super) fn partner(&self) -> PathBuf {
        self.folder().join("partner")
    }

    /// The file as it arrives.
    pub(super) fn target(&self) -> PathBuf {
        self.partner().join(TARGET)
    }
}

fn configuration(server: SocketAddr) -> String {
    format!(
        "[instance]\nname = \"{INSTANCE}\"\n\n[roots]\nsend = [\"data\"]\n\n\
         [partners.bank]\ntransport = \"ftp\"\nhost = \"{}\"\nport = {}\n\
         user = \"ferry\"\npassword = \"demo\"\ntls = \"off\"\n\n[partners.bank.retry]\nfirst_s = 1\n",
        server.ip(),
        server.port(),
    )
}

fn definition() -> String {
    format!(
        "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"bank\"\ndirection = \"send\"\n\
         local = \"{FILE}\"\nremote = \"{TARGET}\"\n"
    )
}
