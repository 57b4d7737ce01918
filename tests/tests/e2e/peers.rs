//! The cluster is at the other end: the host that receives and serves dies, freezes or is cut
//! off, its standby opens the door at the same address, and the side that asked for the
//! transfers helps itself.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use ferryway_core::JobId;
use ferryway_tests::{
    Unavailable,
    content::{Content, hash_file},
    disk::SmallDisk,
    peers::{Peers, Security, Setup, seconds},
    scene::{MIB, MIDDLE, SIZE, largest},
    wait::{LIMIT, wait_until},
};
use rustix::fs::syncfs;

/// How soon jobs go on that would wait for minutes. They take milliseconds; the rest is for a
/// loaded machine.
const SOON: Duration = Duration::from_secs(5);

/// The exit code of a host that lost the instance.
const FENCED: i32 = 3;

/// The exit code of a host that cannot write its journal.
const JOURNAL_LOST: i32 = 4;

/// What a failover may cost.
const SENT_AGAIN: u64 = 8 * MIB;

const SLOW: Setup = Setup { rate: 12 * MIB, retry_s: 1, security: Security::Secret };

/// Bytes on each disk, the file system's own included.
const DISK: u64 = 128 * MIB;

/// A send and a fetch that are on their way when the other end changes.
struct OnTheWay {
    jobs: [(JobId, &'static str, Content); 2],
    /// Bytes that were across.
    there: [u64; 2],
    since: Instant,
}

impl OnTheWay {
    /// Starts both and meets them in their middle, the source of the fetch being durable.
    #[track_caller]
    fn start(peers: &Peers) -> Self {
        let (up, down) = (Content::new(112, SIZE), Content::new(113, SIZE));
        peers.offer("down.bin", down);
        syncfs(File::open(peers.day.home()).unwrap()).unwrap();
        let jobs = [
            (peers.send("up.bin", up), "up.bin", up),
            (peers.fetch_offered("down.bin"), "down.bin", down),
        ];
        let incoming = [peers.day.incoming(), peers.night.incoming()];
        let sizes = || incoming.each_ref().map(|folder| largest(folder));
        wait_until(LIMIT, "the middle of both", || sizes().iter().all(|&size| size >= MIDDLE));
        let there = sizes();
        assert!(there.iter().all(|&size| size < SIZE), "both were met in their middle: {there:?}");
        Self { jobs, there, since: Instant::now() }
    }

    /// Checks that both failed, went on by themselves, and are delivered, with a job at each side.
    #[track_caller]
    fn delivered(&self, peers: &Peers) {
        for (job, name, content) in &self.jobs {
            let job = peers.delivered(job, name, *content);
            peers.both_complete(&job);
            peers.night.await_line("0204W", &[job.id.as_str()]);
        }
    }

    /// Tells how long that took, and how many of the bytes that were across were sent again: of
    /// the send, and of the fetch.
    #[track_caller]
    fn report(&self, peers: &Peers, what: &str) -> [u64; 2] {
        let through = seconds(self.since);
        let resumed = |(job, ..): &(JobId, _, _)| peers.resumed_at(job).unwrap_or(0);
        let [up, down] = self.jobs.each_ref().map(resumed);
        let [up_there, down_there] = self.there;
        let again = [up_there.saturating_sub(up), down_there.saturating_sub(down)];
        println!(
            "{what}: both files there after {through:.2} s; of {:?} bytes that were across, \
             {again:?} were sent again",
            self.there
        );
        again
    }
}

/// How the host at the other end ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At once, with its connections.
    Killed,
    /// It stands still, and goes on when its successor is through.
    Frozen,
    /// Nothing reaches it any more and nothing comes from it, while it runs on.
    CutOff,
}

/// The service is switched, and the disk with it (S1): the host that receives and serves ends, and
/// its standby takes over.
#[track_caller]
fn fails_over(end: End) {
    let mut peers = Peers::start(SLOW);
    let files = OnTheWay::start(&peers);
    match end {
        End::Killed => peers.day.nodes[0].kill(),
        End::Frozen => {
            peers.day.nodes[0].freeze().unwrap();
            peers.day.line.cut();
        }
        End::CutOff => peers.day.line.cut(),
    }
    peers.day.start(1);
    files.delivered(&peers);
    let again = files.report(&peers, &format!("{end:?}"));
    assert!(again.iter().all(|&bytes| bytes <= SENT_AGAIN), "{again:?}");
    if end == End::Frozen {
        peers.day.nodes[0].thaw().unwrap();
    }
    if end != End::Killed {
        let ended = peers.day.nodes[0].wait(LIMIT).unwrap();
        assert_eq!(ended.code(), Some(FENCED), "a zombie is to end as fenced");
    }
    // Also after the zombie's end: one delivery each, as it was.
    files.delivered(&peers);
}

#[test]
fn the_serving_host_is_killed_and_its_standby_serves() {
    fails_over(End::Killed);
}

#[test]
fn the_serving_host_freezes_and_wakes_up_later() {
    fails_over(End::Frozen);
}

#[test]
fn the_serving_host_is_cut_off() {
    fails_over(End::CutOff);
}

/// The service is not switched, and the disk goes from under it (S2): the host ends with an error,
/// and the one on the other node takes over with the disk.
#[test]
fn the_disk_goes_from_under_the_serving_host() {
    let Some(disks) = disks(SmallDisk::elsewhere) else { return };
    let mut peers = Peers::build_on(SLOW, disks[0].path());
    peers.day.nodes[1].give_own_folder(disks[1].path(), disks[0].path());
    peers.day.start(0);
    peers.night.start(0);
    let files = OnTheWay::start(&peers);
    peers.day.line.lead_nowhere();
    disks[0].break_down().unwrap();
    let ended = peers.day.nodes[0].wait(LIMIT).unwrap();
    assert_eq!(ended.code(), Some(JOURNAL_LOST), "a host without its journal ends");
    let ended_after = seconds(files.since);
    disks[1].attach().unwrap();
    peers.day.look_at(disks[1].path());
    peers.day.start(1);
    files.delivered(&peers);
    let what = format!("the disk fails, its host ends after {ended_after:.2} s");
    let again = files.report(&peers, &what);
    assert!(again.iter().all(|&bytes| bytes <= SENT_AGAIN), "{again:?}");
}

/// A disk fails under a file that comes in, and heals. The system tells that once, and has the lost
/// bytes in its memory as if they were the disk's: only what is on the disk counts as there.
#[test]
fn what_a_disk_lost_before_it_healed_is_sent_again() {
    let disks = SmallDisk::mount(48 * MIB)
        .and_then(|below| Ok((SmallDisk::mount_ext4_on(&below, DISK)?, below)));
    let (disk, below) = match disks {
        Ok(disks) => disks,
        Err(reason) => return reason.skip(),
    };
    let mut peers = Peers::build(SLOW);
    fs::remove_dir(peers.day.incoming()).unwrap();
    symlink(disk.path(), peers.day.incoming()).unwrap();
    let home = peers.day.home().to_owned();
    peers.day.look_at(&home);
    peers.day.start(0);
    peers.night.start(0);
    let ballast = below.path().join("ballast");
    assert!(Content::new(115, 48 * MIB).write_to(&ballast).is_err(), "there is no room left");
    let content = Content::new(114, SIZE);
    let job = peers.send("up.bin", content);
    peers.night.await_line("0204W", &[job.as_str()]);
    fs::remove_file(ballast).unwrap();
    peers.delivered(&job, "up.bin", content);
    // As another node finds it.
    disk.detach().unwrap();
    let elsewhere = disk.elsewhere().unwrap();
    elsewhere.attach().unwrap();
    assert_eq!(hash_file(&elsewhere.path().join("up.bin")).unwrap(), content.hash());
}

/// How a node with a disk of its own comes to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// The host is switched (S1, local disks).
    Host,
    /// The host runs on both nodes, and the address alone moves (S3).
    Address,
}

