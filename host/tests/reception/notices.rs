//! Jobs that a visitor announces: each has one of ours, which walks with what the visitor does
//! and tells, survives our own death, and ends once.

use std::fs;

use ferryway_core::{
    Algorithm, Class, Digest, Direction, Event, JobId, Kind, Outcome, RunNumber, Status,
    notice::{Announcement, Delivery, Notice, Reference, Standing, Withdrawal},
    transport::{Result, Session},
};
use ferryway_host::{
    control::{Operations, api::Command},
    journal::{
        JournalStore,
        record::{JobSpec, Origin},
    },
};

use crate::house::{House, Open, Plugged, upload};

pub const HOST: &str = "both.example";
pub const BYTES: &[u8] = b"what goes there";
pub const DONE: Status = Status::ReceiverIdle(Outcome::Completed);
pub const FAILED: Status = Status::ReceiverIdle(Outcome::Failed);

fn of(delivery: u32) -> Reference {
    let job = JobId::new(&"PRDY01".parse().unwrap(), RunNumber(4));
    Reference { job, delivery }
}

pub fn announce(delivery: u32, direction: Direction) -> Notice {
    announce_start(0, delivery, direction)
}

/// As announced when an operator has let the job go on so often.
pub fn announce_start(start: u32, delivery: u32, direction: Direction) -> Notice {
    Notice::Announce(Announcement {
        of: of(delivery),
        start,
        first: false,
        definition: "PRDY01".parse().unwrap(),
        direction,
        path: "a".parse().unwrap(),
        size: Some(BYTES.len() as u64),
    })
}

pub fn delivered(delivery: u32, bytes: &[u8]) -> Notice {
    Notice::Delivered(Delivery {
        of: of(delivery),
        path: "a".parse().unwrap(),
        size: bytes.len() as u64,
        digest: Some(Digest::from_bytes(Algorithm::Blake3, blake3::hash(bytes).as_bytes())),
    })
}

pub fn withdraw(delivery: u32) -> Notice {
    withdraw_start(0, delivery)
}

pub fn withdraw_start(start: u32, delivery: u32) -> Notice {
    Notice::Withdraw(Withdrawal { of: of(delivery), start, reason: "no source".to_owned() })
}

/// A job of this host's own.
pub fn own() -> JobSpec {
    JobSpec::plain("OWN01".parse().unwrap(), "BOTH".parse().unwrap(), Direction::Send, ("b", "a"))
}

pub async fn tell(session: &mut dyn Session, notice: Notice) -> Standing {
    session.tell(notice).await.unwrap().expect("a job")
}

pub async fn store(session: &mut dyn Session) {
    session.store(upload("part", 0, BYTES)).await.unwrap();
}

async fn verify(session: &mut dyn Session) {
    let part = "part".parse().unwrap();
    session.checksum(part, Algorithm::Blake3, BYTES.len() as u64).await.unwrap();
}

pub async fn publish(session: &mut dyn Session) {
    session.rename("part".parse().unwrap(), "a".parse().unwrap()).await.unwrap();
}

pub async fn codes(open: &Open, job: &JobId) -> Vec<&'static str> {
    let entries = open.journal.entries(job).await.unwrap();
    entries.iter().filter(|e| e.event.is_some()).map(|entry| entry.status.code()).collect()
}

pub fn status(open: &Open, job: &JobId) -> Option<Status> {
    open.shared.receiving.view(job).map(|view| view.job.status)
}

