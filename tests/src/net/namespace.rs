//! A network namespace: to the programs in it, a machine with interfaces and addresses of its
//! own.

use std::{
    fs::{self, File},
    io,
    net::IpAddr,
    os::fd::AsFd,
    process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};

use crate::{
    Unavailable,
    process::{ProcessTree, said, system, through},
    wait::{LIMIT, holds_within},
};

/// The name of a machine's interface to others.
pub const DEVICE: &str = "eth0";

/// A network namespace, as the system makes it by default. Dropping it ends the process that
/// holds it; what runs in it by then keeps it alive until it ends.
#[derive(Debug)]
pub struct Namespace(ProcessTree);

/// Where a namespace is, so that programs can be started in it as long as it is there.
#[derive(Clone, Copy, Debug)]
pub struct Place(u32);

impl Namespace {
    /// One with nothing but its loopback interface.
    ///
    /// # Errors
    /// This process is not root, or the system has no namespaces or no `ip`.
    pub fn new() -> Result<Self, Unavailable> {
        let what = "a network namespace";
        if !rustix::process::geteuid().is_root() {
            return Err(Unavailable::new(what, "it needs root"));
        }
        Self::hold().map_err(|error| Unavailable::new(what, error))
    }

    fn hold() -> io::Result<Self> {
        let logs = tempfile::Builder::new().prefix("ferryway-net-").tempdir()?;
        let log = logs.path().join("log");
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let mut process = ProcessTree::spawn(&command, &log)?;
        let own = fs::read_link("/proc/thread-self/ns/net")?;
        let path = Place(process.id()).path();
        let ready = holds_within(LIMIT, || {
            let there = fs::read_link(&path).is_ok_and(|namespace| namespace != own);
            there || !matches!(process.ended(), Ok(None))
        });
        if !ready || !matches!(process.ended(), Ok(None)) {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(io::Error::other(format!("unshare --net made none\n{said}")));
        }
        let namespace = Self(process);
        namespace.place().shell("ip link set lo up")?;
        Ok(namespace)
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place(self.0.id())
    }

    /// Gives [`DEVICE`] an address, at once usable.
    ///
    /// # Errors
    /// There is no such interface, or it has the address.
    pub fn add_address(&self, address: IpAddr, prefix: u8) -> io::Result<()> {
        // Nobody else has it: without the search for others it is usable at once.
        let at_once = if address.is_ipv6() { "nodad" } else { "" };
        self.place().shell(&format!("ip addr add {address}/{prefix} dev {DEVICE} {at_once}"))
    }

    /// Takes an address away from [`DEVICE`].
    ///
    /// # Errors
    /// It has none such.
    pub fn remove_address(&self, address: IpAddr, prefix: u8) -> io::Result<()> {
        self.place().shell(&format!("ip addr del {address}/{prefix} dev {DEVICE}"))
    }

    /// A runtime whose tasks are in it. What [`Runtime::block_on`] runs itself is not: spawn
    /// what opens sockets.
    ///
    /// # Errors
    /// This process may not enter it.
    pub fn runtime(&self) -> io::Result<Runtime> {
        let place = self.place();
        // A thread cannot tell why it did not enter, so one that can is sent first.
        let scout = thread::spawn(move || place.enter()).join();
        scout.map_err(|_| io::Error::other("a thread broke"))??;
        Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || assert!(place.enter().is_ok(), "a thread stays outside"))
            .enable_all()
            .build()
    }
}

/// Connects two places: each gets an interface of the name beside it, up and without addresses.
///
/// # Errors
/// One has such an interface, or the system refuses.
pub fn link((one, device): (Place, &str), (other, far_device): (Place, &str)) -> io::Result<()> {
    one.shell(&format!(
        "ip link add {device} type veth peer name {far_device} netns {} && \
         ip link set {device} up",
        other.0
    ))?;
    other.shell(&format!("ip link set {far_device} up"))
}

impl Place {
    /// The command that runs `command` here.
    pub fn inside(self, command: &Command) -> Command {
        let mut wrapper = Command::new("nsenter");
        wrapper.arg(format!("--net={}", self.path()));
        through(wrapper, command)
    }

    /// Runs a script of the shell here to its end.
    ///
    /// # Errors
    /// It failed; what it said is in the message.
    pub fn shell(self, script: &str) -> io::Result<()> {
        let mut command = system("/bin/sh");
        said(&mut self.inside(command.args(["-c", script]))).map(drop)
    }

    /// Whether connections here hold bytes, or an end, that the other side has not acknowledged.
    ///
    /// # Errors
    /// The place is gone.
    pub fn has_unsent(self) -> io::Result<bool> {
        let connections = fs::read_to_string(format!("/proc/{}/net/tcp", self.0))?;
        // Fields of a line: number, local, remote, state, and the lengths of both queues, that
        // of what is to be sent first.
        let queued = |line: &str| {
            let queues = line.split_whitespace().nth(4)?;
            Some(queues.split(':').next()? != "00000000")
        };
        Ok(connections.lines().skip(1).any(|line| queued(line).unwrap_or(false)))
    }

    /// Moves the calling thread here, with everything that it starts from then on.
    pub(super) fn enter(self) -> io::Result<()> {
        move_thread(&File::open(self.path())?)
    }

    fn path(self) -> String {
        format!("/proc/{}/ns/net", self.0)
    }
}

/// Moves the calling thread into a namespace.
pub(super) fn move_thread(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
