//! The suite of every transport, over transports that are loaded as the host loads them: in
//! memory, a folder, and FTP against mock and real servers.
//!
//! Linked, they pass it where they live: `mocks/tests/memory_transport.rs`,
//! `tests/tests/example_plugin` and `plugins/ftp/tests/conformance.rs`. The plugin `socket`
//! needs a host at its other end: `host/tests/reception/contract.rs` runs the suite over it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper functions fail the test"
)]

use std::{any::Any, env, fs, net::Ipv4Addr, sync::Arc, time::Duration};

use ferryway_core::transport::{Partner, Transport};
use ferryway_host::loader::{Loader, plugins_report};
use ferryway_mocks::{
    conformance::{Subject, beyond, introduction, run_all},
    ftp_server::{Behaviour, FtpServer},
};
use ferryway_tests::{
    relay::{Hold, Relay},
    servers::{RealServer, ServerKind},
    wait::holds_within,
};
use tokio::task::{JoinSet, block_in_place};

#[tokio::test(flavor = "multi_thread")]
async fn in_memory() {
    let report = run_all(&subject(loaded("memory_transport", "memory"), "", vec![])).await;
    assert!(report.is_clean() && report.skipped.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder() {
    let place = tempfile::tempdir().unwrap();
    let settings = format!("path = '{}'", place.path().display());
    let transport = loaded("folder_transport", "folder");
    let report = run_all(&subject(transport, &settings, vec![Box::new(place)])).await;
    assert!(report.is_clean(), "{report}");
}

/// All at once, since a suite mostly waits: real servers for their next connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mock_servers() {
    let presets = Behaviour::presets().into_iter();
    let runs: JoinSet<()> = presets.map(|(name, behaviour)| mock(name, behaviour)).collect();
    runs.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn real_servers() {
    let runs: JoinSet<()> = ServerKind::ALL.into_iter().map(real).collect();
    runs.join_all().await;
}

/// RNTO comes along with RNFR: it is carried out although nobody hears the answer to RNFR.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn real_servers_get_a_rename_in_one_piece() {
    let in_clear = ServerKind::ALL.into_iter().filter(|kind| !kind.requires_tls());
    let runs: JoinSet<()> = in_clear.map(renamed_in_one_piece).collect();
    runs.join_all().await;
}

async fn renamed_in_one_piece(kind: ServerKind) {
    let root = tempfile::tempdir().unwrap();
    let Some(server) = RealServer::start_or_skip(kind, root.path()) else { return };
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    fs::write(&old, "x").unwrap();
    server.grant(&old).unwrap();
    let relay = Relay::start(Ipv4Addr::LOCALHOST, server.addr()).unwrap();
    let (port, user, password) = (relay.addr().port(), server.user(), server.password());
    let settings = ftp_settings(kind.preset(), port, user, password, "tls = 'off'");
    let Subject { transport, partner, .. } =
        subject(loaded("ferryway_ftp", "ftp"), &settings, vec![]);
    let mut session = transport.connect(partner).await.unwrap();
    relay.hold(Hold::Reply("RNFR"));
    let (from, to) = ("old".parse().unwrap(), "new".parse().unwrap());
    let renaming = tokio::spawn(async move { session.rename(from, to).await });
    let renamed = block_in_place(|| holds_within(Duration::from_secs(10), || new.exists()));
    assert!(renamed && !old.exists(), "{kind}: {}", server.logs());
    assert!(!renaming.is_finished(), "{kind}: the answer to RNFR was not held");
    renaming.abort();
}

/// Runs the suite against a mock server.
async fn mock(preset: &'static str, behaviour: Behaviour) {
    let folder = tempfile::tempdir().unwrap();
    let builder = FtpServer::builder(folder.path()).behaviour(behaviour).user("ferry", "x");
    let server = builder.start().await.unwrap();
    let settings = ftp_settings(preset, server.addr().port(), "ferry", "x", "tls = 'off'");
    let subject = subject(loaded("ferryway_ftp", "ftp"), &settings, vec![]);
    let report = run_all(&subject).await;
    assert!(report.is_clean_but(beyond(preset)), "{preset}: {report}");
}

/// Runs the suite against a real server.
async fn real(kind: ServerKind) {
    let root = tempfile::tempdir().unwrap();
    let Some(server) = RealServer::start_or_skip(kind, root.path()) else { return };
    let tls = match server.certificate() {
        None => "tls = 'off'".to_owned(),
        Some(file) => {
            format!("tls = 'explicit'\ntls_max = '1.2'\ntls_ca_file = '{}'", file.display())
        }
    };
    let (port, preset) = (server.addr().port(), kind.preset());
    let settings = ftp_settings(preset, port, server.user(), server.password(), &tls);
    let subject = subject(loaded("ferryway_ftp", "ftp"), &settings, vec![]);
    let report = run_all(&subject).await;
    assert!(report.is_clean_but(beyond(preset)), "{kind}: {report}\n{}", server.logs());
}

/// A subject whose cases write where a session starts.
fn subject(
    transport: Arc<dyn Transport>,
    settings: &str,
    keep: Vec<Box<dyn Any + Send + Sync>>,
) -> Subject {
    let (name, settings) = ("PARTNER".parse().unwrap(), settings.parse().unwrap());
    let partner = Partner { name, settings, source_address: None, ours: introduction() };
    Subject { transport, partner, folder: None, keep }
}

fn ftp_settings(preset: &str, port: u16, user: &str, password: &str, tls: &str) -> String {
    // pure-ftpd never ends a download that was broken off: that takes as long as it may.
    let timeout_s = if preset.starts_with("pure_ftpd") { 5 } else { 30 };
    format!(
        "host = '127.0.0.1'\nport = {port}\nuser = '{user}'\npassword = '{password}'\n{tls}\n\
         timeout_s = {timeout_s}\n"
    )
}

/// The transport of a library that cargo has built beside this test, because the test depends
/// on its crate, as the host's loader gives it.
fn loaded(library: &str, name: &str) -> Arc<dyn Transport> {
    let file = format!("{}{library}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let plugins = tempfile::tempdir().unwrap();
    let built = env::current_exe().unwrap().with_file_name(&file);
    fs::copy(built, plugins.path().join(&file)).unwrap();
    let plugins = Loader::new(plugins.path().to_owned(), None).load();
    plugins.transport(name).unwrap_or_else(|| panic!("{}", plugins_report(&plugins)))
}
