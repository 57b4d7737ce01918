//! The local folders that jobs may read and write, and the files in them.
//!
//! A file is opened through a handle of its root, so that neither `..` nor a symbolic link
//! leads out of it, whoever changes the folders meanwhile.

use std::{
    fmt, fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, OpenOptions},
};
use ferryway_core::Direction;

use crate::platform::files;

/// The allowed roots, per direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalRoots {
    send: Vec<PathBuf>,
    receive: Vec<PathBuf>,
}

/// A file below a root, or the place for one.
#[derive(Clone)]
pub struct LocalFile {
    root: Arc<Dir>,
    relative: PathBuf,
    display: PathBuf,
}

/// Why a local file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The path is no path of a file that the host can work with.
    #[error("local path `{}`: {reason}", path.escape_debug())]
    Unusable {
        /// The path, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The path lies outside of the allowed roots.
    #[error(
        "local path `{path}` is outside of the folders that `roots.{key}` allows: {roots}; \
         move the file or add its folder there"
    )]
    Outside {
        /// The path.
        path: String,
        /// The key of the roots.
        key: &'static str,
        /// The allowed roots, in words.
        roots: String,
    },
    /// A symbolic link on the path leads out of its root.
    #[error(
        "local path `{path}`: a symbolic link leads out of the allowed folder; put the file \
         itself there or allow its folder in `[roots]`"
    )]
    Escapes {
        /// The path.
        path: String,
    },
    /// The system refused.
    #[error("cannot {operation} `{path}`: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The path.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl LocalRoots {
    /// Roots by their absolute paths.
    pub fn new(send: Vec<PathBuf>, receive: Vec<PathBuf>) -> Self {
        Self { send, receive }
    }

    /// The roots of a direction, the one of relative paths first.
    pub fn of(&self, direction: Direction) -> &[PathBuf] {
        match direction {
            Direction::Send => &self.send,
            Direction::Fetch => &self.receive,
        }
    }

    /// The file at a path: absolute and below a root, or relative to the first root. The
    /// file need not exist; its root must. Each call opens the root anew, so that a file
    /// system mounted meanwhile is seen.
    ///
    /// # Errors
    /// `Unusable` for a path that is empty, not UTF-8, or has CR, LF, NUL, `.` or `..` in it;
    /// `Outside` when no root has it; `Io` when the root cannot be opened.
    pub fn resolve(&self, path: &Path, direction: Direction) -> Result<LocalFile, RootError> {
        let (root, relative) = self.locate(path, direction)?;
        Self::root(&root, relative)
    }

    /// As [`resolve`](Self::resolve), of a folder, which may be a root itself; `None` is the
    /// first root.
    ///
    /// # Errors
    /// As there.
    pub fn folder(
        &self,
        path: Option<&Path>,
        direction: Direction,
    ) -> Result<LocalFile, RootError> {
        let roots = self.of(direction);
        let root = match path {
            None => roots.first(),
            Some(path) => roots.iter().find(|root| {
                *root == path || fs::canonicalize(root).is_ok_and(|real| real == path)
            }),
        };
        match (root, path) {
            (Some(root), _) => Self::root(root, PathBuf::from(".")),
            (None, Some(path)) => self.resolve(path, direction),
            (None, None) => Err(self.outside(Path::new("."), direction)),
        }
    }

    /// The root of a path and the way from it, by the path's text alone.
    pub(super) fn locate(
        &self,
        path: &Path,
        direction: Direction,
    ) -> Result<(PathBuf, PathBuf), RootError> {
        check_text(path)?;
        let roots = self.of(direction);
        let outside = || self.outside(path, direction);
        if path.is_relative() {
            let root = roots.first().ok_or_else(outside)?;
            return Ok((root.clone(), path.to_owned()));
        }
        let below = |root: &PathBuf| {
            let real = || fs::canonicalize(root).ok();
            let below = path.strip_prefix(root).ok().map(Path::to_owned);
            let below = below.or_else(|| path.strip_prefix(real()?).ok().map(Path::to_owned))?;
            (!below.as_os_str().is_empty()).then(|| (root.clone(), below))
        };
        // The innermost root has the shortest way to the file.
        let found = roots.iter().filter_map(below);
        found.min_by_key(|(_, below)| below.components().count()).ok_or_else(outside)
    }

    fn root(root: &Path, relative: PathBuf) -> Result<LocalFile, RootError> {
        let dir = Dir::open_ambient_dir(root, ambient_authority())
            .map_err(|error| failed("open the allowed folder", root, error))?;
        Ok(LocalFile { root: Arc::new(dir), display: root.join(&relative), relative })
    }

    fn outside(&self, path: &Path, direction: Direction) -> RootError {
        RootError::Outside {
            path: path.display().to_string(),
            key: match direction {
                Direction::Send => "send",
                Direction::Fetch => "receive",
            },
            roots: match self.of(direction) {
                [] => "none".to_owned(),
                roots => {
                    roots.iter().map(|r| r.display().to_string()).collect::<Vec<_>>().join(", ")
                }
            },
        }
    }
}

