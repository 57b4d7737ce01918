//! The cluster is the FTP client: its owner goes away in the middle of a send, or at its end, and
//! a successor on the other node takes over.

use std::{fs, path::Path};

use ferryway_core::{JobId, Status, status};
use ferryway_host::journal::record::Job;
use ferryway_tests::{
    content::{Content, hash_file},
    net::Lan,
    relay::{Hold, Relay},
    scene::{Kind, MIB, Plan, World, largest},
    servers::{ServerKind, Site},
    wait::{LIMIT, wait_until},
};
use tempfile::TempDir;

const SIZE: u64 = 6 * MIB;

/// Where a send is met.
const MIDDLE: u64 = 3 * MIB / 2;

/// Bytes per second that the server takes: slow enough to meet a send in its middle.
const RATE: u64 = 8 * MIB;

/// The same where the former owner is to be still sending when its successor starts, and for
/// pyftpdlib, which takes what comes until it has so many bytes and then waits for a second to
/// pass.
const SLOW_RATE: u64 = 2 * MIB;

/// Seconds that the server may be silent.
const TIMEOUT_S: u32 = 4;

/// The same for an owner whose bytes are to outlast a cut.
const LONG_TIMEOUT_S: u32 = 60;

/// The file as the first node has it.
const FIRST: Content = Content::new(90, SIZE);

/// The file as the second node has it, where each has a disk of its own.
const SECOND: Content = Content::new(91, SIZE);

const NAME: &str = "a.bin";

/// What the cluster's nodes send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// One disk, which goes to the successor.
    Shared,
    /// Each node has its own, and the copies differ.
    Local,
}

/// How far the former owner's send was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In the middle of the file.
    Sending,
    /// The partner has done what ends the delivery, and the reply was lost.
    Finished,
}

/// What happens to the former owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Its processes are killed: the system closes their connections.
    Killed,
    /// It stands still, connections open, and goes on when the successor is done.
    Frozen,
    /// Its power fails: from one moment to the next it is silent, and stays so. At the server
    /// its connections stay half open.
    PowerCut,
    /// The network loses its packets and it stands still. When the successor is done the network
    /// is back, so that what was under way arrives, and then it goes on itself.
    CutOff,
    /// None at all: it goes on until it finds that the instance is another's.
    Unaware,
}

/// What becomes of a job that a successor restarts with `publish = "direct"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    /// The lock keeps it out until an operator comes: the server does not answer.
    Waits,
    /// The lock keeps it out until an operator comes: the server refuses.
    Refused,
    /// It writes the file from its beginning, and all is well.
    Overwrites,
    /// It completes, and then the target has bytes of the former owner's file as well.
    Mixed,
    /// It completes, and then the former owner's shorter file takes the place of the target.
    CutShort,
    /// The server never writes over a file, whoever asks.
    NeverOverwrites,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) disk: Disk,
    pub(crate) moment: Moment,
    pub(crate) server: ServerKind,
    pub(crate) death: Death,
    pub(crate) direct: Direct,
}

impl Cell {
    /// The note's table: what the restarted job meets at the target's own name.
    pub(crate) fn direct(self) {
        let Some(mut stage) = Stage::set(self, "publish = \"direct\"", 1) else { return };
        let job = stage.fail_over(Hold::Reply("STOR"));
        let found = stage.rest_of(&job);
        match self.direct {
            Direct::Waits | Direct::Refused => {
                stage.kept_out(&found);
                stage.let_in();
                stage.forced(&job);
                stage.holds(stage.second());
            }
            Direct::Overwrites => {
                completed(&found);
                stage.former_owner_ends();
                stage.holds(stage.second());
            }
            Direct::Mixed | Direct::CutShort => {
                completed(&found);
                // No look at the target before: bytes that the server has of the former owner,
                // and has not written yet, may spoil it at any time.
                stage.former_owner_ends();
                stage.is_spoilt();
            }
            Direct::NeverOverwrites => {
                stage.kept_out(&found);
                stage.former_owner_ends();
                let forced = stage.world.beta.ftprel(&["restart", "--force", job.as_str()]);
                assert!(forced.unwrap().status.success());
                stage.kept_out(&stage.rest_of(&job));
            }
        }
    }

