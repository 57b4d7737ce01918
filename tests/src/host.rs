//! The real `ferryway` and `ftprel`, on an install directory made for the test.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Unavailable,
    net::Place,
    process::{ProcessTree, through},
    wait::{LIMIT, holds_within},
};

/// Shows the folder `$1` in place of `$2` to the command that follows them.
const BIND: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;

/// The programs and plugins of this build, in one folder.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those of the profile this test was built in, brought up to date first:
    /// cargo builds no programs of other packages for a test. The environment
    /// variable `FERRYWAY_PROGRAMS` names a folder to take them from as they are.
    ///
    /// # Errors
    /// They do not build; what cargo said is in the message.
    pub fn of_this_build() -> Result<&'static Self, Unavailable> {
        static PROGRAMS: OnceLock<Result<Programs, String>> = OnceLock::new();
        let programs = PROGRAMS.get_or_init(|| match env::var_os("FERRYWAY_PROGRAMS") {
            Some(folder) => Ok(Self { folder: PathBuf::from(folder) }),
            None => build(),
        });
        programs.as_ref().map_err(|error| Unavailable::new("this build of ferryway", error))
    }

    /// The path of a program, such as `ferryway`.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// The plugins' libraries.
    pub fn plugins(&self) -> [PathBuf; 2] {
        ["ferryway_ftp", "ferryway_socket"].map(|name| {
            let file = format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
            self.folder.join(file)
        })
    }
}

/// An install directory with every folder and the plugins of this build. Several
/// [`Node`]s may run on it, as on a shared disk.
#[derive(Debug)]
pub struct Install {
    folder: PathBuf,
    // Only for one of our own.
    _temporary: Option<TempDir>,
}

impl Install {
    /// One in a temporary folder with this `ferryway.toml`.
    ///
    /// # Errors
    /// The programs do not build, or the file system refuses.
    pub fn new(configuration: &str) -> Result<Self, Unavailable> {
        let temporary = tempfile::Builder::new().prefix("ferryway-install-").tempdir();
        let temporary = temporary.map_err(|error| Unavailable::new("a folder", error))?;
        let install = Self::at(temporary.path(), configuration)?;
        Ok(Self { _temporary: Some(temporary), ..install })
    }

    /// One in an existing folder, such as that of a small disk.
    ///
    /// # Errors
    /// Those of [`Install::new`].
    pub fn at(folder: &Path, configuration: &str) -> Result<Self, Unavailable> {
        let programs = Programs::of_this_build()?;
        let install = Self { folder: folder.to_owned(), _temporary: None };
        install
            .furnish(programs, configuration)
            .map_err(|error| Unavailable::new("an install directory", error))?;
        Ok(install)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes one file below the folder, readable by its owner only, as
    /// configuration with secrets has to be.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, relative: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
    }

    fn furnish(&self, programs: &Programs, configuration: &str) -> io::Result<()> {
        for folder in ["definitions", "journal", "logs", "exits", "tools/master", "plugins"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder)?;
            // Who may write here decides whether the host trusts what is in it.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        }
        for library in programs.plugins() {
            let name = library.file_name().unwrap_or_default();
            let place = self.folder.join("plugins").join(name);
            // A build during the test replaces the file, so a second name is enough.
            if fs::hard_link(&library, &place).is_err() {
                fs::copy(&library, &place)?;
            }
        }
        self.write("ferryway.toml", configuration)
    }
}

/// One machine of the cluster: a name, a run directory of its own, and the host
/// on it while it runs. Dropping it kills the host.
#[derive(Debug)]
pub struct Node {
    name: String,
    install: PathBuf,
    environment: Vec<(String, String)>,
    // Of `ferryway run`, beyond the usual ones.
    arguments: Vec<String>,
    place: Option<Place>,
    // A folder that only this node has, and where it appears.
    own_folder: Option<(PathBuf, PathBuf)>,
    programs: &'static Programs,
    // Killed before the folder with its socket and log goes.
    host: Option<ProcessTree>,
    run_dir: TempDir,
}

