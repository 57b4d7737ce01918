//! What is special about a cluster with Pacemaker.

use std::{fs, io};

use super::{Lab, lab::SETTLE_LIMIT};
use crate::{host::Programs, wait::holds_within};

/// The cluster's configuration, but for the service itself.
const CLUSTER: &str = include_str!("../../cluster/cluster.crm");

/// Waits until the machines have found each other, and tells them what they are there for.
///
/// # Errors
/// They do not within a limit, or refuse it.
pub(super) fn configure(lab: &Lab) -> io::Result<()> {
    let configuration = lab.folder().join("cluster.crm");
    fs::write(&configuration, CLUSTER.replace("@FERRYWAY@", &service()?))?;
    let mut view = String::new();
    let members = holds_within(SETTLE_LIMIT, || {
        view = look(lab);
        view.matches("online=\"true\"").count() == 2 && view.contains("with_quorum=\"true\"")
    });
    if !members {
        return Err(io::Error::other(format!(
            "the machines do not find each other within {SETTLE_LIMIT:?}:\n{view}"
        )));
    }
    let path = configuration.to_string_lossy().into_owned();
    lab.machine(1).run("crm", &["configure", "load", "update", &path]).map(drop)
}

/// Waits until the cluster serves with both members, without failures on its record.
///
/// # Errors
/// It does not within a limit; its view is in the message.
pub(super) fn settle(lab: &Lab) -> io::Result<u8> {
    let mut view = String::new();
    let mut cleaned = false;
    let settled = holds_within(SETTLE_LIMIT, || {
        view = look(lab);
        let members = view.matches("online=\"true\" standby=\"false\"").count() == 2;
        if members && !cleaned {
            cleaned = lab.machine(1).run("crm_resource", &["--cleanup"]).is_ok();
        }
        // Three for fencing, and the three of the service.
        let started = view.matches("role=\"Started\"").count() == 6;
        let failed = view.contains("failed=\"true\"") || view.contains("<failures>");
        cleaned && members && started && !failed && lab.active().is_some()
    });
    match lab.active() {
        Some(active) if settled => Ok(active),
        _ => Err(io::Error::other(format!(
            "the cluster does not come to rest within {SETTLE_LIMIT:?}:\n{view}"
        ))),
    }
}

/// Puts a machine on standby, or takes it back. Asks the machine that stays on, whichever the
/// cluster manager listens to.
///
/// # Errors
/// It is off, or the cluster manager refuses.
pub(super) fn standby(lab: &Lab, machine: u8, on: bool) -> io::Result<()> {
    let name = lab.machine(machine).name();
    let change: &[&str] = if on { &["-v", "on"] } else { &["-D"] };
    let arguments = [&["-N", &name], change].concat();
    lab.machine(3 - machine).run("crm_standby", &arguments).map(drop)
}

fn look(lab: &Lab) -> String {
    lab.machine(1).run("crm_mon", &["-1", "--output-as=xml"]).unwrap_or_default()
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
