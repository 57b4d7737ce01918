//! The user's programs around what a visitor announces.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use ferryway_core::{
    Class, Direction, Event, JobId, Kind, Outcome, RemotePath, RunNumber, Status,
    notice::{Announcement, Delivery, Notice, Reference, Standing},
    transport::Session,
};
use ferryway_host::{
    control::api::Command,
    journal::{
        JournalStore,
        record::{Job, JobState},
    },
};
use tokio::time::{sleep, timeout};

use crate::{
    house::{House, LIMIT, Plugged},
    notices::{
        BYTES, DONE, FAILED, HOST, announce, announce_start, delivered, publish, refused, store,
        tell, withdraw,
    },
};

const CONFIRMING: Status = Status::ReceiverConfirming;

/// A house with exits around what it receives: each writes a line into `runs` with its run,
/// file and key, and then does what `pre` and `post` say.
pub fn house(pre: &str, post: &str) -> House {
    let house = House::new(Plugged::Linked);
    let mut reception = "[[reception]]\nid = \"PRDY01\"\nvisitor = \"BOTH\"\n".to_owned();
    for (exit, then) in [("pre", pre), ("post", post)] {
        let program = house.received().join(format!("{exit}.sh"));
        let runs = runs(&house, exit);
        let line = "${FERRYWAY_EXIT_RUN} ${FERRYWAY_LOCAL-nowhere} ${FERRYWAY_EXIT_KEY}";
        let text = format!("#!/bin/sh\necho \"{line}\" >> {}\n{then}\n", runs.display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let program = program.display();
        let table = format!("[reception.{exit}_exit]\ncommand = [\"{program}\"]\ntimeout_s = 60\n");
        reception.push_str(&table);
        if exit == "post" {
            reception.push_str("on_takeover = \"rerun\"\n");
        }
    }
    house.define(&reception);
    house
}

fn runs(house: &House, exit: &str) -> PathBuf {
    house.received().join(format!("{exit}.runs"))
}

/// What the exit wrote, a line for each run.
pub fn written(house: &House, exit: &str) -> Vec<String> {
    let text = fs::read_to_string(runs(house, exit)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits until the exit has started so often.
pub async fn await_runs(house: &House, exit: &str, runs: usize) {
    let started = Instant::now();
    while written(house, exit).len() < runs {
        assert!(started.elapsed() < LIMIT, "the exit does not start");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Asks until the job is where it is to come to.
pub async fn tell_until(session: &mut dyn Session, notice: Notice, wanted: Status) {
    let started = Instant::now();
    loop {
        let standing = tell(session, notice.clone()).await;
        if standing.status == wanted {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{standing:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Whenever the visitor leaves while its word is heard, whoever comes next brings the job to its
/// end, and each exit has run.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_that_leaves_in_the_middle_of_its_word_wedges_nothing() {
    let house = house("exit 0", "exit 0");
    let open = house.open().await;
    let (mut cut, mut delivery) = (0, 0);
    for moment in (0..12_000).step_by(400).map(Duration::from_micros) {
        delivery += 1;
        let mut leaves = open.session(HOST, 1).await;
        let told = timeout(moment, leaves.tell(announce(delivery, Direction::Send))).await;
        cut += u32::from(told.is_err());
        drop(leaves);
        let mut session = open.session(HOST, 1).await;
        let announced = announce(delivery, Direction::Send);
        tell_until(&mut *session, announced, Status::ReceiverWaiting).await;
        store(&mut *session).await;
        publish(&mut *session).await;
        let told = timeout(moment, session.tell(delivered(delivery, BYTES))).await;
        cut += u32::from(told.is_err());
        drop(session);
        let mut session = open.session(HOST, 1).await;
        tell_until(&mut *session, delivered(delivery, BYTES), DONE).await;
    }
    assert!(cut > 2, "nobody left too early");
    assert_eq!(written(&house, "pre").len(), delivery as usize);
    assert_eq!(written(&house, "post").len(), delivery as usize);
    assert_eq!(open.shared.receiving.count(), 0, "all have left the register");
}

/// A visitor chooses neither a file outside of the folders for an exit, nor another one than it
/// announced, nor what it may not do.
#[tokio::test(flavor = "multi_thread")]
async fn an_exit_is_told_of_no_file_but_the_announced_one_within_the_folders() {
    let house = house("exit 0", "exit 0");
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let Notice::Announce(what) = announce(1, Direction::Send) else { unreachable!() };
    let outside: RemotePath = "/etc/passwd".parse().unwrap();
    let notice = Notice::Announce(Announcement { path: outside.clone(), ..what });
    let job = tell(&mut *session, notice).await.job;
    // Its word alone puts no other file in the place of the announced one.
    let refusal = refused(session.tell(delivered(1, BYTES)).await);
    assert_eq!(refusal, (Kind::Unavailable, Class::Permanent));
    assert!(written(&house, "post").is_empty());
    let Notice::Delivered(what) = delivered(1, BYTES) else { unreachable!() };
    let notice = Notice::Delivered(Delivery { path: outside, ..what });
    assert_eq!(tell(&mut *session, notice).await.status, DONE);
    for exit in ["pre", "post"] {
        assert_eq!(written(&house, exit), [format!("1 nowhere day/{job}/1/{exit}")]);
    }
    // Where the file can be seen it is looked at, whatever came from here.
    let job = tell(&mut *session, announce(2, Direction::Send)).await.job;
    fs::write(house.received().join("a"), b"something else").unwrap();
    let standing = tell(&mut *session, delivered(2, BYTES)).await;
    assert_eq!((standing.job, standing.status), (job.clone(), Status::ReceiverAnnounced));
    fs::write(house.received().join("a"), BYTES).unwrap();
    assert_eq!(tell(&mut *session, delivered(2, BYTES)).await.status, DONE);
    let file = house.received().join("a");
    let run = format!("1 {} day/{job}/1/post", file.display());
    assert_eq!(written(&house, "post").last(), Some(&run));
    let mut fetcher = open.session("fetcher.example", 1).await;
    let refusal = refused(fetcher.tell(announce(1, Direction::Send)).await);
    assert_eq!(refusal, (Kind::Denied, Class::Permanent));
}

/// More post-exits than may run at once are to run again after a takeover: each has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn every_exit_runs_again_after_a_takeover_however_many_there_are() {
    const JOBS: u64 = 4;
    let house = house("exit 0", "exit 0");
    house.configure("[limits]\njobs = 1\n");
    let open = house.open().await;
    let mut jobs = Vec::new();
    for run in 1..=JOBS {
        let mut session = open.session(HOST, 1).await;
        let Notice::Announce(what) = announce(1, Direction::Send) else { unreachable!() };
        let of = Reference { job: JobId::new(&what.definition, RunNumber(run)), delivery: 1 };
        let notice = Notice::Announce(Announcement { of, ..what });
        let job = tell(&mut *session, notice).await.job;
        store(&mut *session).await;
        publish(&mut *session).await;
        // As it stands on record when the host dies in the exit.
        let recorded = open.journal.job(&job).await.unwrap().unwrap();
        let begin = |state: &mut JobState| state.post_exit.starts = 1;
        let (next, step) = recorded.step(&[Event::StartExit], None, begin).unwrap();
        open.journal.queue(step).await.unwrap().await.unwrap();
        jobs.push(next);
    }
    let successor = house.open().await;
    let started = Instant::now();
    while successor.journal.in_flight().await.unwrap().iter().any(|j| j.status != CONFIRMING) {
        assert!(started.elapsed() < LIMIT, "{:?}", written(&house, "post"));
        sleep(Duration::from_millis(2)).await;
    }
    let mut ran = written(&house, "post");
    ran.sort();
    let file = house.received().join("a");
    let run = |job: &Job| format!("2 {} day/{}/1/post", file.display(), job.id);
    assert_eq!(ran, jobs.iter().map(run).collect::<Vec<_>>());
}

/// A job is not given up while its exit runs: nothing of another delivery starts beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_given_up_while_its_exit_runs() {
    let house = house("until [ -e received/go ]; do sleep 0.02; done", "exit 0");
    let open = house.open().await;
    let mut first = open.session(HOST, 1).await;
    let first = tokio::spawn(async move { first.tell(announce(1, Direction::Send)).await });
    await_runs(&house, "pre", 1).await;
    let mut session = open.session(HOST, 1).await;
    for notice in [withdraw(1), announce(2, Direction::Send)] {
        let refusal = refused(session.tell(notice).await);
        assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }));
    }
    // Who asks again does not wait with it, and leaves its session to others.
    let asked = Instant::now();
    let standing = tell(&mut *session, announce(1, Direction::Send)).await;
    assert_eq!(standing.status, Status::ReceiverPreparing);
    assert!(asked.elapsed() < Duration::from_secs(8), "it waited with the exit");
    fs::write(house.received().join("go"), b"").unwrap();
    let standing = first.await.unwrap().unwrap().expect("a job");
    assert_eq!((standing.status, written(&house, "pre").len()), (Status::ReceiverWaiting, 1));
    assert_eq!(tell(&mut *session, withdraw(1)).await.status, FAILED);
    assert_eq!(open.shared.receiving.count(), 0);
}

/// A visitor that knows of its delivery announces it to a host that knows nothing of it, and does not
/// wait for the pre-exit: nothing starts beside that.
#[tokio::test(flavor = "multi_thread")]
async fn no_post_exit_starts_while_the_pre_exit_runs() {
    let house = house("until [ -e received/go ]; do sleep 0.02; done", "exit 0");
    let open = house.open().await;
    fs::write(house.received().join("a"), BYTES).unwrap();
    let mut first = open.session(HOST, 1).await;
    let first = tokio::spawn(async move { first.tell(announce(1, Direction::Send)).await });
    await_runs(&house, "pre", 1).await;
    let mut session = open.session(HOST, 1).await;
    let refusal = refused(session.tell(delivered(1, BYTES)).await);
    assert_eq!(refusal, (Kind::Refused, Class::Retryable { after: None }));
    assert!(written(&house, "post").is_empty());
    fs::write(house.received().join("go"), b"").unwrap();
    let standing = first.await.unwrap().unwrap().expect("a job");
    assert_eq!(standing.status, Status::ReceiverWaiting);
    assert_eq!(tell(&mut *session, delivered(1, BYTES)).await.status, DONE);
    assert_eq!((written(&house, "pre").len(), written(&house, "post").len()), (1, 1));
}

/// Whoever watches a job come to its post-exit sees that it runs, also while its start is still on
/// its way to the disk: it waits for no operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_exit_that_starts_does_not_wait_for_an_operator() {
    let house = house("exit 0", "exit 0");
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    store(&mut *session).await;
    publish(&mut *session).await;
    open.settle(&job).await;
    let held = house.disk.lock().await;
    let told = tokio::spawn(async move { session.tell(delivered(1, BYTES)).await });
    let started = Instant::now();
    let view = loop {
        let view = open.shared.receiving.view(&job).unwrap();
        if view.job.status == Status::ReceiverPostExit {
            break view;
        }
        assert!(started.elapsed() < LIMIT, "{view:?}");
        sleep(Duration::from_millis(2)).await;
    };
    assert!(!view.at_rest, "{view:?}");
    drop(held);
    assert_eq!(told.await.unwrap().unwrap().expect("a job").status, DONE);
}

/// A failed pre-exit is on record: it runs again when an operator of either side says so, whether
/// a withdrawal was heard or not, and not because it is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_pre_exit_does_not_run_again_by_itself() {
    let house = house("[ -e received/right ]", "exit 0");
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    for _ in 0..2 {
        let standing = tell(&mut *session, announce(1, Direction::Send)).await;
        assert_eq!(standing.status, FAILED);
        assert!(standing.open.unwrap().contains("exit code 1"));
        assert_eq!(written(&house, "pre").len(), 1);
    }
    assert_eq!(tell(&mut *session, withdraw(1)).await.status, FAILED);
    assert_eq!(tell(&mut *session, announce(1, Direction::Send)).await.status, FAILED);
    assert_eq!(written(&house, "pre").len(), 1);
    let once_more = announce_start(1, 1, Direction::Send);
    let Standing { job, status, .. } = tell(&mut *session, once_more.clone()).await;
    assert_eq!((status, written(&house, "pre").len()), (FAILED, 2));
    fs::write(house.received().join("right"), b"").unwrap();
    for late in [announce(1, Direction::Send), once_more.clone()] {
        assert_eq!(tell(&mut *session, late).await.status, FAILED);
    }
    let restart = Command::Restart { force: false };
    open.shared.receiving.command(&job, restart).await.expect("it is ours").unwrap();
    let standing = tell(&mut *session, once_more).await;
    assert_eq!((standing.job, standing.status), (job, Status::ReceiverWaiting));
    assert_eq!(written(&house, "pre").len(), 3);
}

/// What an operator cancelled stays so until the visitor's operator lets its own go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_does_not_come_back_by_itself() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    let job = tell(&mut *session, announce(1, Direction::Send)).await.job;
    open.shared.receiving.command(&job, Command::Cancel).await.expect("it is ours").unwrap();
    let cancelled = Status::ReceiverIdle(Outcome::Cancelled);
    for notice in [announce(1, Direction::Send), withdraw(1), announce(1, Direction::Send)] {
        assert_eq!(tell(&mut *session, notice).await.status, cancelled);
    }
    let standing = tell(&mut *session, announce_start(1, 1, Direction::Send)).await;
    assert_eq!((standing.job, standing.status), (job, Status::ReceiverWaiting));
}
