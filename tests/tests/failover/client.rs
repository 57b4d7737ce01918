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

const SIZE: u64 = 8 * MIB;

/// Bytes per second: slow enough to meet a send in its middle.
const RATE: u64 = 8 * MIB;

/// Where a send is met, far enough from both ends for the buffers on the way.
const MIDDLE: u64 = 3 * MIB;

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
    /// The network loses its packets and it is killed behind that: its connections stay half
    /// open at the server. What it had sent arrives when the successor is done.
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
    /// It completes, and the former owner's bytes are in the target all the same.
    Mixed,
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
            Direct::Mixed => {
                completed(&found);
                stage.former_owner_ends();
                wait_until(LIMIT, "the target is spoilt", || {
                    hash_file(&stage.target()).is_ok_and(|hash| hash != stage.second().hash())
                });
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

/// Everything a cell needs. Dropped from the top.
struct Stage {
    cell: Cell,
    world: World,
    relay: Option<Relay>,
    lan: Option<Lan>,
    _copies: TempDir,
}

impl Stage {
    /// Sets it all up but the hosts; `None` where this machine cannot offer it.
    fn set(cell: Cell, definition: &'static str, retries: u32) -> Option<Self> {
        let lan = match cell.death {
            Death::CutOff => Some(Lan::enter_or_skip(2)?),
            _ => None,
        };
        let mut site = Site::default();
        if lan.is_some() {
            site.address = Lan::HUB;
        }
        let plan = Plan {
            rate: Some(RATE),
            site,
            timeout_s: 2,
            retries,
            definition,
            ..Plan::of(Kind::Real(cell.server))
        };
        let mut world = plan.build()?;
        let copies = tempfile::tempdir().unwrap();
        if cell.disk == Disk::Local {
            give_own_disks(&mut world, copies.path())?;
        }
        world.outgoing(NAME, FIRST);
        if let Some(lan) = &lan {
            world.alpha.put_at(lan.node(1));
            world.beta.put_at(lan.node(2));
        }
        let relay = (cell.moment == Moment::Finished).then(|| {
            let relay = Relay::start(world.server.addr()).unwrap();
            world.configure(&world.server.keys_by_way_of(relay.addr()));
            relay
        });
        Some(Self { cell, world, relay, lan, _copies: copies })
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
            Death::CutOff => {
                self.lan.as_ref().unwrap().cut(1).unwrap();
                self.world.alpha.kill();
            }
            Death::Unaware => {}
        }
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
            Death::Killed => {}
            Death::Frozen | Death::Unaware => self.world.bury_zombie(),
            Death::CutOff => {
                let lan = self.lan.as_ref().unwrap();
                lan.heal(1).unwrap();
                wait_until(LIMIT, "its last bytes arrive", || !lan.node(1).has_unsent().unwrap());
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
                self.world.server.stop();
                self.world.server.start_again();
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
fn give_own_disks(world: &mut World, copies: &Path) -> Option<()> {
    if !rustix::process::geteuid().is_root() {
        ferryway_tests::Unavailable::new("a disk of each node's own", "it needs root").skip();
        return None;
    }
    let out = world.install.path().join("out");
    for (node, content) in [(&mut world.alpha, FIRST), (&mut world.beta, SECOND)] {
        let folder = copies.join(node.name());
        fs::create_dir(&folder).unwrap();
        content.write_to(&folder.join(NAME)).unwrap();
        node.give_own_folder(&folder, &out);
    }
    Some(())
}
