//! Two real installations: one sends to and fetches from the other by the socket transport, and
//! either end dies on the way.

use std::time::Duration;

use ferryway_core::JobId;
use ferryway_tests::{
    content::Content,
    peers::{Peers, Security, Setup},
    scene::{MIB, MIDDLE, SIZE, largest},
    wait::{LIMIT, wait_until},
};

/// The exit code of a host that lost the instance.
const FENCED: i32 = 3;

/// What a failover may cost.
const SENT_AGAIN: u64 = 8 * MIB;

/// The file that moves in most of these tests.
const NAME: &str = "a.bin";

fn slow(security: Security) -> Setup {
    Setup { rate: 12 * MIB, retry_s: 1, security }
}

/// Which way the file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Send,
    Fetch,
}

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Visitor,
    Host,
}

/// Starts a transfer and waits for its middle: the job, and the bytes that are across.
#[track_caller]
fn halfway(peers: &Peers, way: Way, content: Content) -> (JobId, u64) {
    let (job, folder) = match way {
        Way::Send => (peers.send(NAME, content), peers.day.incoming()),
        Way::Fetch => (peers.fetch(NAME, content), peers.night.incoming()),
    };
    wait_until(LIMIT, "the middle of the transfer", || largest(&folder) >= MIDDLE);
    (job, largest(&folder))
}

/// One end is killed in the middle of a transfer, and its successor goes on where it was.
#[track_caller]
fn goes_on(security: Security, victim: Victim, way: Way, content: Content) {
    let mut peers = Peers::start(slow(security));
    let (job, there) = halfway(&peers, way, content);
    let side = match victim {
        Victim::Visitor => &mut peers.night,
        Victim::Host => &mut peers.day,
    };
    side.nodes[0].kill();
    side.start(1);
    peers.delivered(&job, NAME, content);
    let offset = peers.resumed_at(&job).expect("the transfer is resumed");
    assert!(offset + SENT_AGAIN >= there, "{there} bytes were across, {offset} were used");
}

#[test]
fn a_file_goes_each_way_with_certificates() {
    let setup = Setup { rate: 1 << 30, retry_s: 1, security: Security::Tls };
    let peers = Peers::start(setup);
    let (up, down) = (Content::new(90, SIZE), Content::new(91, SIZE));
    let (sent, fetched) = (peers.send("up.bin", up), peers.fetch("down.bin", down));
    peers.delivered(&sent, "up.bin", up);
    peers.delivered(&fetched, "down.bin", down);
    // An empty file, and one that replaces another.
    let empty = Content::new(92, 0);
    let job = peers.send("empty", empty);
    peers.delivered(&job, "empty", empty);
    let newer = Content::new(93, 1000);
    peers.day.arrivals.take("up.bin");
    let job = peers.send("up.bin", newer);
    peers.delivered(&job, "up.bin", newer);
}

#[test]
fn the_sender_is_killed_in_a_send_and_its_successor_goes_on() {
    goes_on(Security::Secret, Victim::Visitor, Way::Send, Content::new(94, SIZE));
}

#[test]
fn the_sender_is_killed_in_a_fetch_and_its_successor_goes_on() {
    goes_on(Security::Tls, Victim::Visitor, Way::Fetch, Content::new(95, SIZE));
}

#[test]
fn the_receiver_is_killed_in_a_send_and_its_successor_goes_on() {
    goes_on(Security::Tls, Victim::Host, Way::Send, Content::new(96, SIZE));
}

#[test]
fn the_receiver_is_killed_in_a_fetch_and_its_successor_goes_on() {
    goes_on(Security::Secret, Victim::Host, Way::Fetch, Content::new(97, SIZE));
}

/// Whichever is first, the door that refuses it or the journal that is not its own any more: it ends,
/// and changes nothing.
#[test]
fn a_zombie_that_wakes_up_changes_nothing() {
    let mut peers = Peers::start(slow(Security::Secret));
    let content = Content::new(98, SIZE);
    let (job, _) = halfway(&peers, Way::Send, content);
    peers.night.nodes[0].freeze().unwrap();
    peers.night.start(1);
    peers.delivered(&job, NAME, content);
    peers.night.nodes[0].thaw().unwrap();
    let ended = peers.night.nodes[0].wait(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.code(), Some(FENCED), "a zombie is to end as fenced");
    peers.delivered(&job, NAME, content);
}
