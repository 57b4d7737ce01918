//! The transport that `docs/plugins.md` shows keeps the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use ferryway_core::transport::Partner;
use ferryway_mocks::conformance::{Subject, introduction};

async fn subject() -> Subject {
    let place = tempfile::tempdir().unwrap();
    let settings = toml::Table::from_iter([(
        "path".to_owned(),
        toml::Value::String(place.path().to_str().unwrap().to_owned()),
    )]);
    let partner = Partner {
        name: "FOLDER".parse().unwrap(),
        settings,
        source_address: None,
        ours: introduction(),
    };
    Subject {
        transport: Arc::new(folder_transport::Folder),
        partner,
        folder: None,
        keep: vec![Box::new(place)],
    }
}

ferryway_mocks::conformance_tests!(subject().await);
