//! The contract that every transport keeps, over each kind of security.

use std::sync::Arc;

use ferryway_core::transport::Transport;
use ferryway_mocks::conformance::{Subject, run_all};

use crate::ends::{Ends, Settings};

async fn check(name: &str, settings: Settings) {
    let ends = Ends::new(settings).await;
    let subject = Subject {
        transport: Arc::clone(&ends.socket) as Arc<dyn Transport>,
        partner: ends.partner(),
        folder: Some("in".parse().unwrap()),
        keep: Vec::new(),
    };
    let report = run_all(&subject).await;
    eprintln!("{name}: {report}");
    assert!(report.is_clean(), "{name}\n{report}");
    // The partner in memory computes other hashes than the socket offers: nothing else.
    assert!(report.skipped.len() <= 1, "{name}\n{report}");
    assert!(ends.house.rebuffs().is_empty(), "{:?}", ends.house.rebuffs());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_protection() {
    check("plain", Settings::plain()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_secret() {
    check("secret", Settings::secret()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_certificates() {
    check("tls", Settings::tls()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed() {
    let Settings { door, visitor } = Settings::plain();
    check("compressed", Settings { door, visitor: visitor + "compress = 'zstd'\n" }).await;
}
