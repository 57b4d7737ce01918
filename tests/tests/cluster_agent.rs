//! The resource agent in `cluster/ocf`, as a cluster calls it and without a cluster: on a real
//! install directory and a real host, which is killed, frozen and started by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper functions fail the test")]

use std::{
    fs::{self, File},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ferryway_tests::{
    Unavailable, cluster_tools,
    host::{Install, Node, Programs},
    process::through,
    wait::{LIMIT, wait_until},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const CONFIGURATION: &str = "[instance]\nname = \"night\"\nhost_name = \"alpha\"\n";

/// Exit codes of resource agents.
const SUCCESS: i32 = 0;
const GENERIC: i32 = 1;
const UNIMPLEMENTED: i32 = 3;
const INSTALLED: i32 = 5;
const CONFIGURED: i32 = 6;
const NOT_RUNNING: i32 = 7;

#[test]
fn the_scripts_and_the_metadata_pass_the_checkers() {
    let Some(resource) = Resource::new() else { return };
    let scripts = [
        "ocf/ferryway",
        "generic/start",
        "generic/stop",
        "generic/status",
        "generic/on-host",
        "keepalived/notify",
        "keepalived/works",
    ];
    for script in scripts.map(cluster_file) {
        for checker in [&["sh", "-n"][..], &["shellcheck"], &["checkbashisms"]] {
            check(&mut limited(Command::new(checker[0]).args(&checker[1..]).arg(&script)));
        }
    }
    let metadata = resource.call("meta-data");
    let file = resource.folder.path().join("metadata.xml");
    fs::write(&file, metadata.output).unwrap();
    for schema in [&["--valid"][..], &["--relaxng", "metadata.rng"]] {
        // The document type is named without a folder, so it is looked for in the current one.
        let mut command = Command::new("xmllint");
        command.arg("--noout").args(schema).arg("-").current_dir("/usr/share/resource-agents");
        check(limited(&command).stdin(File::open(&file).unwrap()));
    }
}

#[test]
fn ocf_tester_finds_no_fault() {
    let Some(resource) = Resource::new() else { return };
    let mut command = Command::new("ocf-tester");
    command.args(["-n", "night"]);
    for (name, value) in resource.parameters() {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    check(&mut limited(resource.environment(&mut command).arg(agent())));
}

#[test]
fn a_host_that_is_stopped_where_it_is_is_found_by_depth_10_and_killed_at_once() {
    let Some(mut resource) = Resource::new() else { return };
    // Whoever waited for any of it would take too long.
    resource.timeout = LIMIT;
    resource.expect("start", SUCCESS);
    for depth in ["0", "10", "20"] {
        resource.expect_monitor(depth, SUCCESS);
    }
    resource.signal(Signal::STOP);
    resource.expect_monitor("0", SUCCESS);
    for depth in ["10", "20"] {
        let seen = resource.expect_monitor(depth, GENERIC);
        assert!(seen.reason().contains("is stopped (SIGSTOP)"), "{seen:?}");
    }
    let refused = resource.expect("start", GENERIC);
    assert!(refused.reason().contains("runs already"), "{refused:?}");

    let began = Instant::now();
    let stopped = resource.expect("stop", SUCCESS);
    let took = began.elapsed();
    assert!(stopped.output.contains("SIGKILL"), "{stopped:?}");
    assert!(took < resource.timeout / 2, "a stop within {:?} took {took:?}", resource.timeout);
    resource.expect_monitor("0", NOT_RUNNING);
}

/// Nobody answers at its control socket, and the host is well.
#[test]
fn a_host_that_does_not_answer_is_found_by_depth_10_and_may_end_by_itself() {
    let Some(mut resource) = Resource::new() else { return };
    resource.expect("start", SUCCESS);
    let socket = resource.folder.path().join("run/control.sock");
    fs::rename(&socket, socket.with_extension("away")).unwrap();
    let silent = UnixListener::bind(&socket).unwrap();
    let seen = resource.expect_monitor("10", GENERIC);
    assert!(seen.reason().contains("did not answer within 2 s"), "{seen:?}");
    resource.timeout = LIMIT;
    let stopped = resource.expect("stop", SUCCESS);
    assert!(stopped.output.contains("did not answer"), "{stopped:?}");
    assert!(!stopped.output.contains("SIGKILL"), "{stopped:?}");
    resource.expect_monitor("0", NOT_RUNNING);
    drop(silent);
}

#[test]
fn a_host_that_is_killed_is_found_by_every_depth_and_started_again() {
    let Some(resource) = Resource::new() else { return };
    resource.expect("start", SUCCESS);
    resource.signal(Signal::KILL);
    wait_until(LIMIT, "the host is gone", || !resource.host_lives());
    for depth in ["0", "10", "20"] {
        let seen = resource.expect_monitor(depth, NOT_RUNNING);
        assert!(seen.reason().contains("has died"), "{seen:?}");
    }
    resource.expect("start", SUCCESS);
    resource.expect("start", SUCCESS);
    resource.expect_monitor("20", SUCCESS);
    let stopped = resource.expect("stop", SUCCESS);
    assert!(!stopped.output.contains("SIGKILL"), "{stopped:?}");
    resource.expect("stop", SUCCESS);
    resource.expect_monitor("10", NOT_RUNNING);
}

#[test]
fn a_host_that_ends_at_its_start_fails_it_at_once_and_says_why() {
    let Some(mut resource) = Resource::new() else { return };
    resource.timeout = LIMIT;
    resource.install.write("ferryway.toml", "[instance]\nname = \"night\"\nhots = 1\n").unwrap();
    let began = Instant::now();
    let failed = resource.expect("start", INSTALLED);
    assert!(failed.reason().contains("exit code 1: ferryway: the configuration"), "{failed:?}");
    assert!(began.elapsed() < LIMIT / 2, "waited for the time-out");

    // Somebody else's journal: nothing that the other node could not have.
    resource.install.write("ferryway.toml", CONFIGURATION).unwrap();
    fs::create_dir_all(resource.install.path().join("journal/CURRENT")).unwrap();
    let failed = resource.expect("start", GENERIC);
    assert!(failed.reason().contains("exit code 4: ferryway: "), "{failed:?}");
    resource.expect_monitor("0", NOT_RUNNING);
}

#[test]
fn without_the_shared_disk_a_probe_says_stopped_and_a_stop_stops() {
    let Some(resource) = Resource::new() else { return };
    let shown = resource.install.path().to_owned();
    let elsewhere = resource.folder.path().join("unmounted");
    resource.expect("start", SUCCESS);
    fs::rename(&shown, &elsewhere).unwrap();
    let seen = resource.expect("monitor", SUCCESS);
    assert_eq!(seen.reason(), "");
    resource.expect("stop", SUCCESS);
    assert!(!resource.host_lives());

    let probe = resource.call_with("monitor", &[("OCF_RESKEY_CRM_meta_interval", "0")]);
    assert_eq!((probe.code, probe.reason().as_str()), (NOT_RUNNING, ""));
    resource.expect("stop", SUCCESS);
    for action in ["start", "validate-all"] {
        let refused = resource.expect(action, INSTALLED);
        assert!(refused.reason().contains("is the shared disk mounted?"), "{refused:?}");
    }
    fs::rename(&elsewhere, &shown).unwrap();
    resource.expect("validate-all", SUCCESS);
}

#[test]
fn depth_20_finds_a_journal_that_is_gone() {
    let Some(resource) = Resource::new() else { return };
    resource.expect("start", SUCCESS);
    let journal = resource.install.path().join("journal");
    fs::rename(&journal, journal.with_extension("gone")).unwrap();
    let seen = resource.monitor("20");
    assert!([GENERIC, NOT_RUNNING].contains(&seen.code), "{seen:?}");
    assert!(seen.reason().contains("journal"), "{seen:?}");
    wait_until(LIMIT, "the host ends itself", || !resource.host_lives());
    resource.expect_monitor("0", NOT_RUNNING);
    resource.expect("stop", SUCCESS);
}

#[test]
fn wrong_parameters_are_told_from_what_is_missing_and_keep_no_host_from_being_stopped() {
    let Some(resource) = Resource::new() else { return };
    let cases = [
        ("dir", "", CONFIGURED, "dir is not set"),
        ("dir", "shared/night", CONFIGURED, "no absolute path"),
        ("binary", "ferryway", CONFIGURED, "no absolute path"),
        ("run_dir", "{dir}/run", CONFIGURED, "must not be on the shared disk"),
        ("user", "nobody-of-this-name", INSTALLED, "there is no user"),
        ("binary", "/nowhere/ferryway", INSTALLED, "is no program"),
        ("dir", "/nowhere", INSTALLED, "has no ferryway.toml"),
    ];
    let dir = resource.install.path().display().to_string();
    for (name, value, code, reason) in cases {
        let wrong = (format!("OCF_RESKEY_{name}"), value.replace("{dir}", &dir));
        for action in ["validate-all", "start"] {
            let refused = resource.call_with(action, &[(&wrong.0, &wrong.1)]);
            assert_eq!(refused.code, code, "{action} with {wrong:?}: {refused:?}");
            assert!(refused.reason().contains(reason), "{action} with {wrong:?}: {refused:?}");
        }
    }
    resource.expect("start", SUCCESS);
    let broken = [("OCF_RESKEY_dir", ""), ("OCF_RESKEY_binary", "/nowhere/ferryway")];
    let stopped = resource.call_with("stop", &broken);
    assert_eq!(stopped.code, SUCCESS, "{stopped:?}");
    assert!(!resource.host_lives(), "a stop that did nothing was called a success");
    assert_eq!(resource.call("promote").code, UNIMPLEMENTED);
}

#[test]
fn a_host_that_was_started_by_hand_is_found_and_stopped() {
    let Some(resource) = Resource::new() else { return };
    let mut node = Node::new(&resource.install, "alpha").unwrap();
    node.start().unwrap();
    let run_dir = node.run_dir().display().to_string();
    let there = [("OCF_RESKEY_run_dir", &*run_dir), ("OCF_RESKEY_CRM_meta_interval", "0")];
    assert_eq!(resource.call_with("monitor", &there).code, SUCCESS);
    assert_eq!(resource.call_with("start", &there).code, SUCCESS);
    assert_eq!(resource.call_with("stop", &there).code, SUCCESS);
    assert!(node.wait(LIMIT).unwrap().success());
    assert_eq!(resource.call_with("monitor", &there).code, NOT_RUNNING);
}

/// A resource of the agent: parameters, and folders for what a machine has of its own. What it
/// started is killed with it.
struct Resource {
    install: Install,
    folder: TempDir,
    binary: PathBuf,
    /// What the cluster gives each action.
    timeout: Duration,
}

/// How a call of the agent ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    output: String,
}

impl Resource {
    /// One whose install directory is ready; `None` when the test cannot run here.
    fn new() -> Option<Self> {
        let resource = cluster_tools::ready().and_then(|()| {
            let folder = tempfile::Builder::new().prefix("ferryway-agent-").tempdir();
            Ok(Self {
                install: Install::new(CONFIGURATION)?,
                folder: folder.map_err(|error| Unavailable::new("a folder", error))?,
                binary: Programs::of_this_build()?.path("ferryway"),
                timeout: Duration::from_secs(3),
            })
        });
        resource.inspect_err(Unavailable::skip).ok()
    }

    fn parameters(&self) -> [(&'static str, String); 5] {
        let below = |name| self.folder.path().join(name).display().to_string();
        [
            ("dir", self.install.path().display().to_string()),
            ("binary", self.binary.display().to_string()),
            ("user", user()),
            ("run_dir", below("run")),
            ("console", below("console")),
        ]
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("OCF_ROOT", "/usr/lib/ocf")
            .env("OCF_RESOURCE_INSTANCE", "night")
            .env("HA_RSCTMP", self.folder.path().join("rsctmp"))
            .env("OCF_RESKEY_CRM_meta_timeout", self.timeout.as_millis().to_string())
            .env("OCF_RESKEY_CRM_meta_interval", "10000")
    }

    fn call(&self, action: &str) -> Ended {
        self.call_with(action, &[])
    }

    fn call_with(&self, action: &str, also: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(agent());
        self.environment(command.arg(action));
        for (name, value) in self.parameters() {
            command.env(format!("OCF_RESKEY_{name}"), value);
        }
        let output = limited(command.envs(also.iter().copied())).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let output_text = String::from_utf8_lossy(&said).into_owned();
        Ended { code: output.status.code().unwrap(), output: output_text }
    }

    #[track_caller]
    fn expect(&self, action: &str, code: i32) -> Ended {
        let ended = self.call(action);
        assert_eq!(ended.code, code, "{action}: {ended:?}");
        ended
    }

    fn monitor(&self, depth: &str) -> Ended {
        self.call_with("monitor", &[("OCF_CHECK_LEVEL", depth)])
    }

    #[track_caller]
    fn expect_monitor(&self, depth: &str, code: i32) -> Ended {
        let ended = self.monitor(depth);
        assert_eq!(ended.code, code, "monitor at depth {depth}: {ended:?}");
        ended
    }

    fn host(&self) -> Option<Pid> {
        let file = self.folder.path().join("rsctmp/ferryway-night.pid");
        let text = fs::read_to_string(file).ok()?;
        Pid::from_raw(text.split(' ').next()?.parse().ok()?)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.host().unwrap(), signal).unwrap();
    }

    fn host_lives(&self) -> bool {
        let stat = self.host().map(|host| format!("/proc/{}/stat", host.as_raw_nonzero()));
        let stat = stat.and_then(|stat| fs::read_to_string(stat).ok());
        stat.is_some_and(|stat| !stat.contains(") Z "))
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        if self.host_lives() {
            self.signal(Signal::KILL);
        }
    }
}

impl Ended {
    /// What the cluster shows as the reason.
    fn reason(&self) -> String {
        let lines = self.output.lines();
        lines.filter_map(|line| line.strip_prefix("ocf-exit-reason:")).collect()
    }
}

fn agent() -> PathBuf {
    cluster_file("ocf/ferryway")
}

fn cluster_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("cluster").join(name)
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The same command, which is killed with all that it started when it takes far too long.
fn limited(command: &Command) -> Command {
    let mut limit = Command::new("timeout");
    limit.args(["--signal=KILL", &(2 * LIMIT).as_secs().to_string()]);
    through(limit, command)
}

/// Runs a checker that has to be content.
#[track_caller]
fn check(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}
