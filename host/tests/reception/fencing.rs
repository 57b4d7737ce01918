//! A former owner of a visitor's instance is refused: at the door, in every session it still
//! has, in the middle of a transfer, and after a restart of this host.

use std::{fs, time::Instant};

use ferryway_core::{
    Algorithm, Class, Kind, TransportError,
    bytes::Sink,
    transport::{Download, Session},
};
use ferryway_host::journal::JournalStore;
use ferryway_mocks::streams::{Collected, Gate, Then, content, source_then};

use crate::house::{House, LIMIT, Plugged, upload};

const HOST: &str = "both.example";

fn fenced<T>(result: Result<T, TransportError>) {
    let error = result.err().expect("a former owner is refused");
    assert_eq!((error.kind(), error.class()), (Kind::Fenced, Class::Permanent), "{error}");
    assert!(!error.outcome_unknown(), "{error}");
}

async fn every_operation_is_refused(session: &mut dyn Session) {
    let path = |text: &str| text.parse().unwrap();
    fenced(session.stat(path("a")).await);
    fenced(session.list(None).await);
    fenced(session.store(upload("z", 0, b"zombie")).await);
    let sink: Sink = Collected::new().sink();
    fenced(
        session
            .fetch(Download { path: path("a"), offset: 0, sink, meter: Default::default() })
            .await,
    );
    fenced(session.rename(path("a"), path("b")).await);
    fenced(session.remove(path("a")).await);
    fenced(session.make_folder(path("c")).await);
    fenced(session.remove_folder(path("d")).await);
    fenced(session.checksum(path("a"), Algorithm::Blake3, 1).await);
    fenced(session.ping().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_door_and_at_every_operation() {
    let house = House::new(Plugged::Loaded);
    fs::create_dir(house.received().join("d")).unwrap();
    let open = house.open().await;
    let mut zombie = open.session(HOST, 3).await;
    zombie.store(upload("a", 0, b"1")).await.unwrap();
    let mut owner = open.session(HOST, 4).await;
    every_operation_is_refused(&mut *zombie).await;
    fenced(open.try_session(HOST, 3).await);
    fenced(open.try_session(HOST, 1).await);
    assert_eq!(fs::read(house.received().join("a")).unwrap(), b"1");
    assert!(!house.received().join("z").exists());
    owner.ping().await.unwrap();
    // Another instance's epochs are its own.
    open.session("sender.example", 1).await.ping().await.unwrap();
    let line = house.log_line(" 0505W ").await;
    assert!(line.contains("BOTH") && line.contains("(3)") && line.contains("(4)"), "{line}");
    assert!(house.log_line(" 0502I ").await.contains("BOTH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_store() {
    let house = House::new(Plugged::Loaded);
    let open = house.open().await;
    let (gate, bytes) = (Gate::new(), content(3 << 20, 1));
    let mut zombie = open.session(HOST, 1).await;
    let mut slow = upload("a.part", 0, b"");
    slow.source = source_then(bytes.clone(), usize::MAX, Then::Wait(gate.clone()));
    let late = tokio::spawn(async move { (zombie.store(slow).await, zombie) });
    gate.reached(1).await;
    // All but its end is under way when the next owner comes in, moves the file and goes on.
    let mut owner = open.session(HOST, 2).await;
    owner.rename("a.part".parse().unwrap(), "b.part".parse().unwrap()).await.unwrap();
    owner.store(upload("b.part", 0, b"the owner's")).await.unwrap();
    gate.open();
    let (stored, mut zombie) = late.await.unwrap();
    // What was written before counts as stored, if all was; nothing was written after.
    if let Err(error) = stored {
        assert_eq!(error.kind(), Kind::Fenced, "{error}");
    }
    fenced(zombie.rename("b.part".parse().unwrap(), "a".parse().unwrap()).await);
    assert_eq!(fs::read(house.received().join("b.part")).unwrap(), b"the owner's");
    assert!(!house.received().join("a.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_this_host() {
    let house = House::new(Plugged::Loaded);
    let open = house.open().await;
    drop(open.session(HOST, 7).await);
    open.door.close().await;
    open.journal.close().await.unwrap();
    let open = house.open().await;
    fenced(open.try_session(HOST, 6).await);
    open.session(HOST, 7).await.ping().await.unwrap();
    open.session(HOST, 8).await.ping().await.unwrap();
    fenced(open.try_session(HOST, 7).await);
}

/// A former owner that has every room, and work in one of them, keeps nobody waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_gets_the_rooms_of_its_former_one() {
    let house = House::with_sessions(Plugged::Loaded, 2);
    let open = house.open().await;
    let (gate, bytes) = (Gate::new(), content(3 << 20, 1));
    let (mut idle, mut zombie) = (open.session(HOST, 1).await, open.session(HOST, 1).await);
    let full = open.try_session(HOST, 1).await.err().expect("the house is full");
    assert_eq!(full.kind(), Kind::Refused, "{full}");
    let mut slow = upload("a.part", 0, b"");
    slow.source = source_then(bytes, usize::MAX, Then::Wait(gate.clone()));
    let late = tokio::spawn(async move { (zombie.store(slow).await, zombie) });
    gate.reached(1).await;
    let (mut one, mut two) = (open.session(HOST, 2).await, open.session(HOST, 2).await);
    for owner in [&mut one, &mut two] {
        owner.store(upload("b", 0, b"the owner's")).await.unwrap();
    }
    fenced(idle.ping().await);
    gate.open();
    let (stored, zombie) = late.await.unwrap();
    if let Err(error) = stored {
        assert_eq!(error.kind(), Kind::Fenced, "{error}");
    }
    // What the former owner gives back is not counted twice.
    drop((idle, zombie));
    let full = open.try_session(HOST, 2).await.err().expect("the house is full");
    assert_eq!(full.kind(), Kind::Refused, "{full}");
}

/// Its own instance lost, this host changes nothing for its visitors any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_at_the_receiving_end_changes_nothing() {
    let house = House::new(Plugged::Loaded);
    fs::create_dir(house.received().join("d")).unwrap();
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    session.store(upload("a.part", 0, b"1")).await.unwrap();
    let (gate, bytes) = (Gate::new(), content(3 << 20, 1));
    let mut slow = upload("b.part", 0, b"");
    slow.source = source_then(bytes, usize::MAX, Then::Wait(gate.clone()));
    let mut other = open.session(HOST, 1).await;
    let late = tokio::spawn(async move { other.store(slow).await });
    gate.reached(1).await;
    let successor = house.open().await;
    // A look of a moment ago is good for a moment.
    let path = |text: &str| text.parse().unwrap();
    let started = Instant::now();
    while session.make_folder(path("c")).await.is_ok() {
        session.remove_folder(path("c")).await.ok();
        assert!(started.elapsed() < LIMIT, "folders are made for ever");
    }
    let refused = |result: Result<(), TransportError>| {
        let error = result.expect_err("a zombie changes nothing");
        assert!(matches!(error.class(), Class::Retryable { .. }), "{error}");
        assert!(!error.outcome_unknown(), "{error}");
    };
    refused(session.rename(path("a.part"), path("a")).await);
    refused(session.remove(path("a.part")).await);
    refused(session.remove_folder(path("d")).await);
    refused(session.store(upload("z", 0, b"1")).await.map(|_| ()));
    gate.open();
    refused(late.await.unwrap().map(|_| ()));
    assert!(house.received().join("a.part").exists() && house.received().join("d").exists());
    assert!(!house.received().join("z").exists());
    let mut session = successor.session(HOST, 1).await;
    session.rename(path("a.part"), path("a")).await.unwrap();
}
