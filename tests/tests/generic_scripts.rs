//! The scripts in `cluster/generic`, and those in `cluster/keepalived` over them, as a cluster manager
//! calls them, with real programs and a stand-in for `systemctl`. What systemd itself makes of the unit
//! is shown by `tests/service/run`.

#![allow(clippy::unwrap_used, reason = "a test's helper functions fail the test")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use ferryway_tests::{
    Unavailable,
    host::{Install, Node, Programs},
    process::through,
    wait::{LIMIT, wait_until},
};
use tempfile::TempDir;

const CONFIGURATION: &str = "[instance]\nname = \"night\"\nhost_name = \"alpha\"\n";

/// The virtual address.
const ADDRESS: &str = "192.0.2.10";

/// What `status` ends with.
const WORKS: i32 = 0;
const FAILS: i32 = 1;
const IS_DOWN: i32 = 3;

/// The stand-in.
const SYSTEMCTL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/systemctl");

#[test]
fn both_services_start_and_stop_in_the_order_of_the_note() {
    let Some(manager) = Manager::new() else { return };
    assert_eq!(manager.call("status", &[]), IS_DOWN);
    // Nothing is done twice.
    for _ in 0..2 {
        assert_eq!(manager.call("start", &[]), 0);
    }
    assert_eq!(manager.call("status", &[]), WORKS);
    assert_eq!(manager.call("status", &["journal"]), WORKS);
    for _ in 0..2 {
        assert_eq!(manager.call("stop", &[]), 0);
        assert_eq!(manager.call("status", &[]), IS_DOWN);
    }
    let log = fs::read_to_string(manager.install.path().join("logs/ferryway.log")).unwrap();
    let stopped = log.lines().filter(|line| line.contains("0011I"));
    let order: Vec<_> = stopped.map(|line| line.contains("Service(transfer)")).collect();
    assert_eq!(order, [true, false], "{log}");
}

#[test]
fn a_service_that_is_stopped_is_found_and_started_again() {
    let Some(manager) = Manager::new() else { return };
    assert_eq!(manager.call("start", &[]), 0);
    // `socket` has to be there as long as `transfer` is.
    assert_eq!(manager.call("on-host", &["ferryway", "service", "stop", "socket"]), FAILS);
    assert_eq!(manager.call("on-host", &["ferryway", "service", "stop", "transfer"]), 0);
    assert_eq!(manager.call("status", &[]), FAILS);
    assert_eq!(manager.call("start", &[]), 0);
    assert_eq!(manager.call("status", &[]), WORKS);
}

#[test]
fn a_host_that_died_is_found_and_started_again() {
    let Some(manager) = Manager::new() else { return };
    assert_eq!(manager.call("start", &[]), 0);
    manager.kill();
    wait_until(LIMIT, "the host is gone", || manager.call("status", &[]) == IS_DOWN);
    assert_eq!(manager.call("start", &[]), 0);
    assert_eq!(manager.call("status", &[]), WORKS);
}

#[test]
fn a_stop_without_the_shared_disk_stops() {
    let Some(manager) = Manager::new() else { return };
    assert_eq!(manager.call("start", &[]), 0);
    let shown = manager.install.path().to_owned();
    let elsewhere = manager.folder.path().join("unmounted");
    fs::rename(&shown, &elsewhere).unwrap();
    assert_eq!(manager.call("stop", &[]), 0);
    assert_eq!(manager.call("status", &[]), IS_DOWN);
    fs::rename(&elsewhere, &shown).unwrap();
}

#[test]
fn a_node_whose_host_died_steps_back_and_may_serve_again() {
    let Some(manager) = Manager::new() else { return };
    assert!(manager.works(), "a standby");
    manager.has_address(true);
    assert_eq!(manager.call("start", &[]), 0);
    assert!(manager.works());
    manager.kill();
    wait_until(LIMIT, "the host is gone", || manager.call("status", &[]) == IS_DOWN);
    assert!(!manager.works() && !manager.works(), "as long as the address is here");
    manager.has_address(false);
    assert!(manager.works());
    manager.has_address(true);
    assert!(manager.works(), "nothing is held against it");
}

