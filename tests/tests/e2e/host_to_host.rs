//! Two real installations: one sends to and fetches from the other by the socket transport, and
//! either end dies on the way.

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
use ferryway_tests::{
    content::{Content, hash_file},
    host::{Install, Node},
    scene::{Arrivals, Arrived, JOB_LIMIT, MIB, MIDDLE, SIZE, client, largest},
    slow_line::SlowLine,
    wait::{LIMIT, holds_within, wait_until},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::runtime::{Builder, Runtime};

/// The exit code of a host that lost the instance.
const FENCED: i32 = 3;

/// What a failover may cost.
const SENT_AGAIN: u64 = 8 * MIB;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// How the two know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Tls,
    Secret,
}

/// The sending installation `night` with the nodes alpha and beta, the receiving one, `day`, on
/// gamma, and the line between them. A failing test prints what all sides said.
struct Pair {
    alpha: Node,
    beta: Node,
    gamma: Node,
    line: SlowLine,
    night: Install,
    day: Install,
    runtime: Runtime,
    /// What appeared in gamma's folder `received`.
    received: Arrivals,
    /// What appeared in night's folder `in`.
    fetched: Arrivals,
}

impl Pair {
    /// Both installations with a host each; `rate` limits the line, in bytes per second.
    fn start(security: Security, rate: u64) -> Self {
        let (visitor, door) = security.keys();
        let day = Install::new(&format!(
            "[instance]\nname = \"day\"\n[roots]\nreceive = [\"received\"]\nsend = [\"offered\"]\n\
             [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n\
             timeout_s = 5\n{door}\
             [listen.visitors.NIGHT]\nhost_name = \"night.example\"\ninstance = \"night\"\n\
             may = [\"send\", \"fetch\"]\n"
        ))
        .unwrap();
        for folder in ["received", "offered"] {
            fs::create_dir(day.path().join(folder)).unwrap();
        }
        let mut gamma = Node::new(&day, "gamma").unwrap();
        gamma.set_variable("FERRYWAY_LOG", "info,ferryway_host=debug,ferryway_socket=debug");
        gamma.start().unwrap();
        let line = SlowLine::start(door_of(&day), rate).unwrap();
        let night = Install::new(&format!(
            "[instance]\nname = \"night\"\n[roots]\nsend = [\"out\"]\nreceive = [\"in\"]\n\
             [partners.DAY]\ntransport = \"socket\"\nhost = \"127.0.0.1\"\nport = {}\n\
             timeout_s = 5\n{visitor}\
             [partners.DAY.retry]\nfirst_s = 1\nmax_s = 1\n",
            line.address().port()
        ))
        .unwrap();
        let definitions = "\
            [[definition]]\nid = \"PRDY01\"\npartner = \"DAY\"\ndirection = \"send\"\n\
            remote = \"{name}\"\n\
            [[definition]]\nid = \"FETCH1\"\npartner = \"DAY\"\ndirection = \"fetch\"\n\
            local = \"{name}\"\nremote = \"/offered/{job}\"\n";
        night.write("definitions/all.toml", definitions).unwrap();
        for folder in ["out", "in"] {
            fs::create_dir(night.path().join(folder)).unwrap();
        }
        let node = |name| {
            let mut node = Node::new(&night, name).unwrap();
            node.set_variable("FERRYWAY_LOG", "info,ferryway_host=debug,ferryway_socket=debug");
            // Nodes of a cluster tell one name.
            node.set_variable("HOSTNM", "night.example");
            node
        };
        let mut pair = Self {
            alpha: node("alpha"),
            beta: node("beta"),
            gamma,
            line,
            received: Arrivals::watch(&day.path().join("received")),
            fetched: Arrivals::watch(&night.path().join("in")),
            night,
            day,
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
        };
        pair.alpha.start().unwrap();
        pair
    }

    fn received_folder(&self) -> PathBuf {
        self.day.path().join("received")
    }

    fn send(&self, name: &str, content: Content) -> JobId {
        content.write_to(&self.night.path().join("out").join(name)).unwrap();
        self.submit("PRDY01", Some(name), None)
    }

    fn fetch(&self, name: &str, content: Content) -> JobId {
        let path = self.day.path().join("offered").join(name);
        content.write_to(&path).unwrap();
        self.submit("FETCH1", None, Some(path.to_str().unwrap()))
    }

