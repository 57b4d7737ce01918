//! The stage of most tests: one partner, one installation, two nodes, and one judge of all
//! deliveries.
//!
//! Everything here fails the test that uses it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these functions fail the test that calls them"
)]

mod arrivals;
mod oracle;
mod partner;
mod steps;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ferryway_core::{DefinitionId, JobId, Status};
use ferryway_host::{
    control::{
        api::{Command, JobView, SubmitRequest},
        client::{Client, ClientError},
    },
    journal::{
        reader::Reader,
        record::{Entry, Job},
    },
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub use arrivals::{Arrivals, Arrived};
pub use oracle::strays_below;
pub use partner::{Kind, Server, largest};
pub use steps::{MIDDLE, SIZE};

use crate::{
    Unavailable,
    content::Content,
    host::{Install, Node},
    servers::Site,
    wait::holds_within,
};

/// How long a job may take on a loaded machine.
pub const JOB_LIMIT: Duration = Duration::from_secs(90);

/// A mebibyte.
pub const MIB: u64 = 1 << 20;

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The server at the other end.
    pub kind: Kind,
    /// The name of the instance.
    pub instance: &'static str,
    /// Bytes per second of each transfer, so that there is a middle to meet it in.
    pub rate: Option<u64>,
    /// Where a real server is.
    pub site: Site,
    /// Seconds that the partner may be silent.
    pub timeout_s: u32,
    /// Retries before a job is suspended.
    pub retries: u32,
    /// Keys of the partner's table beyond the server's.
    pub partner: &'static str,
    /// Lines of the definitions beyond the usual ones.
    pub definition: &'static str,
}

impl Plan {
    /// The usual one.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            instance: "night",
            rate: None,
            site: Site::default(),
            timeout_s: 5,
            retries: 10,
            partner: "",
            definition: "",
        }
    }

    /// Slow enough to be interrupted.
    pub fn slow(kind: Kind) -> Self {
        Self { rate: Some(12 * MIB), ..Self::of(kind) }
    }

    /// Starts it all but the hosts; `None` where the server is not to be had.
    pub fn build(self) -> Option<World> {
        let root = tempfile::Builder::new().prefix("ferryway-partner-").tempdir().unwrap();
        let folder = root.path().to_owned();
        World::build(self, folder, Some(root))
    }

    /// The same with the server on an existing folder, such as that of a small disk.
    pub fn build_on(self, root: &Path) -> Option<World> {
        World::build(self, root.to_owned(), None)
    }

    /// Starts it all, with a host on alpha.
    pub fn start(self) -> Option<World> {
        let mut world = self.build()?;
        world.alpha.start().unwrap();
        Some(world)
    }
}

/// Everything a scenario moves in. A failing test prints what all sides said.
pub struct World {
    /// What it was made of.
    pub plan: Plan,
    // Hosts end before the server and the folders.
    /// The first owner.
    pub alpha: Node,
    /// Its successor.
    pub beta: Node,
    /// The partner.
    pub server: Server,
    /// What both nodes share.
    pub install: Install,
    /// Where this test's own futures run.
    pub runtime: Runtime,
    /// What appeared in the partner's folder `drop`.
    pub dropped: Arrivals,
    /// What appeared in our folder `in`.
    pub received: Arrivals,
    root: PathBuf,
    // Only for one of our own.
    _temporary: Option<TempDir>,
}

