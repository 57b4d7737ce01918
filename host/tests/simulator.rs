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

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferryway")).arg("simulate").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_row_ends_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().to_str().unwrap();
    let output = simulate(&["--json", "--runs", &RUNS.to_string(), "--svg", pictures]);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");

    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let cells: BTreeSet<_> =
        runs.iter().map(|run| (run["row"].as_str(), run["policy"].as_str())).collect();
    assert_eq!(cells.len(), 9 * 2, "{told}");
    assert_eq!(runs.len(), cells.len() * RUNS, "{told}");
    for run in runs.iter().filter(|run| run["policy"] == "atomic") {
        assert_eq!(run["outcome"], "delivered", "{run}");
        assert_eq!(run["published"], 1, "{run}");
    }
    let seen: BTreeSet<_> = runs.iter().filter_map(|run| run["outcome"].as_str()).collect();
    let wanted =
        ["delivered", "overwritten", "refused", "refused_then_forced", "resent", "unexpected"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), wanted, "{told}");
    for entry in fs::read_dir(folder.path()).unwrap() {
        assert!(fs::read_to_string(entry.unwrap().path()).unwrap().ends_with("</svg>\n"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 9);
}

#[test]
fn another_end_than_expected_is_told_with_its_story_and_fails() {
    let run = ["--row", "C2", "--policy", "direct", "--seed", "5", "--runs", "1", "--trace"];
    let as_it_is = simulate(&run);
    assert_eq!(as_it_is.status.code(), Some(0), "{}", text(&as_it_is.stderr));
    let otherwise = simulate(&[&run[..], &["--expect", "refused"]].concat());
    let told = text(&otherwise.stdout);
    assert_eq!(otherwise.status.code(), Some(1), "{told}");
    let again =
        "cargo run --release -- simulate --row C2 --policy direct --seed 5 --runs 1 --trace";
    for part in [again, "not expected here", "shared disk", "-> STOR in/ledger.dat", "e2 TakeOver"]
    {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
}