    fn submit(&self, definition: &str, local: Option<&str>, remote: Option<&str>) -> JobId {
        let request = SubmitRequest {
            definition: definition.parse().unwrap(),
            local: local.map(Into::into),
            remote: remote.map(Into::into),
            key: None,
        };
        let jobs = self.runtime.block_on(client(&self.alpha).submit(&[request])).unwrap();
        jobs[0].id.clone()
    }

    /// Waits until the job has ended, and judges what it delivered: the bytes, that they
    /// appeared once and whole, the record, and what else lies about.
    #[track_caller]
    fn delivered(&self, node: &Node, job: &JobId, name: &str, content: Content) {
        let job = self.wait(node, job);
        assert_eq!(job.status, Status::Idle(Outcome::Completed), "{:?}", job.state.last_error);
        let (folder, arrivals) = match job.spec.direction {
            ferryway_core::Direction::Send => (self.received_folder(), &self.received),
            ferryway_core::Direction::Fetch => (self.night.path().join("in"), &self.fetched),
        };
        let place = folder.join(name);
        assert_eq!(hash_file(&place).unwrap(), content.hash(), "{}", place.display());
        let once = Arrived { renamed: 1, made: 0 };
        assert_eq!(arrivals.of(name), once, "{name} is to appear once, by a rename");
        assert_eq!(job.state.published, 1);
        assert_eq!(job.state.size, Some(content.size()));
        let mut strays = Vec::new();
        let clean = holds_within(LIMIT, || {
            strays = partials(&folder);
            strays.is_empty()
        });
        assert!(clean, "these partials are left: {strays:#?}");
    }

    fn wait(&self, node: &Node, id: &JobId) -> Job {
        let (client, deadline) = (client(node), Instant::now() + JOB_LIMIT);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = client.wait(std::slice::from_ref(id), left);
            let job = self.runtime.block_on(wait).unwrap().remove(0);
            if job.status.outcome().is_some() || job.status == Status::Suspended {
                return job;
            }
            assert!(!left.is_zero(), "{id} is still {}", job.status);
        }
    }

    /// Waits until half of a transfer into this folder is across; the bytes that are.
    fn halfway(&self, folder: &Path) -> u64 {
        wait_until(LIMIT, "the middle of the transfer", || largest(folder) >= MIDDLE);
        largest(folder)
    }

    /// Where the job's last attempt started.
    fn resumed_at(&self, job: &JobId) -> Option<u64> {
        let entries = Reader::open(self.night.path()).unwrap().entries(job).unwrap();
        entries
            .iter()
            .rev()
            .filter_map(|entry| entry.note.as_deref())
            .find_map(|note| note.strip_prefix("resumes at byte ")?.split(' ').next()?.parse().ok())
    }

    #[track_caller]
    fn check_resume(&self, job: &JobId, there: u64) {
        let offset = self.resumed_at(job).expect("the transfer is resumed");
        assert!(offset + SENT_AGAIN >= there, "{there} bytes were across, {offset} were used");
    }

    fn restart_gamma(&mut self) {
        self.gamma.kill();
        fs::remove_file(log_of(&self.day)).unwrap();
        self.gamma.start().unwrap();
        self.line.lead_to(door_of(&self.day));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (install, nodes) in
            [(&self.night, vec![&self.alpha, &self.beta]), (&self.day, vec![&self.gamma])]
        {
            let log = fs::read_to_string(log_of(install)).unwrap_or_default();
            eprintln!("--- operator's log of {}\n{log}", install.path().display());
            for node in nodes {
                eprintln!("--- host on {}\n{}", node.name(), node.output());
            }
        }
    }
}

impl Security {
    /// The keys of the visitor's partner and of the door.
    fn keys(self) -> (String, String) {
        if self == Self::Secret {
            let keys = format!("security = \"secret\"\nsecret = \"{SECRET}\"\n");
            return (keys.clone(), keys);
        }
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let identity = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            format!(
                "security = \"tls\"\ncertificate = '''{}'''\nkey = '''{}'''\nca = '''{}'''\n",
                certificate.pem(),
                key.serialize_pem(),
                authority.pem()
            )
        };
        let visitor = identity("night.example") + "server_name = \"day.example\"\n";
        (visitor, identity("day.example"))
    }
}

fn log_of(install: &Install) -> PathBuf {
    install.path().join("logs/ferryway.log")
}

