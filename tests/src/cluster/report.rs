//! What the laboratory looks like when something in it went wrong.

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use ferryway_host::control::client::Client;
use tokio::{runtime::Runtime, time::timeout};

use super::{Lab, Manager, lab::ANSWER};
use crate::scene::client;

/// Lines of each log.
const LINES: usize = 25;

/// What a machine keeps of itself, and the operator's log of a host outside.
const LOGS: [&str; 11] = [
    "node1/log/pacemaker/pacemaker.log",
    "node2/log/pacemaker/pacemaker.log",
    "node1/log/keepalived/night.log",
    "node2/log/keepalived/night.log",
    "node1/log/corosync/corosync.log",
    "node2/log/corosync/corosync.log",
    "node1/log/ferryway/night.console",
    "node2/log/ferryway/night.console",
    "node1/console.log",
    "node2/console.log",
    "branch/logs/ferryway.log",
];

impl Lab {
    /// The state of everything, for whoever has to find out what went wrong: who has what, the
    /// cluster manager's view or the addresses, what the fencing device did, the jobs in flight, and the end of
    /// each log.
    pub fn report(&self) -> String {
        let mut report = String::new();
        let view: &[&str] = match self.manager {
            Manager::Pacemaker => &["5", "crm_mon", "-1rf"],
            Manager::Keepalived => &["5", "ip", "-o", "address"],
        };
        for number in [1, 2] {
            let machine = self.machine(number);
            let (name, on, disk) = (machine.name(), machine.is_on(), machine.has_disk());
            writeln!(report, "--- {name}: on: {on}, has the disk: {disk}").ok();
            // One that is frozen does not answer.
            let view = machine.run("timeout", view);
            writeln!(report, "{}", view.unwrap_or_else(|error| error.to_string())).ok();
        }
        writeln!(report, "--- orders to the fencing device").ok();
        for order in self.power.orders() {
            writeln!(report, "{}", order.line(Instant::now())).ok();
        }
        for number in [1, 2] {
            if let Some(client) = self.client(number) {
                report += &jobs(&format!("night on node{number}"), &client);
            }
            let log = self.install(number).map(|install| install.join("logs/ferryway.log"));
            if let Some(log) = log.filter(|log| log.exists()) {
                report += &tail(&format!("night's log by node{number}"), &log);
            }
        }
        report += &jobs("branch", &client(&self.branch));
        report + &logs(self.folder())
    }
}

/// The end of each log in a laboratory's folder, also when it did not come up.
pub fn logs(folder: &Path) -> String {
    LOGS.iter().map(|log| tail(log, &folder.join(log))).collect()
}

/// The jobs in flight of a host.
fn jobs(whose: &str, host: &Client) -> String {
    let mut lines = format!("--- jobs in flight: {whose}\n");
    let Ok(runtime) = Runtime::new() else { return lines };
    let views = match runtime.block_on(async { timeout(ANSWER, host.jobs()).await }) {
        Ok(Ok(views)) => views,
        Ok(Err(error)) => return format!("{lines}{error}\n"),
        Err(_) => return format!("{lines}no answer within {ANSWER:?}\n"),
    };
    for view in views {
        let (id, status) = (&view.job.id, view.job.status);
        let across = view.progress.map(|progress| format!("{}/{}", progress.done, progress.total));
        writeln!(lines, "{id} {status} {}", across.unwrap_or_default()).ok();
    }
    lines
}

/// The last remarkable lines of a log.
fn tail(name: &str, log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let remarkable = |line: &&str| !line.contains("\tinfo: ") && !line.contains(" INFO ");
    let lines: Vec<_> = text.lines().filter(remarkable).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    format!("--- {name}\n{end}\n")
}
