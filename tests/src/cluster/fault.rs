//! The faults of the campaign.

use std::{
    fmt, io,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use super::{Lab, Manager, keepalived, lab::shell, pacemaker::standby};
use crate::wait::{LIMIT, await_within};

/// How long a machine that was frozen runs beside its successor's wish for its end.
const SECOND_LIFE: Duration = Duration::from_secs(2);

/// How long the shared disk fails before it heals.
const AILMENT: Duration = Duration::from_secs(3);

/// What happens to the cluster while files move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The host is killed.
    HostKilled,
    /// The host stops where it is.
    HostFrozen,
    /// The active machine loses power, and what it had in its cache.
    PowerOff,
    /// The active machine loses power, and so does the shared disk, with what that had in its cache.
    PowerOffCache,
    /// The active machine stops where it is, for good.
    NodeFrozen,
    /// The active machine stops where it is, and goes on while the other one waits for its end.
    NodeThawed,
    /// The active machine's cable is pulled.
    LinkCut,
    /// The active machine is heard by nobody, and hears nobody.
    Silence,
    /// The machines do not hear each other; everything else hears both, and they hear it.
    SplitBrain,
    /// The other machine is heard by nobody, and hears nobody.
    StandbyCut,
    /// The shared disk fails under the active machine.
    StorageError,
    /// The shared disk fails whoever has it, and heals after a while.
    StorageHeals,
    /// The agent cannot stop the service when it is to move.
    FailingStop,
    /// The active machine is put on standby.
    PlannedMove,
    /// The cluster manager on the active machine ends, and stops the service only then.
    ManagerStopped,
    /// The other machine loses power.
    StandbyLost,
    /// The active machine loses power, and the fencing device does not say so for a while.
    FencingRefused,
    /// The active machine loses power; once it is back, and the other one serves, that one does.
    BothInTurn,
    /// The same while the first one is still on its way back.
    BothAtOnce,
}

/// What has to be seen of a fault, so that it counts as having happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whether another ownership serves afterwards.
    pub takeover: bool,
    /// Whether it is on the other machine; `None` where it may be on either.
    pub moves: Option<bool>,
    /// Who is fenced.
    pub fenced: Fenced,
}

/// Which machines are fenced, by what they were at the time of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// None.
    Nobody,
    /// The active one.
    Active,
    /// The other one.
    Standby,
    /// Each in its turn.
    Both,
    /// The active one, and perhaps the other one.
    AtLeastActive,
}

impl Fenced {
    /// Whether the orders that came to the fencing device are of this kind.
    pub fn fits(self, active: bool, standby: bool) -> bool {
        match self {
            Self::Nobody => !active && !standby,
            Self::Active => active && !standby,
            Self::Standby => !active && standby,
            Self::Both => active && standby,
            Self::AtLeastActive => active,
        }
    }
}

impl Fault {
    /// Every fault, the most telling first.
    pub const ALL: [Self; 19] = [
        Self::HostKilled,
        Self::PowerOff,
        Self::NodeThawed,
        Self::SplitBrain,
        Self::LinkCut,
        Self::PlannedMove,
        Self::ManagerStopped,
        Self::StorageError,
        Self::HostFrozen,
        Self::NodeFrozen,
        Self::Silence,
        Self::FailingStop,
        Self::StandbyLost,
        Self::StandbyCut,
        Self::FencingRefused,
        Self::BothInTurn,
        Self::BothAtOnce,
        Self::PowerOffCache,
        Self::StorageHeals,
    ];