#[test]
fn a_node_that_lost_the_instance_waits_until_the_other_one_is_heard() {
    let Some(manager) = Manager::new() else { return };
    manager.has_address(true);
    assert_eq!(manager.call("start", &[]), 0);
    let mut other = Node::new(&manager.install, "other").unwrap();
    other.start().unwrap();
    wait_until(LIMIT, "the host is gone", || manager.call("status", &[]) == IS_DOWN);
    // Who has the address hears itself there.
    manager.hears(true);
    assert!(!manager.works());
    manager.has_address(false);
    manager.hears(false);
    assert!(!manager.works(), "it would take the instance back");
    manager.hears(true);
    assert!(manager.works());
    manager.hears(false);
    assert!(manager.works(), "a standby like any other");
}

/// Whoever calls the scripts, with the instance `night`. What it started is killed with it.
struct Manager {
    install: Install,
    folder: TempDir,
    programs: PathBuf,
}

impl Manager {
    /// `None` when the test cannot run here.
    fn new() -> Option<Self> {
        let made = Programs::of_this_build().and_then(|programs| {
            let folder = tempfile::Builder::new().prefix("ferryway-generic-").tempdir();
            Ok(Self {
                install: Install::new(CONFIGURATION)?,
                folder: folder.map_err(|error| Unavailable::new("a folder", error))?,
                programs: programs.path("ferryway").parent().unwrap().to_owned(),
            })
        });
        let manager = made.inspect_err(Unavailable::skip).ok()?;
        symlink(SYSTEMCTL, manager.folder.path().join("systemctl")).unwrap();
        manager.has_address(false);
        Some(manager)
    }

    fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Whether keepalived is told that all is well.
    fn works(&self) -> bool {
        self.call("../keepalived/works", &[ADDRESS]) == 0
    }

    /// Whether `ip` says that this node has the virtual address.
    fn has_address(&self, has: bool) {
        self.stand_in("ip", if has { "echo \"2: eth0 inet $5/24\"" } else { ":" });
    }

    /// Whether `ping` is answered.
    fn hears(&self, hears: bool) {
        self.stand_in("ping", if hears { "exit 0" } else { "exit 1" });
    }

    fn stand_in(&self, program: &str, does: &str) {
        let path = self.folder.path().join(program);
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Calls a script for the instance; its exit code.
    fn call(&self, script: &str, more: &[&str]) -> i32 {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/generic");
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let mut command = Command::new(scripts.join(script));
        command.arg("night").args(more).env("PATH", path);
        command.env("FERRYWAY_BIN", &self.programs);
        command.env("UNIT_DIR", self.install.path()).env("UNIT_RUN", self.run_dir());
        // A host ends by itself after a while, whatever becomes of the test.
        command.env("UNIT_LIMIT", "120");
        let mut limit = Command::new("timeout");
        limit.arg((2 * LIMIT).as_secs().to_string());
        // What it says is shown where the test fails.
        let output = through(limit, &command).output().unwrap();
        println!("{script} {more:?}: {output:?}");
        output.status.code().unwrap()
    }

    /// Kills the host and whoever waits for it.
    fn kill(&self) {
        let leader = fs::read_to_string(self.folder.path().join("run.unit/pid"));
        let leader = leader.unwrap_or_default();
        let Ok(leader) = leader.trim().parse::<u32>() else { return };
        // Once it is gone, its number may be another's.
        let command = fs::read_to_string(format!("/proc/{leader}/cmdline")).unwrap_or_default();
        if command.contains(&self.programs.display().to_string()) {
            let group = format!("-{leader}");
            Command::new("kill").args(["-KILL", "--", &group]).output().unwrap();
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.kill();
    }
}
