//! Faults, one after the other, and what each of them cost.

use std::{
    fmt::Write as _,
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ferryway_core::{Epoch, JobId};
use ferryway_host::control::client::Client;

use super::{Damage, Fault, Lab, Past, Transfers, Watch, furnish::DOOR};
use crate::{net::Lan, scene::MIB, wait::holds_within};

/// How long the cluster may take to serve again.
const SERVICE_LIMIT: Duration = Duration::from_secs(120);

/// Between two small files that are asked for while the fault lasts.
const TRICKLE: Duration = Duration::from_millis(150);

/// The large files that the cluster was asked for, which a fault has to meet on their way: in both
/// directions, by FTP and by socket.
const MET: usize = 4;

/// A campaign in progress.
#[derive(Debug)]
pub struct Campaign<'lab> {
    lab: &'lab Lab,
    watch: Watch,
    past: Past,
    struck: usize,
}

/// What a fault cost.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fault.
    pub fault: Fault,
    /// From the fault to an answer at the virtual address; `None` when it answered all the time.
    pub service: Option<Duration>,
    /// How much of that had passed when the program of the new host was started.
    pub manager: Option<Duration>,
    /// From the fault to the first byte that moved for the new owner.
    pub first_byte: Option<Duration>,
    /// How long the old host's process was there beside its successor's; `None` when it was not.
    pub both: Option<Duration>,
    /// What the judge says.
    pub damage: Damage,
    /// The load of the machine when the service was back.
    pub load: String,
}

/// What was seen while waiting for the service.
#[derive(Clone, Debug)]
struct Sighting {
    /// The newest ownership, and how far the large files are by its word.
    owner: Epoch,
    progress: Vec<(JobId, u64)>,
    /// The one before it, and its last word.
    former: Epoch,
    before: Vec<(JobId, u64)>,
    host_started: Option<Instant>,
    first_byte: Option<Instant>,
}

impl Sighting {
    /// Takes note of what a host says of the large files.
    fn hear(&mut self, epoch: Epoch, progress: Vec<(JobId, u64)>) {
        if epoch > self.owner {
            self.former = std::mem::replace(&mut self.owner, epoch);
            self.before = std::mem::take(&mut self.progress);
            (self.host_started, self.first_byte) = (None, None);
        }
        let known = if epoch == self.owner {
            &mut self.progress
        } else if epoch == self.former {
            // As long as it goes on beside its successor.
            &mut self.before
        } else {
            return;
        };
        known.retain(|(job, _)| progress.iter().all(|(other, _)| other != job));
        known.extend(progress);
    }
}

impl<'lab> Campaign<'lab> {
    /// Begins to look at the cluster's door.
    pub fn new(lab: &'lab Lab) -> Self {
        let door = SocketAddr::from((Lan::VIRTUAL, DOOR));
        Self { lab, watch: Watch::start(door), past: Past::default(), struck: 0 }
    }

