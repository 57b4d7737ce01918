//! Every point at which a node can die, over the real plugin and a real wire: a successor takes
//! over and finishes; then once more, with a second death at every point of the recovery.

use std::collections::{HashMap, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

use ferryway_core::{Direction, Publish, Status, transport::Rename};
use ferryway_host::{
    control::api::Command,
    journal::{
        JournalStore,
        reader::Reader,
        record::{HistoryQuery, Job},
    },
};
use ferryway_mocks::{
    ftp_server::{Behaviour, FtpServer, RenameOver},
    oracle::{Publishes, job_of, verdict},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    crash::Broken,
    disk::files_below,
    effects::At,
    ftp,
    lab::{LIMIT, Lab, Node, RESUME_MIN, Setup, TARGET},
    points::{Kind, Trap},
};

/// The setups through which every death goes, by name.
fn setups() -> Vec<(&'static str, Setup)> {
    let base = Setup { size: 20_000, keep_recent: 0, ..Setup::default() };
    let beside = Setup { staging: "beside", ..base.clone() };
    let refuses = Setup { rename: Rename::RefusesExisting, old_target: true, ..base.clone() };
    let resume = Setup { size: RESUME_MIN + 5000, late_close: "probe", ..base.clone() };
    let fetch = Setup { direction: Direction::Fetch, old_target: true, ..base.clone() };
    let direct = Setup { publish: Publish::Direct, ..base.clone() };
    let direct_fetch = Setup { direction: Direction::Fetch, ..direct.clone() };
    let with = |exits| Setup { exits, ..base.clone() };
    let (ask, rerun, skip) = (with(ASK), with(RERUN), with(SKIP));
    vec![
        ("folder", base.clone()),
        ("beside", beside),
        ("refuses existing", refuses),
        ("resume", resume),
        ("fetch", fetch),
        ("direct", direct),
        ("direct fetch", direct_fetch),
        ("exits, ask", ask),
        ("exits, rerun", rerun),
        ("exits, skip", skip),
    ]
}

/// What CI runs of the product of two deaths.
const MAIN: [&str; 3] = ["folder", "fetch", "exits, rerun"];

const ASK: &str = "[definition.pre_exit]\ncommand = @\n[definition.post_exit]\ncommand = @\n";
const RERUN: &str = "[definition.pre_exit]\ncommand = @\n\
                     [definition.post_exit]\ncommand = @\non_takeover = \"rerun\"\n";
const SKIP: &str = "[definition.pre_exit]\ncommand = @\n\
                    [definition.post_exit]\ncommand = @\non_takeover = \"skip\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_die_at_every_point() {
    let mut tasks = JoinSet::new();
    for (name, setup) in setups() {
        let mut kinds = Kind::all(&setup);
        if setup.publish == Publish::Atomic && setup.staging == "folder" {
            kinds.push(Kind::Late);
        }
        for kind in kinds {
            let setup = setup.clone();
            tasks.spawn(async move { (name, kind, each_death(name, &setup, kind).await) });
        }
    }
    let mut counts = Counts::default();
    let mut broken = Broken::default();
    while let Some(done) = tasks.join_next().await {
        let (name, kind, (points, found)) = done.expect("a task breaks only with its test");
        counts.add(name, kind, points);
        broken.merge(found);
    }
    counts.print("deaths");
    broken.report();
    counts.assert_full();
}

/// The main setups of [`every_recovery_may_die_at_every_point`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_may_die_at_every_point() {
    two_deaths(|name| MAIN.contains(&name)).await;
}

/// All setups: `cargo test -p ferryway-host --test delivery -- --ignored every_recovery`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes"]
async fn every_recovery_may_die_at_every_point() {
    two_deaths(|_| true).await;
}

/// What follows a death depends on nothing but the disks. So of all first deaths one is taken
/// for each state that they leave, and all second deaths follow each.
async fn two_deaths(wanted: impl Fn(&str) -> bool) {
    let (mut tasks, mut deaths) = (JoinSet::new(), HashMap::new());
    for (name, setup) in setups().into_iter().filter(|(name, _)| wanted(name)) {
        let states = states(&setup).await;
        eprintln!("{name}: a first death leaves one of {} states", states.len());
        assert!(states.len() > 5, "{name} has only {} states", states.len());
        for first in states.into_values() {
            let setup = setup.clone();
            deaths.entry(name).or_insert(0);
            tasks.spawn(async move {
                let (mut points, mut broken) = (0, Broken::default());
                for kind in Kind::apart(&setup) {
                    for nth in 1.. {
                        let mut field = Field::new(&setup).await;
                        field.dies("n1", first.0, first.1).await;
                        if !field.dies("n2", kind, nth).await {
                            break;
                        }
                        points += 1;
                        let result = field.judge("n3").await;
                        let what = format!("{name}: {first:?}, then {kind:?} {nth}");
                        broken.add(what, result, || field.story());
                    }
                }
                (name, points, broken)
            });
        }
    }
    let mut broken = Broken::default();
    while let Some(done) = tasks.join_next().await {
        let (name, points, found) = done.expect("a task breaks only with its test");
        *deaths.entry(name).or_insert(0) += points;
        broken.merge(found);
    }
    eprintln!("second deaths: {deaths:?}");
    broken.report();
    assert!(deaths.values().all(|&points| points > 100), "{deaths:?}");
}