impl World {
    fn build(plan: Plan, root: PathBuf, temporary: Option<TempDir>) -> Option<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = Server::start(plan.kind, &root, plan.site, plan.rate, runtime.handle());
        let server = server.inspect_err(Unavailable::skip).ok()?;
        for folder in ["drop", "pick"] {
            let folder = root.join(folder);
            fs::create_dir(&folder).unwrap();
            server.grant(&folder);
        }
        let install = Install::new(&configuration(&plan, &server.keys())).unwrap();
        install.write("definitions/all.toml", &definitions(plan.definition)).unwrap();
        for folder in ["out", "in"] {
            fs::create_dir(install.path().join(folder)).unwrap();
        }
        let node = |name| {
            let mut node = Node::new(&install, name).unwrap();
            node.set_variable("FERRYWAY_LOG", "info,ferryway_host=debug");
            node
        };
        Some(Self {
            plan,
            alpha: node("alpha"),
            beta: node("beta"),
            server,
            dropped: Arrivals::watch(&root.join("drop")),
            received: Arrivals::watch(&install.path().join("in")),
            install,
            runtime,
            root,
            _temporary: temporary,
        })
    }

    /// Looks for what the partner receives below another folder from now on, which has a `drop`.
    pub fn look_below(&mut self, root: &Path) {
        self.root = root.to_owned();
        self.dropped = Arrivals::watch(&root.join("drop"));
    }

    /// The folder that the server serves.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file to send.
    pub fn outgoing(&self, name: &str, content: Content) {
        content.write_to(&self.install.path().join("out").join(name)).unwrap();
    }

    /// A file to fetch.
    pub fn offered(&self, name: &str, content: Content) {
        let path = self.root().join("pick").join(name);
        content.write_to(&path).unwrap();
        self.server.grant(&path);
    }

    /// Where a sent file arrives.
    pub fn target(&self, name: &str) -> PathBuf {
        self.root().join("drop").join(name)
    }

    /// Where a fetched file arrives.
    pub fn local(&self, name: &str) -> PathBuf {
        self.install.path().join("in").join(name)
    }

    /// Writes the configuration again with other keys for the partner.
    pub fn configure(&self, keys: &str) {
        self.install.write("ferryway.toml", &configuration(&self.plan, keys)).unwrap();
    }

    /// Asks for a send of a file in `out`.
    pub fn send(&self, node: &Node, name: &str) -> JobId {
        self.submit(node, &[send_request(name)]).remove(0)
    }

    /// Asks for a fetch of a file in `pick`.
    pub fn fetch(&self, node: &Node, name: &str) -> JobId {
        let remote = Some(format!("pick/{name}"));
        let definition = "FETCH1".parse().unwrap();
        self.submit(node, &[SubmitRequest { definition, local: None, remote, key: None }]).remove(0)
    }

    /// Asks for several jobs at once.
    pub fn submit(&self, node: &Node, requests: &[SubmitRequest]) -> Vec<JobId> {
        let jobs = self.ask(client(node).submit(requests)).unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    }

    /// Gives an order.
    pub fn command(&self, node: &Node, job: &JobId, command: Command) -> Result<Job, ClientError> {
        self.ask(client(node).command(job, command))
    }

    /// A job as its host shows it.
    pub fn view(&self, node: &Node, job: &JobId) -> JobView {
        self.ask(client(node).job(job)).unwrap()
    }

    /// What is on record about a job.
    pub fn entries(&self, node: &Node, job: &JobId) -> Vec<Entry> {
        self.ask(client(node).entries(job)).unwrap()
    }

    /// Waits until the jobs have ended or are suspended.
    pub fn wait(&self, node: &Node, jobs: &[JobId]) -> Vec<Job> {
        let client = client(node);
        let deadline = Instant::now() + JOB_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let found = self.ask(client.wait(jobs, left)).unwrap();
            let rests = |job: &Job| {
                job.status.outcome().is_some()
                    || matches!(job.status, Status::Suspended | Status::PostExit)
            };
            if found.iter().all(rests) {
                return found;
            }
            let moving = found.iter().find(|job| !rests(job)).unwrap();
            assert!(!left.is_zero(), "{} still {} after {JOB_LIMIT:?}", moving.id, moving.status);
        }
    }

    /// Waits until a line of the operator's log has all of these words.
    #[track_caller]
    pub fn await_line(&self, words: &[&str]) -> String {
        let mut found = None;
        holds_within(JOB_LIMIT, || {
            let log = self.operator_log();
            found = log
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no line of the operator's log has {words:?}"))
    }

    /// The operator's log so far.
    pub fn operator_log(&self) -> String {
        fs::read_to_string(self.install.path().join("logs/ferryway.log")).unwrap_or_default()
    }

    /// The journal, for reading.
    pub fn journal(&self) -> Reader {
        Reader::open(self.install.path()).unwrap()
    }

    fn ask<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// What all sides said.
    fn explain(&self) -> String {
        let mut text =
            format!("=== {}\n--- operator's log\n{}", self.plan.kind, self.operator_log());
        for node in [&self.alpha, &self.beta] {
            text += &format!("--- host on {}\n{}", node.name(), node.output());
        }
        if let Ok(journal) = Reader::open(self.install.path()) {
            let ended = journal.history(&Default::default()).unwrap_or_default();
            let jobs = journal.in_flight().unwrap_or_default().into_iter().chain(ended);
            for job in jobs.take(5) {
                text += &format!("--- {} is {}: {:?}\n", job.id, job.status, job.state);
                for entry in journal.entries(&job.id).unwrap_or_default() {
                    text += &format!(
                        "{} e{} {:?} -> {} {}\n",
                        entry.at,
                        entry.epoch,
                        entry.event,
                        entry.status,
                        entry.note.unwrap_or_default()
                    );
                }
            }
        }
        text + "--- server\n" + &tail(&self.server.logs(), 20_000)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.explain());
        }
    }
}

/// The control API of a node.
pub fn client(node: &Node) -> Client {
    Client::new(node.run_dir())
}

/// A request to send a file in `out`.
pub fn send_request(name: &str) -> SubmitRequest {
    let definition: DefinitionId = "PRDY01".parse().unwrap();
    SubmitRequest { definition, local: Some(name.into()), remote: None, key: None }
}

fn configuration(plan: &Plan, keys: &str) -> String {
    format!(
        "[instance]\nname = \"{}\"\n\
         [roots]\nsend = [\"out\"]\nreceive = [\"in\"]\n\
         [partners.BANK]\ntransport = \"ftp\"\ntimeout_s = {}\n{keys}{}\n\
         [partners.BANK.retry]\nattempts = {}\nfirst_s = 1\nmax_s = 1\n",
        plan.instance, plan.timeout_s, plan.partner, plan.retries
    )
}

fn definitions(more: &str) -> String {
    format!(
        "[[definition]]\nid = \"PRDY01\"\npartner = \"BANK\"\ndirection = \"send\"\n\
         remote = \"drop/{{name}}\"\n{more}\n\
         [[definition]]\nid = \"FETCH1\"\npartner = \"BANK\"\ndirection = \"fetch\"\n\
         local = \"{{name}}\"\nremote = \"pick/{{job}}\"\n{more}\n"
    )
}

fn tail(text: &str, bytes: usize) -> String {
    let start = (text.len().saturating_sub(bytes)..=text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    text[start..].to_owned()
}
