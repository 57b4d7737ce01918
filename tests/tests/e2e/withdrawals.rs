//! Jobs that end before their partner's own: it hears of that, whoever stops, dies or is out.

use std::fs;

use ferryway_core::{JobId, Outcome, Status};
use ferryway_host::{control::api::Command, journal::record::Job};
use ferryway_tests::{
    content::Content,
    host::Node,
    peers::Peers,
    scene::{MIDDLE, SIZE, client, largest},
    wait::{LIMIT, wait_until},
};
use tokio::runtime::Runtime;

use crate::receivers::{FAST, SLOW, await_job, gate, peer_of, receive, recorded, reload};

const CANCELLED: Status = Status::Idle(Outcome::Cancelled);
const DONE: Status = Status::ReceiverIdle(Outcome::Completed);
const FAILED: Status = Status::ReceiverIdle(Outcome::Failed);

fn cancel(node: &Node, job: &JobId) -> Status {
    let client = client(node);
    let cancelled = Runtime::new().unwrap().block_on(client.command(job, Command::Cancel));
    cancelled.unwrap().status
}

/// A job of night's that was cancelled on its way while day is out, and day's own.
fn cancelled_while_out() -> (Peers, JobId, JobId) {
    let mut peers = Peers::start(SLOW);
    let job = peers.send("a.bin", Content::new(220, SIZE));
    let incoming = peers.day.incoming();
    wait_until(LIMIT, "the middle of the send", || largest(&incoming) >= MIDDLE);
    let theirs = peer_of(&recorded(&peers.night.install, &job));
    peers.day.nodes[0].kill();
    assert_eq!(cancel(&peers.night.nodes[0], &job), CANCELLED);
    (peers, job, theirs)
}

/// Day's job has ended, and night knows it.
#[track_caller]
fn is_withdrawn(peers: &Peers, job: &JobId, theirs: &JobId) {
    let told = await_job(&peers.night.install, job, "is withdrawn", |job: &Job| {
        job.state.peer.as_ref().is_some_and(|peer| peer.status == FAILED)
    });
    assert_eq!(told.status, CANCELLED);
    let theirs = recorded(&peers.day.install, theirs);
    assert_eq!(theirs.status, FAILED);
    assert!(theirs.state.last_error.unwrap().contains("cancelled by an operator"));
}

#[test]
fn a_withdrawal_outlives_a_stop_and_the_operator_hears_of_it() {
    let (mut peers, job, theirs) = cancelled_while_out();
    let stopped = peers.night.nodes[0].stop(LIMIT).unwrap();
    assert!(stopped.success(), "{stopped}");
    peers.night.await_line("0317W", &[job.as_str(), "DAY", "this host stops"]);
    peers.day.start(1);
    peers.night.start(0);
    is_withdrawn(&peers, &job, &theirs);
}

#[test]
fn a_withdrawal_outlives_a_death() {
    let (mut peers, job, theirs) = cancelled_while_out();
    peers.night.nodes[0].kill();
    peers.day.start(1);
    peers.night.start(1);
    is_withdrawn(&peers, &job, &theirs);
    // Once is enough.
    let before = recorded(&peers.night.install, &job).version;
    reload(&peers.night.nodes[1]);
    let other = peers_next(&peers);
    assert_eq!(recorded(&peers.night.install, &job).version, before, "{other} came after that");
}

/// A job that came to its end after what was told before.
fn peers_next(peers: &Peers) -> JobId {
    let node = &peers.night.nodes[1];
    let source = peers.night.install.path().join("out/next.bin");
    Content::new(221, 1000).write_to(&source).unwrap();
    let submitted = node.ftprel_json(&["submit", "SEND1", source.to_str().unwrap(), "--wait"]);
    submitted.unwrap()["jobs"][0]["id"].as_str().unwrap().parse().unwrap()
}

/// The sender's operator waits no longer for the receiver's post-exit: nobody asks for it again, so
/// the receiver's job ends when that has ended.
#[test]
fn a_job_that_is_cancelled_in_08_lets_its_partners_end() {
    let peers = Peers::start(FAST);
    let (table, gate) = gate(&peers.day);
    receive(&peers.day, &table);
    let job = peers.send("a.bin", Content::new(222, 1000));
    gate.await_runs(1);
    let waits = await_job(&peers.night.install, &job, "asks again", |job| {
        job.status == Status::Confirming && job.state.peer.is_some() && job.state.waits > 0
    });
    assert_eq!(cancel(&peers.night.nodes[0], &job), Status::Idle(Outcome::Completed));
    await_job(&peers.night.install, &job, "has told so", |job| job.state.withdrawn);
    gate.open();
    let theirs = await_job(&peers.day.install, &peer_of(&waits), "ends", |job| job.status == DONE);
    assert!(theirs.state.withdrawn);
    assert_eq!(gate.runs().len(), 1);
}

/// What a partner cannot take now it is asked to take again: it has the file, so its job does not fail
/// because the sender's operator waits no longer.
#[test]
fn a_job_that_is_cancelled_in_08_does_not_fail_where_its_file_is() {
    let mut peers = Peers::build(FAST);
    let (table, gate) = gate(&peers.day);
    peers.day.install.write("definitions/received.toml", &table).unwrap();
    let file = peers.day.install.path().join("ferryway.toml");
    let configuration = fs::read_to_string(file).unwrap() + "[limits]\njobs = 1\n";
    peers.day.install.write("ferryway.toml", &configuration).unwrap();
    peers.day.start(0);
    peers.night.start(0);
    peers.send("first.bin", Content::new(223, 1000));
    gate.await_runs(1);
    let waits_in_08 = |name, seed| {
        let job = peers.send(name, Content::new(seed, 1000));
        await_job(&peers.night.install, &job, "is told that there is no place", |job| {
            job.status == Status::Confirming && job.state.waits > 0
        })
    };
    let job = waits_in_08("a.bin", 224);
    assert_eq!(cancel(&peers.night.nodes[0], &job.id), Status::Idle(Outcome::Completed));
    // What comes after that is told so, too: the cancelled one has been.
    waits_in_08("next.bin", 225);
    gate.open();
    let theirs = peer_of(&job);
    let theirs = await_job(&peers.day.install, &theirs, "ends", |job| !job.status.in_flight());
    assert_eq!(theirs.status, DONE, "{:?}", theirs.state.last_error);
    assert_eq!(gate.runs().iter().filter(|run| run.ends_with("a.bin")).count(), 1);
}
