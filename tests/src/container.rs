//! Machines of namespaces: a first process with its own processes, mounts and names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    net::Place,
    process::{ProcessTree, said, system, through},
    wait::{LIMIT, holds_within},
};

/// Moves itself into the control group `$1` and becomes the command that follows.
const IN_GROUP: &str = r#"echo $$ >"$1/cgroup.procs" && shift && exec "$@""#;

/// A running machine. Dropping it ends everything on it.
#[derive(Debug)]
pub struct Container {
    tree: ProcessTree,
    /// Its first process, as seen from outside.
    init: u32,
}

impl Container {
    /// Starts `first` in a network and in namespaces of its own; what it prints goes to the end of the file `console`. On `Ok`
    /// `ready` holds of its root folder.
    ///
    /// # Errors
    /// The system refuses, or it does not hold within a limit; what was printed is in the message.
    pub fn start(
        network: Place,
        first: &Command,
        console: &Path,
        ready: impl Fn(&Path) -> bool,
    ) -> io::Result<Self> {
        Self::spawn(&network.inside(&through(unshare(), first)), console, ready)
    }

    /// The same for a machine that has the control group `group` for its own.
    ///
    /// # Errors
    /// Those of [`Container::start`].
    pub fn start_in_group(
        network: Place,
        group: &Path,
        first: &Command,
        console: &Path,
        ready: impl Fn(&Path) -> bool,
    ) -> io::Result<Self> {
        let mut enter = Command::new("/bin/sh");
        enter.args(["-c", IN_GROUP, "sh"]).arg(group);
        let mut unshare = unshare();
        unshare.arg("--cgroup");
        let command = through(enter, &through(unshare, first));
        Self::spawn(&network.inside(&command), console, ready)
    }

    fn spawn(command: &Command, console: &Path, ready: impl Fn(&Path) -> bool) -> io::Result<Self> {
        let mut tree = ProcessTree::spawn(command, console)?;
        let mut found = None;
        holds_within(LIMIT, || {
            found = first_process(tree.id()).filter(|init| ready(&root(*init)));
            found.is_some() || !matches!(tree.ended(), Ok(None))
        });
        let said = || fs::read_to_string(console).unwrap_or_default();
        let failure = || io::Error::other(format!("it does not start\n{}", said()));
        found.map(|init| Self { tree, init }).ok_or_else(failure)
    }

    /// Its first process, as seen from outside.
    pub const fn init(&self) -> u32 {
        self.init
    }

    /// Its root folder, as seen from outside.
    pub fn root(&self) -> PathBuf {
        root(self.init)
    }

    /// Everything on it.
    pub const fn tree(&self) -> &ProcessTree {
        &self.tree
    }

    /// The command that runs `command` on it, for a limited time.
    pub fn inside(&self, command: &Command) -> Command {
        let mut wrapper = system("nsenter");
        wrapper.args(["--target", &self.init.to_string()]);
        wrapper.args(["--mount", "--uts", "--ipc", "--net", "--pid", "timeout", "30"]);
        through(wrapper, command)
    }

    /// Runs a program on it and gives what it printed.
    ///
    /// # Errors
    /// The program failed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        said(&mut self.inside(system(program).args(arguments)))
    }
}

fn unshare() -> Command {
    let mut unshare = system("unshare");
    unshare.args(["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]);
    unshare.args(["--mount-proc", "--propagation", "private"]);
    unshare
}

fn root(init: u32) -> PathBuf {
    format!("/proc/{init}/root").into()
}

/// The child of `unshare` that is in other namespaces.
fn first_process(unshare: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
    let own = fs::read_link("/proc/self/ns/pid").ok()?;
    let mut children = children.split_whitespace().filter_map(|id| id.parse().ok());
    children.find(|id: &u32| {
        fs::read_link(format!("/proc/{id}/ns/pid")).is_ok_and(|namespace| namespace != own)
    })
}
