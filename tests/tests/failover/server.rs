//! The cluster is the FTP server: its service moves to the other node, or its disk, or just its
//! address. Our host is on the other side and helps itself.

use std::{fs, fs::File};

use ferryway_core::{JobId, Status, status::Outcome};
use ferryway_tests::{
    Unavailable,
    content::Content,
    disk::SmallDisk,
    net::Lan,
    relay::{Hold, Relay},
    scene::{Kind, MIB, Plan, Server, World, largest},
    servers::{ServerKind, Site},
    wait::{LIMIT, wait_until},
};
use rustix::fs::syncfs;

use crate::client::Disk;

const CONTENT: Content = Content::new(95, 6 * MIB);

/// Where the send is met.
const MIDDLE: u64 = 3 * MIB / 2;

/// Bytes per second that the server takes.
const RATE: u64 = 2 * MIB;

/// Bytes on each disk, the file system's own included.
const DISK: u64 = 48 * MIB;

const NAME: &str = "a.bin";

/// Which nodes run the FTP service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It is switched with everything else: the active node alone runs it.
    Switched,
    /// It is not switched: both nodes run it all the time.
    OnBoth,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) service: Service,
    pub(crate) disk: Disk,
    pub(crate) server: ServerKind,
}

impl Cell {
    /// The note's table: an error at the client, whose recovery sends again.
    pub(crate) fn direct(self) {
        let Some(mut stage) = Stage::set(self, "publish = \"direct\"") else { return };
        let job = stage.fail_over();
        let world = &stage.world;
        let done = world.wait(&world.alpha, std::slice::from_ref(&job)).remove(0);
        assert_eq!(done.status, Status::Idle(Outcome::Completed), "{:?}", done.state.last_error);
        assert_eq!(CONTENT.difference(&world.target(NAME)).unwrap(), None);
        stage.an_attempt_failed(&job);
    }

    /// Ours: the same, and the target is never seen half-written.
    pub(crate) fn atomic(self) {
        let Some(mut stage) = Stage::set(self, "") else { return };
        let job = stage.fail_over();
        stage.world.sent(&stage.world.alpha, &job, NAME, CONTENT);
        stage.an_attempt_failed(&job);
    }
}

/// The publish is intended and on record, and does not come to the partner before its address is
/// another node's. The local disk there shows no trace of the job, which proves nothing.
#[test]
fn an_address_that_moves_before_the_publish_loses_no_file() {
    let cell =
        Cell { service: Service::OnBoth, disk: Disk::Local, server: ServerKind::VsftpdNoLock };
    let Some(mut stage) = Stage::set(cell, "") else { return };
    let relay = Relay::start(Lan::HUB, stage.world.server.addr()).unwrap();
    let keys = stage.world.server.keys_by_way_of(relay.addr());
    stage.world.configure(&format!("{keys}passive_address = \"reply\"\n"));
    stage.world.alpha.kill();
    stage.world.alpha.start().unwrap();
    stage.world.outgoing(NAME, CONTENT);
    relay.hold(Hold::Command("RNTO"));
    let job = stage.world.send(&stage.world.alpha, NAME);
    wait_until(LIMIT, "the publish is under way", || relay.held());
    stage.second_node_takes_over();
    stage.world.sent(&stage.world.alpha, &job, NAME, CONTENT);
    stage.an_attempt_failed(&job);
}

/// Everything a cell needs. Dropped from the top.
struct Stage {
    cell: Cell,
    world: World,
    /// The server on the second node, while it is not the active one.
    standby: Option<Server>,
    /// The server on the first node, once it is not the active one any more.
    former: Option<Server>,
    disks: [SmallDisk; 2],
    lan: Lan,
}

impl Stage {
    /// Sets it all up, with the first node active and a host on the hub; `None` where this
    /// machine cannot offer it.
    fn set(cell: Cell, definition: &'static str) -> Option<Self> {
        let disks = disks(cell.disk).inspect_err(Unavailable::skip).ok()?;
        let lan = Lan::enter_or_skip(2)?;
        lan.move_address(1).unwrap();
        let plan = Plan {
            rate: Some(RATE),
            site: site(&lan, 1),
            timeout_s: 2,
            partner: "resume_min_bytes = 1048576",
            definition,
            ..Plan::of(Kind::Real(cell.server))
        };
        let world = plan.build_on(disks[0].path())?;
        let mut stage = Self { cell, world, standby: None, former: None, disks, lan };
        if cell.disk == Disk::Local {
            for folder in ["drop", "pick"] {
                let folder = stage.disks[1].path().join(folder);
                fs::create_dir(&folder).unwrap();
                stage.world.server.grant(&folder);
            }
        }
        if cell.service == Service::OnBoth {
            stage.lan.move_address(2).unwrap();
            stage.standby = Some(stage.second_server());
            stage.lan.move_address(1).unwrap();
        }
        // A disk that breaks down is to lose what happens from now on.
        syncfs(File::open(stage.disks[0].path()).unwrap()).unwrap();
        stage.world.alpha.start().unwrap();
        Some(stage)
    }

    /// Meets a send in its middle and moves what the cell says to the second node.
    fn fail_over(&mut self) -> JobId {
        self.world.outgoing(NAME, CONTENT);
        let job = self.world.send(&self.world.alpha, NAME);
        let drop = self.world.root().join("drop");
        wait_until(LIMIT, "the middle of the send", || largest(&drop) >= MIDDLE);
        let [first, second] = &self.disks;
        match (self.cell.service, self.cell.disk) {
            (Service::Switched, Disk::Shared) => {
                self.world.server.stop();
                first.detach().unwrap();
                second.attach().unwrap();
            }
            (Service::Switched, Disk::Local) => self.world.server.stop(),
            (Service::OnBoth, Disk::Shared) => {
                first.break_down().unwrap();
                self.world.await_line(&["0204W", job.as_str()]);
                second.attach().unwrap();
            }
            (Service::OnBoth, Disk::Local) => {}
        }
        self.second_node_takes_over();
        job
    }

    fn second_node_takes_over(&mut self) {
        // Before the client can be there.
        self.world.look_below(self.disks[1].path());
        self.lan.move_address(2).unwrap();
        let second = self.standby.take().unwrap_or_else(|| self.second_server());
        self.former = Some(std::mem::replace(&mut self.world.server, second));
    }

    fn second_server(&self) -> Server {
        let kind = Kind::Real(self.cell.server);
        let (root, handle) = (self.disks[1].path(), self.world.runtime.handle());
        Server::start(kind, root, site(&self.lan, 2), Some(RATE), handle).unwrap()
    }

    /// Checks that the client had its error.
    fn an_attempt_failed(&self, job: &JobId) {
        let log = self.world.operator_log();
        let failed = |line: &str| line.contains("0204W") && line.contains(job.as_str());
        assert!(log.lines().any(failed), "no attempt failed");
    }
}

/// The disks of both nodes; a shared one is attached to the first.
fn disks(disk: Disk) -> Result<[SmallDisk; 2], Unavailable> {
    let first = SmallDisk::mount_ext4(DISK)?;
    let second = match disk {
        Disk::Shared => first.elsewhere()?,
        Disk::Local => SmallDisk::mount_ext4(DISK)?,
    };
    Ok([first, second])
}

/// Where the server of a node listens: at the address that moves.
fn site(lan: &Lan, node: u8) -> Site {
    // Nobody else is in the node's namespace.
    Site { address: Lan::VIRTUAL, port: Some(2121), place: Some(lan.node(node)) }
}
