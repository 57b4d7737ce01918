//! The contract that every transport keeps, against servers that differ where it matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use ferryway_core::transport::Partner;
use ferryway_ftp::Ftp;
use ferryway_mocks::{
    conformance::{Subject, beyond, introduction, run_all},
    ftp_server::{Behaviour, FtpServer, FtpServerBuilder, TlsConfig, Transcript},
};

async fn subject(
    settings: &str,
    change: impl FnOnce(FtpServerBuilder) -> FtpServerBuilder,
) -> (Subject, Transcript) {
    let folder = tempfile::tempdir().unwrap();
    let builder = change(FtpServer::builder(folder.path()).user("ferry", "secret"));
    let server = builder.start().await.unwrap();
    let (port, transcript) = (server.addr().port(), server.transcript().clone());
    let settings = format!(
        "host = '127.0.0.1'\nport = {port}\nuser = 'ferry'\npassword = 'secret'\n{settings}"
    );
    let partner = Partner {
        name: "MOCK".parse().unwrap(),
        settings: settings.parse().unwrap(),
        source_address: None,
        ours: introduction(),
    };
    let keep: Vec<Box<dyn std::any::Any + Send + Sync>> = vec![Box::new(server), Box::new(folder)];
    let subject = Subject { transport: Arc::new(Ftp::default()), partner, folder: None, keep };
    (subject, transcript)
}

async fn check(
    settings: &str,
    name: &str,
    change: impl FnOnce(FtpServerBuilder) -> FtpServerBuilder,
) {
    let (subject, transcript) = subject(settings, change).await;
    let report = run_all(&subject).await;
    assert!(report.is_clean_but(beyond(name)), "{name}, {settings}\n{report}\n{transcript}");
    eprintln!("{name}, {settings}: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_server_in_passive_mode() {
    check("tls = 'off'", "default", |builder| builder).await;
    for (name, behaviour) in Behaviour::presets() {
        // pure-ftpd never ends a download that was broken off: that takes as long as it may.
        let timeout_s = if behaviour.download_broken == 150 { 2 } else { 30 };
        let settings = format!("tls = 'off'\ntimeout_s = {timeout_s}");
        check(&settings, name, |builder| builder.behaviour(behaviour)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn active_mode() {
    check("tls = 'off'\nmode = 'active'", "default", |builder| builder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_little_more_than_rfc_959() {
    let behaviour = Behaviour::default()
        .without(&["FEAT", "EPSV", "MLSD", "MLST", "MDTM", "REST", "HASH", "RANG", "XCRC"]);
    check("tls = 'off'", "old", |builder| builder.behaviour(behaviour)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secured_with_every_version() {
    for max in ["1.2", "1.3"] {
        let tls = TlsConfig::self_signed().unwrap().require_tls().require_session_reuse();
        let settings = format!("tls = 'explicit'\ntls_verify = false\ntls_max = '{max}'");
        check(&settings, "default", |builder| builder.tls(tls)).await;
    }
}
