//! Words that come twice, too late, or of what is not the visitor's; and what hearing one costs.

use std::{fs, time::Duration};

use ferryway_core::{
    Algorithm, Class, DefinitionId, Digest, Direction, Event, JobId, Kind, RunNumber, Status,
    notice::{Announcement, Delivery, Notice, Reference, Standing},
};
use ferryway_host::{
    control::{
        Operations,
        api::{Command, Reason, SubmitRequest},
    },
    journal::{JournalStore, record::JobSpec},
};
use tokio::time::{sleep, timeout};

use crate::{
    exits::{self, written},
    house::{House, LIMIT, Plugged, upload},
    notices::{
        BYTES, DONE, HOST, announce, delivered, own, publish, refused, store, tell, withdraw,
    },
};

/// What must not take long, on a loaded machine.
const SOON: Duration = Duration::from_secs(10);

/// Bytes of a file that nobody reads in the time of a test.
const HUGE_BYTES: u64 = 2 << 40;

/// A file of holes, and the two words for it.
fn huge(house: &House) -> [Notice; 2] {
    let file = fs::File::create(house.received().join("huge")).unwrap();
    file.set_len(HUGE_BYTES).unwrap();
    let definition: DefinitionId = "PRDY01".parse().unwrap();
    let of = Reference { job: JobId::new(&definition, RunNumber(5)), delivery: 1 };
    let path: ferryway_core::RemotePath = "huge".parse().unwrap();
    let digest = Some(Digest::from_bytes(Algorithm::Blake3, &[0; 32]));
    let delivery = Delivery { of: of.clone(), path: path.clone(), size: HUGE_BYTES, digest };
    let (direction, size) = (Direction::Send, None);
    let announcement =
        Announcement { of, start: 0, first: true, definition, direction, path, size };
    [Notice::Announce(announcement), Notice::Delivered(delivery)]
}

/// As when a session broke and the visitor comes with another one.
#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_one_announcement_at_once_are_one_job() {
    const ROUNDS: u32 = 20;
    let house = exits::house("exit 0", "exit 0");
    let open = house.open().await;
    let mut one = open.session(HOST, 1).await;
    let mut two = open.session(HOST, 1).await;
    for delivery in 1..=ROUNDS {
        let notice = || announce(delivery, Direction::Send);
        let (one, two) = tokio::join!(tell(&mut *one, notice()), tell(&mut *two, notice()));
        assert_eq!(one.job, two.job);
        exits::tell_until(&mut *open.session(HOST, 1).await, notice(), Status::ReceiverWaiting)
            .await;
        assert_eq!(written(&house, "pre").len(), delivery as usize, "its exit runs once");
    }
    assert_eq!(open.journal.in_flight().await.unwrap().len(), 1, "former ones have ended");
}

/// What is new costs the same however much was received before: no file of the history is opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_announcement_reads_no_history() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let unreadable = house.path().join("journal/hist/202001.9.db");
    fs::write(&unreadable, "no database").unwrap();
    let refusal = refused(session.tell(announce(1, Direction::Send)).await);
    assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }), "it looks there");
    let Notice::Announce(what) = announce(1, Direction::Send) else { unreachable!() };
    let first = Notice::Announce(Announcement { first: true, ..what });
    let job = tell(&mut *session, first.clone()).await.job;
    // Nor does what is known.
    for notice in [first, announce(1, Direction::Send)] {
        assert_eq!(tell(&mut *session, notice).await.job, job);
    }
    store(&mut *session).await;
    publish(&mut *session).await;
    for notice in [delivered(1, BYTES), delivered(1, BYTES), announce(1, Direction::Send)] {
        let standing = tell(&mut *session, notice).await;
        assert_eq!((&standing.job, standing.status), (&job, DONE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_operators_and_of_visitors_never_meet() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let key = Some("BOTH/suite/PRDY014/1".to_owned());
    let own = open.journal.accept(vec![JobSpec { key, ..own() }]).await.unwrap().remove(0);
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    assert_ne!(job, own.id);
    let key = open.journal.job(&job).await.unwrap().unwrap().spec.key.clone();
    let definition = "OWN01".parse().unwrap();
    let request = SubmitRequest { definition, local: None, remote: None, key: key.clone() };
    let refusal = open.desk.submit(vec![request]).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Invalid);
    assert!(refusal.message.contains(&key.unwrap()), "{refusal:?}");
}

/// Its session ends soon; until then it is not listened to.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_shown_out_tells_nothing() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    tell(&mut *session, announce(1, Direction::Send)).await;
    house.limit_jobs(5);
    open.reload(&house);
    for notice in [announce(2, Direction::Send), withdraw(1), Notice::Back] {
        // It hears the same as of any other operation: there is no session, another may be opened.
        let other = session.ping().await.unwrap_err();
        let error = session.tell(notice).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (other.kind(), other.class()), "{error}");
    }
    let jobs = open.journal.in_flight().await.unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let mut session = open.session(HOST, 1).await;
    tell(&mut *session, announce(2, Direction::Send)).await;
}

