//! What visitors reach and what they do not, and who they are.

use std::{fs, os::unix::fs::symlink};

use ferryway_core::{
    Algorithm, Class, Kind, TransportError,
    bytes::Meter,
    transport::{Download, Session},
};
use ferryway_mocks::streams::Collected;

use crate::house::{House, Plugged, upload};

fn denied<T>(what: &str, result: Result<T, TransportError>) {
    let error = result.err().unwrap_or_else(|| panic!("{what} is allowed"));
    assert_eq!((error.kind(), error.class()), (Kind::Denied, Class::Permanent), "{what}: {error}");
    assert!(!error.outcome_unknown(), "{what}: {error}");
}

async fn fetch(session: &mut dyn Session, path: &str) -> Result<Vec<u8>, TransportError> {
    let collected = Collected::new();
    let (path, sink) = (path.parse().unwrap(), collected.sink());
    session.fetch(Download { path, offset: 0, sink, meter: Meter::new() }).await?;
    Ok(collected.bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_out_of_the_folders() {
    let house = House::new(Plugged::Loaded);
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(outside.path(), house.received().join("link")).unwrap();
    symlink(&secret, house.received().join("file")).unwrap();
    let open = house.open().await;
    let mut session = open.session("both.example", 1).await;
    session.store(upload("a", 0, b"1")).await.unwrap();
    let secret = secret.to_str().unwrap();
    for path in ["link/secret", "link/new", "file", secret, "/etc/passwd"] {
        let parsed = || path.parse().unwrap();
        denied(path, session.stat(parsed()).await);
        denied(path, fetch(&mut *session, path).await);
        denied(path, session.store(upload(path, 0, b"x")).await);
        // A link itself may be replaced: that changes our own folder only.
        if path != "file" {
            denied(path, session.rename("a".parse().unwrap(), parsed()).await);
            denied(path, session.remove(parsed()).await);
            denied(path, session.make_folder(parsed()).await);
        }
    }
    denied("a list", session.list(Some("link".parse().unwrap())).await);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// A disk that has gone takes every name with it; none of them is said to be absent.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_says_nothing_of_what_is_in_it() {
    fn put_off<T>(what: &str, result: Result<T, TransportError>) {
        let error = result.err().unwrap_or_else(|| panic!("{what} succeeds"));
        assert!(matches!(error.class(), Class::Retryable { .. }), "{what}: {error}");
        assert_eq!(error.kind(), Kind::Refused, "{what}: {error}");
    }
    let house = House::new(Plugged::Loaded);
    let open = house.open().await;
    let mut session = open.session("both.example", 1).await;
    session.store(upload("a", 0, b"1")).await.unwrap();
    let elsewhere = house.received().with_file_name("elsewhere");
    fs::rename(house.received(), &elsewhere).unwrap();
    let path = || "a".parse().unwrap();
    put_off("a look", session.stat(path()).await);
    put_off("a list", session.list(None).await);
    put_off("a fetch", fetch(&mut *session, "a").await);
    put_off("a store", session.store(upload("b", 0, b"2")).await);
    put_off("a removal", session.remove(path()).await);
    put_off("a hash", session.checksum(path(), Algorithm::Blake3, 1).await);
    fs::rename(&elsewhere, house.received()).unwrap();
    assert_eq!(fetch(&mut *session, "a").await.unwrap(), b"1");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_visitor_does_what_it_may() {
    let house = House::new(Plugged::Loaded);
    fs::write(house.offered().join("o"), "offered").unwrap();
    fs::write(house.received().join("r"), "received").unwrap();
    let offered = house.offered().join("o").to_str().unwrap().to_owned();
    let received = house.received().join("r").to_str().unwrap().to_owned();
    let open = house.open().await;

    let mut both = open.session("both.example", 1).await;
    assert_eq!(fetch(&mut *both, &offered).await.unwrap(), b"offered");
    assert_eq!(fetch(&mut *both, "r").await.unwrap(), b"received");
    assert_eq!(both.list(None).await.unwrap(), ["r"]);
    let folder = house.offered().to_str().unwrap().parse().unwrap();
    assert_eq!(both.list(Some(folder)).await.unwrap(), ["o"]);
    denied("a store among what is offered", both.store(upload(&offered, 0, b"x")).await);
    both.store(upload(&received, 0, b"changed")).await.unwrap();

    let mut sender = open.session("sender.example", 1).await;
    denied("fetching by a sender", fetch(&mut *sender, &offered).await);
    assert_eq!(fetch(&mut *sender, "r").await.unwrap(), b"changed");

    // Its names are not told apart by case.
    let mut fetcher = open.session("Fetcher.EXAMPLE", 1).await;
    assert_eq!(fetch(&mut *fetcher, "o").await.unwrap(), b"offered");
    assert_eq!(fetcher.list(None).await.unwrap(), ["o"]);
    denied("fetching what others sent", fetch(&mut *fetcher, &received).await);
    denied("a store by a fetcher", fetcher.store(upload("x", 0, b"x")).await);
    denied("a removal by a fetcher", fetcher.remove("o".parse().unwrap()).await);
    assert_eq!(fs::read_dir(house.offered()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_of_once() {
    let house = House::new(Plugged::Loaded);
    let open = house.open().await;
    for _ in 0..20 {
        let error = open.try_session("stranger.example", 1).await.err().expect("a stranger");
        assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
    }
    let line = house.log_line(" 0504W ").await;
    assert!(line.contains("stranger.example"), "{line}");
    open.door.close().await;
    assert_eq!(house.log().matches(" 0504W ").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_is_of_what_is_on_the_disk_now() {
    use ferryway_core::{Algorithm, Digest};
    let house = House::new(Plugged::Loaded);
    let open = house.open().await;
    let mut session = open.session("both.example", 1).await;
    let of = |bytes: &[u8]| Digest::from_bytes(Algorithm::Blake3, blake3::hash(bytes).as_bytes());
    session.store(upload("a", 0, b"first ")).await.unwrap();
    let ask = async |session: &mut dyn Session, length| {
        session.checksum("a".parse().unwrap(), Algorithm::Blake3, length).await.unwrap()
    };
    assert_eq!(ask(&mut *session, 6).await, of(b"first "));
    session.store(upload("a", 6, b"second")).await.unwrap();
    assert_eq!(ask(&mut *session, 12).await, of(b"first second"));
    assert_eq!(ask(&mut *session, 5).await, of(b"first"));
    // Somebody else changes the file behind the session's back.
    session.store(upload("a", 0, b"abc")).await.unwrap();
    fs::write(house.received().join("a"), "xyz").unwrap();
    assert_eq!(ask(&mut *session, 3).await, of(b"xyz"));
    let beyond = session.checksum("a".parse().unwrap(), Algorithm::Blake3, 4).await;
    assert_eq!(beyond.expect_err("the file is shorter").kind(), Kind::Unavailable);
}

/// A date from before 1970 is no date that can be told, and breaks nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_from_before_1970() {
    use std::time::{Duration, SystemTime};
    let house = House::new(Plugged::Loaded);
    let old = fs::File::create(house.received().join("old")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    let open = house.open().await;
    let mut session = open.session("both.example", 1).await;
    let stat = session.stat("old".parse().unwrap()).await.unwrap();
    assert_eq!((stat.size, stat.modified), (Some(0), None));
    session.ping().await.unwrap();
}
