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
    MOUNT, Machine, Machines, Power, SharedDisk,
    furnish::{furnish_branch, furnish_night, offer_agent, start_bank},
};
use crate::{
    Unavailable,
    cluster_tools::installed_by,
    host::{Install, Node, Programs},
    net::Lan,
    process::system,
    scene::Server,
    wait::holds_within,
};

/// How long the cluster may take until it is as it was, with everything started again.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// How long a host may take for an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(1);

/// The run directory of the cluster's host, on the machine that serves.
pub(super) const RUN_DIR: &str = "run/ferryway/night";

/// The cluster's configuration, but for the service itself.
const CLUSTER: &str = include_str!("../../cluster/cluster.crm");

/// The laboratory while it is up. Dropping it takes everything down.
#[derive(Debug)]
pub struct Lab {
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
    /// The shared disk, which the machines have left when it goes.
    pub disk: SharedDisk,
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
    pub fn up(folder: &Path) -> io::Result<Self> {
        let lan = Arc::new(Lan::enter(0).map_err(io::Error::other)?);
        let bank = start_bank(&folder.join("bank"))?;
        let (branch_install, mut branch) = furnish_branch(&folder.join("branch"), &lan)?;
        branch.start()?;
        let content = folder.join("disk");
        furnish_night(&content.join("night"), &bank)?;
        let disk = SharedDisk::serve(folder, &content)?;
        fs::remove_dir_all(&content)?;
        offer_agent(&folder.join("ocf/ferryway"))?;
        let machine = |number| Mutex::new(Machine::new(number, folder));
        let machines = Arc::new([machine(1), machine(2)]);
        let power = Power::serve(Arc::clone(&machines), Arc::clone(&lan), &folder.join("plug"))?;
        let folder = folder.to_owned();
        let lab = Self { power, bank, branch, branch_install, machines, lan, folder, disk };
        lab.start_cluster()?;
        Ok(lab)
    }

    /// A machine, 1 or 2.
    pub fn machine(&self, number: u8) -> MutexGuard<'_, Machine> {
        let machine = &self.machines[usize::from(number != 1)];
        machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine that has the shared disk; `None` while none or both have it.
    pub fn active(&self) -> Option<u8> {
        let having: Vec<u8> = [1, 2].into_iter().filter(|&n| self.machine(n).has_disk()).collect();
        match having[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The install directory of the cluster's instance, as seen through a machine.
    pub fn install(&self, machine: u8) -> Option<PathBuf> {
        Some(self.machine(machine).root()?.join(MOUNT).join("night"))
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
        for number in [1, 2] {
            self.machine(number).power_on(&self.lan)?;
        }
        let mut view = String::new();
        let mut cleaned = false;
        let settled = holds_within(SETTLE_LIMIT, || {
            view = self.machine(1).run("crm_mon", &["-1", "--output-as=xml"]).unwrap_or_default();
            let members = view.matches("online=\"true\" standby=\"false\"").count() == 2;
            if members && !cleaned {
                cleaned = self.machine(1).run("crm_resource", &["--cleanup"]).is_ok();
            }
            // Three for fencing, and the three of the service.
            let started = view.matches("role=\"Started\"").count() == 6;
            let failed = view.contains("failed=\"true\"") || view.contains("<failures>");
            cleaned && members && started && !failed && self.active().is_some()
        });
        match self.active() {
            Some(active) if settled => Ok(active),
            _ => Err(io::Error::other(format!(
                "the cluster does not come to rest within {SETTLE_LIMIT:?}:\n{view}"
            ))),
        }
    }

    fn start_cluster(&self) -> io::Result<()> {
        thread::scope(|scope| {
            let start = |number| self.machine(number).power_on(&self.lan);
            let other = scope.spawn(move || start(2));
            start(1)?;
            other.join().map_err(|_| io::Error::other("a thread broke"))?
        })?;
        let configuration = self.folder.join("cluster.crm");
        fs::write(&configuration, CLUSTER.replace("@FERRYWAY@", &service()?))?;
        let mut view = String::new();
        let members = holds_within(SETTLE_LIMIT, || {
            view = self.machine(1).run("crm_mon", &["-1", "--output-as=xml"]).unwrap_or_default();
            view.matches("online=\"true\"").count() == 2 && view.contains("with_quorum=\"true\"")
        });
        if !members {
            return Err(io::Error::other(format!(
                "the machines do not find each other within {SETTLE_LIMIT:?}:\n{view}"
            )));
        }
        let path = configuration.to_string_lossy().into_owned();
        self.machine(1).run("crm", &["configure", "load", "update", &path])?;
        self.settle().map(drop)
    }
}

/// The service in the words of the cluster's configuration.
fn service() -> io::Result<String> {
    let programs = Programs::of_this_build().map_err(io::Error::other)?;
    let program = programs.path("ferryway");
    Ok(format!(
        "ocf:ferryway:ferryway \\\n    params binary={} dir=/srv/ferryway/night user=root \\\n    \
         op start timeout=60s interval=0 \
         op stop timeout=20s interval=0 \\\n    op monitor interval=1s timeout=10s \
         op monitor interval=5s timeout=8s OCF_CHECK_LEVEL=10",
        program.display()
    ))
}

/// The command that runs a shell script in a machine, for faults that are made inside.
pub(super) fn shell(script: &str) -> Command {
    let mut command = system("/bin/sh");
    command.args(["-c", script]);
    command
}
