//! What a probe shows of each server, as it was measured by hand.

use std::fs;

use ferryway_core::Algorithm;
use ferryway_host::{
    config::LateClose,
    control::api::PartnerProbed,
    partner::habits::{Folders, Locking, OpenFile, Restart},
};
use ferryway_tests::{
    peers::{Peers, Security, Setup},
    scene::{Kind, MIB, Plan},
    servers::ServerKind,
};

/// Locks, an open file renamed, folders, a rename onto a file, a restart at an offset.
type Habits = (Locking, OpenFile, Folders, Option<bool>, Restart);

fn expected(kind: Kind) -> Habits {
    use Folders::Always;
    use Locking::{Refuses, Takes, Unseen, Waits};
    use OpenFile::Follows;
    use Restart::{Keeps, Truncates};
    match kind {
        Kind::Mock => (Takes, Follows, Always, Some(true), Keeps),
        Kind::Real(kind) => match kind {
            ServerKind::Vsftpd | ServerKind::VsftpdTls(_) => {
                (Waits, Follows, Always, Some(true), Keeps)
            }
            ServerKind::VsftpdNoLock | ServerKind::Proftpd | ServerKind::ProftpdTls => {
                (Takes, Follows, Always, Some(true), Keeps)
            }
            ServerKind::ProftpdDefaults => (Unseen, Follows, Always, Some(false), Restart::Refuses),
            ServerKind::ProftpdHiddenStores => {
                (Refuses, OpenFile::Unseen, Always, Some(true), Restart::Refuses)
            }
            ServerKind::PureFtpd => (Takes, Follows, Always, Some(true), Truncates),
            ServerKind::PureFtpdAtomic => (Takes, OpenFile::Unseen, Always, Some(true), Truncates),
            ServerKind::Pyftpdlib => (Takes, Follows, Always, Some(true), Keeps),
            ServerKind::PyftpdlibLocking => (Refuses, Follows, Always, Some(true), Keeps),
        },
    }
}

pub(crate) fn habits(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    let probed = world.alpha.ftprel_json(&["probe", "BANK", "drop", "--silent", "1"]).unwrap();
    let PartnerProbed { findings, .. } = serde_json::from_value(probed).unwrap();
    let seen = (
        findings.locking,
        findings.open_file,
        findings.folders,
        findings.replaces,
        findings.restart,
    );
    assert_eq!(seen, expected(kind), "{kind}: {findings:?}");
    assert!(findings.idle.is_some_and(|idle| idle.alive), "{findings:?}");
    assert_eq!(findings.left, []);
    assert_eq!(fs::read_dir(world.target(".")).unwrap().count(), 0, "something stays");
}

/// The probe ends as an operator can read it, on a partner that takes nothing.
#[test]
fn a_folder_that_takes_nothing_is_said() {
    let Some(world) = Plan::of(Kind::Mock).start() else { return };
    let output = world.alpha.ftprel(&["probe", "BANK", "missing"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("partner BANK cannot be probed: store `missing/ferryway-probe-"),
        "{said}"
    );
    let unknown = world.alpha.ftprel(&["probe", "NOBODY"]).unwrap();
    assert_eq!(unknown.status.code(), Some(4));
}

#[test]
fn habits_of_pyftpdlib_that_locks() {
    habits(Kind::Real(ServerKind::PyftpdlibLocking));
}

/// A host of ours at the other end.
#[test]
fn habits_of_a_host() {
    let peers = Peers::start(Setup { rate: 64 * MIB, retry_s: 1, security: Security::Secret });
    let probed = peers.night.active().ftprel_json(&["probe", "DAY"]).unwrap();
    let PartnerProbed { findings, advice } = serde_json::from_value(probed).unwrap();
    assert!(findings.fences, "{findings:?}");
    assert_eq!(findings.checksums, [Algorithm::Blake3]);
    assert_eq!((advice.late_close, advice.rows), (LateClose::Keeps, Vec::new()));
    assert_eq!(findings.left, []);
    assert_eq!(fs::read_dir(peers.day.incoming()).unwrap().count(), 0, "something stays");
}
