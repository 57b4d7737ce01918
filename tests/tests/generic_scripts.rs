//! The scripts in `cluster/generic`, as a cluster manager calls them, with real programs and a
//! stand-in for `systemctl`. What systemd itself makes of the unit is shown by `tests/service/run`.

#![allow(clippy::unwrap_used, reason = "a test's helper functions fail the test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use ferryway_tests::{
    Unavailable,
    host::{Install, Programs},
    process::through,
    wait::{LIMIT, wait_until},
};
use tempfile::TempDir;

const CONFIGURATION: &str = "[instance]\nname = \"night\"\nhost_name = \"alpha\"\n";

/// What `status` ends with.
const WORKS: i32 = 0;
const FAILS: i32 = 1;
const IS_DOWN: i32 = 3;

/// Does for one unit what the scripts ask for. A host ends by itself after a while, whatever
/// becomes of the test.
const SYSTEMCTL: &str = r#"#!/bin/sh
places="FERRYWAY_DIR=$UNIT_DIR FERRYWAY_RUN_DIR=$UNIT_RUN"
for unit; do :; done
[ "$unit" = ferryway@night ] || exit 5
lives() { kill -0 "$(cat "$UNIT_RUN/pid" 2>/dev/null || echo none)" 2>/dev/null; }
case $1 in
    reset-failed) ;;
    show) echo "$places" ;;
    is-active) lives || exit 3 ;;
    start)
        ! lives || exit 0
        env $places timeout --kill-after=5 120 "$FERRYWAY_BIN/ferryway" run >/dev/null 2>&1 &
        echo $! >"$UNIT_RUN/pid"
        until env $places "$FERRYWAY_BIN/ftprel" health --timeout 1 >/dev/null 2>&1; do
            lives || exit 1
            sleep 0.05
        done
        ;;
    stop)
        ! lives || kill -TERM "$(cat "$UNIT_RUN/pid")"
        while lives; do sleep 0.05; done
        rm -f "$UNIT_RUN/pid"
        ;;
    *) exit 2 ;;
esac
"#;

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
        let stand_in = manager.folder.path().join("systemctl");
        fs::write(&stand_in, SYSTEMCTL).unwrap();
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(manager.run_dir()).unwrap();
        fs::set_permissions(manager.run_dir(), fs::Permissions::from_mode(0o700)).unwrap();
        Some(manager)
    }

    fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Calls a script for the instance; its exit code.
    fn call(&self, script: &str, more: &[&str]) -> i32 {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/generic");
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let mut command = Command::new(scripts.join(script));
        command.arg("night").args(more).env("PATH", path);
        command.env("FERRYWAY_BIN", &self.programs);
        command.env("UNIT_DIR", self.install.path()).env("UNIT_RUN", self.run_dir());
        let mut limit = Command::new("timeout");
        limit.arg((2 * LIMIT).as_secs().to_string());
        // What it says is shown where the test fails.
        let output = through(limit, &command).output().unwrap();
        println!("{script} {more:?}: {output:?}");
        output.status.code().unwrap()
    }

    /// Kills the host and whoever waits for it.
    fn kill(&self) {
        let waits = fs::read_to_string(self.run_dir().join("pid")).unwrap_or_default();
        let Ok(waits) = waits.trim().parse::<u32>() else { return };
        // Once it is gone, its number may be another's.
        let command = fs::read_to_string(format!("/proc/{waits}/cmdline")).unwrap_or_default();
        if !command.contains(&self.programs.display().to_string()) {
            return;
        }
        let children = format!("/proc/{waits}/task/{waits}/children");
        let host = fs::read_to_string(children).unwrap_or_default();
        for process in [host.trim(), &waits.to_string()] {
            Command::new("kill").args(["-KILL", process]).output().unwrap();
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.kill();
    }
}
