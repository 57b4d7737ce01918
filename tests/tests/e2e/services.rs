//! The two services of a host, started and stopped one after the other as a cluster's scripts do.

use std::{fs, net::TcpStream, path::Path, process::Output};

use ferryway_core::Status;
use ferryway_tests::{
    content::Content,
    host::Node,
    peers::{Peers, Security, Setup},
    scene::{MIB, MIDDLE, SIZE, largest},
    wait::{LIMIT, holds_within, wait_until},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const SETUP: Setup = Setup { rate: 12 * MIB, retry_s: 1, security: Security::Secret };

/// Runs `ferryway service` and checks how it ends; what it said.
#[track_caller]
fn service(node: &Node, order: &[&str], code: i32) -> String {
    let output = node.ferryway(&[&["service"], order].concat()).unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{order:?}: {said}");
    said
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn running(node: &Node) -> serde_json::Value {
    node.ftprel_json(&["health"]).unwrap()["host"]["services"].clone()
}

#[test]
fn jobs_wait_for_their_service() {
    let mut peers = Peers::build(SETUP);
    peers.day.start(0);
    peers.night.nodes[0].set_arguments(&["--services", "socket"]);
    peers.night.start(0);
    let content = Content::new(120, SIZE);
    let job = peers.send("a.bin", content);
    let node = &peers.night.nodes[0];
    assert_eq!(running(node), serde_json::json!(["socket"]));
    assert!(service(node, &["status", "socket"], 0).contains("running"));
    assert!(service(node, &["status", "transfer"], 3).contains("stopped"));
    let text = said(&node.ftprel(&["status"]).unwrap());
    assert!(text.contains("socket running, transfer stopped"), "{text}");
    assert_eq!(peers.job(&job).status, Status::Accepted);

    assert!(service(node, &["start", "transfer"], 0).contains("now running"));
    assert!(service(node, &["start", "transfer"], 0).contains("already running"));
    let refused = service(node, &["stop", "socket"], 1);
    assert!(refused.contains("stop transfer` first"), "{refused}");

    // A stop parks the job where it is, and a start goes on there.
    let incoming = peers.day.incoming();
    wait_until(LIMIT, "the middle of the send", || largest(&incoming) >= MIDDLE);
    service(node, &["stop", "transfer"], 0);
    let there = largest(&incoming);
    assert_eq!(peers.job(&job).status, Status::Accepted);
    let entries = peers.entries(&job);
    assert!(entries.iter().any(|note| note == "stopped on the way"), "{entries:?}");
    assert!(there < SIZE, "the job was met in its middle");
    service(node, &["start", "transfer"], 0);
    peers.delivered(&job, "a.bin", content);
    assert!(peers.resumed_at(&job).is_some(), "the parked try is resumed");
}

#[test]
fn the_door_closes_and_opens_with_its_service() {
    let mut peers = Peers::start(SETUP);
    let line = peers.night.lines("0501I").remove(0);
    let door = line.rsplit_once("Address(").unwrap().1.trim_end_matches(')').to_owned();
    let node = &peers.night.nodes[0];
    assert_eq!(running(node), serde_json::json!(["socket", "transfer"]));
    TcpStream::connect(&door).expect("the door is open");
    service(node, &["stop", "transfer"], 0);
    service(node, &["stop", "socket"], 0);
    assert_eq!(running(node), serde_json::json!([]));
    assert!(TcpStream::connect(&door).is_err(), "the door is closed");
    let refused = service(node, &["start", "transfer"], 1);
    assert!(refused.contains("start socket` first"), "{refused}");
    service(node, &["start", "socket"], 0);
    peers.night.await_door();
    let node = &peers.night.nodes[0];
    service(node, &["start", "transfer"], 0);
    let content = Content::new(121, 1000);
    let job = peers.send("b.bin", content);
    peers.delivered(&job, "b.bin", content);
    for (code, count) in [("0010I", 4), ("0011I", 2)] {
        wait_until(LIMIT, "each change is told", || peers.night.lines(code).len() == count);
    }
}

#[test]
fn an_order_that_makes_no_sense_is_refused_with_its_cause() {
    let peers = Peers::build(SETUP);
    let node = &peers.night.nodes[0];
    for order in [["start", "socket"], ["stop", "transfer"], ["status", "socket"]] {
        let said = service(node, &order, 3);
        assert!(said.contains("no host is running") && said.contains("ferryway run"), "{said}");
    }
    assert!(service(node, &["start", "mail"], 2).contains("write `socket` or `transfer`"));
    let refused = node.ferryway(&["run", "--services", "transfer"]).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("`transfer` needs `socket`"), "{}", said(&refused));
    let nowhere = node.ferryway(&["service", "status", "socket", "/nonexistent"]).unwrap();
    assert_eq!(nowhere.status.code(), Some(2), "{}", said(&nowhere));
}

/// A host that a script left running; killed with the test.
struct Left(Pid);

impl Drop for Left {
    fn drop(&mut self) {
        kill_process(self.0, Signal::KILL).ok();
    }
}

#[test]
fn the_scripts_of_the_manual_start_and_stop_a_host() {
    let peers = Peers::build(SETUP);
    let node = &peers.night.nodes[0];
    for _again in 0..2 {
        let started = node.script(&script("# start")).unwrap();
        let host = node.ftprel_json(&["health"]).map(|health| health["host"]["pid"].clone());
        let host = host.unwrap_or_else(|error| panic!("{error}: {}", said(&started)));
        let id = i32::try_from(host.as_i64().unwrap()).unwrap();
        let host = Left(Pid::from_raw(id).unwrap());
        assert!(started.status.success(), "{}", said(&started));
        assert_eq!(running(node), serde_json::json!(["socket", "transfer"]));
        let stopped = node.script(&script("# stop")).unwrap();
        assert!(stopped.status.success(), "{}", said(&stopped));
        let gone = holds_within(LIMIT, || test_kill_process(host.0).is_err());
        assert!(gone, "the host ends");
        std::mem::forget(host);
    }
    wait_until(LIMIT, "both hosts stop in order", || peers.night.lines("0004I").len() == 2);
}

/// The script of `docs/operations.md` that begins with this comment; the Japanese manual has the
/// same.
fn script(comment: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let [english, japanese] = ["operations.md", "operations.ja.md"].map(|manual| {
        let text = fs::read_to_string(docs.join(manual)).unwrap();
        let begin = text.find(&format!("#!/bin/sh\n{comment}")).expect(comment);
        text[begin..].split("```").next().unwrap().to_owned()
    });
    assert_eq!(english, japanese);
    english
}