pub fn refused(result: Result<Option<Standing>>) -> (Kind, Class) {
    let error = result.expect_err("it is refused");
    assert!(!error.outcome_unknown(), "{error}");
    (error.kind(), error.class())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_walks_the_receivers_table() {
    let house = House::new(Plugged::Loaded);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let Standing { job, status: first, .. } =
        tell(&mut *session, announce(1, Direction::Send)).await;
    assert_eq!((job.as_str(), first), ("PRDY011", Status::ReceiverWaiting));
    store(&mut *session).await;
    assert_eq!(status(&open, &job), Some(Status::ReceiverReceiving));
    verify(&mut *session).await;
    assert_eq!(status(&open, &job), Some(Status::ReceiverVerifying));
    publish(&mut *session).await;
    assert_eq!(status(&open, &job), Some(Status::ReceiverPublishing));
    for _ in 0..2 {
        let standing = tell(&mut *session, delivered(1, BYTES)).await;
        assert_eq!((&standing.job, standing.status), (&job, DONE));
    }
    assert_eq!(status(&open, &job), None, "it has left the register");
    assert_eq!(codes(&open, &job).await, ["02", "03", "04", "05", "06", "08", "00"]);
    // What is done is done, whatever is told late.
    for late in [announce(1, Direction::Send), withdraw(1)] {
        assert_eq!(tell(&mut *session, late).await.status, DONE);
    }
    let recorded = open.journal.job(&job).await.unwrap().unwrap();
    assert_eq!((recorded.state.published, recorded.state.size), (1, Some(BYTES.len() as u64)));
    let origin = recorded.spec.origin.clone().unwrap();
    assert_eq!((origin.visitor.as_str(), origin.of), ("BOTH", of(1)));
    house.log_line(" 0507I ").await;
    house.log_line(" 0203I ").await;
}

/// As before format 4 of the journal, whose keys had no mark.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_former_release_is_the_one_that_is_meant() {
    let house = House::new(Plugged::Loaded);
    let first = house.open().await;
    let visitor = "BOTH".parse().unwrap();
    let origin = Origin { visitor, instance: "suite".parse().unwrap(), of: of(1) };
    let key = format!("BOTH/suite/{}/1", of(1).job);
    let definition = "PRDY01".parse().unwrap();
    let files = ("", "a");
    let plain = JobSpec::plain(definition, "BOTH".parse().unwrap(), Direction::Send, files);
    let spec = JobSpec { key: Some(key), origin: Some(origin), ..plain };
    let known = first.journal.accept(vec![spec]).await.unwrap().remove(0);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    assert_eq!(tell(&mut *session, announce(1, Direction::Send)).await.job, known.id);
    store(&mut *session).await;
    publish(&mut *session).await;
    // Once it waits for its file, and twice it has ended.
    for _ in 0..3 {
        let standing = tell(&mut *session, delivered(1, BYTES)).await;
        assert_eq!((standing.job, standing.status), (known.id.clone(), DONE));
    }
    let standing = tell(&mut *session, announce(1, Direction::Send)).await;
    assert_eq!((standing.job, standing.status), (known.id, DONE));
}