    /// Those that take little time and tell most.
    pub const QUICK: [Self; 5] =
        [Self::HostKilled, Self::PowerOff, Self::NodeThawed, Self::SplitBrain, Self::PlannedMove];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostKilled => "host-killed",
            Self::HostFrozen => "host-frozen",
            Self::PowerOff => "power-off",
            Self::PowerOffCache => "power-off-cache",
            Self::NodeFrozen => "node-frozen",
            Self::NodeThawed => "node-thawed",
            Self::LinkCut => "link-cut",
            Self::Silence => "silent-partition",
            Self::SplitBrain => "split-brain",
            Self::StandbyCut => "standby-cut",
            Self::StorageError => "storage-error",
            Self::StorageHeals => "storage-heals",
            Self::FailingStop => "failing-stop",
            Self::PlannedMove => "planned-move",
            Self::ManagerStopped => "manager-stopped",
            Self::StandbyLost => "standby-lost",
            Self::FencingRefused => "fencing-refused",
            Self::BothInTurn => "both-in-turn",
            Self::BothAtOnce => "both-at-once",
        }
    }

    /// Whether it can happen to a cluster with this manager.
    pub const fn suits(self, manager: Manager) -> bool {
        match manager {
            Manager::Pacemaker => {
                !matches!(self, Self::SplitBrain | Self::StandbyCut | Self::ManagerStopped)
            }
            // Without fencing a machine that stays frozen is one that is off, and its standby needs
            // nobody's word.
            Manager::Keepalived => !matches!(
                self,
                Self::NodeFrozen
                    | Self::PowerOffCache
                    | Self::StorageHeals
                    | Self::FailingStop
                    | Self::FencingRefused
                    | Self::BothInTurn
                    | Self::BothAtOnce
            ),
        }
    }

    /// What has to be seen of it.
    pub const fn expected(self, manager: Manager) -> Expected {
        match manager {
            Manager::Pacemaker => self.expected_with_fencing(),
            Manager::Keepalived => self.expected_without_fencing(),
        }
    }

    const fn expected_with_fencing(self) -> Expected {
        let (takeover, moves, fenced) = match self {
            Self::HostKilled | Self::HostFrozen => (true, Some(false), Fenced::Nobody),
            Self::PlannedMove | Self::StorageError | Self::StorageHeals => {
                (true, Some(true), Fenced::Nobody)
            }
            Self::StandbyLost => (false, Some(false), Fenced::Standby),
            Self::BothInTurn => (true, Some(false), Fenced::Both),
            // Whoever comes first may take the other one for lost.
            Self::BothAtOnce => (true, None, Fenced::AtLeastActive),
            _ => (true, Some(true), Fenced::Active),
        };
        Expected { takeover, moves, fenced }
    }

    const fn expected_without_fencing(self) -> Expected {
        let (takeover, moves) = match self {
            Self::StandbyLost | Self::StandbyCut => (false, Some(false)),
            // Whoever has the higher address is the master of the two.
            Self::NodeThawed | Self::SplitBrain | Self::Silence => (true, None),
            _ => (true, Some(true)),
        };
        Expected { takeover, moves, fenced: Fenced::Nobody }
    }

    /// Whether it strikes an owner and then its successor.
    pub const fn strikes_twice(self) -> bool {
        matches!(self, Self::BothInTurn | Self::BothAtOnce)
    }

    /// Lets it happen to the machine `active`, on which the host has the process id `host`, and
    /// says when it did; returns once nothing more is to be done but to wait.
    ///
    /// # Errors
    /// It could not be made to happen.
    pub fn strike(self, lab: &Lab, active: u8, host: u32) -> io::Result<Instant> {
        let other = 3 - active;
        let now = Instant::now();
        let machine = || lab.machine(active);
        let disk = || lab.disk.as_ref().ok_or_else(|| io::Error::other("no disk of its own"));
        match self {
            Self::NodeThawed
            | Self::Silence
            | Self::SplitBrain
            | Self::StandbyCut
            | Self::PlannedMove
            | Self::ManagerStopped
            | Self::StandbyLost
                if lab.manager == Manager::Keepalived =>
            {
                return keepalived::strike(self, lab, active);
            }
            Self::HostKilled => signal(lab, active, "KILL", host)?,
            Self::HostFrozen => signal(lab, active, "STOP", host)?,
            Self::PowerOff => machine().power_off(&lab.lan)?,
            Self::PowerOffCache => {
                disk()?.cut()?;
                machine().power_off(&lab.lan)?;
                disk()?.mend()?;
            }
            Self::NodeFrozen => machine().freeze()?,
            Self::NodeThawed => freeze_and_thaw(lab, active)?,
            Self::LinkCut => lab.lan.unplug(active)?,
            Self::Silence => lab.lan.cut(active)?,
            Self::StorageError => machine().break_disk()?,
            Self::StorageHeals => {
                disk()?.fail()?;
                thread::sleep(AILMENT);
                disk()?.mend()?;
            }
            Self::FailingStop => {
                machine().inside(&shell(&failing_stop(lab)))?.status()?;
                standby(lab, active, true)?;
            }
            Self::PlannedMove => standby(lab, active, true)?,
            Self::StandbyLost => {
                let before = lab.power.orders().len();
                lab.machine(other).power_off(&lab.lan)?;
                await_order(lab, before)?;
            }
            Self::FencingRefused => return refuse_for_a_while(lab, active),
            Self::BothInTurn => return both_in_turn(lab, active),
            Self::BothAtOnce => return both_at_once(lab, active),
            Self::SplitBrain | Self::StandbyCut | Self::ManagerStopped => {
                return Err(io::Error::other("not a fault of a cluster with fencing"));
            }
        }
        Ok(now)
    }

    /// Takes back what would keep the cluster from coming to rest.
    pub fn repair(self, lab: &Lab, active: u8) {
        lab.power.refuse(false);
        lab.power.release();
        if let Some(disk) = &lab.disk {
            disk.mend().ok();
        }
        match lab.manager {
            Manager::Pacemaker if matches!(self, Self::PlannedMove | Self::FailingStop) => {
                standby(lab, active, false).ok();
            }
            Manager::Pacemaker => {}
            Manager::Keepalived => keepalived::repair(self, lab, active),
        }
        // A machine that was fenced has a new port already.
        lab.lan.plug(active).ok();
        lab.lan.heal(active).ok();
        lab.machine(active).thaw();
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("no fault is called {name}; there are {}", known()))
    }
}

