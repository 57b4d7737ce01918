//! The mock servers are what they imitate: one set of dialogues, had with the mock and with
//! the real server, gives one transcript.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper functions fail the test"
)]

use std::{io, path::Path, time::Duration};

use ferryway_mocks::ftp_server::FtpServer;
use ferryway_tests::{
    disk::SmallDisk,
    probe::{Dialogue, Stage, dialogues},
    raw_ftp::RawFtp,
    servers::{RealServer, ServerKind},
    wait::holds_within,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The size of the disk that a server has for itself.
const DISK_BYTES: u64 = 16 << 20;
/// How long a server may take over the end of its sessions.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn vsftpd() {
    check(ServerKind::Vsftpd);
}

#[test]
fn vsftpd_without_locks() {
    check(ServerKind::VsftpdNoLock);
}

#[test]
fn proftpd() {
    check(ServerKind::Proftpd);
}

#[test]
fn proftpd_with_its_defaults() {
    check(ServerKind::ProftpdDefaults);
}

#[test]
fn proftpd_with_hidden_stores() {
    check(ServerKind::ProftpdHiddenStores);
}

#[test]
fn pure_ftpd() {
    check(ServerKind::PureFtpd);
}

#[test]
fn pure_ftpd_with_atomic_uploads() {
    check(ServerKind::PureFtpdAtomic);
}

#[test]
fn pyftpdlib() {
    check(ServerKind::Pyftpdlib);
}

#[test]
fn pyftpdlib_with_locks() {
    check(ServerKind::PyftpdlibLocking);
}

fn check(kind: ServerKind) {
    let (mock_root, real_root) = (Root::new(), Root::new());
    let Some(real) = RealServer::start_or_skip(kind, real_root.path()) else { return };
    let runtime = Runtime::new().unwrap();
    let builder = FtpServer::builder(mock_root.path())
        .behaviour(kind.imitation().expect("a mock imitates it"))
        .user(real.user(), real.password());
    let mock = runtime.block_on(builder.start()).unwrap();
    let user = (real.user(), real.password());
    let mock_stage = Stage {
        root: mock_root.path(),
        disk: mock_root.disk(),
        connect: &|| RawFtp::connect(mock.addr()),
        user,
        grant: &|_| Ok(()),
    };
    let real_stage = Stage {
        root: real_root.path(),
        disk: real_root.disk(),
        connect: &|| RawFtp::connect(real.addr()),
        user,
        grant: &|path: &Path| -> io::Result<()> { real.grant(path) },
    };
    let mut differences = Vec::new();
    for (number, dialogue) in dialogues().unwrap().iter().enumerate() {
        let name = format!("d{number}");
        let t = std::time::Instant::now();
        let mut mocked = mock_stage.play(dialogue, &name, None).unwrap();
        assert!(runtime.block_on(mock.wait_for_sessions(0, LIMIT)), "{}", mock.transcript());
        let mut played = real_stage.play(dialogue, &name, Some(&mocked)).unwrap();
        let on_disk = mock_stage.look(&name);
        holds_within(LIMIT, || real_stage.look(&name) == on_disk);
        mocked.extend(on_disk);
        played.extend(real_stage.look(&name));
        eprintln!("{:?} {}", t.elapsed(), dialogue.name);
        differences.extend(compare(dialogue, &played, &mocked));
    }
    assert!(differences.is_empty(), "{kind}\n{}", differences.join("\n"));
}

fn compare(dialogue: &Dialogue, real: &[String], mock: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for i in 0..real.len().max(mock.len()) {
        let (r, m) = (real.get(i), mock.get(i));
        if r != m {
            out.push(format!("[{}]\n  real {}\n  mock {}", dialogue.name, r.map_or("", |r| r), m.map_or("", |r| r)));
        }
    }
    out
}

/// Where a server's files are: a disk of its own where this process may mount one.
enum Root {
    Disk(SmallDisk),
    Folder(TempDir),
}

impl Root {
    fn new() -> Self {
        match SmallDisk::mount(DISK_BYTES) {
            Ok(disk) => Self::Disk(disk),
            Err(_) => Self::Folder(tempfile::tempdir().unwrap()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Disk(disk) => disk.path(),
            Self::Folder(folder) => folder.path(),
        }
    }

    fn disk(&self) -> Option<&SmallDisk> {
        match self {
            Self::Disk(disk) => Some(disk),
            Self::Folder(_) => None,
        }
    }
}
