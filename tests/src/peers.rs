//! Two installations that are each other's partners by socket, each with two nodes and an
//! address that moves between them.
//!
//! Everything here fails the test that uses it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these functions fail the test that calls them"
)]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ferryway_core::{JobId, Status, status::Outcome};
use ferryway_host::{
    control::api::SubmitRequest,
    journal::{reader::Reader, record::Job},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    content::{Content, hash_file},
    host::{Install, Node},
    scene::{Arrivals, Arrived, JOB_LIMIT, client},
    slow_line::SlowLine,
    wait::{LIMIT, holds_within, wait_until},
};

/// Both doors are open to who knows the secret.
pub const SECRET: &str = "security = \"secret\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

/// Both doors are open to everybody.
pub const PLAIN: &str = "security = \"plain\"\n";

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// How the two are set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes per second of each connection.
    pub rate: u64,
    /// Seconds before a failed try is repeated, each time.
    pub retry_s: u32,
    /// The keys of both doors: [`SECRET`] or [`PLAIN`].
    pub security: &'static str,
}

/// The two installations, a host running on the first node of each.
#[derive(Debug)]
pub struct Peers {
    /// The one that asks for transfers.
    pub night: Side,
    /// The one that serves them.
    pub day: Side,
    runtime: Runtime,
}

/// One installation.
#[derive(Debug)]
pub struct Side {
    /// The install directory, on a disk that both nodes reach.
    pub install: Install,
    /// The nodes. A failing test prints what the hosts there said.
    pub nodes: [Node; 2],
    /// Its address: what others reach its door by.
    pub line: SlowLine,
    /// What appeared in its folder `in`.
    pub arrivals: Arrivals,
    doors: usize,
}

impl Peers {
    /// Both installations, each with a host on its first node, which the other can reach.
    pub fn start(setup: Setup) -> Self {
        let mut peers = Self::build(setup);
        peers.day.start(0);
        peers.night.start(0);
        peers
    }

    /// Both installations; no host runs yet.
    pub fn build(setup: Setup) -> Self {
        let line = || SlowLine::start(NOWHERE.parse().unwrap(), setup.rate).unwrap();
        let (to_night, to_day) = (line(), line());
        let (night_port, day_port) = (to_night.address().port(), to_day.address().port());
        Self {
            night: Side::build("night", to_night, "day", day_port, setup),
            day: Side::build("day", to_day, "night", night_port, setup),
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
        }
    }

    /// Has night send a file of its own to day.
    pub fn send(&self, name: &str, content: Content) -> JobId {
        content.write_to(&self.night.install.path().join("out").join(name)).unwrap();
        self.submit("SEND1", name)
    }

    /// Has night fetch a file of day's.
    pub fn fetch(&self, name: &str, content: Content) -> JobId {
        content.write_to(&self.day.install.path().join("out").join(name)).unwrap();
        self.submit("FETCH1", name)
    }

    fn submit(&self, definition: &str, name: &str) -> JobId {
        let sends = definition.starts_with("SEND");
        let offered = self.day.install.path().join("out").join(name).display().to_string();
        let request = SubmitRequest {
            definition: definition.parse().unwrap(),
            local: sends.then(|| name.into()),
            remote: (!sends).then_some(offered),
            key: None,
        };
        let client = client(&self.night.nodes[0]);
        self.runtime.block_on(client.submit(&[request])).unwrap()[0].id.clone()
    }

    /// A job of night's as it is now.
    pub fn job(&self, job: &JobId) -> Job {
        self.runtime.block_on(client(&self.night.nodes[0]).job(job)).unwrap().job
    }

    /// What is on record of a job of night's.
    pub fn entries(&self, job: &JobId) -> Vec<String> {
        let entries = Reader::open(self.night.install.path()).unwrap().entries(job).unwrap();
        entries.into_iter().filter_map(|entry| entry.note).collect()
    }

    /// Waits until night's job has ended well; the job.
    #[track_caller]
    pub fn completed(&self, job: &JobId) -> Job {
        let (client, deadline) = (client(&self.night.nodes[0]), Instant::now() + JOB_LIMIT);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = client.wait(std::slice::from_ref(job), left);
            let found = self.runtime.block_on(wait).unwrap().remove(0);
            if found.status.outcome().is_some() || found.status == Status::Suspended {
                let error = &found.state.last_error;
                assert_eq!(found.status, Status::Idle(Outcome::Completed), "{error:?}");
                return found;
            }
            assert!(!left.is_zero(), "{job} is still {}", found.status);
        }
    }

    /// Judges what a job of night's delivered: the bytes, that they appeared once and whole, the
    /// record, and what else lies about. The job.
    #[track_caller]
    pub fn delivered(&self, job: &JobId, name: &str, content: Content) -> Job {
        let job = self.completed(job);
        let side = match job.spec.direction {
            ferryway_core::Direction::Send => &self.day,
            ferryway_core::Direction::Fetch => &self.night,
        };
        let place = side.incoming().join(name);
        assert_eq!(hash_file(&place).unwrap(), content.hash(), "{}", place.display());
        let once = Arrived { renamed: 1, made: 0 };
        assert_eq!(side.arrivals.of(name), once, "{name} is to appear once, by a rename");
        assert_eq!(job.state.published, 1);
        let mut strays = Vec::new();
        let clean = holds_within(LIMIT, || {
            strays = partials(&side.incoming());
            strays.is_empty()
        });
        assert!(clean, "these partials are left: {strays:#?}");
        job
    }

    /// Where night's last attempt at a job started, if it was resumed.
    pub fn resumed_at(&self, job: &JobId) -> Option<u64> {
        self.entries(job)
            .iter()
            .rev()
            .find_map(|note| note.strip_prefix("resumes at byte ")?.split(' ').next()?.parse().ok())
    }
}

