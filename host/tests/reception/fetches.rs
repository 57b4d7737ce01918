//! Files that a visitor fetches: the job that walks with it, and what the hash is of that it asks for.

use std::{fs, path::PathBuf, time::SystemTime};

use ferryway_core::{
    Algorithm, Digest, Direction, RemotePath, Status,
    bytes::Meter,
    notice::{Announcement, Delivery, Notice, Standing},
    transport::{Download, Session},
};
use ferryway_mocks::streams::Collected;

use crate::{
    house::{House, Open, Plugged},
    notices::{BYTES, DONE, HOST, announce, codes, delivered, status, tell},
};

/// As many bytes as those that were fetched.
const OTHER: &[u8] = b"WHAT GOES THERE";

/// A house that offers a file, and a visitor's session with it.
async fn visited() -> (House, Open, Box<dyn Session>, Offered) {
    let house = House::new(Plugged::Loaded);
    let offered = Offered::new(&house);
    let open = house.open().await;
    let session = open.session(HOST, 1).await;
    (house, open, session, offered)
}

/// A file that is offered.
struct Offered {
    file: PathBuf,
    path: RemotePath,
}

impl Offered {
    fn new(house: &House) -> Self {
        let file = house.offered().join("f");
        fs::write(&file, BYTES).unwrap();
        let path = file.to_str().unwrap().parse().unwrap();
        Self { file, path }
    }

    async fn announced(&self, session: &mut dyn Session) -> Standing {
        let Notice::Announce(what) = announce(1, Direction::Fetch) else { unreachable!() };
        let what = Announcement { path: self.path.clone(), size: None, ..what };
        tell(session, Notice::Announce(what)).await
    }

    async fn fetched(&self, session: &mut dyn Session, offset: u64) -> Vec<u8> {
        let taken = Collected::new();
        let (path, sink) = (self.path.clone(), taken.sink());
        let download = Download { path, offset, sink, meter: Meter::new() };
        session.fetch(download).await.unwrap();
        taken.bytes()
    }

    async fn hashed(&self, session: &mut dyn Session) -> Digest {
        let length = BYTES.len() as u64;
        session.checksum(self.path.clone(), Algorithm::Blake3, length).await.unwrap()
    }

    /// Has other bytes, and the same looks as before unless it is `modified`.
    fn change(&self, modified: Option<SystemTime>) {
        let before = fs::metadata(&self.file).unwrap().modified().unwrap();
        fs::write(&self.file, OTHER).unwrap();
        let file = fs::File::options().write(true).open(&self.file).unwrap();
        file.set_modified(modified.unwrap_or(before)).unwrap();
    }
}

fn of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Algorithm::Blake3, blake3::hash(bytes).as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_walks_the_receivers_table() {
    let (_house, open, mut session, offered) = visited().await;
    let job = offered.announced(&mut *session).await.job;
    assert_eq!(offered.fetched(&mut *session, 0).await, BYTES);
    assert_eq!(status(&open, &job), Some(Status::ReceiverReceiving));
    assert_eq!(offered.hashed(&mut *session).await, of(BYTES));
    assert_eq!(status(&open, &job), Some(Status::ReceiverVerifying));
    let Notice::Delivered(what) = delivered(1, BYTES) else { unreachable!() };
    let notice = Notice::Delivered(Delivery { path: offered.path.clone(), ..what });
    assert_eq!(tell(&mut *session, notice).await.status, DONE);
    assert_eq!(codes(&open, &job).await, ["02", "03", "04", "05", "06", "08", "00"]);
}

/// The file that went out is not read again: who changes it so that nothing shows does not change
/// what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_a_fetched_file_is_of_what_went_out() {
    let (_house, _open, mut session, offered) = visited().await;
    offered.announced(&mut *session).await;
    assert_eq!(offered.fetched(&mut *session, 0).await, BYTES);
    offered.change(None);
    assert_eq!(offered.hashed(&mut *session).await, of(BYTES));
    offered.change(Some(SystemTime::UNIX_EPOCH));
    assert_eq!(offered.hashed(&mut *session).await, of(OTHER), "that it is another one shows");
}

/// What went out in part says nothing of the whole file.
#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_a_file_that_went_out_in_part_is_of_all_of_it() {
    let (_house, _open, mut session, offered) = visited().await;
    offered.announced(&mut *session).await;
    assert_eq!(offered.fetched(&mut *session, 5).await, BYTES[5..]);
    assert_eq!(offered.hashed(&mut *session).await, of(BYTES));
}

/// Where nobody fetches for a job, what went out may be a partial that a later try goes on from: its
/// hash is of what the disk has.
#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_any_other_file_is_of_the_disk() {
    let (_house, _open, mut session, offered) = visited().await;
    assert_eq!(offered.fetched(&mut *session, 0).await, BYTES);
    offered.change(None);
    assert_eq!(offered.hashed(&mut *session).await, of(OTHER));
}
