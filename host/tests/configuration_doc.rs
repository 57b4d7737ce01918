//! The reference documents are what the code says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{env, fs, path::Path};

#[test]
fn the_configuration_reference_is_current() {
    check("configuration.md", &ferryway_host::config::reference());
}

#[test]
fn the_message_reference_is_current() {
    check("messages.md", &ferryway_host::log::reference());
}

#[track_caller]
fn check(name: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if env::var_os("FERRYWAY_BLESS").is_some() {
        fs::write(&file, expected).expect("the folder docs can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{name} is not what the code says; make it again with \
         `FERRYWAY_BLESS=1 cargo test -p ferryway-host --test configuration_doc`"
    );
}