fn signal(lab: &Lab, machine: u8, signal: &str, host: u32) -> io::Result<()> {
    lab.machine(machine).run("kill", &[&format!("-{signal}"), &host.to_string()]).map(drop)
}

fn freeze_and_thaw(lab: &Lab, active: u8) -> io::Result<()> {
    let before = lab.power.orders().len();
    lab.power.hold();
    lab.machine(active).freeze()?;
    await_order(lab, before)?;
    lab.machine(active).thaw();
    thread::sleep(SECOND_LIFE);
    lab.power.release();
    Ok(())
}

/// The successor must wait as long as nobody knows that the machine is off.
fn refuse_for_a_while(lab: &Lab, active: u8) -> io::Result<Instant> {
    let before = lab.power.orders().len();
    lab.power.refuse(true);
    lab.machine(active).power_off(&lab.lan)?;
    // Refused once, asked again.
    await_order(lab, before + 1)?;
    if lab.machine(3 - active).has_disk() {
        return Err(io::Error::other("the disk was mounted before the old owner was fenced"));
    }
    lab.power.refuse(false);
    Ok(Instant::now())
}

fn both_in_turn(lab: &Lab, active: u8) -> io::Result<Instant> {
    lose_active(lab, active)?;
    lab.machine(active).power_on(&lab.lan)?;
    // A member with both fencing devices known to it can do what is asked of it next.
    lab.settle()?;
    let now = Instant::now();
    lab.machine(3 - active).power_off(&lab.lan)?;
    Ok(now)
}

/// A machine that starts alone waits for the other one: both have to be there once.
fn both_at_once(lab: &Lab, active: u8) -> io::Result<Instant> {
    lose_active(lab, active)?;
    lab.machine(active).power_on(&lab.lan)?;
    let now = Instant::now();
    lab.machine(3 - active).power_off(&lab.lan)?;
    lab.machine(3 - active).power_on(&lab.lan)?;
    Ok(now)
}

/// Takes the active machine's power away, and waits until the other one serves.
fn lose_active(lab: &Lab, active: u8) -> io::Result<()> {
    lab.machine(active).power_off(&lab.lan)?;
    await_within(LIMIT * 2, "the other machine serves", || lab.serves(3 - active))
}

fn await_order(lab: &Lab, before: usize) -> io::Result<()> {
    let ordered = || lab.power.orders().len() > before;
    await_within(LIMIT * 2, "the fencing device is asked for a machine's end", ordered)
}

/// Covers the agent on one machine with one that cannot stop anything.
fn failing_stop(lab: &Lab) -> String {
    let agent = lab.folder().join("ocf/ferryway/ferryway");
    format!(
        "printf '#!/bin/sh\\n[ \"$1\" != stop ] || exit 1\\nexec {} \"$@\"\\n' >/run/no-stop && \
         chmod 755 /run/no-stop && \
         mount --bind /run/no-stop /usr/lib/ocf/resource.d/ferryway/ferryway",
        agent.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        let unknown = "power-of".parse::<Fault>().unwrap_err();
        assert!(unknown.contains("power-off"), "{unknown}");
    }
}
