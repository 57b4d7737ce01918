//! The cluster and everything around it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use ferryway_host::control::client::Client;
use tokio::time::timeout;

use super::{
    MOUNT, Machine, Machines, Manager, Power, SharedDisk,
    attachment::shared_folder,
    furnish::{furnish_branch, furnish_night, offer_agent, start_bank},
    keepalived, pacemaker,
};
use crate::{
    Unavailable,
    cluster_tools::installed_by,
    host::{Install, Node},
    net::Lan,
    process::system,
    scene::Server,
};

/// How long the cluster may take until it is as it was, with everything started again.
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// How long a host may take for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(1);

/// The run directory of the cluster's host, on the machine that serves.
pub(super) const RUN_DIR: &str = "run/ferryway/night";

/// The laboratory while it is up. Dropping it takes everything down.
#[derive(Debug)]
pub struct Lab {
    /// What decides which machine serves.
    pub manager: Manager,
    /// The fencing device.
    pub power: Arc<Power>,
    /// The FTP server outside of the cluster.
    pub bank: Server,
    /// The host outside of the cluster.
    pub branch: Node,
    branch_install: Install,
    machines: Arc<Machines>,
    /// The network.
    pub lan: Arc<Lan>,
    folder: PathBuf,
    /// The shared disk, where machines share a disk and not a folder. It goes last: the machines have it.
    pub disk: Option<SharedDisk>,
}

impl Lab {
    /// Whether this machine has what a laboratory needs.
    ///
    /// # Errors
    /// This process is not root, there is no FUSE, or a program of `tests/cluster/install.sh` is
    /// missing.
    pub fn is_available() -> Result<(), Unavailable> {
        let what = "the cluster laboratory";
        if !rustix::process::geteuid().is_root() {
            return Err(Unavailable::new(what, "it needs root"));
        }
        if !Path::new("/dev/fuse").exists() {
            return Err(Unavailable::new(what, "it needs /dev/fuse"));
        }
        installed_by("cluster/install.sh").map_err(|why| Unavailable::new(what, why))
    }

    /// Brings everything up below `folder`, which exists and is empty. On `Ok` both machines are
    /// members of the cluster and one of them serves.
    ///
    /// # Errors
    /// Something does not come up within a limit.
    pub fn up(manager: Manager, folder: &Path) -> io::Result<Self> {
        let lan = Arc::new(Lan::enter(0).map_err(io::Error::other)?);
        let bank = start_bank(&folder.join("bank"))?;
        let (branch_install, mut branch) = furnish_branch(&folder.join("branch"), &lan)?;
        branch.start()?;
        let disk = match manager {
            Manager::Pacemaker => {
                let content = folder.join("disk");
                furnish_night(&content.join("night"), &bank)?;
                let disk = SharedDisk::serve(folder, &content)?;
                fs::remove_dir_all(&content)?;
                offer_agent(&folder.join("ocf/ferryway"))?;
                Some(disk)
            }
            Manager::Keepalived => {
                furnish_night(&shared_folder(folder).join("night"), &bank)?;
                None
            }
        };
        let machine = |number| Mutex::new(Machine::new(manager, number, folder));
        let machines = Arc::new([machine(1), machine(2)]);
        let power = Power::serve(Arc::clone(&machines), Arc::clone(&lan), &folder.join("plug"))?;
        let folder = folder.to_owned();
        let lab =
            Self { manager, power, bank, branch, branch_install, machines, lan, folder, disk };
        lab.power_on()?;
        if manager == Manager::Pacemaker {
            pacemaker::configure(&lab)?;
        }
        lab.settle()?;
        Ok(lab)
    }

    /// A machine, 1 or 2.
    pub fn machine(&self, number: u8) -> MutexGuard<'_, Machine> {
        let machine = &self.machines[usize::from(number != 1)];
        machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine that serves: the one that has the shared disk, or owns the instance on it;
    /// `None` while that is none, or not clear.
    pub fn active(&self) -> Option<u8> {
        let serves = |number: &u8| match self.manager {
            Manager::Pacemaker => self.machine(*number).has_disk(),
            Manager::Keepalived => keepalived::serves_alone(self, *number),
        };
        let serving: Vec<u8> = [1, 2].into_iter().filter(serves).collect();
        match serving[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The install directory of the cluster's instance, as seen through a machine.
    pub fn install(&self, machine: u8) -> Option<PathBuf> {
        Some(self.machine(machine).root()?.join(MOUNT).join("night"))
    }

    /// The same as seen from outside, where the disk is one that all machines reach.
    pub fn shared_install(&self) -> Option<PathBuf> {
        let is_shared = self.manager == Manager::Keepalived;
        is_shared.then(|| shared_folder(&self.folder).join("night"))
    }

    /// The control API of the cluster's host, if it runs on this machine.
    pub fn client(&self, machine: u8) -> Option<Client> {
        Some(Client::new(&self.machine(machine).root()?.join(RUN_DIR)))
    }

    /// Whether the cluster's host on this machine answers.
    pub fn serves(&self, machine: u8) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (Ok(runtime), Some(client)) = (runtime, self.client(machine)) else { return false };
        let asked = runtime.block_on(async { timeout(ANSWER, client.health()).await });
        matches!(asked, Ok(Ok(_)))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The install directory of the partner outside.
    pub fn branch_install(&self) -> &Path {
        self.branch_install.path()
    }

    /// Turns both machines on and waits until the cluster serves with both members, without
    /// failures on its record.
    ///
    /// # Errors
    /// It does not within a limit; the cluster manager's view is in the message.
    pub fn settle(&self) -> io::Result<u8> {
        self.power_on()?;
        match self.manager {
            Manager::Pacemaker => pacemaker::settle(self),
            Manager::Keepalived => keepalived::settle(self),
        }
    }

    fn power_on(&self) -> io::Result<()> {
        thread::scope(|scope| {
            let start = |number| self.machine(number).power_on(&self.lan);
            let other = scope.spawn(move || start(2));
            start(1)?;
            other.join().map_err(|_| io::Error::other("a thread broke"))?
        })
    }
}

/// The command that runs a shell script in a machine, for faults that are made inside.
pub(super) fn shell(script: &str) -> Command {
    let mut command = system("/bin/sh");
    command.args(["-c", script]);
    command
}
