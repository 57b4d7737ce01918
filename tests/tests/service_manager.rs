//! What systemd sees of a host: the words it is told by `sd_notify(3)`, and the unit in
//! `cluster/systemd`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper functions fail the test")]

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use ferryway_tests::{
    Unavailable, cluster_tools,
    host::{Install, Node},
    wait::LIMIT,
};
use tempfile::TempDir;

/// The highest exposure that the unit may have, in tenths: 0 is best, 100 worst.
const EXPOSURE: &str = "20";

/// What the manager allows between two signs of life.
const PATIENCE: Duration = Duration::from_millis(400);

#[test]
fn a_host_tells_when_it_is_ready_reloads_and_stops() {
    let Some(mut told) = Told::new("") else { return };
    told.node.launch().unwrap();
    assert_eq!(told.next_other(), "READY=1\nSTATUS=instance night, node alpha, epoch 1\n");
    assert!(told.node.ftprel(&["health"]).unwrap().status.success(), "it was not ready");

    // A reload is over when it is over, also one that is refused.
    for configuration in [CONFIGURATION, "[instance]\nhots = 1\n"] {
        told.install.write("ferryway.toml", configuration).unwrap();
        told.node.hang_up().unwrap();
        let reloading = told.next_other();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.trim_end().parse::<u64>().is_ok(), "{reloading}");
        assert_eq!(told.next_other(), "READY=1\n");
    }
    assert!(told.node.stop(LIMIT).unwrap().success());
    assert_eq!(told.next_other(), "STOPPING=1\n");
}

#[test]
fn the_watchdog_is_fed_until_the_look_at_the_journal_hangs() {
    let Some(mut told) = Told::new("[limits]\njournal_unreachable_s = 2\n") else { return };
    told.node.launch().unwrap();
    assert!(told.next_other().starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(told.next(), "WATCHDOG=1\n");
    }
    // Whoever opens a FIFO to read waits for a writer, as a dead disk would let him wait.
    let current = told.install.path().join("journal/CURRENT");
    let fifo = current.with_extension("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::rename(&fifo, &current).unwrap();
    let hangs = Instant::now();
    let ended = told.node.wait(LIMIT).unwrap();
    assert_eq!(ended.code(), Some(4), "{}", told.node.output());
    assert!(hangs.elapsed() > 3 * PATIENCE, "too short to see a watchdog go hungry");
    // One may have been on its way.
    let fed = std::iter::from_fn(|| told.already()).filter(|word| word == "WATCHDOG=1\n").count();
    assert!(fed <= 1, "fed {fed} times by a host that hangs");
}

#[test]
fn the_unit_takes_from_the_host_what_it_does_not_need() {
    if let Err(missing) = cluster_tools::ready() {
        return missing.skip();
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("cluster/systemd/ferryway@.service");
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE]).arg(unit);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let overall = said.lines().rfind(|line| line.contains("Overall exposure"));
    assert!(overall.is_some(), "nothing was looked at: {said}");
}

const CONFIGURATION: &str = "[instance]\nname = \"night\"\nhost_name = \"alpha\"\n";

/// A host, and the socket where a manager would listen to it.
struct Told {
    node: Node,
    install: Install,
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Told {
    /// With `also` at the end of the configuration; `None` when the test cannot run here.
    fn new(also: &str) -> Option<Self> {
        let install = Install::new(&format!("{CONFIGURATION}{also}"));
        let node = install.and_then(|install| Ok((Node::new(&install, "alpha")?, install)));
        let (mut node, install) = node.inspect_err(Unavailable::skip).ok()?;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        node.set_variable("NOTIFY_SOCKET", path.to_str().unwrap());
        node.set_variable("WATCHDOG_USEC", &PATIENCE.as_micros().to_string());
        Some(Self { node, install, socket, _folder: folder })
    }

    /// What it tells next.
    #[track_caller]
    fn next(&self) -> String {
        self.socket.set_read_timeout(Some(LIMIT)).unwrap();
        self.receive().unwrap_or_else(|| panic!("told nothing\n{}", self.node.output()))
    }

    /// What it tells next, signs of life apart.
    #[track_caller]
    fn next_other(&self) -> String {
        loop {
            let word = self.next();
            if word != "WATCHDOG=1\n" {
                return word;
            }
        }
    }

    /// What it has told already and nobody has read.
    fn already(&self) -> Option<String> {
        self.socket.set_nonblocking(true).unwrap();
        self.receive()
    }

    fn receive(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}