impl LocalFile {
    /// The absolute path, for messages and the journal.
    pub fn path(&self) -> &Path {
        &self.display
    }

    /// The file's own name.
    pub fn name(&self) -> &str {
        self.relative.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The file of another name in the same folder.
    ///
    /// # Errors
    /// `Unusable` when `name` is no single name.
    pub fn sibling(&self, name: &str) -> Result<Self, RootError> {
        check_text(Path::new(name))?;
        if name.contains('/') {
            return Err(unusable(Path::new(name), "a name has no `/`"));
        }
        Ok(Self {
            root: Arc::clone(&self.root),
            relative: self.relative.with_file_name(name),
            display: self.display.with_file_name(name),
        })
    }

    /// What the system tells about the file, following links within the root.
    ///
    /// # Errors
    /// `Io` when there is no such file, `Escapes` when a link leads out.
    pub fn metadata(&self) -> Result<Metadata, RootError> {
        self.root.metadata(&self.relative).map_err(|error| self.failed("look at", error))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata), and `Unusable` when it is a folder, a pipe or a device.
    pub fn open_read(&self) -> Result<fs::File, RootError> {
        self.open("open", OpenOptions::new().read(true))
    }

    /// Opens a regular file for reading and writing, keeping its bytes.
    ///
    /// # Errors
    /// As [`open_read`](Self::open_read).
    pub fn open_write(&self) -> Result<fs::File, RootError> {
        self.open("open for writing", OpenOptions::new().read(true).write(true))
    }

    /// Makes a file that was not there. Its name is durable after
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// `Io` of kind `AlreadyExists` when anything has the name.
    pub fn create_new(&self) -> Result<fs::File, RootError> {
        self.open("create", OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// Makes the folders that lead to the file.
    ///
    /// # Errors
    /// `Io` when the system refuses, `Escapes` when a link leads out.
    pub fn create_folders(&self) -> Result<(), RootError> {
        match self.parent() {
            None => Ok(()),
            Some(folder) => self
                .root
                .create_dir_all(folder)
                .map_err(|error| self.failed("make the folder of", error)),
        }
    }

    /// The names in a folder.
    ///
    /// # Errors
    /// `Io` when there is no such folder, `Escapes` when a link leads out.
    pub fn list(&self) -> Result<Vec<String>, RootError> {
        let name = |entry: io::Result<cap_std::fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        let entries = self.root.read_dir(&self.relative);
        entries
            .and_then(|entries| entries.map(name).collect())
            .map_err(|error| self.failed("list", error))
    }

    /// Makes a folder in an existing one. Durable after [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// `Io` of kind `AlreadyExists` when anything has the name.
    pub fn make_folder(&self) -> Result<(), RootError> {
        self.root.create_dir(&self.relative).map_err(|error| self.failed("make the folder", error))
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `Io` when the system refuses.
    pub fn remove_folder(&self) -> Result<(), RootError> {
        self.root.remove_dir(&self.relative).map_err(|error| self.failed("remove", error))
    }

    /// Renames the file to another place on the same file system, replacing what is there.
    /// Durable after [`sync_folder`](Self::sync_folder) of both.
    ///
    /// # Errors
    /// `Io` when the system refuses, with the kind `CrossesDevices` between file systems.
    pub fn rename_to(&self, to: &Self) -> Result<(), RootError> {
        self.root
            .rename(&self.relative, &to.root, &to.relative)
            .map_err(|error| self.failed("rename", error))
    }

    /// Removes the file.
    ///
    /// # Errors
    /// `Io` when the system refuses.
    pub fn remove(&self) -> Result<(), RootError> {
        self.root.remove_file(&self.relative).map_err(|error| self.failed("remove", error))
    }

    /// Makes the bytes durable that the file has now, of which `file` is an open handle.
    ///
    /// # Errors
    /// `Io` when the system refuses.
    pub fn sync(&self, file: &fs::File) -> Result<(), RootError> {
        files::sync_by(file, || self.open_write().map_err(Into::into))
            .map_err(|error| self.failed("sync", error))
    }

    /// Makes the names in the file's folder durable.
    ///
    /// # Errors
    /// `Io` when the system refuses.
    pub fn sync_folder(&self) -> Result<(), RootError> {
        let folder = self.parent().unwrap_or(Path::new("."));
        files::sync_folder_in(&self.root, folder)
            .map_err(|error| self.failed("sync the folder of", error))
    }

    /// Bytes that may still be written on the file's root.
    ///
    /// # Errors
    /// `Io` when the system does not tell.
    pub fn free_bytes(&self) -> Result<u64, RootError> {
        files::free_bytes(&self.root, &self.display)
            .map_err(|error| self.failed("look at the disk of", error))
    }

    fn parent(&self) -> Option<&Path> {
        self.relative.parent().filter(|parent| !parent.as_os_str().is_empty())
    }

    fn open(
        &self,
        operation: &'static str,
        options: &mut OpenOptions,
    ) -> Result<fs::File, RootError> {
        let file = self
            .root
            .open_with(&self.relative, files::without_waiting(options))
            .map_err(|error| self.failed(operation, error))?
            .into_std();
        let facts = file.metadata().map_err(|error| self.failed(operation, error))?;
        if !facts.is_file() {
            return Err(unusable(&self.display, "it is no regular file"));
        }
        Ok(file)
    }

    fn failed(&self, operation: &'static str, error: io::Error) -> RootError {
        failed(operation, &self.display, error)
    }
}

impl fmt::Debug for LocalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.display, f)
    }
}

impl RootError {
    /// The kind of the system's error, for deciding what to do.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Unusable { .. } => io::ErrorKind::InvalidInput,
            Self::Outside { .. } | Self::Escapes { .. } => io::ErrorKind::PermissionDenied,
            Self::Io { source, .. } => source.kind(),
        }
    }
}

impl From<RootError> for io::Error {
    fn from(error: RootError) -> Self {
        Self::new(error.kind(), error)
    }
}

fn check_text(path: &Path) -> Result<(), RootError> {
    let refuse = |reason| Err(unusable(path, reason));
    let Some(text) = path.to_str() else { return refuse("it is not UTF-8") };
    if text.is_empty() || text.ends_with('/') {
        return refuse("it names no file");
    }
    if text.contains(['\r', '\n', '\0']) {
        return refuse("CR, LF and NUL are not allowed in a name");
    }
    let dots = |part| matches!(part, Component::ParentDir | Component::CurDir);
    if path.components().any(dots) || text.ends_with("/.") {
        return refuse("`.` and `..` parts are not allowed");
    }
    files::unusable(path).map_or(Ok(()), refuse)
}

fn unusable(path: &Path, reason: &'static str) -> RootError {
    RootError::Unusable { path: path.display().to_string(), reason }
}

fn failed(operation: &'static str, path: &Path, error: io::Error) -> RootError {
    let path = path.display().to_string();
    // The sandbox refuses a way out with this kind and without a code of the system.
    let escapes = error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none();
    if escapes {
        RootError::Escapes { path }
    } else {
        RootError::Io { operation, path, source: error }
    }
}
