//! Where everything lies: the install directory on the shared disk, and the run directory of
//! this machine, which is not on it.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    path::{self, Path, PathBuf},
};

use ferryway_core::InstanceName;

use crate::platform::machine;

/// The install directory of an instance. Cheap to clone; tells paths and opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallDir(PathBuf);

impl InstallDir {
    /// The directory at this path, made absolute.
    ///
    /// # Errors
    /// When the path is empty or the working directory is gone.
    pub fn new(path: &Path) -> io::Result<Self> {
        path::absolute(path).map(Self)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `ferryway.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.0.join("ferryway.toml")
    }

    /// The folder of the transfer definitions.
    pub fn definitions(&self) -> PathBuf {
        self.0.join("definitions")
    }

    /// The folder of the plugins.
    pub fn plugins(&self) -> PathBuf {
        self.0.join("plugins")
    }

    /// The folder of the journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// The folder of the operator's log.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The folder of the user exits.
    pub fn exits(&self) -> PathBuf {
        self.0.join("exits")
    }

    /// The folder of `SrcAdr.dat`.
    pub fn master(&self) -> PathBuf {
        self.0.join("tools").join("master")
    }

    /// `tools/master/SrcAdr.dat`, which may name the source address.
    pub fn source_address_file(&self) -> PathBuf {
        self.master().join("SrcAdr.dat")
    }

    /// The run directory, by a `ferryway.toml` that may have faults elsewhere: they must not keep
    /// an operator from his running host.
    ///
    /// # Errors
    /// The file and why it does not tell.
    pub fn run_dir(&self, environment: &Environment) -> Result<PathBuf, String> {
        let file = self.config_file();
        let failed =
            |reason: &dyn fmt::Display| format!("cannot use `{}`: {reason}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| failed(&error))?;
        let Settings { instance } = toml::from_str(&text).map_err(|error| failed(&error))?;
        Ok(environment.run_dir(instance.run_dir.as_deref(), &instance.name))
    }

    /// Every folder of an installation.
    pub fn folders(&self) -> [PathBuf; 6] {
        [
            self.definitions(),
            self.plugins(),
            self.journal(),
            self.logs(),
            self.exits(),
            self.master(),
        ]
    }
}

/// The part of `ferryway.toml` that tells the run directory.
#[derive(serde::Deserialize)]
struct Settings {
    instance: Instance,
}

#[derive(serde::Deserialize)]
struct Instance {
    name: InstanceName,
    run_dir: Option<PathBuf>,
}

/// What the configuration takes from around the process. A value of its own, so that tests
/// need not change the process.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    user: u32,
    system_host_name: Option<String>,
}

impl Environment {
    /// What surrounds this process now.
    pub fn of_process() -> Self {
        let variables = env::vars_os().collect();
        Self { variables, user: machine::user(), system_host_name: machine::host_name() }
    }

    /// An environment with these variables only.
    pub fn with_variables<K: Into<OsString>, V: Into<OsString>>(
        user: u32,
        system_host_name: &str,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { variables, user, system_host_name: Some(system_host_name.to_owned()) }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// The system's own host name.
    pub fn system_host_name(&self) -> Option<&str> {
        self.system_host_name.as_deref()
    }

    /// Where the control socket of an instance lies: `FERRYWAY_RUN_DIR`, else `configured`,
    /// else a folder of this machine: `/run/ferryway/<instance>` for root, a folder in
    /// `XDG_RUNTIME_DIR` for others, and a folder of the user's in the temporary folder where
    /// there is no such thing; on Windows `%ProgramData%\Ferryway\run\<instance>`.
    pub fn run_dir(&self, configured: Option<&Path>, instance: &InstanceName) -> PathBuf {
        if let Some(given) = self.variable("FERRYWAY_RUN_DIR") {
            return given.into();
        }
        if let Some(configured) = configured {
            return configured.to_owned();
        }
        machine::run_folder(self.user, |name| self.variable(name)).join(instance.as_str())
    }
}

impl fmt::Debug for Environment {
    /// Prints no variable: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_directory_follows_the_user_and_what_is_set() {
        let instance: InstanceName = "pay".parse().unwrap();
        let run = |user, variables: &[(&str, &str)], configured: Option<&str>| {
            Environment::with_variables(user, "node1", variables.iter().copied())
                .run_dir(configured.map(Path::new), &instance)
        };
        let xdg = ("XDG_RUNTIME_DIR", "/run/user/7");
        assert_eq!(run(0, &[xdg], None), Path::new("/run/ferryway/pay"));
        assert_eq!(run(7, &[xdg], None), Path::new("/run/user/7/ferryway/pay"));
        assert_eq!(run(7, &[], None), env::temp_dir().join("ferryway-7/pay"));
        assert_eq!(run(7, &[xdg], Some("/var/x")), Path::new("/var/x"));
        let given = ("FERRYWAY_RUN_DIR", "/var/y");
        assert_eq!(run(0, &[given], Some("/var/x")), Path::new("/var/y"));
    }

    #[test]
    fn variables_are_not_printed() {
        let environment = Environment::with_variables(1, "n", [("PASSWORD", "hunter2")]);
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
