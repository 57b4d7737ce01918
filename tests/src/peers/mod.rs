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

mod security;
mod side;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ferryway_core::{Direction, JobId, Status, status::Outcome};
use ferryway_host::{
    control::api::SubmitRequest,
    journal::{reader::Reader, record::Job},
};
use ferryway_mocks::authority::Authority;
use tokio::runtime::{Builder, Runtime};

pub use self::{
    security::{Keys, Security, secret},
    side::Side,
};
use crate::{
    content::{Content, hash_file},
    scene::{Arrived, JOB_LIMIT, client},
    slow_line::SlowLine,
    wait::{LIMIT, holds_within},
};

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// How the two are set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Bytes per second of each connection.
    pub rate: u64,
    /// Seconds before a failed try is repeated, each time.
    pub retry_s: u32,
    /// How both know each other.
    pub security: Security,
}

/// The two installations, a host running on the first node of each.
#[derive(Debug)]
pub struct Peers {
    /// The one that asks for transfers.
    pub night: Side,
    /// The one that serves them.
    pub day: Side,
    /// Of the certificates, where they have some.
    pub authority: Authority,
    runtime: Runtime,
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
        Self::build_in(setup, None)
    }

    /// The same, with day's installation in this folder, such as that of a small disk.
    pub fn build_on(setup: Setup, day: &Path) -> Self {
        Self::build_in(setup, Some(day))
    }

    fn build_in(setup: Setup, day: Option<&Path>) -> Self {
        let line = || SlowLine::start(NOWHERE.parse().unwrap(), setup.rate).unwrap();
        let (to_night, to_day) = (line(), line());
        let (night_port, day_port) = (to_night.address().port(), to_day.address().port());
        let authority = Authority::new();
        let host_names = ["night.example", "day.example"];
        let [night_keys, day_keys] = setup.security.keys(host_names, &authority);
        let names = ["night", "day"];
        let others = ["day", "night"];
        Self {
            night: Side::build(names, to_night, day_port, setup, &night_keys, None),
            day: Side::build(others, to_day, night_port, setup, &day_keys, day),
            authority,
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
        }
    }

    /// Has night send a file of its own to day.
    pub fn send(&self, name: &str, content: Content) -> JobId {
        self.send_by("SEND1", name, content)
    }

    /// The same by another definition, whose id begins with `SEND`.
    pub fn send_by(&self, definition: &str, name: &str, content: Content) -> JobId {
        content.write_to(&self.night.install.path().join("out").join(name)).unwrap();
        self.submit(definition, name)
    }

    /// Has night fetch a file of day's.
    pub fn fetch(&self, name: &str, content: Content) -> JobId {
        self.offer(name, content);
        self.fetch_offered(name)
    }

    /// Puts a file in place at day, to be fetched.
    pub fn offer(&self, name: &str, content: Content) {
        content.write_to(&self.day.home().join("out").join(name)).unwrap();
    }

    /// Has night fetch a file that day offers.
    pub fn fetch_offered(&self, name: &str) -> JobId {
        self.submit("FETCH1", name)
    }

    fn submit(&self, definition: &str, name: &str) -> JobId {
        let sends = definition.starts_with("SEND");
        let offered = self.day.home().join("out").join(name).display().to_string();
        let request = SubmitRequest {
            definition: definition.parse().unwrap(),
            local: sends.then(|| name.into()),
            remote: (!sends).then_some(offered),
            key: None,
        };
        let client = client(self.night.active());
        self.runtime.block_on(client.submit(&[request])).unwrap()[0].id.clone()
    }

    /// A job of night's as it is now.
    pub fn job(&self, job: &JobId) -> Job {
        self.runtime.block_on(client(self.night.active()).job(job)).unwrap().job
    }

    /// What is on record of a job of night's.
    pub fn entries(&self, job: &JobId) -> Vec<String> {
        let entries = Reader::open(self.night.install.path()).unwrap().entries(job).unwrap();
        entries.into_iter().filter_map(|entry| entry.note).collect()
    }

    /// Waits until night's job has ended well; the job.
    #[track_caller]
    pub fn completed(&self, job: &JobId) -> Job {
        let (client, deadline) = (client(self.night.active()), Instant::now() + JOB_LIMIT);
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
            Direction::Send => &self.day,
            Direction::Fetch => &self.night,
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

    /// Checks that day has a job of its own for this one of night's, which has ended as well.
    #[track_caller]
    pub fn both_complete(&self, job: &Job) {
        let standing = job.state.peer.as_ref().expect("the partner's job is known");
        let done = Status::ReceiverIdle(Outcome::Completed);
        assert_eq!((standing.status, &standing.open), (done, &None));
        let journal = Reader::open(self.day.home()).unwrap();
        let theirs = journal.job(&standing.job).unwrap().expect("it is on record");
        assert_eq!((theirs.status, theirs.state.published), (done, 1));
        assert_eq!((theirs.state.size, &theirs.state.digest), (job.state.size, &job.state.digest));
        let origin = theirs.spec.origin.as_ref().expect("it is another's job");
        assert_eq!((&origin.of.job, origin.of.delivery), (&job.id, 1));
    }

    /// Where night's last attempt at a job started, if it was resumed.
    pub fn resumed_at(&self, job: &JobId) -> Option<u64> {
        self.entries(job)
            .iter()
            .rev()
            .find_map(|note| note.strip_prefix("resumes at byte ")?.split(' ').next()?.parse().ok())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for side in [&self.night, &self.day] {
            eprintln!("{}", side.explain());
        }
    }
}

/// How long something took, for the output of a test.
pub fn seconds(since: Instant) -> f64 {
    Duration::as_secs_f64(&since.elapsed())
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
