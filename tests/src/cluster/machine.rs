//! One machine of the cluster: namespaces of its own, with a cluster manager in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{Manager, attachment::Attachment};
use crate::{
    container::Container,
    disk::shut_down,
    host::Programs,
    net::{Lan, Namespace},
    process::system,
    wait::{LIMIT, await_within},
};

/// Where the shared disk is mounted on the machine that has it.
pub const MOUNT: &str = "srv/ferryway";

/// What makes a machine of namespaces.
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/node");

/// A machine, on or off. Dropping it takes its power away.
#[derive(Debug)]
pub struct Machine {
    manager: Manager,
    number: u8,
    lab: PathBuf,
    running: Option<Running>,
}

// The processes end before their network goes.
#[derive(Debug)]
struct Running {
    container: Container,
    disk: Attachment,
    /// Its network, which nothing else may hold.
    _network: Namespace,
}

impl Machine {
    /// A machine that is off. `lab` is the folder of the laboratory, with the shared disk in it.
    pub fn new(manager: Manager, number: u8, lab: &Path) -> Self {
        Self { manager, number, lab: lab.to_owned(), running: None }
    }

    /// Its name in the cluster.
    pub fn name(&self) -> String {
        format!("node{}", self.number)
    }

    /// Whether it has power.
    pub const fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// What it keeps without power, its logs among it.
    pub fn home(&self) -> PathBuf {
        self.lab.join(self.name())
    }

    /// Its root folder as seen from outside; `None` while it is off.
    pub fn root(&self) -> Option<PathBuf> {
        self.running.as_ref().map(|running| running.container.root())
    }

    /// Whether it has the shared disk mounted. The disk's superblock tells, so that it is also
    /// seen of a machine that is frozen.
    pub fn has_disk(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.disk.is_mounted())
    }

    /// Starts it, if it is off: the cluster manager runs on `Ok`.
    ///
    /// # Errors
    /// The system refuses, or the cluster manager does not start within a limit.
    pub fn power_on(&mut self, lan: &Lan) -> io::Result<()> {
        if self.is_on() {
            return Ok(());
        }
        let network = Namespace::new().map_err(io::Error::other)?;
        lan.join(network.place(), self.number)?;
        let home = self.home();
        fs::create_dir_all(&home)?;
        fs::remove_file(home.join("ready")).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let disk = Attachment::make(self.manager, &self.lab, &home)?;
        let started = self.start(&network, &disk);
        disk.leave_to_machine()?;
        let container = started?;
        let init = container.init();
        self.running = Some(Running { container, disk, _network: network });
        // For whoever wants to have a look inside.
        fs::write(home.join("pid"), init.to_string())
    }

    /// Takes its power away, if it is on: nothing that it did not make durable is left on the
    /// disk, and on `Ok` it can do nothing more.
    ///
    /// # Errors
    /// The system refuses, or the machine does not go within a limit.
    pub fn power_off(&mut self, lan: &Lan) -> io::Result<()> {
        let root = self.root();
        let (Some(running), Some(root)) = (self.running.take(), root) else { return Ok(()) };
        fs::remove_file(self.home().join("pid")).ok();
        running.container.tree().freeze()?;
        lan.leave(self.number)?;
        if let (Attachment::Device(_), true) = (&running.disk, running.disk.is_mounted()) {
            // The end of a machine's first process alone would unmount the disk in good order.
            shut_down(&root.join(MOUNT))?;
        }
        let Running { container, disk, .. } = running;
        drop(container);
        match disk {
            // What was written there is with who serves it.
            Attachment::Folder(..) => Ok(()),
            // As long as the file system is there, it could write.
            Attachment::Device(_) => {
                let let_go = format!("{} without power lets go of the disk", self.name());
                await_within(LIMIT, &let_go, || !disk.is_mounted())
            }
        }
    }

    /// Stops everything on it, in the middle of whatever it does. The disk stays mounted, and
    /// its connections open.
    ///
    /// # Errors
    /// It is off, or does not stop.
    pub fn freeze(&self) -> io::Result<()> {
        self.on()?.container.tree().freeze()
    }

    /// Lets it go on, if it is on.
    pub fn thaw(&self) {
        if let Some(running) = &self.running {
            running.container.tree().thaw();
        }
    }

    /// Lets the shared disk fail under it, as far as it is concerned.
    ///
    /// # Errors
    /// It is off, or does not have the disk.
    pub fn break_disk(&self) -> io::Result<()> {
        match &self.on()?.disk {
            Attachment::Device(_) => shut_down(&self.on()?.container.root().join(MOUNT)),
            Attachment::Folder(_, server) => Ok(server.signal(Signal::KILL)?),
        }
    }

    /// The command that runs `command` on it, for a limited time.
    ///
    /// # Errors
    /// It is off.
    pub fn inside(&self, command: &Command) -> io::Result<Command> {
        Ok(self.on()?.container.inside(command))
    }

    /// Runs a program on it and gives what it printed.
    ///
    /// # Errors
    /// The machine is off, or the program failed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        self.on()?.container.run(program, arguments)
    }

    fn start(&self, network: &Namespace, disk: &Attachment) -> io::Result<Container> {
        let home = self.home();
        let programs = Programs::of_this_build().map_err(io::Error::other)?;
        let mut node = system(NODE);
        node.arg(self.manager.name()).arg(self.number.to_string());
        node.arg(&home).arg(disk.path()).arg(&self.lab);
        node.env("FERRYWAY_PROGRAMS", programs.path(""));
        let (console, ready) = (home.join("console.log"), home.join("ready"));
        let started = Container::start(network.place(), &node, &console, |_| ready.exists());
        started.map_err(|error| io::Error::other(format!("{}: {error}", self.name())))
    }

    fn on(&self) -> io::Result<&Running> {
        let off = || io::Error::other(format!("{} is off", self.name()));
        self.running.as_ref().ok_or_else(off)
    }
}
