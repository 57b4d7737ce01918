//! The socket of the control API in the run directory.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::platform::{Readers, files, machine};

/// The longest path of a socket in bytes. Systems have room for 104 to 108 in `sun_path`.
pub const PATH_LIMIT: usize = 100;

const PROBE_TIME_LIMIT: Duration = Duration::from_secs(1);

/// What accepts connections.
pub(super) type Listener = UnixListener;

/// The host's end of a connection.
pub(super) type Accepted = UnixStream;

/// The operator's end of a connection.
pub(super) type Connected = UnixStream;

/// The path of the control socket in a run directory.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}

/// Connects to a control socket.
///
/// # Errors
/// Of kind `NotFound` or `ConnectionRefused` when nobody listens.
pub(super) async fn connect(socket: &Path) -> io::Result<Connected> {
    UnixStream::connect(socket).await
}

/// The user at the other end of a connection to a host, when that is somebody whom nothing is
/// told.
///
/// # Errors
/// When the system does not tell.
pub(super) fn stranger(stream: &Connected) -> io::Result<Option<u32>> {
    let user = stream.peer_cred()?.uid();
    Ok((!trusted(user, machine::user())).then_some(user))
}

/// A control socket that listens. The file goes away with it, unless another host's is in its
/// place by then.
#[derive(Debug)]
pub struct ControlSocket {
    listener: Listener,
    file: SocketFile,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The path is longer than systems allow.
    #[error(
        "the control socket's path `{}` has {} bytes, and {PATH_LIMIT} are allowed; name a \
         shorter run directory",
        path.display(), path.as_os_str().len()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Others could put a socket of theirs into the run directory.
    #[error(
        "the run directory `{}` belongs to user {owner} and has mode {mode:o}: others could \
         replace the control socket; run `chmod go-w` on it, or name another one",
        path.display()
    )]
    Unsafe {
        /// The run directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// Another host uses the run directory.
    #[error(
        "another host{} serves `{}`; stop it first, or give this instance a run directory of \
         its own: without a `run_dir`, instances of one name share one", pid(process.as_deref()), path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The other host's process id, if it said so.
        process: Option<String>,
    },
    /// A file that is no socket has the socket's name.
    #[error("`{}` is in the way: it is no socket; move it away", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
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
    /// Makes the run directory (mode 0700, with its parents) and listens on its socket (mode
    /// 0600). What a dead host left behind is replaced; a lock that ends with its process
    /// tells the dead from the living.
    ///
    /// # Errors
    /// When the directory is not ours alone to write, another host listens there, or the
    /// system refuses.
    pub async fn bind(run_dir: &Path) -> Result<Self, BindError> {
        let path = prepare(run_dir)?;
        let lock = lock(run_dir, &path)?;
        refuse_living(&path).await?;
        Self::listen(run_dir, path, lock)
    }

    /// As [`bind`](Self::bind), but in the place of whoever listens there, alive or not. The
    /// other keeps its connections and is asked nothing more; who owns the instance is the
    /// journal's to say.
    ///
    /// # Errors
    /// When the directory is not ours alone to write, or the system refuses.
    pub fn replace(run_dir: &Path) -> Result<Self, BindError> {
        let path = prepare(run_dir)?;
        let lock = new_lock(run_dir)?;
        Self::listen(run_dir, path, lock)
    }

    fn listen(run_dir: &Path, path: PathBuf, lock: File) -> Result<Self, BindError> {
        let listener = listen(run_dir, &path)?;
        let identity = identity(&path).map_err(failed("look at", &path))?;
        Ok(Self { listener, file: SocketFile { path, identity, _lock: lock } })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Parts the listener from the file, which goes away when it is dropped.
    pub(super) fn into_parts(self) -> (Listener, SocketFile) {
        (self.listener, self.file)
    }
}

/// The socket's file and the lock on its name.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    _lock: File,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the control socket stays behind");
        }
    }
}

/// Whether a host of `user` is one that `ours` talks to. In a folder such as `/tmp` anybody
/// may have made the run directory first; root, who serves every instance, may ask anyone.
fn trusted(user: u32, ours: u32) -> bool {
    user == ours || user == 0 || ours == 0
}