    /// Lets one fault happen to a cluster that is well, and leaves it well.
    ///
    /// # Errors
    /// The fault did not happen as it should, the service did not come back, or the cluster did
    /// not come to rest. What the judge found is in the row and no error.
    pub fn strike(&mut self, fault: Fault) -> io::Result<Row> {
        let lab = self.lab;
        let active = lab.settle()?;
        self.struck += 1;
        let tag = format!("{}-{fault}", self.struck);
        let mut transfers = Transfers::start(lab, active, &tag)?;
        let host = lab.client(active).ok_or_else(|| io::Error::other("no host"))?;
        let old = transfers.ask(host.health()).ok_or_else(|| io::Error::other("no host"))?;
        let orders = lab.power.orders().len();
        let before = transfers.progress(&host);
        if before.len() < MET {
            return Err(io::Error::other("no fault, since a large file was through before it"));
        }
        let process = lab.machine(active).root().map(|root| root.join(format!("proc/{}", old.pid)));
        let process = process.ok_or_else(|| io::Error::other("the active machine is off"))?;
        let (struck, seen, ended) = thread::scope(|scope| {
            let at_rest = Arc::new(AtomicBool::new(false));
            let ending = {
                let at_rest = Arc::clone(&at_rest);
                scope.spawn(move || end_of(&process, &at_rest))
            };
            let striking = scope.spawn(|| fault.strike(lab, active, old.pid));
            let first = Sighting {
                owner: old.epoch,
                progress: before,
                former: old.epoch,
                before: Vec::new(),
                host_started: None,
                first_byte: None,
            };
            let seen = self.observe(fault, &mut transfers, first, || striking.is_finished());
            let struck = striking.join();
            holds_within(SERVICE_LIMIT, || lab.active().is_some());
            at_rest.store(true, Ordering::SeqCst);
            (struck, seen, ending.join())
        });
        let struck = struck.map_err(|_| io::Error::other("the fault broke"))??;
        let seen = seen?;
        let ended = ended.map_err(|_| io::Error::other("a thread broke"))?;
        let now = lab.active().ok_or_else(|| io::Error::other("not one machine serves"))?;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let answered = self.answered(struck, seen.host_started)?;
        self.check(fault, active, now, orders)?;
        if let Some(host) = lab.client(now) {
            transfers.ask_again(&host)?;
        }
        let damage = transfers.judge(now, seen.former, &seen.before, &mut self.past)?;
        fault.repair(lab, active);
        let after = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(struck));
        let both =
            ended.zip(seen.host_started).and_then(|(end, start)| end.checked_duration_since(start));
        Ok(Row {
            fault,
            service: after(answered),
            manager: after(seen.host_started),
            first_byte: after(seen.first_byte),
            both,
            damage,
            load: load.split_whitespace().next().unwrap_or_default().to_owned(),
        })
    }

    /// Looks at both machines until another ownership moves files, asking for small ones on the
    /// way; or, where nothing is to change, until the fault is through.
    fn observe(
        &self,
        fault: Fault,
        transfers: &mut Transfers<'_>,
        mut seen: Sighting,
        is_struck: impl Fn() -> bool,
    ) -> io::Result<Sighting> {
        let first = seen.owner;
        let deadline = Instant::now() + SERVICE_LIMIT;
        let mut next = Instant::now();
        let mut renewed = false;
        while Instant::now() < deadline {
            // A machine that was off is another one to look into.
            let hosts: Vec<Client> =
                [1, 2].into_iter().filter_map(|n| self.lab.client(n)).collect();
            if Instant::now() >= next {
                transfers.trickle(&hosts);
                next = Instant::now() + TRICKLE;
            }
            // Who answers from now on has outlived the fault.
            let struck = is_struck();
            if struck && !fault.expected(self.lab.manager).takeover {
                return Ok(seen);
            }
            for (index, host) in hosts.iter().enumerate() {
                let Some(health) = transfers.ask(host.health()) else { continue };
                seen.hear(health.epoch, transfers.progress(host));
                if health.epoch == first || health.epoch != seen.owner {
                    continue;
                }
                if !struck && fault.strikes_twice() && !renewed {
                    renewed = transfers.renew(host);
                }
                if seen.host_started.is_none() {
                    seen.host_started = started(host, health.pid);
                }
                let moved = transfers.views(host).iter().any(|view| {
                    view.progress.is_some_and(|progress| progress.done > progress.resumed_at)
                });
                if moved || health.in_flight == 0 {
                    seen.first_byte.get_or_insert_with(Instant::now);
                    transfers.trickle(&hosts[index..=index]);
                    if struck {
                        return Ok(seen);
                    }
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other(format!(
            "no other ownership than {first} moved a file within {SERVICE_LIMIT:?}; the newest one \
             is {}, the fault is through: {}",
            seen.owner,
            is_struck()
        )))
    }

    /// When the new host answered at the virtual address; `None` where the old one never stopped.
    fn answered(&self, struck: Instant, started: Option<Instant>) -> io::Result<Option<Instant>> {
        let Some(started) = started else {
            return match self.watch.silence_since(struck) {
                None => Ok(None),
                Some(silence) => Err(io::Error::other(format!(
                    "no answer at the virtual address for {silence:?}"
                ))),
            };
        };
        let mut answer = None;
        holds_within(SERVICE_LIMIT, || {
            answer = self.watch.first_after(started);
            answer.is_some()
        });
        let silence =
            || format!("no answer at the virtual address within another {SERVICE_LIMIT:?}");
        answer.map(Some).ok_or_else(|| io::Error::other(silence()))
    }

    /// That the fault did what it is there for.
    fn check(&self, fault: Fault, before: u8, now: u8, orders: usize) -> io::Result<()> {
        let expected = fault.expected(self.lab.manager);
        let orders = self.lab.power.orders().split_off(orders);
        let fenced = |machine| orders.iter().any(|order| order.machine == machine);
        let (active, standby) = (fenced(before), fenced(3 - before));
        let moved = expected.moves.is_none_or(|moves| moves == (before != now));
        if !moved || !expected.fenced.fits(active, standby) {
            return Err(io::Error::other(format!(
                "expected {expected:?}, but the service went from node{before} to node{now}; the \
                 end of the active machine was asked for: {active}, of the other one: {standby}"
            )));
        }
        Ok(())
    }
}

impl Row {
    /// The head of the table, as Markdown.
    pub const HEAD: &str = "\
| fault | service back, s | of it until the host was started, s | first byte, s | both hosts, s | sent again, MiB | jobs | exits cut | asked | lost | doubled | damaged | load |\n\
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

    /// Whether every promise was kept.
    pub const fn is_good(&self) -> bool {
        self.damage.violations.is_empty()
    }

    /// The row, as Markdown.
    pub fn line(&self) -> String {
        let seconds = |time: Option<Duration>| {
            time.map_or("-".to_owned(), |time| format!("{:.2}", time.as_secs_f64()))
        };
        let damage = &self.damage;
        let mut line = format!(
            "| {} | {} | {} | {} | {} | {:.1} | {} | {} | {} | {} | {} | {} | {} |",
            self.fault,
            seconds(self.service),
            seconds(self.manager),
            seconds(self.first_byte),
            seconds(self.both),
            damage.again as f64 / MIB as f64,
            damage.jobs,
            damage.exits_cut,
            damage.asked,
            damage.lost,
            damage.doubled,
            damage.damaged,
            self.load
        );
        for violation in &damage.violations {
            write!(line, "\n    {violation}").ok();
        }
        line
    }
}

/// When a process ends whose folder below `/proc` this is; `None` when it is still there once all is
/// `at_rest`.
fn end_of(process: &Path, at_rest: &AtomicBool) -> Option<Instant> {
    while process.exists() {
        if at_rest.load(Ordering::SeqCst) {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(Instant::now())
}

/// When the process of a host began, whose control socket is seen through its machine.
fn started(host: &Client, pid: u32) -> Option<Instant> {
    // /proc/<init>/root/run/ferryway/night/control.sock
    let root: &Path = host.socket().ancestors().find(|path| path.ends_with("root"))?;
    let stat = fs::read_to_string(root.join(format!("proc/{pid}/stat"))).ok()?;
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 =
        fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    Instant::now().checked_sub(Duration::from_secs_f64((uptime - ticks / 100.0).max(0.0)))
}