/// The other node has an installation of its own, which knows nothing of what was under way. The
/// source of the fetch is there as well.
#[track_caller]
fn moves_to_another_disk(what: Move) {
    let Some(disks) = disks(|_| SmallDisk::mount_ext4(DISK)) else { return };
    let mut peers = Peers::build_on(SLOW, disks[0].path());
    peers.day.give_own_installation(disks[1].path());
    if what == Move::Address {
        peers.day.nodes[1].start().unwrap();
    }
    peers.day.start(0);
    peers.night.start(0);
    let files = OnTheWay::start(&peers);
    mirror(&peers.day.home().join("out"), &disks[1].path().join("out"));
    peers.day.look_at(disks[1].path());
    match what {
        Move::Host => {
            peers.day.nodes[0].kill();
            peers.day.start(1);
        }
        Move::Address => {
            peers.day.line.forget();
            peers.day.lead_to(1);
        }
    }
    files.delivered(&peers);
    let [_, fetched_again] = files.report(&peers, &format!("{what:?} moves to another disk"));
    assert!(fetched_again <= SENT_AGAIN, "{fetched_again}");
    let (job, ..) = &files.jobs[0];
    assert_eq!(peers.resumed_at(job), None, "nothing of the send is on that disk");
    let left = disks[0].path().join("in/up.bin");
    assert!(!left.exists(), "nobody can take the half for the whole");
}