/// Makes the run directory, and tells the socket's path in it.
fn prepare(run_dir: &Path) -> Result<PathBuf, BindError> {
    let path = socket_path(run_dir);
    if path.as_os_str().len() > PATH_LIMIT {
        return Err(BindError::PathTooLong { path });
    }
    files::make_folders(run_dir, Readers::Owner).map_err(failed("create", run_dir))?;
    let meta = fs::metadata(run_dir).map_err(failed("look at", run_dir))?;
    let (owner, mode) = (meta.uid(), meta.mode() & 0o7777);
    let ours = owner == machine::user() || owner == 0;
    if !ours || mode & 0o022 != 0 {
        return Err(BindError::Unsafe { path: run_dir.to_owned(), owner, mode });
    }
    Ok(path)
}

fn lock(run_dir: &Path, socket: &Path) -> Result<File, BindError> {
    let path = lock_path(run_dir);
    let mut file = open_lock(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let read = file.take(20).read_to_string(&mut process);
            let process = read.ok().map(|_| process.trim().to_owned()).filter(|p| !p.is_empty());
            return Err(BindError::InUse { path: socket.to_owned(), process });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    sign(&mut file).map_err(failed("write", &path))?;
    // Another host may have put its own lock in the place of the one that we opened.
    let ours = file.metadata().map(|meta| (meta.dev(), meta.ino()));
    if identity(&path).ok() != ours.ok() {
        return Err(BindError::InUse { path: socket.to_owned(), process: None });
    }
    Ok(file)
}

/// A lock in the place of the one that another host may hold: that one loses its name.
fn new_lock(run_dir: &Path) -> Result<File, BindError> {
    let path = lock_path(run_dir);
    let nest = nest(run_dir)?;
    let born = nest.path().join("l");
    let mut file = open_lock(&born)?;
    file.lock().map_err(failed("lock", &born))?;
    sign(&mut file).map_err(failed("write", &born))?;
    fs::rename(&born, &path).map_err(failed("rename the new lock to", &path))?;
    Ok(file)
}

fn lock_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.lock")
}

fn open_lock(path: &Path) -> Result<File, BindError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    files::keep_private(&mut options).open(path).map_err(failed("open", path))
}

/// Writes the process id for whoever finds the lock taken.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// A folder that nobody else can enter, for what is to appear complete and at once.
fn nest(run_dir: &Path) -> Result<TempDir, BindError> {
    let nest = tempfile::Builder::new().prefix(".n").tempdir_in(run_dir);
    nest.map_err(failed("write into", run_dir))
}

/// Whoever listens without holding the lock is no host of ours, and is left alone all the same.
async fn refuse_living(path: &Path) -> Result<(), BindError> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
        Ok(meta) => meta.file_type(),
    };
    if !kind.is_socket() {
        return Err(BindError::InTheWay { path: path.to_owned() });
    }
    match timeout(PROBE_TIME_LIMIT, UnixStream::connect(path)).await {
        Ok(Err(error))
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        // A full queue or no answer: somebody is there.
        _ => Err(BindError::InUse { path: path.to_owned(), process: None }),
    }
}

/// The socket gets its mode in a folder that nobody else can enter and then its name in one
/// step, so that at no time others can connect, and clients always find a socket.
fn listen(run_dir: &Path, path: &Path) -> Result<UnixListener, BindError> {
    let nest = nest(run_dir)?;
    let born = nest.path().join("s");
    let listener = UnixListener::bind(&born).map_err(failed("listen on", &born))?;
    let mode = Permissions::from_mode(0o600);
    fs::set_permissions(&born, mode).map_err(failed("set the mode of", &born))?;
    fs::rename(&born, path).map_err(failed("rename the new socket to", path))?;
    Ok(listener)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |source| BindError::Io { action, path, source }
}

fn pid(process: Option<&str>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_host_is_not_talked_to() {
        assert!(trusted(7, 7) && trusted(0, 7) && trusted(7, 0));
        assert!(!trusted(8, 7));
    }
}
