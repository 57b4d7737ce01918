//! One machine of the cluster: namespaces of its own, with corosync and Pacemaker in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::SharedDisk;
use crate::{
    container::Container,
    disk::shut_down,
    net::{Lan, Namespace},
    process::{said, system},
    wait::{LIMIT, await_within},
};

/// Where the shared disk is mounted on the machine that has it.
pub const MOUNT: &str = "srv/ferryway";

/// What makes a machine of namespaces.
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/node");

/// A machine, on or off. Dropping it takes its power away.
#[derive(Debug)]
pub struct Machine {
    number: u8,
    lab: PathBuf,
    running: Option<Running>,
}

// The processes end before their network goes.
#[derive(Debug)]
struct Running {
    container: Container,
    /// Its way to the shared disk, such as `loop7`.
    device: String,
    /// Its network, which nothing else may hold.
    _network: Namespace,
}

impl Machine {
    /// A machine that is off. `lab` is the folder of the laboratory, with the shared disk in it.
    pub fn new(number: u8, lab: &Path) -> Self {
        Self { number, lab: lab.to_owned(), running: None }
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
        self.running.as_ref().is_some_and(|running| is_mounted(&running.device))
    }

    /// Starts it, if it is off: corosync runs on `Ok`.
    ///
    /// # Errors
    /// The system refuses, or corosync does not start within a limit.
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
        // A device each: what one machine has in its cache the other one does not see.
        let mut attach = system("losetup");
        attach.args(["--find", "--show", "--direct-io=on"]).arg(SharedDisk::file(&self.lab));
        let device = said(&mut attach)?;
        let started = self.start(&network, &device);
        // The machine holds it open; from now on it goes with the machine.
        said(system("losetup").args(["--detach", &device]))?;
        let container = started?;
        let init = container.init();
        let device = device.trim_start_matches("/dev/").to_owned();
        self.running = Some(Running { container, device, _network: network });
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
        if is_mounted(&running.device) {
            // The end of a machine's first process alone would unmount the disk in good order.
            shut_down(&root.join(MOUNT))?;
        }
        let device = running.device.clone();
        drop(running);
        // As long as the file system is there, it could write.
        let let_go = format!("{} without power lets go of the disk", self.name());
        await_within(LIMIT, &let_go, || !is_mounted(&device))
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
        shut_down(&self.on()?.container.root().join(MOUNT))
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

    fn start(&self, network: &Namespace, device: &str) -> io::Result<Container> {
        let home = self.home();
        let mut node = system(NODE);
        node.arg(self.number.to_string()).arg(&home).arg(device).arg(&self.lab);
        let (console, ready) = (home.join("console.log"), home.join("ready"));
        let started = Container::start(network.place(), &node, &console, |_| ready.exists());
        started.map_err(|error| io::Error::other(format!("{}: {error}", self.name())))
    }

    fn on(&self) -> io::Result<&Running> {
        let off = || io::Error::other(format!("{} is off", self.name()));
        self.running.as_ref().ok_or_else(off)
    }
}

fn is_mounted(device: &str) -> bool {
    Path::new("/sys/fs/ext4").join(device).exists()
}