#[test]
fn the_serving_host_moves_to_a_disk_of_its_own() {
    moves_to_another_disk(Move::Host);
}

#[test]
fn the_address_moves_to_a_host_with_a_disk_of_its_own() {
    moves_to_another_disk(Move::Address);
}

/// Two disks of a test's own, the second made from the first. `None` skips the test.
fn disks(second: impl Fn(&SmallDisk) -> Result<SmallDisk, Unavailable>) -> Option<[SmallDisk; 2]> {
    let both = || {
        let first = SmallDisk::mount_ext4(DISK)?;
        let second = second(&first)?;
        Ok([first, second])
    };
    both().inspect_err(Unavailable::skip).ok()
}

/// Copies the files of a folder, with their times.
fn mirror(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (entry, name) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
        fs::copy(&entry, to.join(&name)).unwrap();
        let modified = entry.metadata().unwrap().modified().unwrap();
        let copy = File::options().write(true).open(to.join(&name)).unwrap();
        copy.set_modified(modified).unwrap();
    }
}

/// A try that broke off waits for minutes, and so does a job that met nobody. Both go on when
/// the other host says that it is back.
#[test]
fn who_waits_for_minutes_goes_on_when_the_partner_is_back() {
    let mut peers = Peers::start(Setup { retry_s: 600, ..SLOW });
    let (long, short) = (Content::new(110, SIZE), Content::new(111, 1000));
    let broken_off = peers.send("long.bin", long);
    let incoming = peers.day.incoming();
    wait_until(LIMIT, "the middle of the send", || largest(&incoming) >= MIDDLE);
    peers.day.nodes[0].kill();
    peers.night.await_line("0205I", &[broken_off.as_str()]);
    let met_nobody = peers.send("short.bin", short);
    peers.night.await_line("0312W", &["DAY"]);

    peers.day.start(1);
    let back = Instant::now();
    let said = peers.night.await_line("0506I", &["Partner(DAY)", "Jobs(2)"]);
    peers.delivered(&met_nobody, "short.bin", short);
    let met_again = seconds(back);
    peers.delivered(&broken_off, "long.bin", long);
    println!("waiting for 600 s; {said}; the first job is through {met_again:.3} s after that");
    assert!(met_again < SOON.as_secs_f64(), "{met_again} s");
    assert!(peers.resumed_at(&broken_off).is_some(), "the broken try is resumed");
}
