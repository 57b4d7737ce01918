//! The mock servers are what they imitate: one set of dialogues, had with the mock and with
//! the real server, gives one transcript.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper functions fail the test"
)]

use std::{path::Path, thread, time::Duration};

use ferryway_mocks::ftp_server::{Behaviour, FtpServer};
use ferryway_tests::{
    disk::SmallDisk,
    probe::{Stage, dialogues},
    raw_ftp::RawFtp,
    servers::{RealServer, ServerKind},
    wait::holds_within,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The size of the disk that a server has for itself.
const DISK_BYTES: u64 = 16 << 20;
/// How long a server may take over the end of its sessions.
const LIMIT: Duration = Duration::from_secs(10);

/// All at once: they spend their time waiting, proftpd for a fifth of a second after every
/// connection.
#[test]
fn every_mock_server_is_what_it_imitates() {
    let failures: Vec<_> = thread::scope(|scope| {
        let checks: Vec<_> = pinned().map(|kind| scope.spawn(move || check(kind))).collect();
        checks.into_iter().filter_map(|check| check.join().expect("a check")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_preset_is_pinned() {
    let mut pinned: Vec<_> = pinned().map(ServerKind::preset).collect();
    let mut presets: Vec<_> = Behaviour::presets().into_iter().map(|(name, _)| name).collect();
    pinned.sort_unstable();
    presets.sort_unstable();
    assert_eq!(pinned, presets);
}

/// Every kind of server but for those that differ by TLS alone.
fn pinned() -> impl Iterator<Item = ServerKind> {
    ServerKind::ALL.into_iter().filter(|kind| !kind.requires_tls())
}

/// A line in which a mock and its original differ for a reason.
struct Exception {
    kinds: &'static [ServerKind],
    dialogue: &'static str,
    real: &'static str,
    mock: &'static str,
    /// The reason.
    why: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        kinds: &[ServerKind::Vsftpd, ServerKind::VsftpdNoLock],
        dialogue: "a wrong password",
        real: "A USER nobody-of-this-name: 530",
        mock: "A USER nobody-of-this-name: 331",
        why: "without rights of root this vsftpd serves anonymous users only, and says so at once",
    },
    Exception {
        kinds: &[ServerKind::Vsftpd, ServerKind::VsftpdNoLock],
        dialogue: "a wrong password",
        real: "A PASS wrong: 503",
        mock: "A PASS wrong: 530",
        why: "it has no user to take the password for",
    },
    Exception {
        kinds: &[ServerKind::Proftpd, ServerKind::ProftpdDefaults, ServerKind::ProftpdHiddenStores],
        dialogue: "what is offered",
        real: "A FEAT: 211 EPRT, EPSV, HASH, MDTM, MLST, REST STREAM, SIZE, UTF8, XCRC",
        mock: "A FEAT: 211 EPRT, EPSV, MDTM, MLST, REST STREAM, SIZE, UTF8",
        why: "the tests load mod_digest; the presets stand for the program without it",
    },
];

/// What is wrong with the imitation of a kind, if anything.
fn check(kind: ServerKind) -> Option<String> {
    let (mock_root, real_root) = (Root::new(), Root::new());
    let real = RealServer::start_or_skip(kind, real_root.path())?;
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
        grant: &|path| real.grant(path),
    };
    let mut differences = Vec::new();
    for (number, dialogue) in dialogues().unwrap().iter().enumerate() {
        if dialogue.needs_a_disk() && real_root.disk().is_none() {
            continue;
        }
        let folder = format!("d{number}");
        let mut mocked = mock_stage.play(dialogue, &folder, None).unwrap();
        assert!(runtime.block_on(mock.wait_for_sessions(0, LIMIT)), "{}", mock.transcript());
        let mut played = real_stage.play(dialogue, &folder, Some(&mocked)).unwrap();
        // The sessions are closed, and the real server may still be at it.
        let files = mock_stage.look(&folder);
        holds_within(LIMIT, || real_stage.look(&folder) == files);
        mocked.extend(files);
        played.extend(real_stage.look(&folder));
        differences.extend(differing(&dialogue.name, &played, &mocked));
    }
    let mut exceptions: Vec<_> = EXCEPTIONS.iter().filter(|e| e.kinds.contains(&kind)).collect();
    differences.retain(|difference| {
        let known = exceptions.iter().position(|exception| difference.is(exception));
        known.map(|known| exceptions.remove(known)).is_none()
    });
    let stale: Vec<_> = exceptions.iter().map(|exception| exception.why).collect();
    let right = differences.is_empty() && stale.is_empty();
    (!right).then(|| {
        format!("{kind}: {differences:#?}; no such difference any more: {stale:?}\n{}", real.logs())
    })
}

/// A line of a dialogue with two answers.
#[derive(Debug)]
struct Difference {
    dialogue: String,
    real: String,
    mock: String,
}

impl Difference {
    fn is(&self, exception: &Exception) -> bool {
        let Exception { dialogue, real, mock, .. } = exception;
        (&*self.dialogue, &*self.real, &*self.mock) == (*dialogue, *real, *mock)
    }
}

fn differing(dialogue: &str, real: &[String], mock: &[String]) -> Vec<Difference> {
    let line = |lines: &[String], number| lines.get(number).cloned().unwrap_or_default();
    (0..real.len().max(mock.len()))
        .map(|number| (line(real, number), line(mock, number)))
        .filter(|(real, mock)| real != mock)
        .map(|(real, mock)| Difference { dialogue: dialogue.to_owned(), real, mock })
        .collect()
}

/// Where a server's files are: a disk of its own where this process may mount one.
enum Root {
    Disk(SmallDisk),
    Folder(TempDir),
}

impl Root {
    fn new() -> Self {
        match SmallDisk::mount_or_skip(DISK_BYTES) {
            Some(disk) => Self::Disk(disk),
            None => Self::Folder(tempfile::tempdir().unwrap()),
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
