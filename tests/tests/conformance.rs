//! The suite of every transport, over transports that are loaded as the host loads them: in
//! memory, a folder, and FTP against mock and real servers.
//!
//! Linked, they pass it where they live: `mocks/tests/memory_transport.rs`,
//! `tests/tests/example_plugin` and `plugins/ftp/tests/conformance.rs`. The plugin `socket`
//! refuses every configuration, so there is nothing to run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper functions fail the test"
)]

use std::{any::Any, env, fs, sync::Arc};

use ferryway_core::transport::{Partner, Transport};

use ferryway_host::loader::{Loader, plugins_report};
use ferryway_mocks::{
    conformance::{Subject, beyond, run_all},
    ftp_server::{Behaviour, FtpServer},
};
use ferryway_tests::servers::{RealServer, ServerKind};

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

#[tokio::test(flavor = "multi_thread")]
async fn mock_servers() {
    for (name, behaviour) in Behaviour::presets() {
        let folder = tempfile::tempdir().unwrap();
        let builder = FtpServer::builder(folder.path()).behaviour(behaviour).user("ferry", "x");
        let server = builder.start().await.unwrap();
        let settings = ftp_settings(name, server.addr().port(), "ferry", "x", "tls = 'off'");
        let subject = subject(loaded("ferryway_ftp", "ftp"), &settings, vec![]);
        let report = run_all(&subject).await;
        assert!(report.is_clean_but(beyond(name)), "{name}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd() {
    real(ServerKind::Vsftpd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd_without_locks() {
    real(ServerKind::VsftpdNoLock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd_with_tls() {
    real(ServerKind::VsftpdTls(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd_with_tls_and_session_reuse() {
    real(ServerKind::VsftpdTls(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd() {
    real(ServerKind::Proftpd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_with_its_defaults() {
    real(ServerKind::ProftpdDefaults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_with_hidden_stores() {
    real(ServerKind::ProftpdHiddenStores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_with_tls() {
    real(ServerKind::ProftpdTls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pure_ftpd() {
    real(ServerKind::PureFtpd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pure_ftpd_with_atomic_uploads() {
    real(ServerKind::PureFtpdAtomic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pyftpdlib() {
    real(ServerKind::Pyftpdlib).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pyftpdlib_with_locks() {
    real(ServerKind::PyftpdlibLocking).await;
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
    let partner = Partner { name, settings, source_address: None };
    Subject { transport, partner, folder: None, keep }
}

fn ftp_settings(preset: &str, port: u16, user: &str, password: &str, tls: &str) -> String {
    // pure-ftpd never ends a download that was broken off: that takes as long as it may.
    let timeout_s = if preset.starts_with("pure_ftpd") { 3 } else { 30 };
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
