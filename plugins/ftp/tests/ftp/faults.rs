//! What goes wrong on the way, and what the error says about it.

use std::time::Duration;

use ferryway_core::{Class, Kind, TransportError, transport::Session};
use ferryway_mocks::ftp_server::{Action, Behaviour, Cut, Rule, When};

use crate::support::{Kept, Lab, bytes, download, path, upload};

const RETRYABLE: Class = Class::Retryable { after: None };

async fn closed(session: &mut dyn Session) {
    let error = session.ping().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed, "{error}");
}

fn lost(error: &TransportError) {
    let (kind, class) = (error.kind(), error.class());
    assert_eq!((kind, class), (Kind::Connection, RETRYABLE), "{error}: {:?}", error);
    assert!(error.outcome_unknown(), "{error}");
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_ends_the_session() {
    for cut in [Cut::Fin, Cut::Rst] {
        let lab = Lab::new(Behaviour::default()).await;
        let mut session = lab.session().await;
        let fault = lab.server.faults().add(Rule::cut_at("STOR", 1 << 20, cut));
        let error = session.store(upload("a", 0, &bytes(8 << 20))).await.unwrap_err();
        assert_eq!(fault.fired(), 1);
        lost(&error);
        closed(&mut *session).await;

        let mut session = lab.session().await;
        session.store(upload("b", 0, &bytes(8 << 20))).await.unwrap();
        let fault = lab.server.faults().add(Rule::cut_at("RETR", 1 << 20, cut));
        let kept = Kept::default();
        let error = session.fetch(download("b", 0, kept.clone())).await.unwrap_err();
        assert_eq!(fault.fired(), 1);
        lost(&error);
        assert!(bytes(8 << 20).starts_with(&kept.bytes()), "the sink got other bytes");
        closed(&mut *session).await;
    }
}

#[tokio::test]
async fn a_lost_last_reply_leaves_the_outcome_open() {
    // The second one gets RNFR and RNTO in one piece.
    for behaviour in [Behaviour::default(), Behaviour::vsftpd()] {
        let lab = Lab::new(behaviour).await;
        let mut session = lab.session().await;
        lab.server.faults().add(Rule::lost_reply("STOR"));
        lost(&session.store(upload("a", 0, b"x")).await.unwrap_err());
        closed(&mut *session).await;

        for command in ["RNFR", "RNTO"] {
            let mut session = lab.session().await;
            lab.server.faults().add(Rule::lost_reply(command));
            lost(&session.rename(path("a"), path("b")).await.unwrap_err());
            assert_eq!(lab.on_disk("b").exists(), command == "RNTO");
            closed(&mut *session).await;
        }
    }
}

#[tokio::test]
async fn silence_within_two_commands_in_one_piece_ends_the_session() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let asked = ["RNFR", "RNTO", "SIZE", "MDTM"];
    std::fs::write(lab.on_disk("a"), b"x").unwrap();
    for command in asked {
        let mut session = lab.session().await;
        let fault = Rule::new(command, When::Before, Action::Cut(Cut::Silence));
        let fault = lab.server.faults().add(fault);
        let error = match command {
            "RNFR" | "RNTO" => session.rename(path("a"), path("b")).await.unwrap_err(),
            _ => session.stat(path("a")).await.unwrap_err(),
        };
        assert_eq!((error.kind(), error.class()), (Kind::Timeout, RETRYABLE), "{error}");
        assert!(error.outcome_unknown() && fault.fired() == 1, "{error}");
        closed(&mut *session).await;
    }
}

#[tokio::test]
async fn a_refused_rename_is_certain() {
    for behaviour in [Behaviour::default(), Behaviour::vsftpd()] {
        let lab = Lab::new(behaviour).await;
        let mut session = lab.session().await;
        session.store(upload("a", 0, b"x")).await.unwrap();
        for command in ["RNFR", "RNTO"] {
            lab.server.faults().add(Rule::refuse(command, 550, "No."));
            let error = session.rename(path("a"), path("b")).await.unwrap_err();
            assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Unavailable, false));
        }
        lab.server.faults().add(Rule::refuse("RNFR", 500, "What?"));
        let error = session.rename(path("a"), path("b")).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Unsupported, false));
        session.rename(path("a"), path("b")).await.unwrap();
        assert!(lab.on_disk("b").exists() && !lab.on_disk("a").exists());

        lab.server.faults().add(Rule::refuse("RNFR", 421, "Shutting down."));
        let error = session.rename(path("b"), path("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Connection, false));
        closed(&mut *session).await;
    }
}

