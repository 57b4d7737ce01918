//! What the demo plays on: a folder that goes away, the file to send, the partner's server and
//! the install directory.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use ferryway_mocks::ftp_server::{Behaviour, FtpServer};
use tempfile::TempDir;

use super::Failure;
use crate::config::InstallDir;

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
        stage.install().map_err(|error| Failure::io("furnish", &stage.install_dir(), error))?;
        let source = stage.source();
        let made = tokio::task::spawn_blocking({
            let source = source.clone();
            move || make_file(&source, size, seed)
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

    /// The run directory of a node: short, since a socket's path must be.
    pub(super) fn run_dir(&self, node: &str) -> PathBuf {
        self.folder().join("run").join(node)
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

    fn install(&self) -> io::Result<()> {
        let install = InstallDir::new(&self.install_dir())?;
        for folder in install.folders() {
            fs::create_dir_all(folder)?;
        }
        write_private(&install.config_file(), &configuration(self.server.addr()))?;
        write_private(&install.definitions().join("demo.toml"), &definition())?;
        link_plugins(&install.plugins())
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

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// The host looks for plugins beside its executable; under `cargo test` some lie in `deps`
/// only. Where there are both, the one that was built with the host is loaded and the other
/// one refused, whichever comes first.
fn link_plugins(plugins: &Path) -> io::Result<()> {
    let executable = env::current_exe()?;
    let Some(folder) = executable.parent() else { return Ok(()) };
    let entries = match fs::read_dir(folder.join("deps")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let library = text.strip_prefix(env::consts::DLL_PREFIX);
        if library.is_some_and(|library| library.starts_with("ferryway_"))
            && text.ends_with(env::consts::DLL_SUFFIX)
        {
            symlink(entry.path(), plugins.join(&name))?;
        }
    }
    Ok(())
}

fn make_file(path: &Path, size: u64, seed: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut file = File::create_new(path)?;
    let mut chunk = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        random.fill(&mut chunk);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        file.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    // Else the disk would be busy with it when the journal wants to be durable.
    file.sync_all()
}