    /// Ours: done with nobody called, whatever server, disk and death.
    pub(crate) fn atomic(self) {
        let Some(mut stage) = Stage::set(self, "", 10) else { return };
        let job = stage.fail_over(Hold::Reply("RNTO"));
        let content = match self.moment {
            Moment::Sending => stage.second(),
            // It was published, and is not sent again.
            Moment::Finished => FIRST,
        };
        let (world, target) = (&mut stage.world, NAME);
        world.completes(&world.beta, &job, target, content);
        if self.resumes() {
            world.check_resume(&world.beta, &job, MIDDLE, true);
        }
        if self.moment == Moment::Finished {
            world.await_line(&["0301I", job.as_str()]);
        }
        stage.former_owner_ends();
        let world = &mut stage.world;
        world.judge(&job, target, content, &world.target(target));
        world.leaves_no_trace();
        world.stop_cleanly();
        world.judge(&job, target, content, &world.target(target));
    }
}

impl Cell {
    fn rate(self) -> u64 {
        let waits = [ServerKind::Pyftpdlib, ServerKind::PyftpdlibLocking].contains(&self.server);
        if waits || self.death == Death::Unaware { SLOW_RATE } else { RATE }
    }

    /// Whether the successor goes on where the former owner was: the source is the same, and
    /// nobody holds the partial.
    fn resumes(self) -> bool {
        let locks = [ServerKind::Vsftpd, ServerKind::PyftpdlibLocking].contains(&self.server);
        let free = !locks || self.death == Death::Killed;
        let unfinished = self.disk == Disk::Shared && self.moment == Moment::Sending;
        unfinished && free && Kind::Real(self.server).resumes_uploads()
    }
}

/// Everything a cell needs. Dropped from the top.
struct Stage {
    cell: Cell,
    world: World,
    relay: Option<Relay>,
    lan: Lan,
    _copies: TempDir,
}

impl Stage {
    /// Sets it all up but the hosts; `None` where this machine cannot offer it.
    fn set(cell: Cell, definition: &'static str, retries: u32) -> Option<Self> {
        let lan = Lan::enter_or_skip(2)?;
        let plan = Plan {
            rate: Some(cell.rate()),
            site: Site { address: Lan::HUB, ..Site::default() },
            timeout_s: TIMEOUT_S,
            retries,
            partner: "resume_min_bytes = 1048576",
            definition,
            ..Plan::of(Kind::Real(cell.server))
        };
        let mut world = plan.build()?;
        let copies = tempfile::tempdir().unwrap();
        if cell.disk == Disk::Local {
            give_own_disks(&mut world, copies.path());
        }
        world.outgoing(NAME, FIRST);
        let relay = (cell.moment == Moment::Finished)
            .then(|| Relay::start(Lan::HUB, world.server.addr()).unwrap());
        if relay.is_none() {
            // Beside a relay, data connections are to come from its address.
            world.alpha.put_at(lan.node(1));
            world.beta.put_at(lan.node(2));
        }
        let mut stage = Self { cell, world, relay, lan, _copies: copies };
        stage.configure(if cell.death == Death::CutOff { LONG_TIMEOUT_S } else { TIMEOUT_S });
        Some(stage)
    }

    fn configure(&mut self, timeout_s: u32) {
        self.world.plan.timeout_s = timeout_s;
        let server = &self.world.server;
        let addr = self.relay.as_ref().map_or_else(|| server.addr(), Relay::addr);
        self.world.configure(&server.keys_by_way_of(addr));
    }

    /// Sends the file until the cell's moment, lets the owner die, and starts its successor.
    fn fail_over(&mut self, last: Hold) -> JobId {
        self.world.alpha.start().unwrap();
        if let Some(relay) = &self.relay {
            relay.hold(last);
        }
        let job = self.world.send(&self.world.alpha, NAME);
        let drop = self.world.root().join("drop");
        match &self.relay {
            Some(relay) => wait_until(LIMIT, "the end of the send", || relay.held()),
            None => wait_until(LIMIT, "the middle of the send", || largest(&drop) >= MIDDLE),
        }
        match self.cell.death {
            Death::Killed => self.world.alpha.kill(),
            Death::Frozen => self.world.alpha.freeze().unwrap(),
            Death::PowerCut => {
                self.lan.cut(1).unwrap();
                self.world.alpha.kill();
            }
            Death::CutOff => {
                self.lan.cut(1).unwrap();
                self.world.alpha.freeze().unwrap();
                let under_way = self.lan.node(1).has_unsent().unwrap();
                assert!(under_way, "nothing of the send was under way");
            }
            Death::Unaware => {}
        }
        self.configure(TIMEOUT_S);
        self.world.beta.start().unwrap();
        job
    }