/// A line for each visitor and cause, however often it tries.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_hears_once_of_each_kind_of_overreach() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    std::os::unix::fs::symlink("/etc", house.received().join("link")).unwrap();
    for _ in 0..3 {
        for host in [HOST, "sender.example"] {
            let mut session = open.session(host, 1).await;
            for path in ["/etc/passwd", "/root/x", "link/passwd"] {
                session.stat(path.parse().unwrap()).await.unwrap_err();
                session.store(upload(path, 0, BYTES)).await.unwrap_err();
            }
        }
        let mut session = open.session("fetcher.example", 1).await;
        session.store(upload("a", 0, BYTES)).await.unwrap_err();
        session.tell(announce(1, Direction::Send)).await.unwrap_err();
    }
    // What comes last is written last.
    let mut session = open.session("sender.example", 2).await;
    session.ping().await.unwrap();
    house.log_line("Epoch(2)").await;
    let log = house.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" 0510W ")).collect();
    let of = |visitor: &str, words: &str| {
        let said = format!("Visitor({visitor})");
        lines.iter().filter(|line| line.contains(&said) && line.contains(words)).count()
    };
    for visitor in ["BOTH", "SENDER"] {
        assert_eq!((of(visitor, "outside of"), of(visitor, "symbolic link")), (1, 1), "{log}");
    }
    assert_eq!((of("FETCHER", "may not send"), lines.len()), (1, 5), "{log}");
}

/// Where its exit could not start, nobody reads a whole file.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_compared_when_its_exit_has_a_place() {
    let house = exits::house("exit 0", "until [ -e received/go ]; do sleep 0.02; done");
    house.configure("[limits]\njobs = 1\n");
    let open = house.open().await;
    let mut busy = open.session(HOST, 1).await;
    tell(&mut *busy, announce(1, Direction::Send)).await;
    let mut session = open.session(HOST, 1).await;
    let [announcement, delivery] = huge(&house);
    exits::tell_until(&mut *session, announcement, Status::ReceiverWaiting).await;
    store(&mut *busy).await;
    publish(&mut *busy).await;
    let busy = tokio::spawn(async move { busy.tell(delivered(1, BYTES)).await });
    exits::await_runs(&house, "post", 1).await;
    let told = timeout(SOON, session.tell(delivery)).await.expect("nobody reads the file");
    assert_eq!(refused(told), (Kind::Refused, Class::Retryable { after: None }));
    fs::write(house.received().join("go"), b"").unwrap();
    let standing = busy.await.unwrap().unwrap().expect("a job");
    assert_eq!(standing.status, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_does_not_wait_while_a_file_is_compared() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let [announcement, delivery] = huge(&house);
    let job = tell(&mut *session, announcement).await.job;
    let comparing = tokio::spawn(async move { session.tell(delivery).await });
    let order = async |command| {
        let done = timeout(SOON, open.shared.receiving.command(&job, command)).await;
        done.expect("the order hangs").expect("it is ours").unwrap_err()
    };
    // No job of a visitor can be held: until it is compared, that is the answer.
    while !order(Command::Hold).await.message.contains("compared") {
        sleep(Duration::from_millis(2)).await;
    }
    let refusal = order(Command::Cancel).await;
    assert_eq!(refusal.reason, Reason::Conflict);
    assert!(refusal.message.contains(job.as_str()), "{refusal:?}");
    comparing.abort();
}

/// Its visitor has been told by its operator not to wait: nobody will ask how the exit ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_job_that_nobody_asks_for_ends_by_itself() {
    let house = exits::house("exit 0", "until [ -e received/go ]; do sleep 0.02; done");
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    publish(&mut *session).await;
    let asking = tokio::spawn(async move { session.tell(delivered(1, BYTES)).await });
    exits::await_runs(&house, "post", 1).await;
    asking.abort();
    let mut session = open.session(HOST, 1).await;
    let Standing { status, .. } = tell(&mut *session, withdraw(1)).await;
    assert_eq!(status, Status::ReceiverPostExit, "what runs comes to its end");
    fs::write(house.received().join("go"), b"").unwrap();
    // Its end is durable a moment before it leaves the register.
    let ended = async {
        while open.shared.receiving.count() > 0 {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LIMIT, ended).await.expect("it ends");
    assert_eq!(open.journal.job(&job).await.unwrap().unwrap().status, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_to_be_asked_ends_when_nobody_will() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    publish(&mut *session).await;
    // As it stands on record when the host dies before its answer.
    let recorded = open.journal.job(&job).await.unwrap().unwrap();
    let (_, step) = recorded.step(&[Event::Published], None, |_| {}).unwrap();
    open.journal.queue(step).await.unwrap().await.unwrap();
    let successor = house.open().await;
    let mut session = successor.session(HOST, 1).await;
    assert_eq!(tell(&mut *session, withdraw(1)).await.status, DONE);
    assert_eq!(successor.shared.receiving.count(), 0);
}