/// This host dies at each status; the visitor comes again, and one job comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_takes_the_jobs_over() {
    for steps in 0..=3 {
        let house = House::new(Plugged::Linked);
        let open = house.open().await;
        let mut session = open.session(HOST, 1).await;
        let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
        if steps > 0 {
            store(&mut *session).await;
        }
        if steps > 1 {
            verify(&mut *session).await;
        }
        if steps > 2 {
            publish(&mut *session).await;
        }
        let before = status(&open, &job).unwrap();
        assert_eq!(before.code(), ["03", "04", "05", "06"][steps], "the death is at its place");
        // What was shown last is on its way to the disk.
        open.journal.check_ownership().await.unwrap();
        open.settle(&job).await;
        let successor = house.open().await;
        let mut again = successor.session(HOST, 1).await;
        if before == Status::ReceiverPublishing {
            assert_eq!(status(&successor, &job), Some(before));
        } else {
            assert_eq!(status(&successor, &job), Some(Status::ReceiverAnnounced));
            let standing = tell(&mut *again, announce(1, Direction::Send)).await;
            assert_eq!((&standing.job, standing.status), (&job, Status::ReceiverWaiting));
            store(&mut *again).await;
            publish(&mut *again).await;
        }
        let standing = tell(&mut *again, delivered(1, BYTES)).await;
        assert_eq!((standing.job, standing.status), (job.clone(), DONE), "from {before}");
        // The dead host's last answer does not count any more.
        assert!(session.tell(delivered(1, BYTES)).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_delivered_is_waited_for_again() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    verify(&mut *session).await;
    publish(&mut *session).await;
    let target = house.received().join("a");
    for other in [&b"short"[..], b"WHAT GOES THERE"] {
        fs::write(&target, other).unwrap();
        let standing = tell(&mut *session, delivered(1, BYTES)).await;
        assert_eq!((&standing.job, standing.status), (&job, Status::ReceiverAnnounced));
        let open_text = standing.open.unwrap();
        assert!(open_text.contains("bytes") || open_text.contains("hash"), "{open_text}");
        house.log_line(" 0508W ").await;
        // It is sent anew.
        let standing = tell(&mut *session, announce(1, Direction::Send)).await;
        assert_eq!(standing.status, Status::ReceiverWaiting);
        store(&mut *session).await;
        publish(&mut *session).await;
    }
    // Where there is no hash, the size says something all the same.
    let Notice::Delivered(what) = delivered(1, b"short") else { unreachable!() };
    let without_hash = Notice::Delivered(Delivery { digest: None, ..what });
    let standing = tell(&mut *session, without_hash).await;
    assert_eq!(standing.status, Status::ReceiverAnnounced, "{standing:?}");
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_taken_counts_as_delivered() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    publish(&mut *session).await;
    fs::remove_file(house.received().join("a")).unwrap();
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
    let entries = open.journal.entries(&job).await.unwrap();
    let taken = |note: &str| note.contains("has taken it");
    assert!(entries.iter().any(|e| e.note.as_deref().is_some_and(taken)), "{entries:?}");
}

/// A file that is stored under its own name at once is in place from there on, and that is on
/// record, whoever dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_direct_send_that_was_taken_counts_as_delivered() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    let refusal = refused(session.tell(delivered(1, BYTES)).await);
    assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }), "only a part is there");
    session.store(upload("a", 0, BYTES)).await.unwrap();
    assert_eq!(status(&open, &job), Some(Status::ReceiverPublishing));
    fs::remove_file(house.received().join("a")).unwrap();
    let successor = house.open().await;
    let mut session = successor.session(HOST, 1).await;
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_job_ends_and_can_be_announced_again() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    assert_eq!(session.tell(withdraw(1)).await.unwrap(), None, "nobody knows of it");
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    for _ in 0..2 {
        let standing = tell(&mut *session, withdraw(1)).await;
        assert_eq!(standing.status, FAILED);
        assert!(standing.open.unwrap().contains("no source"));
    }
    assert_eq!(status(&open, &job), None);
    house.log_line(" 0509W ").await;
    // The word that it withdraws may come late: it begins nothing.
    assert_eq!(tell(&mut *session, announce(1, Direction::Send)).await.status, FAILED);
    let again = tell(&mut *session, announce_start(1, 1, Direction::Send)).await;
    assert_eq!((&again.job, again.status), (&job, Status::ReceiverWaiting));
    assert_eq!(status(&open, &job), Some(Status::ReceiverWaiting));
    // So may the withdrawal: it is of what an operator has let go on since.
    assert_eq!(tell(&mut *session, withdraw(1)).await.status, Status::ReceiverWaiting);
    // One that is true does not keep a delivered file from being so.
    assert_eq!(tell(&mut *session, withdraw_start(1, 1)).await.status, FAILED);
    store(&mut *session).await;
    publish(&mut *session).await;
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_delivery_is_another_job() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let first = tell(&mut *session, announce(1, Direction::Send)).await.job;
    let second = tell(&mut *session, announce(2, Direction::Send)).await.job;
    assert_ne!(first, second);
    assert_eq!(open.journal.job(&first).await.unwrap().unwrap().status, FAILED);
    store(&mut *session).await;
    assert_eq!(status(&open, &second), Some(Status::ReceiverReceiving));
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_jobs_are_bounded() {
    let house = House::new(Plugged::Linked);
    house.limit_jobs(1);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    tell(&mut *session, announce(1, Direction::Send)).await;
    let Notice::Announce(what) = announce(1, Direction::Send) else { unreachable!() };
    let job = JobId::new(&"PRDY01".parse().unwrap(), RunNumber(5));
    let of = Reference { job, delivery: 1 };
    let more = Notice::Announce(Announcement { of, ..what });
    let refusal = refused(session.tell(more.clone()).await);
    assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }));
    // Known ones are no more.
    tell(&mut *session, announce(1, Direction::Send)).await;
    tell(&mut *session, withdraw(1)).await;
    tell(&mut *session, more).await;
}

/// The limit may be lower than what was taken on before; whoever asks is told the same each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_nothing_new_while_jobs_end() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let numbered = |run| {
        let job = JobId::new(&"PRDY01".parse().unwrap(), RunNumber(run));
        let Notice::Announce(what) = announce(1, Direction::Send) else { unreachable!() };
        Notice::Announce(Announcement { of: Reference { job, delivery: 1 }, ..what })
    };
    for run in 4..7 {
        tell(&mut *session, numbered(run)).await;
    }
    house.limit_jobs(1);
    open.reload(&house);
    let mut session = open.session(HOST, 1).await;
    let before = session.tell(numbered(7)).await.unwrap_err().to_string();
    tell(&mut *session, withdraw(1)).await;
    let after = session.tell(numbered(7)).await.unwrap_err().to_string();
    assert_eq!(before, after);
    assert!(after.contains("no more than 1 "), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_too_much() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut zombie = open.session(HOST, 1).await;
    let job = tell(&mut *zombie, announce(1, Direction::Send)).await.job;
    let mut owner = open.session(HOST, 2).await;
    let announced = |delivery| announce(delivery, Direction::Send);
    for notice in [announced(1), announced(2), delivered(1, BYTES), withdraw(1)] {
        assert_eq!(refused(zombie.tell(notice).await), (Kind::Fenced, Class::Permanent));
    }
    let there = open.journal.in_flight().await.unwrap();
    assert_eq!(there.iter().map(|job| &job.id).collect::<Vec<_>>(), [&job]);
    assert_eq!(status(&open, &job), Some(Status::ReceiverWaiting));
    // A job of another visitor is none of one's own.
    let mut other = open.session("sender.example", 1).await;
    assert_eq!(refused(other.tell(delivered(1, BYTES)).await), (Kind::NotFound, Class::Permanent));
    assert_eq!(tell(&mut *owner, announce(1, Direction::Send)).await.job, job);
}