impl Side {
    fn build(name: &str, line: SlowLine, other: &str, port: u16, setup: Setup) -> Self {
        let partner = other.to_uppercase();
        let Setup { retry_s, security, .. } = setup;
        let security = format!("timeout_s = 5\n{security}");
        let install = Install::new(&format!(
            "[instance]\nname = \"{name}\"\n[roots]\nreceive = [\"in\"]\nsend = [\"out\"]\n\
             [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n{security}\
             [listen.visitors.{partner}]\nhost_name = \"{other}.example\"\n\
             instance = \"{other}\"\nmay = [\"send\", \"fetch\"]\n\
             [partners.{partner}]\ntransport = \"socket\"\nhost = \"127.0.0.1\"\n\
             port = {port}\n{security}\
             [partners.{partner}.retry]\nfirst_s = {retry_s}\nmax_s = {retry_s}\n"
        ))
        .unwrap();
        let definitions = format!(
            "[[definition]]\nid = \"SEND1\"\npartner = \"{partner}\"\ndirection = \"send\"\n\
             remote = \"{{name}}\"\n\
             [[definition]]\nid = \"FETCH1\"\npartner = \"{partner}\"\ndirection = \"fetch\"\n\
             local = \"{{name}}\"\nremote = \"/offered/{{job}}\"\n"
        );
        install.write("definitions/all.toml", &definitions).unwrap();
        for folder in ["out", "in"] {
            fs::create_dir(install.path().join(folder)).unwrap();
        }
        let node = |node| {
            let mut node = Node::new(&install, &format!("{name}-{node}")).unwrap();
            node.set_variable("FERRYWAY_LOG", "info,ferryway_host=debug,ferryway_socket=debug");
            // Nodes of a cluster tell one name.
            node.set_variable("HOSTNM", &format!("{name}.example"));
            node
        };
        let nodes = [node("1"), node("2")];
        let arrivals = Arrivals::watch(&install.path().join("in"));
        Self { install, nodes, line, arrivals, doors: 0 }
    }

    /// Starts the host on a node, and leads the address there once its door is open. Before, the
    /// address is nobody's. The door's own address.
    pub fn start(&mut self, node: usize) -> SocketAddr {
        self.line.lead_nowhere();
        self.nodes[node].start().unwrap();
        self.await_door()
    }

    /// Waits for the next line of an open door, and leads the address there; the door's own
    /// address.
    pub fn await_door(&mut self) -> SocketAddr {
        self.doors += 1;
        let mut door = None;
        wait_until(LIMIT, "the line of the open door", || {
            let lines = self.lines("0501I");
            door = lines.get(self.doors - 1).and_then(|line| address_in(line));
            door.is_some()
        });
        let door = door.unwrap();
        self.line.lead_to(door);
        door
    }

    /// The folder that files come into.
    pub fn incoming(&self) -> PathBuf {
        self.install.path().join("in")
    }

    /// The lines of the operator's log with this code.
    pub fn lines(&self, code: &str) -> Vec<String> {
        let log = fs::read_to_string(self.install.path().join("logs/ferryway.log"));
        let log = log.unwrap_or_default();
        log.lines().filter(|line| line.contains(&format!(" {code} "))).map(str::to_owned).collect()
    }

    /// Waits for a line of the operator's log with this code and these words.
    #[track_caller]
    pub fn await_line(&self, code: &str, words: &[&str]) -> String {
        let mut found = None;
        wait_until(LIMIT, &format!("a line {code} with {words:?}"), || {
            let said = |line: &String| words.iter().all(|word| line.contains(word));
            found = self.lines(code).into_iter().find(said);
            found.is_some()
        });
        found.unwrap()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for side in [&self.night, &self.day] {
            let place = side.install.path().join("logs/ferryway.log");
            let log = fs::read_to_string(&place).unwrap_or_default();
            eprintln!("--- {}\n{log}", place.display());
            for node in &side.nodes {
                eprintln!("--- host on {}\n{}", node.name(), node.output());
            }
        }
    }
}

/// How long something took, for the output of a test.
pub fn seconds(since: Instant) -> f64 {
    Duration::as_secs_f64(&since.elapsed())
}

fn address_in(line: &str) -> Option<SocketAddr> {
    line.rsplit_once("Address(")?.1.trim_end_matches(')').parse().ok()
}

/// What is left of partials below a folder, but the marks of revoked epochs.
pub fn partials(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(partials(&path));
        } else if path.to_string_lossy().ends_with(".part") {
            found.push(path);
        }
    }
    found
}
