//! Logging in, securing, and where connections come from and go to.

use std::net::Ipv4Addr;

use ferryway_core::{
    Class, Kind, TransportError,
    transport::{Partner, Session, Transport},
};
use ferryway_ftp::Ftp;
use ferryway_mocks::ftp_server::{Behaviour, Rule, TlsConfig};
use tokio::task::{consume_budget, yield_now};

use crate::support::{Kept, Lab, bytes, download, path, upload};

/// The error of a connect that must fail.
fn refused(result: Result<Box<dyn Session>, TransportError>) -> TransportError {
    match result {
        Ok(_) => panic!("the session came about"),
        Err(error) => error,
    }
}

async fn works(session: &mut dyn Session) {
    let content = bytes(100_000);
    for name in ["a", "b", "c", "d", "e", "f"] {
        session.store(upload(name, 0, &content)).await.unwrap();
        let kept = Kept::default();
        session.fetch(download(name, 0, kept.clone())).await.unwrap();
        assert_eq!(kept.bytes(), content);
    }
    session.close().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_final_and_a_full_server_is_not() {
    let lab = Lab::new(Behaviour { max_sessions: Some(1), ..Behaviour::default() }).await;
    let error = refused(lab.session_with("password = 'wrong'").await);
    assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
    assert!(!format!("{error} {error:?}").contains("wrong"));
    assert!(lab.server.wait_for_sessions(0, std::time::Duration::from_secs(5)).await);

    let _first = lab.session().await;
    let error = refused(lab.session_with("").await);
    assert_eq!(error.kind(), Kind::Connection, "{error}");
    assert_eq!(error.class(), Class::Retryable { after: None });
}

#[tokio::test]
async fn nothing_listening_is_worth_another_try() {
    let mut lab = Lab::new(Behaviour::default()).await;
    let partner = lab.partner();
    lab.server.stop().await;
    let error = refused(Ftp::default().connect(partner).await);
    assert_eq!(error.kind(), Kind::Connection, "{error}");
}

#[tokio::test]
async fn every_connection_leaves_from_the_source_address() {
    for mode in ["passive", "active"] {
        let lab = Lab::new(Behaviour::default()).await;
        let mut partner = lab.partner();
        partner.settings.insert("mode".to_owned(), mode.into());
        partner.source_address = Some(Ipv4Addr::new(127, 0, 0, 9).into());
        let mut session = Ftp::default().connect(partner).await.unwrap();
        works(&mut *session).await;
        let transcript = lab.server.transcript().to_string();
        assert!(transcript.contains("127.0.0.9"), "{mode}\n{transcript}");
        let data = || transcript.lines().filter(|line| line.contains("* data connection"));
        assert!(
            data().count() >= 12 && data().all(|line| line.contains("127.0.0.9")),
            "{transcript}"
        );
    }
}

#[tokio::test]
async fn a_foreign_source_address_is_no_fault_of_the_partner() {
    let lab = Lab::new(Behaviour::default()).await;
    let source_address = Some(Ipv4Addr::new(192, 0, 2, 1).into());
    let partner = Partner { source_address, ..lab.partner() };
    let error = refused(Ftp::default().connect(partner).await);
    assert_eq!(error.kind(), Kind::SourceAddress, "{error}");
    assert_eq!(error.class(), Class::Retryable { after: None });
}

#[tokio::test]
async fn pasv_serves_where_epsv_does_not_and_epsv_is_not_tried_again() {
    // Nobody can be reached at this address: it is for documentation.
    let pasv_address = Some(Ipv4Addr::new(192, 0, 2, 7));
    let behaviour = Behaviour { pasv_address, ..Behaviour::default() }.without(&["EPSV"]);
    let lab = Lab::new(behaviour).await;
    works(&mut *lab.session().await).await;
    assert_eq!(lab.server.transcript().count("EPSV"), 1);

    let settings = "passive_address = 'reply'\nconnect_timeout_s = 1";
    let mut session = lab.session_with(settings).await.unwrap();
    let error = session.store(upload("x", 0, b"x")).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Timeout | Kind::Connection), "{error}");
}

#[tokio::test]
async fn a_secure_session_resumes_on_every_data_connection() {
    for (tls, max) in [
        (TlsConfig::self_signed().unwrap(), "1.3"),
        (TlsConfig::self_signed().unwrap(), "1.2"),
        (TlsConfig::self_signed().unwrap().tls12_only(), "1.3"),
    ] {
        let certificate = tls.certificate_pem().to_owned();
        let tls = tls.require_tls().require_session_reuse();
        let lab = Lab::with(|builder| builder.tls(tls)).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate).unwrap();
        let settings = format!(
            "tls = 'explicit'\ntls_max = '{max}'\ntls_ca_file = '{}'",
            file.path().display()
        );
        works(&mut *lab.session_with(&settings).await.unwrap()).await;

        let error = refused(lab.session_with("").await);
        assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
        let other = TlsConfig::self_signed().unwrap();
        std::fs::write(file.path(), other.certificate_pem()).unwrap();
        let error = refused(lab.session_with(&settings).await);
        assert_eq!((error.kind(), error.class()), (Kind::Tls, Class::Permanent), "{error}");
        let trusting = "tls = 'explicit'\ntls_verify = false";
        works(&mut *lab.session_with(trusting).await.unwrap()).await;
    }
}

/// A task that has had its share of a turn is made to wait before it writes again. A command must not
/// be left behind by that.
#[tokio::test]
async fn a_command_goes_out_whatever_its_task_did_before() {
    let tls = TlsConfig::self_signed().unwrap();
    let lab = Lab::with(|builder| builder.tls(tls)).await;
    let settings = "tls = 'explicit'\ntls_verify = false\ntimeout_s = 2";
    let mut session = lab.session_with(settings).await.unwrap();
    for used in 0..=128 {
        yield_now().await;
        for _ in 0..used {
            consume_budget().await;
        }
        session.ping().await.unwrap_or_else(|error| panic!("{used} used: {error}"));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_partner_for_a_secure_session() {
    let lab = Lab::new(Behaviour::default()).await;
    let error = refused(lab.session_with("tls = 'explicit'\ntls_verify = false").await);
    assert_eq!((error.kind(), error.class()), (Kind::Tls, Class::Permanent), "{error}");
    assert!(!lab.server.transcript().commands().iter().any(|line| line.starts_with("USER")));
}

#[tokio::test]
async fn data_without_protection_is_refused_by_the_reply() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    lab.server.faults().add(Rule::refuse("STOR", 522, "Data connections need TLS."));
    let error = session.store(upload("a", 0, b"x")).await.unwrap_err();
    assert_eq!(error.reply().map(|reply| reply.code), Some(522), "{error}");
    assert_eq!(error.class(), Class::Permanent);
    session.remove(path("a")).await.unwrap_err();
    session.ping().await.unwrap();
}