impl Node {
    /// A node that can serve an installation; nothing runs on it yet.
    ///
    /// # Errors
    /// The programs do not build, or the file system refuses.
    pub fn new(install: &Install, name: &str) -> Result<Self, Unavailable> {
        let run_dir = tempfile::Builder::new().prefix("ferryway-run-").tempdir();
        Ok(Self {
            name: name.to_owned(),
            install: install.path().to_owned(),
            environment: Vec::new(),
            arguments: Vec::new(),
            place: None,
            own_folder: None,
            programs: Programs::of_this_build()?,
            host: None,
            run_dir: run_dir.map_err(|error| Unavailable::new("a run directory", error))?,
        })
    }

    /// Its name, which it tells its partners (`HOSTNM`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its run directory.
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// Sets an environment variable for what is started here from now on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Has hosts started here from now on run with these arguments besides.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
    }

    /// Puts the node somewhere in a network of the test's own, for what is started here from now
    /// on.
    pub fn put_at(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Gives hosts started here from now on a disk of their own: where others see the folder
    /// `at`, they see `folder`. Needs root.
    pub fn give_own_folder(&mut self, folder: &Path, at: &Path) {
        self.own_folder = Some((folder.to_owned(), at.to_owned()));
    }

    /// Starts the host (`ferryway run`) and returns without waiting for it.
    ///
    /// # Errors
    /// One runs here already, or no process can be started.
    pub fn launch(&mut self) -> io::Result<()> {
        if self.host.as_mut().is_some_and(|host| matches!(host.ended(), Ok(None))) {
            return Err(io::Error::other(format!("a host runs on {} already", self.name)));
        }
        // Nodes of a cluster may tell one host name (`HOSTNM`), and are told apart by this.
        let mut command = self.command("ferryway", &["run", "--node", &self.name]);
        command.args(&self.arguments);
        if let Some((folder, at)) = &self.own_folder {
            let mut wrapper = Command::new("unshare");
            wrapper.args(["--mount", "/bin/sh", "-c", BIND, "sh"]).args([folder, at]);
            command = through(wrapper, &command);
        }
        self.host = Some(ProcessTree::spawn(&command, &self.output_path())?);
        Ok(())
    }

    /// Starts the host and waits until it answers `ftprel health`.
    ///
    /// # Errors
    /// It ended or did not answer in time; what it printed is in the message.
    pub fn start(&mut self) -> io::Result<()> {
        self.launch()?;
        let mut ended = None;
        let answers = holds_within(LIMIT, || {
            ended = self.ended().ok().flatten();
            ended.is_some() || self.ftprel(&["health"]).is_ok_and(|output| output.status.success())
        });
        match ended {
            None if answers => Ok(()),
            None => Err(self.failure(&format!("did not answer within {LIMIT:?}"))),
            Some(status) => Err(self.failure(&format!("ended at its start with {status}"))),
        }
    }

    /// Kills the host and what it started, as the node's power cut would.
    pub fn kill(&mut self) {
        self.host = None;
    }

    /// Asks the host to stop and waits for its end.
    ///
    /// # Errors
    /// None runs here, or it did not end within `limit`.
    pub fn stop(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        self.host()?.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Tells the host to read its configuration again.
    ///
    /// # Errors
    /// None runs here.
    pub fn hang_up(&self) -> io::Result<()> {
        self.host()?.signal(Signal::HUP)
    }

    /// Waits for the end of the host, such as one that fences itself.
    ///
    /// # Errors
    /// None runs here, or it did not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let ended = match &mut self.host {
            Some(host) => host.wait(limit)?,
            None => None,
        };
        ended.ok_or_else(|| self.failure(&format!("did not end within {limit:?}")))
    }

    /// How the host ended, or `None` while it runs.
    ///
    /// # Errors
    /// Those of waiting for a child.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.host.as_mut().map_or(Ok(None), ProcessTree::ended)
    }

    /// Stops the host where it is, as a suspended machine does: it holds its
    /// connections and locks, and knows of nothing when it goes on.
    ///
    /// # Errors
    /// None runs here, or it does not stop.
    pub fn freeze(&self) -> io::Result<()> {
        self.host()?.freeze()
    }

    /// Lets a frozen host go on.
    ///
    /// # Errors
    /// None runs here.
    pub fn thaw(&self) -> io::Result<()> {
        self.host()?.thaw();
        Ok(())
    }

    /// Runs `ftprel` here to its end, for example `&["submit", "BENCH1", "--wait"]`.
    ///
    /// # Errors
    /// It cannot be started; a failure of its own is in the output.
    pub fn ftprel(&self, arguments: &[&str]) -> io::Result<Output> {
        self.command("ftprel", arguments).output()
    }

    /// Runs `ftprel --json` and reads what it printed.
    ///
    /// # Errors
    /// It failed, or printed no JSON; what it said is in the message.
    pub fn ftprel_json(&self, arguments: &[&str]) -> io::Result<serde_json::Value> {
        let output = self.command("ftprel", &["--json"]).args(arguments).output()?;
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).map_err(io::Error::other);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("ftprel {arguments:?}: {}: {said}", output.status)))
    }

    /// Runs another command of `ferryway` here to its end, such as `check`.
    ///
    /// # Errors
    /// It cannot be started; a failure of its own is in the output.
    pub fn ferryway(&self, arguments: &[&str]) -> io::Result<Output> {
        self.command("ferryway", arguments).output()
    }

    /// Runs a shell script here to its end, with the programs of this build in its path.
    ///
    /// # Errors
    /// It cannot be started; a failure of its own is in the output.
    pub fn script(&self, text: &str) -> io::Result<Output> {
        let mut path = self.programs.folder.clone().into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        self.command("/bin/sh", &["-c", text]).env("PATH", path).output()
    }

    /// The process id of the host.
    ///
    /// # Errors
    /// None runs here.
    pub fn process(&self) -> io::Result<u32> {
        Ok(self.host()?.id())
    }

    /// What the hosts on this node printed.
    pub fn output(&self) -> String {
        let text = fs::read(self.output_path()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command
            .args(arguments)
            .env("FERRYWAY_DIR", &self.install)
            .env("FERRYWAY_RUN_DIR", self.run_dir.path())
            .env("HOSTNM", &self.name)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        match self.place {
            Some(place) => place.inside(&command),
            None => command,
        }
    }

    fn host(&self) -> io::Result<&ProcessTree> {
        self.host.as_ref().ok_or_else(|| io::Error::other(format!("no host on {}", self.name)))
    }

    fn output_path(&self) -> PathBuf {
        self.run_dir.path().join("output")
    }

    fn failure(&self, what: &str) -> io::Error {
        io::Error::other(format!("the host on {} {what}\n{}", self.name, self.output()))
    }
}

