//! What is special about a cluster with keepalived, where nobody is fenced.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use super::{Fault, Lab, lab::SETTLE_LIMIT};
use crate::{
    net::Lan,
    wait::{LIMIT, await_within, holds_within},
};

/// How long a machine that was frozen has been replaced when it goes on.
const REPLACED: Duration = Duration::from_secs(1);

/// What starts keepalived on a machine.
const START: &str = "/run/start-keepalived";

/// What stops the host in good order.
const STOP: &str = "/usr/local/lib/ferryway/cluster/generic/stop";

/// Whether a machine has the virtual address and a host that answers, and the other one has
/// neither the one nor any host.
pub(super) fn serves_alone(lab: &Lab, machine: u8) -> bool {
    let other = 3 - machine;
    let is_on = lab.machine(other).is_on();
    let is_idle = || !runs_host(lab, other) && has_address(lab, other) == Some(false);
    lab.serves(machine) && has_address(lab, machine) == Some(true) && (!is_on || is_idle())
}

/// Waits until one machine serves and the other one is its standby.
///
/// # Errors
/// They do not within a limit; what they are is in the message.
pub(super) fn settle(lab: &Lab) -> io::Result<u8> {
    let mut active = None;
    let is_settled = || {
        active = lab.active();
        active.is_some_and(|active| is(lab, active, "MASTER") && is(lab, 3 - active, "BACKUP"))
    };
    let settled = holds_within(SETTLE_LIMIT, is_settled);
    active.filter(|_| settled).ok_or_else(|| {
        let view = [1, 2].map(|number| {
            let (state, runs) = (state(lab, number), runs_host(lab, number));
            format!("node{number}: {state:?}, a host: {runs}, {:?}", has_address(lab, number))
        });
        io::Error::other(format!("the cluster does not come to rest: {}", view.join("; ")))
    })
}

/// Lets a fault happen that is something else here than under a manager that fences; see
/// [`Fault::strike`].
///
/// # Errors
/// It could not be made to happen.
pub(super) fn strike(fault: Fault, lab: &Lab, active: u8) -> io::Result<Instant> {
    let other = 3 - active;
    let now = Instant::now();
    match fault {
        Fault::NodeThawed => {
            lab.machine(active).freeze()?;
            await_service(lab, other)?;
            std::thread::sleep(REPLACED);
            lab.machine(active).thaw();
        }
        Fault::Silence => {
            lab.lan.cut(active)?;
            await_service(lab, other)?;
            await_end(lab, active)?;
            lab.lan.heal(active)?;
        }
        Fault::SplitBrain => {
            [1, 2].into_iter().try_for_each(|node| lab.lan.isolate(node, true))?;
            await_service(lab, other)?;
            await_end(lab, active)?;
            [1, 2].into_iter().try_for_each(|node| lab.lan.isolate(node, false))?;
        }
        Fault::StandbyCut => {
            let before = states(lab, other).len();
            lab.lan.cut(other)?;
            let notices = || states(lab, other).len() > before;
            await_within(LIMIT, "the standby notices that it is cut off", notices)?;
            lab.lan.heal(other)?;
        }
        Fault::StandbyLost => lab.machine(other).power_off(&lab.lan)?,
        Fault::ManagerStopped => end_manager(lab, active)?,
        Fault::PlannedMove => {
            lab.machine(active).run(STOP, &["night"])?;
            end_manager(lab, active)?;
        }
        _ => return Err(io::Error::other("not a fault of a cluster with keepalived")),
    }
    Ok(now)
}

/// Takes back what would keep the cluster from coming to rest.
pub(super) fn repair(fault: Fault, lab: &Lab, active: u8) {
    match fault {
        Fault::PlannedMove | Fault::ManagerStopped => drop(lab.machine(active).run(START, &[])),
        // A way to the disk that is gone comes back with the machine.
        Fault::StorageError => drop(lab.machine(active).power_off(&lab.lan)),
        _ => {}
    }
    for node in [1, 2] {
        lab.lan.isolate(node, false).ok();
        lab.lan.heal(node).ok();
    }
}

/// What the end of its service does.
fn end_manager(lab: &Lab, machine: u8) -> io::Result<()> {
    lab.machine(machine).run("pkill", &["-o", "keepalived"]).map(drop)
}

fn await_service(lab: &Lab, machine: u8) -> io::Result<()> {
    await_within(LIMIT * 2, "the other machine takes over", || lab.serves(machine))
}

/// Waits for the end of a machine's host, which nobody has asked for.
fn await_end(lab: &Lab, machine: u8) -> io::Result<()> {
    await_within(LIMIT, "the old owner ends by itself", || !runs_host(lab, machine))
}

/// Whether there is a process of the host, one that is frozen included.
fn runs_host(lab: &Lab, machine: u8) -> bool {
    let root = lab.machine(machine).root();
    root.is_some_and(|root| root.join("run/ferryway/night.unit/pid").exists())
}

/// Whether a machine has the virtual address; `None` when it does not say so.
fn has_address(lab: &Lab, machine: u8) -> Option<bool> {
    let address = Lan::VIRTUAL.to_string();
    let found = lab.machine(machine).run("ip", &["-o", "addr", "show", "to", &address]);
    found.ok().map(|found| !found.is_empty())
}

fn is(lab: &Lab, machine: u8, expected: &str) -> bool {
    state(lab, machine).is_some_and(|state| state == expected)
}

/// What a machine is for its keepalived.
fn state(lab: &Lab, machine: u8) -> Option<String> {
    states(lab, machine).pop()
}

/// What it was, one after the other.
fn states(lab: &Lab, machine: u8) -> Vec<String> {
    let log = lab.machine(machine).home().join("log/keepalived/night.log");
    let log = fs::read_to_string(log).unwrap_or_default();
    let entered =
        |line: &str| Some(line.split_once(") Entering ")?.1.split(' ').next()?.to_owned());
    log.lines().filter_map(entered).collect()
}