    /// The file as the successor has it.
    fn second(&self) -> Content {
        match self.cell.disk {
            Disk::Shared => FIRST,
            Disk::Local => SECOND,
        }
    }

    fn target(&self) -> std::path::PathBuf {
        self.world.target(NAME)
    }

    /// The job when it has ended or waits for an operator.
    fn rest_of(&self, job: &JobId) -> Job {
        self.world.wait(&self.world.beta, std::slice::from_ref(job)).remove(0)
    }

    /// Lets the former owner come to its end, with everything that it still has to say.
    fn former_owner_ends(&mut self) {
        match self.cell.death {
            Death::Killed | Death::PowerCut => {}
            Death::Frozen | Death::Unaware => self.world.bury_zombie(),
            Death::CutOff => {
                self.lan.heal(1).unwrap();
                let node = self.lan.node(1);
                wait_until(LIMIT, "its bytes arrive", || !node.has_unsent().unwrap());
                self.world.bury_zombie();
            }
        }
    }

    /// Checks that the lock, and nothing else, kept the job out.
    fn kept_out(&self, job: &Job) {
        let suspended = job.status == Status::Suspended;
        let failed = job.status == Status::Idle(status::Outcome::Failed);
        assert!(suspended || failed, "{} is {}", job.id, job.status);
        let reason = job.state.last_error.clone().unwrap_or_default();
        let refused = reason.contains("550");
        let expected = self.cell.direct != Direct::Waits;
        assert_eq!(refused, expected, "{reason}");
        if !refused {
            assert!(reason.contains("no reply") || reason.contains("answer"), "{reason}");
        }
    }

    /// The operator's part. On a shared disk the old transfer is over, and only the server does
    /// not know: it is restarted. From a local disk the old transfer comes to its end.
    fn let_in(&mut self) {
        match self.cell.disk {
            Disk::Shared => {
                self.world.server.restart();
            }
            Disk::Local => self.former_owner_ends(),
        }
    }

    /// Starts the job by force, and sees it complete.
    fn forced(&self, job: &JobId) {
        let forced = self.world.beta.ftprel(&["restart", "--force", job.as_str()]).unwrap();
        assert!(forced.status.success(), "{forced:?}");
        completed(&self.rest_of(job));
    }

    /// Waits until the target is nobody's file, and in the way that was expected.
    fn is_spoilt(&self) {
        let target = self.target();
        let spoilt = || {
            let hash = hash_file(&target).ok();
            hash.is_some_and(|hash| hash != FIRST.hash() && hash != SECOND.hash())
        };
        wait_until(LIMIT, "the target is spoilt", spoilt);
        let size = target.metadata().unwrap().len();
        assert_eq!(size < SIZE, self.cell.direct == Direct::CutShort, "{size} bytes");
    }

    /// Checks the bytes of the target.
    fn holds(&self, content: Content) {
        assert_eq!(content.difference(&self.target()).unwrap(), None, "the target");
    }
}

fn completed(job: &Job) {
    let done = Status::Idle(status::Outcome::Completed);
    assert_eq!(job.status, done, "{:?}", job.state.last_error);
}

/// Gives each node a folder `out` of its own with its own copy of the file.
fn give_own_disks(world: &mut World, copies: &Path) {
    let out = world.install.path().join("out");
    for (node, content) in [(&mut world.alpha, FIRST), (&mut world.beta, SECOND)] {
        let folder = copies.join(node.name());
        fs::create_dir(&folder).unwrap();
        content.write_to(&folder.join(NAME)).unwrap();
        node.give_own_folder(&folder, &out);
    }
}
