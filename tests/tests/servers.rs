//! Every real server can be started, used, stopped, frozen and started again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper functions fail the test"
)]

use std::{fs, io, time::Duration};

use ferryway_tests::{
    content::Content,
    servers::{RealServer, ServerKind},
};

#[test]
fn vsftpd() {
    check(ServerKind::Vsftpd);
}

#[test]
fn vsftpd_without_locks() {
    check(ServerKind::VsftpdNoLock);
}

#[test]
fn vsftpd_with_tls() {
    check(ServerKind::VsftpdTls(false));
}

#[test]
fn vsftpd_with_tls_and_session_reuse() {
    check(ServerKind::VsftpdTls(true));
}

#[test]
fn proftpd() {
    check(ServerKind::Proftpd);
}

#[test]
fn proftpd_with_its_defaults() {
    check(ServerKind::ProftpdDefaults);
}

#[test]
fn proftpd_with_hidden_stores() {
    check(ServerKind::ProftpdHiddenStores);
}

#[test]
fn proftpd_with_tls() {
    check(ServerKind::ProftpdTls);
}

#[test]
fn pure_ftpd() {
    check(ServerKind::PureFtpd);
}

#[test]
fn pure_ftpd_with_atomic_uploads() {
    check(ServerKind::PureFtpdAtomic);
}

#[test]
fn pyftpdlib() {
    check(ServerKind::Pyftpdlib);
}

#[test]
fn pyftpdlib_with_locks() {
    check(ServerKind::PyftpdlibLocking);
}

fn check(kind: ServerKind) {
    let root = tempfile::tempdir().unwrap();
    let Some(mut server) = RealServer::start_or_skip(kind, root.path()) else { return };
    let content = Content::new(1, 300_000);
    if let Err(error) = store_and_read(&server, &content) {
        panic!("{kind}: {error}\n{}", server.logs());
    }

    // A frozen server keeps the connection and answers nothing until it goes on.
    let mut ftp = server.session().unwrap();
    ftp.set_reply_limit(Duration::from_millis(200)).unwrap();
    server.freeze().unwrap();
    assert!(ftp.command("NOOP").is_err(), "{kind} answered while frozen");
    server.thaw().unwrap();
    ftp.set_reply_limit(Duration::from_secs(20)).unwrap();
    assert_eq!(ftp.reply().unwrap().code, 200);

    let addr = server.addr();
    server.stop();
    assert!(server.session().is_err(), "{kind} answers after its end");
    assert!(ftp.command("NOOP").is_err(), "a session of {kind} outlived it");
    server.start_again().unwrap();
    assert_eq!(server.addr(), addr);
    let mut ftp = server.session().unwrap();
    assert_eq!(ftp.retrieve("moved").unwrap(), content.bytes());
}

/// The commands Ferryway lives on, in a folder the client made.
fn store_and_read(server: &RealServer, content: &Content) -> io::Result<()> {
    let mut ftp = server.session()?;
    ftp.command(&format!("MKD {}", server.remote("made")))?.expect(257)?;
    ftp.store("made/file", &content.bytes())?.expect(226)?;
    assert_eq!(content.difference(&server.root().join("made/file"))?, None);
    assert_eq!(ftp.size(&server.remote("made/file"))?, Some(content.size()));
    assert_eq!(ftp.retrieve("made/file")?, content.bytes());
    ftp.command("RNFR made/file")?.expect(350)?;
    ftp.command("RNTO moved")?.expect(250)?;
    assert_eq!(fs::read_dir(server.root().join("made"))?.count(), 0);
    Ok(())
}

#[test]
fn proftpd_offers_checksums_and_its_defaults_refuse_to_overwrite() {
    let root = tempfile::tempdir().unwrap();
    let Some(server) = RealServer::start_or_skip(ServerKind::Proftpd, root.path()) else { return };
    let mut ftp = server.session().unwrap();
    assert_eq!(ftp.store("file", b"123456789").unwrap().code, 226);
    let reply = ftp.command("XCRC file").unwrap();
    assert_eq!((reply.code, reply.text.contains("CBF43926")), (250, true), "{reply}");
    assert_eq!(ftp.store("file", b"shorter").unwrap().code, 226);

    let server = RealServer::start(ServerKind::ProftpdDefaults, root.path()).unwrap();
    let refused = server.session().unwrap().store("file", b"again").unwrap_err();
    assert!(refused.to_string().contains("550"), "{refused}");
}
