//! `ferryway simulate` as a visitor runs it, only with fewer runs.
#![cfg(feature = "laboratory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)] // a test

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};

/// Runs of each row and policy: enough to meet several deaths, few enough for every change.
const RUNS: usize = 4;

/// Rows with an FTP server, and with hosts, which do not lock.
const ROWS: [(&str, usize); 2] = [("ftp", 9), ("socket", 6)];

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferryway")).arg("simulate").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Plays every row over a transport, and gives the outcomes that were seen.
fn play(transport: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().to_str().unwrap();
    let runs = RUNS.to_string();
    let output =
        simulate(&["--json", "--runs", &runs, "--svg", pictures, "--transport", transport]);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");

    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let cells: BTreeSet<_> =
        runs.iter().map(|run| (run["row"].as_str(), run["policy"].as_str())).collect();
    let rows = ROWS.into_iter().find(|(name, _)| *name == transport).unwrap().1;
    assert_eq!(cells.len(), rows * 2, "{told}");
    assert_eq!(runs.len(), cells.len() * RUNS, "{told}");
    for run in runs {
        assert_eq!(run["transport"], transport, "{run}");
    }
    for run in runs.iter().filter(|run| run["policy"] == "atomic") {
        assert_eq!(run["outcome"], "delivered", "{run}");
        assert_eq!(run["published"], 1, "{run}");
    }
    for entry in fs::read_dir(folder.path()).unwrap() {
        assert!(fs::read_to_string(entry.unwrap().path()).unwrap().ends_with("</svg>\n"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), rows);
    let seen: BTreeSet<_> = runs.iter().filter_map(|run| run["outcome"].as_str()).collect();
    seen.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_row_ends_as_the_table_says_by_ftp() {
    let wanted =
        ["delivered", "overwritten", "refused", "refused_then_forced", "resent", "unexpected"];
    assert_eq!(play("ftp"), wanted);
}

#[test]
fn every_row_ends_as_the_table_says_by_socket() {
    assert_eq!(play("socket"), ["delivered", "overwritten", "resent"]);
}

#[test]
fn another_end_than_expected_is_told_with_its_story_and_fails() {
    let run = "--row C2 --transport socket --policy direct --seed 5 --runs 1 --trace";
    let run: Vec<_> = run.split(' ').collect();
    let as_it_is = simulate(&run);
    assert_eq!(as_it_is.status.code(), Some(0), "{}", text(&as_it_is.stderr));
    let otherwise = simulate(&[&run[..], &["--expect", "refused"]].concat());
    let told = text(&otherwise.stdout);
    assert_eq!(otherwise.status.code(), Some(1), "{told}");
    let again = "cargo run --release -- simulate --row C2 --transport socket --policy direct --seed 5 \
         --runs 1 --trace";
    for part in [
        again,
        "not expected here",
        "shared disk",
        "-> store in/ledger.dat",
        "sender SIMUL11     ## e2 TakeOver",
        "receiver SIMUL11   ## e1 Complete",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
}
