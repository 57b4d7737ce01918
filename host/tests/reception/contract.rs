//! The suite of all transports, against the folders of a real host.

use ferryway_core::{Algorithm, Digest};
use ferryway_mocks::{
    conformance::{Subject, run_all},
    streams::content,
};

use crate::house::{House, Plugged, upload};

async fn check(plugged: Plugged) {
    let house = House::new(plugged);
    std::fs::create_dir(house.received().join("in")).unwrap();
    let open = house.open().await;
    for folder in [None, Some("in".parse().unwrap())] {
        let subject = Subject {
            transport: open.transport(),
            partner: open.partner("both.example", 1),
            folder,
            keep: Vec::new(),
        };
        let report = run_all(&subject).await;
        eprintln!("{plugged:?}: {report}");
        assert!(report.is_clean() && report.skipped.is_empty(), "{plugged:?}\n{report}");
    }
    assert!(!house.log().contains(" 0503W "), "{}", house.log());
    open.door.close().await;
}

/// What need not be asked for: how many rooms there are for each of three visitors and one more,
/// and the hash of what was stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_is_told_of_its_rooms_and_of_the_hash_of_what_it_stores() {
    let house = House::with_sessions(Plugged::Linked, 40);
    let open = house.open().await;
    let mut session = open.session("both.example", 1).await;
    assert_eq!(session.capabilities().rooms, 10);
    let bytes = content(300_000, 1);
    let hash =
        |bytes: &[u8]| Some(Digest::from_bytes(Algorithm::Blake3, blake3::hash(bytes).as_bytes()));
    for (offset, told) in [(0, hash(&bytes[..200_000])), (200_000, hash(&bytes)), (7, None)] {
        let end = if offset == 0 { 200_000 } else { bytes.len() };
        let stored = session.store(upload("file", offset as u64, &bytes[offset..end])).await;
        assert_eq!(stored.unwrap().digest, told, "from {offset}");
    }
    open.door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_linked() {
    check(Plugged::Linked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_loaded() {
    check(Plugged::Loaded).await;
}
