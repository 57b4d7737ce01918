//! The suite of all transports, against the folders of a real host.

use ferryway_mocks::conformance::{Subject, run_all};

use crate::house::{House, Plugged};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_linked() {
    check(Plugged::Linked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_loaded() {
    check(Plugged::Loaded).await;
}
