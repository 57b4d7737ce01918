//! The memory transport against the suite, and its faults.

// Integration tests may unwrap: a failure is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{sync::Arc, time::Duration};

use ferryway_core::{
    Class, Kind, Operation, RemotePath, TransportError,
    bytes::Meter,
    transport::{Capabilities, Partner, Rename, Resume, Session, Transport, Upload},
};
use ferryway_mocks::{
    conformance::{self, Subject},
    memory_transport::{Effect, MemoryPartner, MemoryTransport},
    streams,
};

ferryway_mocks::conformance_tests!(subject(transport(), Some("in")));

fn transport() -> MemoryTransport {
    let partner = MemoryPartner::new();
    partner.make_folders("in");
    MemoryTransport::new(partner)
}

fn partner() -> Partner {
    Partner {
        name: "memory".parse().unwrap(),
        settings: toml::Table::new(),
        source_address: None,
        ours: conformance::introduction(),
    }
}

fn subject(transport: MemoryTransport, folder: Option<&str>) -> Subject {
    Subject {
        transport: Arc::new(transport),
        partner: partner(),
        folder: folder.map(|folder| folder.parse().unwrap()),
        keep: Vec::new(),
    }
}

fn path(text: &str) -> RemotePath {
    text.parse().unwrap()
}

fn upload(name: &str, bytes: &[u8]) -> Upload {
    let (source, length) = (streams::source(bytes), bytes.len() as u64);
    Upload { path: path(name), offset: 0, length, source, meter: Meter::new() }
}

async fn session(transport: &MemoryTransport) -> Box<dyn Session> {
    transport.connect(partner()).await.unwrap()
}

#[tokio::test]
async fn the_suite_holds_where_a_session_starts() {
    let report = conformance::run_all(&subject(transport(), None)).await;
    assert!(report.is_clean(), "{report}");
    assert!(report.skipped.is_empty(), "{report}");
}

#[tokio::test]
async fn the_suite_skips_what_a_poor_partner_lacks() {
    let poor = Capabilities {
        resume: Resume::Unsupported,
        rename: Rename::Unsupported,
        size: false,
        folders: false,
        lists_hidden: false,
        checksums: Vec::new(),
        epoch_fencing: false,
        notices: false,
        rooms: 0,
    };
    let subject = subject(transport().with_capabilities(poor), Some("in"));
    let report = conformance::run_all(&subject).await;
    assert!(report.is_clean(), "{report}");
    assert!(report.skipped.len() > 10 && report.passed.len() > 20, "{report}");
}

#[tokio::test]
async fn the_nth_operation_fails_as_planned_and_the_others_work() {
    let transport = transport();
    let error = || TransportError::new(Class::Locked, Kind::Locked, Operation::Store, "busy");
    let fault = transport.faults().on_nth(Operation::Store, 2, Effect::Fail(error()));
    let mut session = session(&transport).await;
    session.store(upload("a", b"1")).await.unwrap();
    assert!(!fault.fired());
    let failed = session.store(upload("b", b"2")).await.unwrap_err();
    assert_eq!((failed.kind(), failed.path()), (Kind::Locked, Some("b")));
    assert!(fault.fired());
    session.store(upload("c", b"3")).await.unwrap();
    assert_eq!(transport.partner().files(), ["a", "c"]);
}

#[tokio::test]
async fn a_lost_answer_has_its_effect_and_closes_the_session() {
    let transport = transport();
    transport.partner().put("from", "x");
    transport.faults().on_path(Operation::Rename, "from", Effect::LoseAnswer);
    let mut session = session(&transport).await;
    let error = session.rename(path("from"), path("to")).await.unwrap_err();
    assert!(error.outcome_unknown());
    assert_eq!(transport.partner().files(), ["to"]);
    assert_eq!(session.ping().await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(transport.faults().unfired(), 0);
}

#[tokio::test]
async fn a_cut_store_leaves_a_prefix() {
    let transport = transport();
    transport.faults().on_nth(Operation::Store, 1, Effect::CutAfter(700_000));
    let bytes = streams::content(1_000_000, 1);
    let error = session(&transport).await.store(upload("a", &bytes)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Connection);
    assert_eq!(transport.partner().bytes("a").unwrap(), &bytes[..700_000]);
}

#[tokio::test]
async fn a_stalled_rename_happens_when_it_is_released() {
    let transport = transport();
    transport.partner().put("old", "x");
    let fault = transport.faults().on_nth(Operation::Rename, 1, Effect::StallBefore);
    let mut zombie = session(&transport).await;
    let late = tokio::spawn(async move { zombie.rename(path("old"), path("new")).await });
    assert!(fault.wait(Duration::from_secs(10)).await);
    assert_eq!(transport.partner().files(), ["old"]);
    fault.release();
    late.await.unwrap().unwrap();
    assert_eq!(transport.partner().files(), ["new"]);
}
