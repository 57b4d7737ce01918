//! The cluster is at the other end: the host that receives and serves dies, freezes or is cut
//! off, its standby opens the door at the same address, and the side that asked for the
//! transfers helps itself.

use std::time::{Duration, Instant};

use ferryway_tests::{
    content::Content,
    peers::{Peers, SECRET, Setup, seconds},
    scene::{MIB, MIDDLE, SIZE, largest},
    wait::{LIMIT, wait_until},
};

/// How soon jobs go on that would wait for minutes. They take milliseconds; the rest is for a
/// loaded machine.
const SOON: Duration = Duration::from_secs(5);

/// The exit code of a host that lost the instance.
const FENCED: i32 = 3;

/// What a failover may cost.
const SENT_AGAIN: u64 = 8 * MIB;

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

/// A send and a fetch are on their way when the host that receives and serves them ends.
#[track_caller]
fn fails_over(end: End) {
    let mut peers = Peers::start(Setup { rate: 12 * MIB, retry_s: 1, security: SECRET });
    let contents = [Content::new(112, SIZE), Content::new(113, SIZE)];
    let names = ["up.bin", "down.bin"];
    let jobs = [peers.send(names[0], contents[0]), peers.fetch(names[1], contents[1])];
    let incoming = [peers.day.incoming(), peers.night.incoming()];
    wait_until(LIMIT, "the middle of both", || incoming.iter().all(|f| largest(f) >= MIDDLE));
    let there = incoming.each_ref().map(|folder| largest(folder));
    assert!(there.iter().all(|&bytes| bytes < SIZE), "both were met in their middle: {there:?}");
    let ended = Instant::now();
    match end {
        End::Killed => peers.day.nodes[0].kill(),
        End::Frozen => {
            peers.day.nodes[0].freeze().unwrap();
            peers.day.line.cut();
        }
        End::CutOff => peers.day.line.cut(),
    }
    peers.day.start(1);
    let open = seconds(ended);
    for ((job, name), content) in jobs.iter().zip(names).zip(contents) {
        peers.delivered(job, name, content);
        peers.night.await_line("0204W", &[job.as_str()]);
    }
    let through = seconds(ended);
    if end == End::Frozen {
        peers.day.nodes[0].thaw().unwrap();
    }
    if end != End::Killed {
        let ended = peers.day.nodes[0].wait(LIMIT).unwrap();
        assert_eq!(ended.code(), Some(FENCED), "a zombie is to end as fenced");
    }
    let again: Vec<_> = jobs
        .iter()
        .zip(there)
        .map(|(job, there)| there.saturating_sub(peers.resumed_at(job).expect("it is resumed")))
        .collect();
    println!(
        "{end:?}: door open again after {open:.2} s, both files there after {through:.2} s; of \
         {there:?} bytes that were across, {again:?} were sent again"
    );
    assert!(again.iter().all(|&bytes| bytes <= SENT_AGAIN), "{again:?}");
    // Also after the zombie's end: one delivery each, as it was.
    for ((job, name), content) in jobs.iter().zip(names).zip(contents) {
        peers.delivered(job, name, content);
    }
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

/// A try that broke off waits for minutes, and so does a job that met nobody. Both go on when
/// the other host says that it is back.
#[test]
fn who_waits_for_minutes_goes_on_when_the_partner_is_back() {
    let mut peers = Peers::start(Setup { rate: 12 * MIB, retry_s: 600, security: SECRET });
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
