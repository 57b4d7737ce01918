//! `ferryway demo` as a visitor runs it, only with a smaller file.
#![cfg(feature = "laboratory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)] // a test

use std::{collections::BTreeMap, fs, process::Command};

/// What a failover may send again.
const RESENT: u64 = 8 << 20;

#[test]
fn a_transfer_survives_the_death_of_its_host() {
    survives(&[], &["alpha", "beta"], RESENT);
}

#[test]
fn a_transfer_between_hosts_survives_the_death_of_the_sender() {
    survives(&["--transport", "socket"], &["alpha", "beta", "gamma"], RESENT);
}

#[test]
fn a_transfer_between_hosts_survives_the_deaths_of_both() {
    let told = survives(&["--both"], &["alpha", "beta", "gamma", "delta"], 2 * RESENT);
    assert!(told.contains("tells alpha that it is back"), "{told}");
}

/// Plays the demo with these options, in which these nodes have a part; what it told.
fn survives(options: &[&str], nodes: &[&str], resent: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("takeover.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_ferryway"))
        .args(["demo", "--size", "48", "--seed", "7"])
        .args(options)
        .arg("--svg")
        .arg(&picture)
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let told = format!("{said}\n{errors}");
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(said.is_ascii(), "{told}");

    let last = said.lines().last().unwrap();
    let fields = last.strip_prefix("demo: ok ").unwrap_or_else(|| panic!("{told}"));
    let fields: BTreeMap<_, _> =
        fields.split(' ').map(|field| field.split_once('=').unwrap()).collect();
    assert_eq!(
        fields.keys().copied().collect::<Vec<_>>(),
        ["identical", "published", "resent_bytes", "takeover_ms"]
    );
    assert_eq!(fields["identical"], "true", "{told}");
    assert_eq!(fields["published"], "1", "{told}");
    assert!(fields["resent_bytes"].parse::<u64>().unwrap() <= resent, "{told}");
    assert!(fields["takeover_ms"].parse::<u64>().unwrap() > 0, "{told}");

    for node in nodes {
        assert!(said.contains(node), "no {node} in {told}");
    }
    let deaths = said.lines().filter(|line| line.contains(". kill -9 ")).count();
    assert_eq!(deaths, nodes.len() / 2, "{told}");

    assert!(fs::read_to_string(&picture).unwrap().ends_with("</svg>\n"));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [picture], "nothing is left behind");
    told
}
