//! Finds, vets and loads transport plugins.
//!
//! A plugin runs inside the host, so a file is judged before any of its code is mapped: who
//! could have written it, whether it is a library, and whether its declaration says that it
//! was built exactly like this host. What fails is refused with the reason, and the rest loads.
//! Nothing is ever unloaded: a plugin's threads, thread-locals and vtables stay in use.

mod error;
mod library;
mod report;
mod trust;

use std::{
    collections::BTreeSet,
    env, fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferryway_core::{plugin::HostContext, transport::Transport};

use library::Vetted;

pub use error::{LoadError, Refusal};
pub use report::{Report, plugins_report};
pub use trust::Distrust;

/// Knows the folders where plugins may lie.
#[derive(Clone, Debug)]
pub struct Loader {
    folders: Vec<Folder>,
}

impl Loader {
    /// Looks in the install directory's `plugins/`, where every library counts, then in the
    /// folder of the running executable, where a library counts whose name starts like
    /// `libferryway_`.
    pub fn of_installation(install_dir: &Path) -> Self {
        let executable = env::current_exe().inspect_err(|error| {
            tracing::warn!(%error, "no plugins from beside the executable: its path is unknown");
        });
        let beside = executable.ok().and_then(|path| Some(path.parent()?.to_owned()));
        Self::new(install_dir.join("plugins"), beside)
    }

    /// Looks in `plugins`, then in `beside_executable`, as
    /// [`of_installation`](Self::of_installation) does. A folder that does not exist is empty.
    pub fn new(plugins: PathBuf, beside_executable: Option<PathBuf>) -> Self {
        let mut folders = vec![Folder { path: plugins, prefix: None }];
        folders.extend(beside_executable.map(|path| Folder { path, prefix: Some(BESIDE_PREFIX) }));
        Self { folders }
    }

    /// Loads every plugin found. Where two files declare the same plugin name, the first in
    /// the order of the folders, then of the file names, is loaded, and the others are
    /// listed as shadowed; a refused file shadows nothing.
    ///
    /// Plugins log to the tracing subscriber that is current during this call: install it
    /// first. A library found again by a later call is not started a second time in earnest:
    /// it keeps its runtime and its subscriber.
    pub fn load(&self) -> Plugins {
        let searched = self.folders.iter().map(|folder| folder.path.clone()).collect();
        let mut plugins = Plugins { searched, ..Plugins::default() };
        let mut seen = BTreeSet::new();
        for folder in &self.folders {
            match folder.candidates() {
                Ok(candidates) => {
                    for path in candidates {
                        // The same file is met twice when both folders are one.
                        if fs::canonicalize(&path).is_ok_and(|path| !seen.insert(path)) {
                            continue;
                        }
                        plugins.add(path);
                    }
                }
                Err(refusal) => plugins.refuse(folder.path.clone(), refusal),
            }
        }
        plugins
    }
}

/// What became of the files found.
#[derive(Debug, Default)]
pub struct Plugins {
    /// The plugins that work, in the order in which they were found.
    pub loaded: Vec<Plugin>,
    /// The files and folders that were refused. The host can do without them unless a
    /// definition needs one.
    pub refused: Vec<LoadError>,
    /// The plugins that were left out because a file found earlier has their name.
    pub shadowed: Vec<Shadowed>,
    /// The folders searched, in order.
    pub searched: Vec<PathBuf>,
}

impl Plugins {
    /// The transport that a configuration calls `name`.
    pub fn transport(&self, name: &str) -> Option<Arc<dyn Transport>> {
        let plugin = self.loaded.iter().find(|plugin| plugin.transport.name() == name)?;
        Some(Arc::clone(&plugin.transport))
    }

    /// The names of all transports that work.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.loaded.iter().map(|plugin| plugin.transport.name())
    }

    fn add(&mut self, path: PathBuf) {
        if let Err(refusal) = self.try_add(&path) {
            self.refuse(path, refusal);
        }
    }

    fn try_add(&mut self, path: &Path) -> Result<(), Refusal> {
        let vetted = Vetted::of(path)?;
        let declaration = vetted.declaration();
        let (name, version) = (declaration.name.to_string(), declaration.version.to_string());
        if let Some(first) = self.loaded.iter().find(|plugin| plugin.name == name) {
            let (path, by) = (path.to_owned(), first.path.clone());
            tracing::info!(plugin = %name, path = %path.display(), by = %by.display(), "shadowed");
            self.shadowed.push(Shadowed { path, name, version, by });
            return Ok(());
        }
        let host = HostContext { dispatch: tracing::dispatcher::get_default(Clone::clone) };
        let transport = vetted.enter(host)?;
        let same = |plugin: &&Plugin| plugin.transport.name() == transport.name();
        if let Some(first) = self.loaded.iter().find(same) {
            let (transport, by) = (transport.name().to_owned(), first.path.clone());
            return Err(Refusal::NameTaken { transport, by });
        }
        tracing::info!(plugin = %name, %version, path = %path.display(), "loaded");
        self.loaded.push(Plugin { path: path.to_owned(), name, version, transport });
        Ok(())
    }

    fn refuse(&mut self, path: PathBuf, refusal: Refusal) {
        let error = LoadError { path, refusal };
        tracing::warn!("{error}");
        self.refused.push(error);
    }
}

/// A plugin at work.
pub struct Plugin {
    /// The file it came from.
    pub path: PathBuf,
    /// The name of its package.
    pub name: String,
    /// The version of its package.
    pub version: String,
    /// What it is for.
    pub transport: Arc<dyn Transport>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("path", &self.path)
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A plugin that was left out in favour of another of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The file left out.
    pub path: PathBuf,
    /// The name that both declare.
    pub name: String,
    /// The version left out.
    pub version: String,
    /// The file that is loaded instead.
    pub by: PathBuf,
}

/// What the name of a plugin's library goes on with after the platform's prefix, where other
/// libraries may lie beside it.
const BESIDE_PREFIX: &str = "ferryway_";

#[derive(Clone, Debug)]
struct Folder {
    path: PathBuf,
    /// After the platform's own prefix; `None` takes any name.
    prefix: Option<&'static str>,
}

impl Folder {
    /// The files that may be plugins, in the order of their names.
    fn candidates(&self) -> Result<Vec<PathBuf>, Refusal> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Refusal::Unreadable(error.to_string())),
        };
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .filter(|path| path.as_ref().map_or(true, |path| self.counts(path)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| Refusal::Unreadable(error.to_string()))?;
        paths.sort();
        Ok(paths)
    }

    fn counts(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let start = self.prefix.is_none_or(|prefix| {
            let name = name.strip_prefix(env::consts::DLL_PREFIX);
            name.is_some_and(|name| name.starts_with(prefix))
        });
        start && name.ends_with(env::consts::DLL_SUFFIX)
    }
}