/// All deaths of one kind: how many there are, and what went wrong.
async fn each_death(name: &str, setup: &Setup, kind: Kind) -> (u32, Broken) {
    let mut broken = Broken::default();
    for nth in 1.. {
        let mut field = Field::new(setup).await;
        if !field.dies("n1", kind, nth).await {
            return (nth - 1, broken);
        }
        let result = field.judge("n2").await;
        broken.add(format!("{name}: {kind:?} {nth}"), result, || field.story());
    }
    unreachable!("a run ends")
}

/// The different states that a first death leaves, each with one death that leaves it.
async fn states(setup: &Setup) -> HashMap<u64, (Kind, u32)> {
    let mut states = HashMap::new();
    for kind in Kind::apart(setup) {
        for nth in 1.. {
            let mut field = Field::new(setup).await;
            if !field.dies("n1", kind, nth).await {
                break;
            }
            states.entry(field.state()).or_insert((kind, nth));
        }
    }
    states
}

/// An instance and its partner, on which nodes die.
struct Field {
    lab: Lab,
    server: FtpServer,
    accepted: Vec<Job>,
    /// Set while the last command of a dead node is still to be executed.
    late: Option<Trap>,
}

impl Field {
    async fn new(setup: &Setup) -> Self {
        let rename_over = match setup.rename {
            Rename::RefusesExisting => RenameOver::Refuses,
            _ => RenameOver::Replaces,
        };
        let behaviour = Behaviour { rename_over, ..Behaviour::default() };
        let (lab, server) = ftp::lab(behaviour, setup.clone()).await;
        Self { lab, server, accepted: Vec::new(), late: None }
    }

    /// Runs a node until it dies there; false when it did all it had to and stopped.
    async fn dies(&mut self, name: &str, kind: Kind, nth: u32) -> bool {
        let trap = Trap::set(&self.lab, &self.server, kind, nth);
        let wire = self.lab.wire(name);
        if let Ok(node) = self.lab.start_with(wire, name, trap.hook()).await {
            let work = async {
                if self.accepted.is_empty() && name == "n1" {
                    // A refused request is not accepted; whether it is on record is not known.
                    self.accepted.extend(node.submit().await.ok());
                }
                works_off(&self.lab, &node).await;
            };
            let ended = async {
                tokio::select! {
                    biased;
                    () = trap.struck() => {}
                    () = work => {}
                }
            };
            timeout(LIMIT, ended).await.expect("the node dies or ends");
            let image = trap.has_struck().then(|| trap.image(&self.lab));
            node.dies().await;
            self.bury(trap, image).await
        } else {
            let image = trap.has_struck().then(|| trap.image(&self.lab));
            self.bury(trap, image).await
        }
    }

    async fn bury(&mut self, trap: Trap, image: Option<tempfile::TempDir>) -> bool {
        let Some(image) = image else {
            self.server.faults().clear();
            self.lab.effects.let_go();
            return false;
        };
        self.lab.mount(image);
        self.lab.effects.let_go();
        trap.cut(&self.server).await;
        self.late = (trap.has_struck() && trap.is_late()).then_some(trap);
        true
    }

    /// Lets a successor finish, and holds the result to the oracle.
    async fn judge(&mut self, name: &str) -> Result<(), String> {
        let node = self.lab.start(name).await;
        if self.accepted.is_empty() {
            self.accepted = node.all().await;
        }
        for job in &self.accepted {
            if node.rest(&job.id).await.status == Status::PostExit {
                // The operator has looked, and lets it run again.
                let again = Command::Restart { force: false };
                node.command(&job.id, again).await.map_err(|refusal| refusal.message)?;
                node.rest(&job.id).await;
            }
        }
        let mut result = self.check(&node).await;
        node.stop().await;
        if let Some(trap) = self.late.take() {
            trap.let_go(&self.server).await;
            if !self.accepted.is_empty() {
                let seen = self.lab.seen(&self.accepted, self.publishes());
                result = result.and_then(|()| verdict(&seen));
            }
        }
        result
    }

