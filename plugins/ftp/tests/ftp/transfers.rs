//! Files go there and come back.

use ferryway_core::{
    Class, Kind,
    bytes::{CHUNK_BYTES, Meter, Source},
    transport::{Download, Resume, Session, Upload},
};
use ferryway_mocks::{
    ftp_server::{Behaviour, Disk, Rule},
    streams::{Collected, halting_source},
};

use crate::support::{Failing, Kept, Lab, bytes, download, path, upload};

const NAME: &str = "月次 'a \"b\".csv";

async fn fetched(session: &mut dyn Session, from: &str, offset: u64) -> Vec<u8> {
    let kept = Kept::default();
    let download = download(from, offset, kept.clone());
    let meter = download.meter.clone();
    let length = session.fetch(download).await.unwrap();
    assert_eq!((length, meter.bytes()), (kept.bytes().len() as u64, length));
    kept.bytes()
}

#[tokio::test]
async fn what_goes_to_any_server_comes_back_the_same() {
    for (server, behaviour) in Behaviour::presets() {
        let lab = Lab::new(behaviour).await;
        let mut session = lab.session().await;
        let whole_chunks = 2 * CHUNK_BYTES;
        for length in [0, 1, 4096, CHUNK_BYTES - 1, CHUNK_BYTES, whole_chunks, whole_chunks + 7] {
            let (name, content) = (format!("{length} {NAME}"), bytes(length));
            let upload = upload(&name, 0, &content);
            let meter = upload.meter.clone();
            let stored = session.store(upload).await.unwrap();
            let whole = length as u64;
            assert_eq!((stored.bytes, meter.bytes()), (whole, whole), "{server}");
            assert!(stored.size.is_none_or(|size| size == whole), "{server}: {stored:?}");
            assert_eq!(std::fs::read(lab.on_disk(&name)).unwrap(), content, "{server} {length}");
            assert_eq!(fetched(&mut *session, &name, 0).await, content, "{server} {length}");
        }
        session.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_source_and_a_sink_are_used_when_they_are_ready() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    let content = bytes(10_000);
    let upload = Upload { source: halting_source(&*content, 999), ..upload("a", 0, &content) };
    assert_eq!(session.store(upload).await.unwrap().bytes, 10_000);
    assert_eq!(std::fs::read(lab.on_disk("a")).unwrap(), content);
    let kept = Collected::new();
    let (path, meter) = (path("a"), Meter::new());
    let download = Download { path, offset: 0, sink: kept.halting_sink(999), meter };
    let meter = download.meter.clone();
    assert_eq!(session.fetch(download).await.unwrap(), 10_000);
    assert_eq!((kept.bytes(), meter.bytes()), (content, 10_000));
}

#[tokio::test]
async fn a_source_of_another_length_than_told_is_stored_whole() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    let content = bytes(3 * CHUNK_BYTES + 5);
    for told in [0, 10, 5000, u64::MAX] {
        let upload = Upload { length: told, ..upload(NAME, 0, &content) };
        assert_eq!(session.store(upload).await.unwrap().bytes, content.len() as u64);
        assert_eq!(std::fs::read(lab.on_disk(NAME)).unwrap(), content, "{told}");
    }
}

#[tokio::test]
async fn a_small_file_costs_two_commands_and_one_to_see_its_size() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    session.store(upload("a", 0, b"1")).await.unwrap();
    let stored = session.store(upload("b", 0, b"22")).await.unwrap();
    assert_eq!(stored.size, Some(2));
    fetched(&mut *session, "b", 0).await;
    let up = ["EPSV", "STOR a", "MLST a", "EPSV", "STOR b", "MLST b"];
    assert_eq!(lab.commands(), [&up[..], &["EPSV", "RETR b"]].concat());
}

#[tokio::test]
async fn transfers_start_at_an_offset() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    assert_eq!(session.capabilities().resume, Resume::AtOffset);
    session.store(upload("a", 0, b"0123456789")).await.unwrap();
    session.store(upload("a", 5, b"five and more")).await.unwrap();
    assert_eq!(std::fs::read(lab.on_disk("a")).unwrap(), b"01234five and more");
    assert_eq!(fetched(&mut *session, "a", 10).await, b"and more");
    assert_eq!(fetched(&mut *session, "a", 0).await, b"01234five and more");
}

