//! Two commands in one piece: who gets them so, and who does not.

use ferryway_core::{
    Kind, Operation,
    transport::{Result, Session, Transport},
};
use ferryway_ftp::Ftp;
use ferryway_mocks::ftp_server::{Action, Behaviour, Cut, Rule, TlsConfig, When};

use crate::support::{Lab, path, upload};

/// The server's kind, and that it loses what comes early.
fn losing(behaviour: Behaviour) -> Behaviour {
    Behaviour { loses_early_commands: true, ..behaviour }
}

async fn rename(session: &mut dyn Session, lab: &Lab) -> Result<()> {
    std::fs::write(lab.on_disk("a"), b"12345").unwrap();
    session.rename(path("a"), path("b")).await
}

/// What a session is refused with where its first two commands were not both heard.
fn deaf(session: Result<Box<dyn Session>>) {
    let error = session.err().expect("a server heard both commands");
    assert_eq!((error.kind(), error.operation()), (Kind::Timeout, Operation::Connect), "{error}");
    assert!(error.to_string().contains("early_commands = false"), "{error}");
}

#[tokio::test]
async fn an_unknown_server_hears_one_command_at_a_time() {
    let unknown = Behaviour::default().without(&["MLST", "MLSD"]);
    let lab = Lab::new(losing(unknown)).await;
    let mut session = lab.session().await;
    rename(&mut *session, &lab).await.unwrap();
    assert!(lab.on_disk("b").exists());
    let stat = session.stat(path("b")).await.unwrap();
    assert!(stat.size == Some(5) && stat.modified.is_some(), "{stat:?}");
    assert_eq!(lab.server.transcript().count("NOOP"), 0);
}

#[tokio::test]
async fn a_known_server_hears_two_at_once_until_it_proves_deaf() {
    let presets =
        [Behaviour::vsftpd(), Behaviour::proftpd(), Behaviour::pure_ftpd(), Behaviour::pyftpdlib()];
    for behaviour in presets {
        let lab = Lab::new(losing(behaviour)).await;
        let ftp = Ftp::default();
        deaf(ftp.connect(lab.partner()).await);
        let mut next = ftp.connect(lab.partner()).await.unwrap();
        rename(&mut *next, &lab).await.unwrap();
        assert!(lab.on_disk("b").exists());
    }
}

#[tokio::test]
async fn what_belongs_together_is_asked_at_once() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let mut session = lab.session().await;
    session.stat(path("absent")).await.unwrap_err();
    session.rename(path("absent"), path("b")).await.unwrap_err();
    let transcript = lab.server.transcript();
    // In turn, a refused SIZE or RNFR would have been the end of it.
    assert_eq!((transcript.count("MDTM"), transcript.count("RNTO")), (1, 1), "{transcript}");
    rename(&mut *session, &lab).await.unwrap();
    let stat = session.stat(path("b")).await.unwrap();
    assert!(stat.size == Some(5) && stat.modified.is_some(), "{stat:?}");
}

#[tokio::test]
async fn a_lost_connection_proves_nothing_against_a_server_that_has_answered() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let ftp = Ftp::default();
    let mut session = ftp.connect(lab.partner()).await.unwrap();
    lab.server.faults().add(Rule::lost_reply("RNTO"));
    rename(&mut *session, &lab).await.unwrap_err();

    let mut next = ftp.connect(lab.partner()).await.unwrap();
    next.rename(path("absent"), path("b")).await.unwrap_err();
    let transcript = lab.server.transcript();
    assert_eq!(transcript.count("RNTO"), 2, "{transcript}");
}

#[tokio::test]
async fn a_server_that_is_deaf_from_some_day_on_is_reached_all_the_same() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let ftp = Ftp::default();
    ftp.connect(lab.partner()).await.unwrap();
    lab.server.faults().add(Rule::new("TYPE", When::Before, Action::Cut(Cut::Silence)));
    deaf(ftp.connect(lab.partner()).await);
    let mut next = ftp.connect(lab.partner()).await.unwrap();
    next.rename(path("absent"), path("b")).await.unwrap_err();
    let transcript = lab.server.transcript();
    assert_eq!(transcript.count("RNTO"), 0, "{transcript}");
}

#[tokio::test]
async fn a_session_that_ends_behind_a_refusal_is_over() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let mut session = lab.session().await;
    lab.server.faults().add(Rule::refuse("RNTO", 421, "Timeout."));
    session.rename(path("absent"), path("b")).await.unwrap_err();
    let error = session.ping().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed, "{error}");
}

#[tokio::test]
async fn the_operators_word_counts_more_than_the_greeting() {
    let lab = Lab::new(losing(Behaviour::default())).await;
    let ftp = Ftp::default();
    for _ in 0..2 {
        let mut partner = lab.partner();
        partner.settings.insert("early_commands".to_owned(), true.into());
        deaf(ftp.connect(partner).await);
    }
    let lab = Lab::new(losing(Behaviour::vsftpd())).await;
    let mut session = lab.session_with("early_commands = false").await.unwrap();
    rename(&mut *session, &lab).await.unwrap();
}

#[tokio::test]
async fn two_commands_in_one_piece_go_through_the_secure_channel() {
    let secure = "tls = 'explicit'\ntls_verify = false\ntimeout_s = 2";
    let with_tls = |behaviour| {
        let tls = TlsConfig::self_signed().unwrap();
        Lab::with(|builder| builder.behaviour(behaviour).tls(tls))
    };
    deaf(with_tls(losing(Behaviour::vsftpd())).await.session_with(secure).await);

    let lab = with_tls(Behaviour::vsftpd()).await;
    let mut session = lab.session_with(secure).await.unwrap();
    session.store(upload("a", 0, b"12345")).await.unwrap();
    assert_eq!(session.stat(path("a")).await.unwrap().size, Some(5));
    rename(&mut *session, &lab).await.unwrap();
    assert_eq!(session.stat(path("b")).await.unwrap().size, Some(5));
    session.stat(path("a")).await.unwrap_err();
    session.ping().await.unwrap();
}