    async fn check(&self, node: &Node) -> Result<(), String> {
        if self.accepted.is_empty() {
            return Ok(());
        }
        self.lab.check_by(node, &self.accepted, self.publishes()).await
    }

    /// Renames onto the target, as the server performed them.
    fn publishes(&self) -> Publishes {
        let target = format!("/{TARGET}");
        let onto = self.server.renames().into_iter().filter(|rename| rename.to == target);
        Publishes::By(onto.filter_map(|rename| job_of(&rename.from)).collect())
    }

    /// What is on the disks, without times and without what a try does not depend on.
    fn state(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Ok(reader) = Reader::open(self.lab.path()) {
            for mut job in reader.in_flight().unwrap_or_default() {
                (job.state.not_before, job.state.last_error) = (None, None);
                format!("{:?} {:?} {:?}", job.status, job.state, job.checkpoint).hash(&mut hasher);
            }
            let ended = HistoryQuery { limit: 10, ..HistoryQuery::default() };
            reader.history(&ended).map_or(0, |ended| ended.len()).hash(&mut hasher);
        }
        self.lab.effects.lines().hash(&mut hasher);
        self.lab.notes_on_partner().hash(&mut hasher);
        let mut journal = files_below(&self.lab.path().join("journal"), "");
        // SQLite's memory is not on the disk.
        journal.retain(|path| !path.ends_with("-shm"));
        journal.sort();
        journal.hash(&mut hasher);
        for path in self.lab.remote_files() {
            (self.lab.remote_bytes(&path).map(|bytes| bytes.len()), path).hash(&mut hasher);
        }
        let local = std::fs::read_dir(self.lab.path().join("data")).unwrap().flatten();
        let mut local: Vec<_> =
            local.map(|e| (e.file_name(), e.metadata().map_or(0, |facts| facts.len()))).collect();
        local.sort();
        local.hash(&mut hasher);
        hasher.finish()
    }

    fn story(&self) -> String {
        format!("{:?}\n{}", self.lab.setup, self.server.transcript())
    }
}

/// Works off all jobs, tidies up and stops, or ends where its journal fails.
pub async fn works_off(lab: &Lab, node: &Node) {
    for job in node.journal.in_flight().await.unwrap_or_default() {
        if node.desk_wait(&job.id).await.is_err() {
            return;
        }
    }
    if node.quiet().await.is_ok() {
        lab.archived(node).await;
        node.desk.stop().await;
    }
}

/// How many points there are of each kind in each setup.
#[derive(Default)]
struct Counts(HashMap<&'static str, Vec<(Kind, u32)>>);

impl Counts {
    fn add(&mut self, name: &'static str, kind: Kind, points: u32) {
        self.0.entry(name).or_default().push((kind, points));
    }

    fn of(&self, name: &str, kind: Kind) -> u32 {
        let found = self.0.get(name).and_then(|kinds| kinds.iter().find(|(k, _)| *k == kind));
        found.map_or(0, |(_, points)| *points)
    }

    fn print(&self, what: &str) {
        let mut total = 0;
        for (name, kinds) in &self.0 {
            let points: u32 = kinds.iter().map(|(_, points)| points).sum();
            total += points;
            eprintln!("{name}: {points} {what}: {kinds:?}");
        }
        eprintln!("{total} {what}");
    }

    /// Every kind fired where it must.
    fn assert_full(&self) {
        use ferryway_host::journal::Point;
        for (name, setup) in setups() {
            for kind in [Kind::Before, Kind::After, Kind::Reply] {
                assert!(self.of(name, kind) > 12, "{name} {kind:?}: {}", self.of(name, kind));
            }
            for point in Point::EACH {
                assert!(self.of(name, Kind::Journal(point)) > 0, "{name} never passes {point:?}");
            }
            assert!(self.of(name, Kind::Torn) > 3, "{name}");
            let verb = if setup.direction == Direction::Send { "STOR" } else { "RETR" };
            if !setup.exits.is_empty() {
                for at in [At::Before, At::After] {
                    assert_eq!(self.of(name, Kind::Exit(at)), 2, "{name} {at:?}");
                }
            }
            // A direct send stores under the target's name.
            if setup.publish == Publish::Atomic || setup.direction == Direction::Fetch {
                for at in [0, setup.size as u64 / 2, setup.size as u64] {
                    assert!(self.of(name, Kind::Data(verb, at)) > 0, "{name} {verb} {at}");
                }
            }
        }
    }
}