#[tokio::test]
async fn an_offset_does_not_outlive_a_refused_transfer() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    session.store(upload("a", 0, b"0123456789")).await.unwrap();
    lab.server.faults().add(Rule::refuse("STOR", 450, "Busy."));
    let error = session.store(upload("a", 5, b"x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    session.store(upload("a", 0, b"new")).await.unwrap();
    assert_eq!(std::fs::read(lab.on_disk("a")).unwrap(), b"new", "{}", lab.server.transcript());
    assert!(lab.commands().contains(&"REST 0".to_owned()), "{}", lab.server.transcript());
}

#[tokio::test]
async fn a_server_without_restart_refuses_offsets_only() {
    let lab = Lab::new(Behaviour::default().without(&["REST"])).await;
    let mut session = lab.session().await;
    assert_eq!(session.capabilities().resume, Resume::Unsupported);
    session.store(upload("a", 0, b"0123456789")).await.unwrap();
    let error = session.store(upload("a", 5, b"x")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unsupported, Class::Permanent));
    session.store(upload("b", 0, b"x")).await.unwrap();
    assert_eq!(std::fs::read(lab.on_disk("a")).unwrap(), b"0123456789");
}

#[tokio::test]
async fn a_promise_of_restart_is_believed_until_it_is_broken() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    assert_eq!(session.capabilities().resume, Resume::AtOffset);
    lab.server.faults().add(Rule::refuse("REST", 501, "Not here."));
    let error = session.store(upload("a", 5, b"x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert_eq!(session.capabilities().resume, Resume::Unsupported);
    session.store(upload("a", 0, b"x")).await.unwrap();
}

#[tokio::test]
async fn a_restart_that_only_stor_refuses_is_no_word_about_the_path() {
    let lab = Lab::new(Behaviour::proftpd_hidden_stores()).await;
    let mut session = lab.session().await;
    let error = session.store(upload("a", 5, b"x")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unsupported, Class::Permanent), "{error}");
    session.store(upload("a", 0, b"x")).await.unwrap();
    assert_eq!(std::fs::read(lab.on_disk("a")).unwrap(), b"x");
}

#[tokio::test]
async fn a_failing_local_file_ends_the_transfer_and_not_the_session() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    let source = Source::new(Failing(3 * CHUNK_BYTES as u64));
    let upload_of = Upload { source, length: 10_000_000, ..upload("a", 0, b"") };
    let error = session.store(upload_of).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Local, "{error}");
    session.ping().await.unwrap();
    // The server must not take the part for the whole.
    let transcript = lab.server.transcript().to_string();
    assert!(transcript.contains("< 426") && !transcript.contains("< 226"), "{transcript}");

    session.store(upload("b", 0, &bytes(4 * CHUNK_BYTES))).await.unwrap();
    let error = session.fetch(download("b", 0, Failing(100_000))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Local, "{error}");
    assert_eq!(fetched(&mut *session, "b", 0).await.len(), 4 * CHUNK_BYTES);
}

#[tokio::test]
async fn a_full_disk_is_told_by_the_reply_and_the_session_lives_on() {
    for behaviour in [Behaviour::vsftpd(), Behaviour::proftpd()] {
        let lab = Lab::new(behaviour).await;
        let mut session = lab.session().await;
        lab.server.set_disk(Disk::FullAfter(1_000_000));
        let error = session.store(upload("a", 0, &bytes(8_000_000))).await.unwrap_err();
        assert_eq!(error.reply().map(|reply| reply.code), Some(451), "{error}");
        assert_eq!((error.kind(), error.class()), (Kind::Space, Class::Retryable { after: None }));
        session.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_transfer_closes_the_session() {
    let lab = Lab::with(|builder| builder.bytes_per_second(100_000)).await;
    let mut session = lab.session().await;
    let upload = Upload { meter: Meter::new(), ..upload("a", 0, &bytes(2_000_000)) };
    let meter = upload.meter.clone();
    tokio::select! {
        ended = session.store(upload) => panic!("{ended:?}"),
        () = async { while meter.bytes() == 0 { tokio::task::yield_now().await } } => {}
    }
    let error = session.stat(path("a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
    let limit = std::time::Duration::from_secs(5);
    assert!(lab.server.wait_for_sessions(0, limit).await, "{}", lab.server.transcript());
}
