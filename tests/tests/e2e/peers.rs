//! The cluster is at the other end: the host that receives and serves dies, freezes or is cut
//! off, its standby opens the door at the same address, and the side that asked for the
//! transfers helps itself.

use std::time::{Duration, Instant};

use ferryway_tests::{
    content::Content,
    peers::{Peers, Setup, seconds},
    scene::{MIB, MIDDLE, SIZE, largest},
    wait::{LIMIT, wait_until},
};

/// How soon jobs go on that would wait for minutes. They take milliseconds; the rest is for a
/// loaded machine.
const SOON: Duration = Duration::from_secs(5);

/// A try that broke off waits for minutes, and so does a job that met nobody. Both go on when
/// the other host says that it is back.
#[test]
fn who_waits_for_minutes_goes_on_when_the_partner_is_back() {
    let mut peers = Peers::start(Setup { rate: 12 * MIB, retry_s: 600 });
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