/// What a known job needs is on the disk already, or most of it: a full disk ends no resume.
#[tokio::test(flavor = "multi_thread")]
async fn only_new_jobs_are_refused_for_lack_of_space() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let huge = || {
        let Notice::Announce(what) = announce(1, Direction::Send) else { unreachable!() };
        Notice::Announce(Announcement { size: Some(u64::MAX), ..what })
    };
    let refusal = refused(session.tell(huge()).await);
    assert_eq!(refusal, (Kind::Space, Class::Retryable { after: None }));
    tell(&mut *session, announce(1, Direction::Send)).await;
    assert_eq!(tell(&mut *session, huge()).await.status, Status::ReceiverWaiting);
    // Nor one that has ended and is announced again.
    tell(&mut *session, withdraw(1)).await;
    let again = announce_start(1, 1, Direction::Send);
    assert_eq!(tell(&mut *session, again).await.status, Status::ReceiverWaiting);
    store(&mut *session).await;
    publish(&mut *session).await;
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
    assert_eq!(tell(&mut *session, huge()).await.status, DONE);
}

/// The bytes come by FTP into a folder that this host can see.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_came_by_another_way_is_looked_at() {
    let house = House::new(Plugged::Linked);
    let folder = house.received().join("ftp");
    fs::create_dir(&folder).unwrap();
    let table = |visitor| {
        let id = "[[reception]]\nid = \"PRDY01\"\n";
        format!("{id}visitor = \"{visitor}\"\nfiles = \"received/ftp\"\n")
    };
    house.define(&(table("BOTH") + &table("FETCHER")));
    let open = house.open().await;
    let mut fetcher = open.session("fetcher.example", 1).await;
    let refusal = refused(fetcher.tell(announce(1, Direction::Send)).await);
    assert_eq!(refusal, (Kind::Denied, Class::Permanent), "it may not send, by whatever way");
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    let local = open.shared.receiving.view(&job).unwrap().job.local();
    assert_eq!(local, folder.join("a"));
    fs::write(&local, b"something else").unwrap();
    let standing = tell(&mut *session, delivered(1, BYTES)).await;
    assert_eq!(standing.status, Status::ReceiverAnnounced, "{standing:?}");
    fs::write(&local, BYTES).unwrap();
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
    assert_eq!(
        codes(&open, &job).await,
        ["02", "03", "01", "02", "03", "04", "05", "06", "08", "00"]
    );
    // Neither does a folder without the file tell of what was in it, nor one that is not there.
    tell(&mut *session, announce(2, Direction::Send)).await;
    fs::remove_file(&local).unwrap();
    let refusal = refused(session.tell(delivered(2, BYTES)).await);
    assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }));
    fs::remove_dir_all(&folder).unwrap();
    let refusal = refused(session.tell(delivered(2, BYTES)).await);
    assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_cancels_and_restarts_announced_jobs() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let receiving = &open.shared.receiving;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    let order = async |command| receiving.command(&job, command).await.expect("it is ours");
    order(Command::Hold).await.unwrap_err();
    let cancelled = order(Command::Cancel).await.unwrap();
    assert_eq!(cancelled.status, Status::ReceiverIdle(Outcome::Cancelled));
    order(Command::Cancel).await.unwrap_err();
    let restarted = order(Command::Restart { force: false }).await.unwrap();
    assert_eq!(restarted.status, Status::ReceiverAnnounced);
    let standing = tell(&mut *session, announce(1, Direction::Send)).await;
    assert_eq!((&standing.job, standing.status), (&job, Status::ReceiverWaiting));
    assert!(receiving.command(&of(9).job, Command::Cancel).await.is_none());
}

/// What a visitor sends us is no newer delivery of what we sent it.
#[tokio::test(flavor = "multi_thread")]
async fn a_received_file_does_not_overtake_an_own_job() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let own = open.journal.accept(vec![own()]).await.unwrap().remove(0);
    let (_, step) = own.step(&[Event::Cancel], None, |_| {}).unwrap();
    open.journal.queue(step).await.unwrap().await.unwrap();
    let mut session = open.session(HOST, 1).await;
    let newer = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    publish(&mut *session).await;
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
    let newer = open.journal.job(&newer).await.unwrap().unwrap();
    assert_eq!(
        (newer.remote(), newer.spec.partner.clone()),
        (own.remote(), own.spec.partner.clone())
    );
    assert!(newer.sequence > own.sequence && newer.state.published > 0);
    open.desk.command(&own.id, Command::Restart { force: false }).await.unwrap();
}