/// Where the host of this installation listens, as its log says.
fn door_of(install: &Install) -> SocketAddr {
    let mut address = None;
    wait_until(LIMIT, "the line of the open door", || {
        let log = fs::read_to_string(log_of(install)).unwrap_or_default();
        let line = log.lines().rev().find(|line| line.contains(" 0501I "));
        address = line
            .and_then(|line| line.rsplit_once("Address(")?.1.trim_end_matches(')').parse().ok());
        address.is_some()
    });
    address.unwrap()
}

/// What is left of partials below a folder, but the marks of revoked epochs.
fn partials(folder: &Path) -> Vec<PathBuf> {
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

#[test]
fn a_file_goes_each_way_with_certificates() {
    let pair = Pair::start(Security::Tls, 1 << 30);
    let (up, down) = (Content::new(90, SIZE), Content::new(91, SIZE));
    let (sent, fetched) = (pair.send("up.bin", up), pair.fetch("down.bin", down));
    pair.delivered(&pair.alpha, &sent, "up.bin", up);
    pair.delivered(&pair.alpha, &fetched, "down.bin", down);
    // An empty file, and one that replaces another.
    let empty = Content::new(92, 0);
    let job = pair.send("empty", empty);
    pair.delivered(&pair.alpha, &job, "empty", empty);
    let newer = Content::new(93, 1000);
    pair.received.take("up.bin");
    let job = pair.send("up.bin", newer);
    pair.delivered(&pair.alpha, &job, "up.bin", newer);
}

#[test]
fn the_sender_is_killed_in_a_send_and_its_successor_goes_on() {
    let mut pair = Pair::start(Security::Secret, 12 * MIB);
    let content = Content::new(94, SIZE);
    let job = pair.send("a.bin", content);
    let there = pair.halfway(&pair.received_folder());
    pair.alpha.kill();
    pair.beta.start().unwrap();
    pair.delivered(&pair.beta, &job, "a.bin", content);
    pair.check_resume(&job, there);
}

#[test]
fn the_sender_is_killed_in_a_fetch_and_its_successor_goes_on() {
    let mut pair = Pair::start(Security::Tls, 12 * MIB);
    let content = Content::new(95, SIZE);
    let job = pair.fetch("a.bin", content);
    let there = pair.halfway(&pair.night.path().join("in"));
    pair.alpha.kill();
    pair.beta.start().unwrap();
    pair.delivered(&pair.beta, &job, "a.bin", content);
    pair.check_resume(&job, there);
}

#[test]
fn the_receiver_is_killed_in_a_send_and_started_again() {
    let mut pair = Pair::start(Security::Tls, 12 * MIB);
    let content = Content::new(96, SIZE);
    let job = pair.send("a.bin", content);
    let there = pair.halfway(&pair.received_folder());
    pair.restart_gamma();
    pair.delivered(&pair.alpha, &job, "a.bin", content);
    pair.check_resume(&job, there);
}

#[test]
fn the_receiver_is_killed_in_a_fetch_and_started_again() {
    let mut pair = Pair::start(Security::Secret, 12 * MIB);
    let content = Content::new(97, SIZE);
    let job = pair.fetch("a.bin", content);
    let there = pair.halfway(&pair.night.path().join("in"));
    pair.restart_gamma();
    pair.delivered(&pair.alpha, &job, "a.bin", content);
    pair.check_resume(&job, there);
}

/// The receiver refuses what the zombie sends, and remembers to across its own death.
#[test]
fn a_zombie_that_wakes_up_is_refused() {
    let mut pair = Pair::start(Security::Secret, 12 * MIB);
    let content = Content::new(98, SIZE);
    let job = pair.send("a.bin", content);
    pair.halfway(&pair.received_folder());
    pair.alpha.freeze().unwrap();
    pair.beta.start().unwrap();
    pair.delivered(&pair.beta, &job, "a.bin", content);
    pair.alpha.thaw().unwrap();
    let ended = pair.alpha.wait(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.code(), Some(FENCED), "a zombie is to end as fenced");
    wait_until(LIMIT, "the refusal in the receiver's log", || {
        let log = fs::read_to_string(log_of(&pair.day)).unwrap_or_default();
        log.lines().any(|line| line.contains(" 0505W ") && line.contains("NIGHT"))
    });
    pair.delivered(&pair.beta, &job, "a.bin", content);
}
