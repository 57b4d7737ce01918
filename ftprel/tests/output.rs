//! What the built tool prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)] // Tests may.

mod tool;

use std::sync::Arc;

use ferryway_core::{
    Digest, Event,
    digest::Algorithm,
    policy::{OnFailure, OnTakeover},
};
use ferryway_host::{
    control::{
        Operations,
        api::{PAGE_LIMIT, SubmitRequest},
    },
    journal::record::{
        Attempt, Checkpoint, Exit, ExitEnd, ExitState, Exits, Fingerprint, Intent, Token,
    },
};
use serde_json::{Value, json};
use tool::{Host, id, keys};

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_readable() {
    let host = Host::start().await;
    for definition in ["PRDY01", "PRDY01", "PRDY02"] {
        host.run(["submit", definition]).await.ok();
    }
    host.operations.transfer(&id("PRDY011"), 1, 3);
    host.operations.advance(&id("PRDY012"), &[Event::Suspend], |view| {
        view.job.state.last_error = Some("the partner\nis away".to_owned());
        view.job.state.held = true;
    });
    host.operations.complete(&id("PRDY021"));
    let list = host.run(["list"]).await.ok();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split("  ").collect()).collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(list.contains("PRDY011  04 transferring"), "{list}");
    assert!(list.contains(" 33% "), "{list}");
    assert!(list.contains(r"05 suspended (held)"), "{list}");
    assert!(list.contains(r"the partner\nis away"), "{list}");

    let ids = async |args: &[&str]| -> Vec<String> {
        let args = ["list", "--json"].iter().chain(args);
        let list = host.run(args).await.json();
        let jobs = list["jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--all"]).await, ["PRDY021", "PRDY011", "PRDY012"]);
    assert_eq!(ids(&["--status", "05"]).await, ["PRDY012"]);
    assert_eq!(ids(&["--all", "--status", "completed"]).await, ["PRDY021"]);
    assert_eq!(ids(&["--definition", "PRDY02"]).await, [""; 0]);

    let history = host.run(["history"]).await.ok();
    assert!(history.contains("PRDY021  2000-03-01 19:06:18  00 completed"), "{history}");
    assert!(history.contains("2.0 KiB"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_says_what_was_seen_and_what_to_set() {
    let host = Host::start().await;
    let said = host.run(["probe", "BANK", "in", "--silent", "60"]).await.ok();
    for line in [
        "Partner    BANK, in `in`",
        "Locks      yes: a file that another session stores is waited for",
        "Silence    a session is closed after 60 s, or before",
        "With publish = \"direct\" it is in the rows C1, C3a, C3b of docs/failover-servers.md.",
        "[partners.BANK]",
        "late_close = \"truncates\"",
        "publish = \"atomic\"",
        "resume = \"never\"",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in\n{said}");
    }
    let probed = host.run(["probe", "BANK", "--json"]).await.json();
    assert_eq!(keys(&probed), ["advice", "findings"]);
    assert_eq!(probed["findings"]["folder"], Value::Null);
    assert_eq!(probed["advice"]["rows"], json!(["C1", "C3a", "C3b"]));
    let asked = host.run(["probe", "BANK", "--silent", "3601"]).await;
    assert_eq!(asked.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_comes_in_pages() {
    let host = Host::start().await;
    for number in 1..=3 {
        host.run(["submit", "PRDY01"]).await.ok();
        host.operations.complete(&id(&format!("PRDY01{number}")));
    }
    let first = host.run(["history", "--json", "--limit", "2"]).await.json();
    assert_eq!(first["jobs"][0]["id"], "PRDY013");
    assert_eq!(first["next_before"], 2);
    let next = host.run(["history", "--json", "--limit", "2", "--before", "2"]).await.json();
    assert_eq!(next["jobs"][0]["id"], "PRDY011");
    assert_eq!(next["next_before"], Value::Null);
    let request = SubmitRequest {
        definition: "PRDY02".parse().unwrap(),
        local: None,
        remote: None,
        key: None,
    };
    host.operations.submit(vec![request; PAGE_LIMIT + 50]).await.unwrap();
    for number in 1..=PAGE_LIMIT + 50 {
        host.operations.complete(&id(&format!("PRDY02{number}")));
    }
    let long = (PAGE_LIMIT + 20).to_string();
    let many = host.run(["history", "--json", "--limit", &long]).await.json();
    let mut ids: Vec<&str> =
        many["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), PAGE_LIMIT + 20, "pages of the host follow each other");
    assert_eq!(ids.last(), Some(&"PRDY0231"));
    let none = host.run(["history", "--json", "--since", "2000-03-01 19:07"]).await.json();
    assert_eq!(none["jobs"], json!([]));
    let all = host
        .run(["history", "--json", "--definition", "PRDY01", "--since", "2000-03-01 19:06"])
        .await
        .json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_whole() {
    let host = Host::start().await;
    host.run(["submit", "PRDY01", "/data/out.csv", "--key", "k1"]).await.ok();
    let job = id("PRDY011");
    host.operations.transfer(&job, 1_024, 2_048);
    host.operations.advance(&job, &[Event::Verify, Event::Publish], |view| {
        let digest = Digest::from_bytes(Algorithm::Crc32, &[0, 1, 2, 3]);
        let names = vec!["in/.ferryway/night.BANK/e1/PRDY011.a1.part".to_owned()];
        let fingerprint = Fingerprint { size: 2_048, modified_ns: Some(0), identity: None };
        let state = &mut view.job.state;
        state.attempt =
            Some(Attempt { number: 1, epoch: view.job.epoch, fingerprint, names: names.clone() });
        let (size, hash) = (2_048, Some(digest.clone()));
        let token = Token { attempt: 1, names, size, digest: hash, proof: None, witness: None };
        state.intent = Some(Intent { tokens: vec![token], ..Intent::default() });
        state.digest = Some(digest);
        view.job.checkpoint = Some(Checkpoint { attempt: 1, offset: 1_024, moved_bytes: 1_024 });
        let command = vec!["make.sh".to_owned(), "-x".to_owned()];
        Arc::make_mut(&mut view.job.spec).exits =
            Exits { pre: Some(exit(command)), post: Some(exit(vec!["/bin/book".to_owned()])) };
        let output = "one\ntwo \u{1b}\n".to_owned();
        let end = ExitEnd { success: false, how: "exit code 3".to_owned(), output };
        view.job.state.pre_exit = ExitState { starts: 2, end: Some(end) };
    });
    let text = host.run(["show", "PRDY011"]).await.ok();
    let parts = [
        "PRDY011 (run 1 of PRDY01)",
        "send to bank",
        "/data/out.csv",
        "07 publishing",
        "2000-03-01 19:06:18 JST",
        "50%, 1.0 KiB of 2.0 KiB",
        "in/.ferryway/night.BANK/e1/PRDY011.a1.part",
        "byte 1024 of attempt 1",
        "CRC32:00010203",
        "1970-01-01 09:00:00 JST",
        "accepted",
        "Begin",
        "Pre-exit       make.sh -x\n               run 2 ended: exit code 3, failed\n",
        "               | one\n               | two \\u{1b}\n",
        "Post-exit      /bin/book\n               not started\n",
    ];
    for part in parts {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let shown = host.run(["show", "PRDY011", "--json"]).await.json();
    assert_eq!(shown["source"], "host");
    assert_eq!(shown["job"]["intent"]["tokens"][0]["attempt"], 1);
    assert_eq!(shown["job"]["attempt"]["fingerprint"]["size"], 2_048);
    assert_eq!(shown["job"]["checkpoint"]["offset"], 1_024);
    let end = json!({"success": false, "how": "exit code 3", "output": "one\ntwo \u{1b}\n"});
    let pre = json!({"command": ["make.sh", "-x"], "starts": 2, "end": end});
    assert_eq!(shown["job"]["pre_exit"], pre);
    assert_eq!(shown["job"]["post_exit"]["end"], json!(null));
    assert_eq!(shown["entries"].as_array().unwrap().len(), 6);
    assert_eq!(keys(&shown["entries"][0]), ["at", "epoch", "event", "note", "status"]);
}

fn exit(command: Vec<String>) -> Exit {
    Exit {
        command,
        timeout_s: 60,
        success: vec![0],
        retry: Vec::new(),
        on_failure: OnFailure::Continue,
        on_takeover: OnTakeover::Ask,
    }
}

/// What `show` tells beyond the keys of each job.
const OF_ONE: [&str; 9] = [
    "version",
    "publish",
    "resume",
    "attempt",
    "earlier",
    "intent",
    "checkpoint",
    "pre_exit",
    "post_exit",
];

#[tokio::test(flavor = "multi_thread")]
async fn json_keeps_its_shapes() {
    let job_keys = [
        "accepted_at",
        "attempts",
        "definition",
        "digest",
        "direction",
        "epoch",
        "failures",
        "held",
        "id",
        "key",
        "last_error",
        "local",
        "moved_bytes",
        "next_try_at",
        "partner",
        "priority",
        "progress",
        "published",
        "remote",
        "run",
        "sequence",
        "size_bytes",
        "status",
        "updated_at",
        "waits_for",
    ];
    let host = Host::start().await;
    let submitted = host.run(["submit", "PRDY01", "--json"]).await.json();
    assert_eq!(keys(&submitted), ["jobs"]);
    assert_eq!(keys(&submitted["jobs"][0]), job_keys);
    let status = json!({"code": "01", "meaning": "accepted", "side": "sender", "outcome": null});
    assert_eq!(submitted["jobs"][0]["status"], status);
    assert_eq!(submitted["jobs"][0]["accepted_at"], "2000-03-01T10:06:18Z");

    host.operations.transfer(&id("PRDY011"), 7, 10);
    let list = host.run(["list", "--json"]).await.json();
    assert_eq!(keys(&list), ["jobs", "source"]);
    assert_eq!(keys(&list["jobs"][0]), job_keys);
    assert_eq!(list["jobs"][0]["progress"], json!({"done": 7, "total": 10, "resumed_at": 0}));

    let shown = host.run(["show", "--json", "PRDY011"]).await.json();
    assert_eq!(keys(&shown), ["entries", "job", "source"]);
    for key in job_keys.iter().chain(&OF_ONE) {
        assert!(shown["job"].get(key).is_some(), "{key}");
    }
    let ordered = host.run(["cancel", "--json", "PRDY011", "X1"]).await;
    assert_eq!(ordered.code, 4);
    let ordered = ordered.json();
    assert_eq!(keys(&ordered["jobs"][0]), ["error", "id", "job", "ok"]);
    assert_eq!(
        (&ordered["jobs"][0]["ok"], &ordered["jobs"][1]["ok"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(keys(&ordered["jobs"][0]["job"]), job_keys);
    let error = &ordered["jobs"][1]["error"];
    assert_eq!(keys(error), ["exit", "hint", "kind", "message"]);
    assert_eq!((&error["exit"], &error["kind"]), (&json!(4), &json!("not_found")));

    let history = host.run(["history", "--json"]).await.json();
    assert_eq!(keys(&history), ["jobs", "next_before", "source"]);
    assert_eq!(keys(&history["jobs"][0]), job_keys);
    let watched = host.run(["watch", "--json", "PRDY011"]).await;
    assert_eq!(watched.code, 1);
    assert_eq!(keys(&watched.json()), job_keys);
    let reloaded = host.run(["reload", "--json"]).await.json();
    assert_eq!(reloaded, json!({"message": "2 definitions are in force"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_health_keeps_its_shape() {
    let host = Host::start().await;
    let health = host.run(["health", "--json"]).await.json();
    let host_keys = "epoch in_flight instance moving node pid recovered services started_at";
    assert_eq!(keys(&health["host"]).join(" "), host_keys);
    assert_eq!(keys(&health), ["host", "source"]);
    let health = host.run(["health", "--depth", "journal", "--json"]).await.json();
    assert_eq!(keys(&health["host"]).join(" "), host_keys);
    assert_eq!(health["journal"], json!({"took_us": 2500}));
}