/// Builds the whole workspace into the folder this test is in, as `cargo test
/// --workspace` does: with the same features, host and plugins fit each other.
fn build() -> Result<Programs, String> {
    let test = env::current_exe().map_err(|error| error.to_string())?;
    let misplaced = || format!("{} is in no target folder", test.display());
    let folder = test.parent().and_then(Path::parent).ok_or_else(misplaced)?;
    let target = folder.parent().ok_or_else(misplaced)?;
    let profile = match folder.file_name().and_then(|name| name.to_str()).ok_or_else(misplaced)? {
        "debug" => "dev",
        profile => profile,
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells a test of its own package. Build scripts that look at it would take the
    // whole tree for changed, at every change between a test's build and a developer's.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    let output = cargo
        .args(["build", "--workspace", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        return Ok(Programs { folder: folder.to_owned() });
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_directory_has_the_plugins_and_a_node_finds_the_programs() {
        let install = Install::new("# nothing yet\n").unwrap();
        let plugins = fs::read_dir(install.path().join("plugins")).unwrap();
        assert_eq!(plugins.count(), 2);
        let mode = fs::metadata(install.path().join("ferryway.toml")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);

        let mut node = Node::new(&install, "node1").unwrap();
        assert!(node.programs.path("ferryway").is_file());
        assert!(node.programs.path("ftprel").is_file());
        // Without an instance in its configuration a host cannot start.
        assert!(node.start().is_err());
    }
}