#[tokio::test]
async fn a_rename_that_was_refused_and_is_done_all_the_same_is_not_believed() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let mut session = lab.session().await;
    lab.server.faults().add(Rule::refuse("RNTO", 250, "Renamed something."));
    let error = session.rename(path("absent"), path("b")).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Protocol, true), "{error}");
    closed(&mut *session).await;
}

#[tokio::test]
async fn a_store_without_any_answer_may_wait_for_a_lock() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let mut first = lab.session().await;
    let held = Rule::new("STOR", When::DataByte(1), Action::Stall);
    let held = lab.server.faults().add(held);
    let storing = tokio::spawn(async move { first.store(upload("a", 0, b"first")).await });
    held.wait(Duration::from_secs(5)).await.unwrap();

    let mut second = lab.session().await;
    let error = second.store(upload("a", 0, b"second")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Timeout, Class::Locked), "{error}");
    assert!(error.outcome_unknown());
    closed(&mut *second).await;
    held.release();
    drop(storing);
}

#[tokio::test]
async fn a_lock_that_is_told_is_a_reply() {
    let lab = Lab::new(Behaviour::pyftpdlib_with_flock()).await;
    let mut first = lab.session().await;
    let held = lab.server.faults().add(Rule::new("STOR", When::DataByte(1), Action::Stall));
    let storing = tokio::spawn(async move { first.store(upload("a", 0, b"first")).await });
    held.wait(Duration::from_secs(5)).await.unwrap();

    let mut second = lab.session().await;
    let error = second.store(upload("a", 0, b"second")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unavailable, Class::Permanent), "{error}");
    second.ping().await.unwrap();
    held.release();
    drop(storing);
}

#[tokio::test]
async fn silence_in_the_middle_of_a_transfer_ends_it_in_time() {
    for command in ["STOR", "RETR"] {
        let lab = Lab::new(Behaviour::default()).await;
        let mut session = lab.session().await;
        let content = bytes(32 << 20);
        std::fs::write(lab.on_disk("b"), &content).unwrap();
        lab.server.faults().add(Rule::cut_at(command, 1 << 20, Cut::Silence));
        let ended = async {
            match command {
                "STOR" => session.store(upload("a", 0, &content)).await.map(|stored| stored.bytes),
                _ => session.fetch(download("b", 0, Kept::default())).await,
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Timeout, RETRYABLE), "{error}");
        closed(&mut *session).await;
    }
}

#[tokio::test]
async fn a_slow_transfer_is_no_silent_one() {
    let lab = Lab::with(|builder| builder.bytes_per_second(400_000)).await;
    let mut session = lab.session().await;
    let stored = session.store(upload("a", 0, &bytes(1_000_000))).await.unwrap();
    assert_eq!(stored.bytes, 1_000_000);
}

#[tokio::test]
async fn a_late_error_is_the_outcome_of_a_transfer() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    lab.server.faults().add(Rule::late_451("STOR"));
    let error = session.store(upload("a", 0, &bytes(100_000))).await.unwrap_err();
    assert_eq!(error.reply().map(|reply| reply.code), Some(451), "{error}");
    session.store(upload("a", 0, b"again")).await.unwrap();
}

#[tokio::test]
async fn a_data_connection_that_fails_alone_is_told_by_the_reply() {
    for command in ["STOR", "RETR"] {
        let lab = Lab::new(Behaviour::default()).await;
        let mut session = lab.session().await;
        session.store(upload("a", 0, &bytes(8 << 20))).await.unwrap();
        let stop = Action::Reply(426, "Data connection lost.".to_owned());
        lab.server.faults().add(Rule::new(command, When::DataByte(1 << 20), stop));
        let error = match command {
            "STOR" => {
                session.store(upload("b", 0, &bytes(8 << 20))).await.map(|stored| stored.bytes)
            }
            _ => session.fetch(download("a", 0, Kept::default())).await,
        };
        let error = error.unwrap_err();
        assert_eq!(error.reply().map(|reply| reply.code), Some(426), "{error}");
        assert_eq!((error.kind(), error.class()), (Kind::Connection, RETRYABLE), "{error}");
        closed(&mut *session).await;
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so_once() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    lab.server.faults().add(Rule::refuse("DELE", 421, "Shutting down."));
    let error = session.remove(path("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Connection, RETRYABLE));
    closed(&mut *session).await;
}
