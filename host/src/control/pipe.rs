//! The pipe of the control API, which is named in the run directory.
//!
//! The file `control.pipe` says which pipe and of which process. It is held open for writing by
//! the host that listens, which nobody else can be at the same time: a file that can be opened so
//! is a dead host's. The pipe's name is drawn anew for each host, so that nobody can be there
//! before it, and whoever may read the run directory finds the way. Who may connect is for the
//! pipe's own access list to say: the user of the host, the system, and administrators.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions},
    time::sleep,
};

use crate::platform::{Locked, Readers, files, lock};

/// How long to wait until all ends of a pipe in use are worth another try.
const BUSY_BACKOFF: Duration = Duration::from_millis(20);

/// `ERROR_PIPE_BUSY`: the host is about to make the next end.
const PIPE_BUSY: i32 = 231;

/// The path of the file in a run directory that names the control pipe.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.pipe")
}

/// A control pipe that listens. Its file goes away with it, unless another host's is in its
/// place by then.
#[derive(Debug)]
pub struct ControlSocket {
    listener: Listener,
    file: SocketFile,
}

/// Why there is no control pipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another host uses the run directory.
    #[error(
        "another host{} serves `{}`; stop it first, or give this instance a run directory of \
         its own: without a `run_dir`, instances of one name share one",
        process.as_ref().map(|process| format!(" (process {process})")).unwrap_or_default(),
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other host's process id, if it said so.
        process: Option<String>,
    },
    /// The system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl ControlSocket {
    /// Makes the run directory with its parents, and listens on a pipe that is named there.
    ///
    /// # Errors
    /// When another host listens there, or the system refuses.
    // As on Unix, where this waits for an answer.
    #[allow(clippy::unused_async)]
    pub async fn bind(run_dir: &Path) -> Result<Self, BindError> {
        files::make_folders(run_dir, Readers::Owner).map_err(failed("create", run_dir))?;
        let path = socket_path(run_dir);
        match lock::take(&path).map_err(failed("open", &path))? {
            Locked::Ours(file) => Self::listen(path, file),
            Locked::Taken(file) => {
                let process = read(file).ok().map(|(process, _)| process);
                Err(BindError::InUse { path, process })
            }
            Locked::Unavailable(source) => Err(failed("lock", &path)(source)),
        }
    }

    /// As [`bind`](Self::bind), but in the place of whoever listens there, alive or not. The
    /// other keeps its connections and is asked nothing more; who owns the instance is the
    /// journal's to say.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn replace(run_dir: &Path) -> Result<Self, BindError> {
        files::make_folders(run_dir, Readers::Owner).map_err(failed("create", run_dir))?;
        let path = socket_path(run_dir);
        // A file that another process holds open keeps its name until it is closed, so that name
        // must be another one.
        let old = run_dir.join(format!("control.pipe.{:016x}", fastrand::u64(..)));
        match fs::rename(&path, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("move aside", &path)(error));
            }
            Err(_) => {}
            Ok(()) => fs::remove_file(&old).map_err(failed("remove", &old))?,
        }
        match lock::take(&path).map_err(failed("open", &path))? {
            Locked::Ours(file) => Self::listen(path, file),
            Locked::Taken(_) => Err(BindError::InUse { path, process: None }),
            Locked::Unavailable(source) => Err(failed("lock", &path)(source)),
        }
    }

    fn listen(path: PathBuf, mut file: File) -> Result<Self, BindError> {
        let name =
            format!(r"\\.\pipe\ferryway-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut options = ServerOptions::new();
        let next = options.first_pipe_instance(true).create(&name);
        let next = next.map_err(failed("make the pipe of", &path))?;
        let listener = Listener { name, next: Some(next) };
        let mut sign = || {
            file.set_len(0)?;
            file.rewind()?;
            // In one piece, so that whoever reads it finds all or nothing.
            file.write_all(format!("{}\n{}\n", std::process::id(), listener.name).as_bytes())
        };
        sign().map_err(failed("write", &path))?;
        Ok(Self { listener, file: SocketFile { path, _held: file } })
    }

    /// The file that names it.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Parts the listener from the file, which goes away when it is dropped.
    pub(super) fn into_parts(self) -> (Listener, SocketFile) {
        (self.listener, self.file)
    }
}

/// What accepts connections.
#[derive(Debug)]
pub(super) struct Listener {
    name: String,
    /// The end that the next visitor gets. There is always one, so that nobody finds no pipe;
    /// `None` when it could not be made.
    next: Option<NamedPipeServer>,
}

impl Listener {
    /// The next connection.
    ///
    /// # Errors
    /// When the system refuses; the next call may do better.
    pub(super) async fn accept(&mut self) -> io::Result<(Accepted, ())> {
        let next = match self.next.take() {
            Some(next) => next,
            None => self.end()?,
        };
        // Whoever drops the future keeps the end for the next call.
        let next = self.next.insert(next);
        if let Err(error) = next.connect().await {
            // It is of no use any more.
            self.next = None;
            return Err(error);
        }
        let after = self.end();
        let connected = std::mem::replace(&mut self.next, after.ok());
        let connected = connected.ok_or(io::ErrorKind::NotConnected)?;
        Ok((connected, ()))
    }

    fn end(&self) -> io::Result<NamedPipeServer> {
        ServerOptions::new().create(&self.name)
    }
}

/// The host's end of a connection.
pub(super) type Accepted = NamedPipeServer;

/// The operator's end of a connection.
pub(super) type Connected = NamedPipeClient;

/// Connects to the pipe that a file names.
///
/// # Errors
/// Of kind `NotFound` when nobody listens.
pub(super) async fn connect(socket: &Path) -> io::Result<Connected> {
    let (_, name) = read(File::open(socket)?)?;
    loop {
        match ClientOptions::new().open(&name) {
            Ok(connected) => return Ok(connected),
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => sleep(BUSY_BACKOFF).await,
            Err(error) => return Err(error),
        }
    }
}

/// Nobody is a stranger here: who can write the file that names the pipe is for the access list
/// of the run directory to say.
///
/// # Errors
/// None.
// As on Unix, where the system may not tell.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn stranger(_: &Connected) -> io::Result<Option<u32>> {
    Ok(None)
}

/// The file that names the pipe, held open.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    _held: File,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another host's file is held open by that one.
        let ours = || {
            Ok::<_, io::Error>(
                files::looks(&File::open(&self.path)?)?.number == files::looks(&self._held)?.number,
            )
        };
        if ours().is_ok_and(|ours| ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the file of the control pipe stays");
        }
    }
}

/// The process and the pipe that a file names.
fn read(file: File) -> io::Result<(String, String)> {
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text)?;
    let mut lines = text.lines().map(str::to_owned);
    match (lines.next(), lines.next()) {
        (Some(process), Some(name)) if name.starts_with(r"\\.\pipe\") => Ok((process, name)),
        // A host that has begun this moment has not written it yet.
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |source| BindError::Io { action, path, source }
}
