//! What became of an intent to publish: found out by its token, never guessed.

use std::time::Duration;

use ferryway_core::{Kind, Operation, Outcome, Status, transport::Rename};
use ferryway_host::{
    control::{
        Operations,
        api::{Command, SubmitRequest},
    },
    journal::{JournalStore, record::Job},
};
use tokio::time::timeout;

use crate::{
    lab::{LIMIT, Lab, Node, Setup, TARGET, content},
    wire::{Act, Done, Point, When, Wire},
};

const PARTIAL: &str = "in/.ferryway/night.BANK/e1/PRDY011.a1.part";

/// Where the successor puts the folder of the first epoch.
const REFUGE: &str = "in/.ferryway/night.BANK/e2.from-e1.1";

/// How often something was stored that is part of a job.
fn sent(lab: &Lab) -> usize {
    let entries = lab.log.entries();
    entries.iter().filter(|d| d.operation == Operation::Store && d.path.ends_with("part")).count()
}

/// Brings a job to an open intent, whose rename was or was not performed, and lets its node die.
async fn dies_publishing(lab: &Lab, act: Act) -> Job {
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Rename, "a1.part"), act);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    node.dies().await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_rename_sends_nothing_again() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let wire = lab.wire("n1");
        let point = wire.plan(When::On(Operation::Rename, "a1.part"), Act::Lose);
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        node.rest(&job.id).await;
        assert_eq!(point.fired(), 1);
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!((result, sent(&lab)), (Ok(()), 1), "{}", lab.log.print());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_consumer_took_away_counts_as_published() {
    for staging in ["folder", "beside"] {
        for lists_hidden in [true, false] {
            let lab = Lab::new(Setup { staging, lists_hidden, ..Setup::default() });
            let job = dies_publishing(&lab, Act::DieAfter).await;
            lab.consume().await;
            counts_as_published(&lab, &job, lab.start("n2").await).await;
        }
    }
}

/// A clean stop leaves what the intent needs to be settled, though nothing else is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_leaves_the_witness_of_an_open_intent() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let wire = lab.wire("n1");
        let renamed = wire.plan(When::On(Operation::Rename, "a1.part"), Act::PauseAfter);
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        renamed.strikes().await;
        node.stop().await;
        lab.consume().await;
        counts_as_published(&lab, &job, lab.start("n2").await).await;
    }
}

async fn counts_as_published(lab: &Lab, job: &Job, node: Node) {
    let job = node.rest(&job.id).await;
    let print = || format!("{:?}\n{}", lab.setup, lab.log.print());
    assert_eq!(job.status, Status::Idle(Outcome::Completed), "{}", print());
    assert_eq!(job.state.published, 1);
    assert_eq!((lab.partner.bytes(TARGET), sent(lab)), (None, 1), "{}", print());
    assert_eq!(lab.published(1), Ok(()));
    assert_eq!(node.quiet().await.and(lab.tidy()), Ok(()), "{}", print());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_published_without_its_source() {
    let lab = Lab::new(Setup::default());
    let job = dies_publishing(&lab, Act::DieBefore).await;
    std::fs::remove_file(lab.local()).unwrap();
    let node = lab.start("n2").await;
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!((result, sent(&lab)), (Ok(()), 1), "{}", lab.log.print());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_is_not_absent() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let job = dies_publishing(&lab, Act::DieBefore).await;
        let wire = lab.wire("n2");
        let refused = Act::Refuse(550, Kind::Unavailable);
        let points: Vec<_> =
            (0..3).map(|_| wire.plan(When::On(Operation::Rename, "a1.part"), refused)).collect();
        let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert!(points.iter().all(|point| point.fired() == 1), "{}", lab.log.print());
        assert_eq!((result, sent(&lab)), (Ok(()), 1), "{}", lab.log.print());
    }
}

/// A partner that replaces files refuses a rename because something holds the file: the old
/// target stays where it is. Whether it replaces is found out once, where it does not say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_does_not_move_the_old_target() {
    for staging in ["folder", "beside"] {
        for (rename, probes) in [(Rename::Replaces, 0), (Rename::Unknown, 1)] {
            let lab = Lab::new(Setup { staging, rename, old_target: true, ..Setup::default() });
            let (wire, refused) = (lab.wire("n1"), Act::Refuse(550, Kind::Unavailable));
            let held = ["a1.part", "a2.part"];
            let points = held.map(|name| wire.plan(When::On(Operation::Rename, name), refused));
            let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
            let job = node.submit().await.unwrap();
            node.rest(&job.id).await;
            let result = lab.check(&node, &[job]).await;
            node.stop().await;
            assert!(points.iter().all(|point| point.fired() == 1), "{}", lab.log.print());
            assert_eq!((result, sent(&lab)), (Ok(()), 1), "{}", lab.log.print());
            let renamed = |d: &&Done| d.operation == Operation::Rename;
            let entries = lab.log.entries();
            let moved = entries.iter().filter(renamed).filter(|done| done.path == TARGET).count();
            let probed = entries.iter().filter(renamed).filter(|d| d.path.ends_with(".from"));
            assert_eq!((moved, probed.count()), (0, probes), "{}", lab.log.print());
        }
    }
}

/// What refuses the two empty files of the probe, or their rename, need not be the partner's way
/// with existing files. Nothing is learned of it, nothing stays, and the job goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_is_refused_teaches_nothing() {
    let refused = |code, kind, operation, names: &[&'static str]| {
        let plan = |name| (When::On(operation, name), Act::Refuse(code, kind));
        names.iter().map(|name| plan(name)).collect::<Vec<_>>()
    };
    use Operation::{Remove, Rename as Move, Store};
    // What is refused, how many renames of the probe there are, and whether the partner is
    // taken for one that replaces no file.
    let cases = [
        (refused(450, Kind::Unavailable, Move, &[".from", ".from"]), 3, false),
        (refused(550, Kind::Denied, Store, &[".from"]), 1, false),
        (refused(550, Kind::Denied, Store, &[".onto"]), 1, false),
        (refused(550, Kind::Denied, Remove, &[".onto"]), 1, false),
        (refused(550, Kind::Unavailable, Move, &[".from"]), 2, true),
    ];
    for (plans, probes, displaces) in cases {
        let rename = Rename::Unknown;
        let lab = Lab::new(Setup { rename, old_target: true, ..Setup::default() });
        let wire = lab.wire("n1");
        let mut points: Vec<_> =
            plans.iter().map(|(when, act)| wire.plan(when.clone(), *act)).collect();
        for name in ["a1.part", "a2.part"] {
            let refused = Act::Refuse(550, Kind::Unavailable);
            // After a learned refusal there is no second try to be refused.
            if !displaces || name == "a1.part" {
                points.push(wire.plan(When::On(Operation::Rename, name), refused));
            }
        }
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        let print = || format!("{plans:?}\n{}", lab.log.print());
        assert_eq!((result, sent(&lab)), (Ok(()), 1), "{}", print());
        assert!(points.iter().all(|point| point.fired() == 1), "{}", print());
        let entries = lab.log.entries();
        let renamed = |end| {
            let moves = entries.iter().filter(|done| done.operation == Operation::Rename);
            moves.filter(|done: &&Done| done.path.ends_with(end)).count()
        };
        assert_eq!(renamed(".from"), probes, "{}", print());
        assert_eq!(renamed(TARGET) > 0, displaces, "{}", print());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_rename_suspends_the_job_when_its_retries_are_used_up() {
    let lab = Lab::new(Setup { retries: 2, old_target: true, ..Setup::default() });
    let (wire, refused) = (lab.wire("n1"), Act::Refuse(550, Kind::Unavailable));
    // The first try and two more.
    let names = ["a1.part", "a2.part", "a3.part"];
    let points = names.map(|name| wire.plan(When::On(Operation::Rename, name), refused));
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    let suspended = node.rest(&job.id).await;
    assert_eq!(suspended.status, Status::Suspended, "{}", lab.log.print());
    assert!(points.iter().all(|point| point.fired() == 1), "{}", lab.log.print());
    assert_eq!(lab.target(b"the old report"), Ok(()));
    node.command(&job.id, Command::Release).await.unwrap();
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!((result, sent(&lab)), (Ok(()), 1), "{}", lab.log.print());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shortened_token_is_never_published() {
    for (staging, partial) in [("folder", PARTIAL), ("beside", "in/.report.csv.PRDY011.e1.a1.part")]
    {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let job = dies_publishing(&lab, Act::DieBefore).await;
        let bytes = lab.partner.bytes(partial).unwrap();
        lab.partner.put(partial, &bytes[..1000]);
        let node = lab.start("n2").await;
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!((result, sent(&lab)), (Ok(()), 2), "{}", lab.log.print());
    }
}

/// The answer to the move of the folder is lost, so the token lies under a name that only the
/// record of the folder tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_moved_folder_is_found() {
    let lab = Lab::new(Setup::default());
    let job = dies_publishing(&lab, Act::DieBefore).await;
    let wire = lab.wire("n2");
    let point = wire.plan(When::On(Operation::Rename, "night.BANK/e1"), Act::Lose);
    let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(point.fired(), 1);
    assert_eq!(result, Ok(()), "{}", lab.log.print());
    assert!(lab.log.print().contains(&format!("night.BANK/e1 -> {REFUGE}: ok")));
}

/// A partner that loses its power undoes the last rename: the file is under its former name
/// again, and the old target is back.
fn undo_the_rename(lab: &Lab, partial: &str) {
    lab.partner.put(partial, content(1, lab.setup.size));
    lab.partner.put(TARGET, *b"the old report");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_that_does_not_last_is_made_again() {
    for (staging, partial) in [("folder", PARTIAL), ("beside", "in/.report.csv.PRDY011.e1.a1.part")]
    {
        let base = Setup { old_target: true, settle_delay: 1, ..Setup::default() };
        let lab = Lab::new(Setup { staging, ..base });
        let wire = lab.wire("n1");
        let renamed = wire.plan(When::On(Operation::Rename, "a1.part"), Act::PauseAfter);
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        renamed.strikes().await;
        undo_the_rename(&lab, partial);
        renamed.release();
        settles_after_all(&lab, &job, node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_waits_for_the_settle_delay_too() {
    let lab = Lab::new(Setup { old_target: true, settle_delay: 1, ..Setup::default() });
    let job = dies_publishing(&lab, Act::DieAfter).await;
    let wire = lab.wire("n2");
    let looked = wire.plan(When::On(Operation::List, REFUGE), Act::PauseAfter);
    let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
    looked.strikes().await;
    undo_the_rename(&lab, &format!("{REFUGE}/PRDY011.a1.part"));
    looked.release();
    settles_after_all(&lab, &job, node).await;
}

/// The successor moves the token before it publishes it; a loss of power undoes both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_come_back_under_an_older_name() {
    let lab = Lab::new(Setup { old_target: true, settle_delay: 1, ..Setup::default() });
    let job = dies_publishing(&lab, Act::DieBefore).await;
    let wire = lab.wire("n2");
    let renamed = wire.plan(When::On(Operation::Rename, "e2/PRDY011.a2.part"), Act::PauseAfter);
    let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
    renamed.strikes().await;
    undo_the_rename(&lab, &format!("{REFUGE}/PRDY011.a1.part"));
    renamed.release();
    settles_after_all(&lab, &job, node).await;
}

/// A partner that lets us make neither a folder nor a mark.
fn takes_no_witness(wire: &Wire) -> [Point; 2] {
    let refused = Act::Refuse(550, Kind::Denied);
    [(Operation::MakeFolder, "in/.ferryway"), (Operation::Store, "in/.ferryway.")]
        .map(|(operation, path)| wire.plan(When::Every(operation, path), refused))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_witness_a_consumer_may_take_the_target_within_the_settle_delay() {
    let lab = Lab::new(Setup { settle_delay: 1, ..Setup::default() });
    let wire = lab.wire("n1");
    let refusals = takes_no_witness(&wire);
    let renamed = wire.plan(When::On(Operation::Rename, "a1.part"), Act::PauseAfter);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    renamed.strikes().await;
    lab.consume().await;
    renamed.release();
    assert!(refusals.iter().all(|point| point.fired() > 0), "{}", lab.log.print());
    counts_as_published(&lab, &job, node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_witness_a_token_that_is_back_is_published_again() {
    let lab = Lab::new(Setup { old_target: true, settle_delay: 1, ..Setup::default() });
    let wire = lab.wire("n1");
    let refusals = takes_no_witness(&wire);
    let renamed = wire.plan(When::On(Operation::Rename, "a1.part"), Act::PauseAfter);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    renamed.strikes().await;
    undo_the_rename(&lab, "in/.report.csv.PRDY011.e1.a1.part");
    renamed.release();
    assert!(refusals.iter().all(|point| point.fired() > 0), "{}", lab.log.print());
    settles_after_all(&lab, &job, node).await;
}

/// Longer than a session is trusted to be alive without a sign of it.
const LONG_DELAY: u64 = 6;

/// How often a node connected.
fn connects(lab: &Lab, name: &str) -> usize {
    let entries = lab.log.entries();
    entries.iter().filter(|d| d.operation == Operation::Connect && d.node == name).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_may_close_an_idle_session_within_the_settle_delay() {
    for owner in ["n1", "n2"] {
        let lab = Lab::new(Setup { settle_delay: LONG_DELAY, retries: 0, ..Setup::default() });
        let wire = lab.wire(owner);
        wire.closes_idle(Duration::from_secs(LONG_DELAY / 2));
        let (node, job) = match owner {
            "n1" => {
                let node = lab.start_with(wire, owner, Default::default()).await.unwrap();
                let job = node.submit().await.unwrap();
                (node, job)
            }
            _ => {
                let job = dies_publishing(&lab, Act::DieAfter).await;
                (lab.start_with(wire, owner, Default::default()).await.unwrap(), job)
            }
        };
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        let found = (result, sent(&lab), connects(&lab, owner));
        assert_eq!(found, (Ok(()), 1, 2), "{owner}\n{}", lab.log.print());
    }
}

/// Where a job renames from `path`, which is not held up.
fn passes(wire: &Wire, path: &'static str) -> Point {
    let point = wire.plan(When::On(Operation::Rename, path), Act::PauseAfter);
    point.release();
    point
}

async fn struck(lab: &Lab, point: &Point) {
    let strikes = timeout(LIMIT, point.strikes()).await;
    assert!(strikes.is_ok(), "{}", lab.log.print());
}

/// Sends the source to a target of its own.
async fn submit_to(node: &Node, remote: &str) {
    let (definition, local) = ("PRDY01".parse().unwrap(), Some("report.csv".into()));
    let request = SubmitRequest { definition, local, remote: Some(remote.to_owned()), key: None };
    node.desk.submit(vec![request]).await.unwrap();
}

/// The delay never ends here: whatever another job does with the only session, it does
/// meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_its_settle_delay_holds_no_session() {
    let lab = Lab::new(Setup { settle_delay: 3600, sessions: 1, ..Setup::default() });
    let wire = lab.wire("n1");
    let [first, second] = ["PRDY011.a1", "PRDY012.a1"].map(|path| passes(&wire, path));
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    node.submit().await.unwrap();
    struck(&lab, &first).await;
    submit_to(&node, "in/second.csv").await;
    struck(&lab, &second).await;
    node.stop().await;

    let wire = lab.wire("n2");
    let [first, second] = ["PRDY011.a1", "PRDY012.a1"].map(|path| passes(&wire, path));
    let third = passes(&wire, "PRDY013.a1");
    let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
    struck(&lab, &first).await;
    struck(&lab, &second).await;
    submit_to(&node, "in/third.csv").await;
    struck(&lab, &third).await;
    let jobs = node.journal.in_flight().await.unwrap();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job.state.intent.is_some()), "{jobs:?}");
    node.stop().await;
    assert_eq!(sent(&lab), 3, "{}", lab.log.print());
}

async fn settles_after_all(lab: &Lab, job: &Job, node: Node) {
    let job = node.rest(&job.id).await;
    assert_eq!(job.status, Status::Idle(Outcome::Completed), "{}", lab.log.print());
    let result = node.quiet().await.and(lab.target(&content(1, lab.setup.size))).and(lab.tidy());
    node.stop().await;
    assert_eq!((result, sent(lab)), (Ok(()), 1), "{}", lab.log.print());
    assert_eq!(lab.published(2), Ok(()), "{}", lab.log.print());
}

/// The old target is out of the way when its successor turns out to be of no use, and the
/// source is gone: the old target is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_target_that_was_moved_away_is_not_lost() {
    for (staging, held) in [("folder", false), ("beside", false), ("folder", true)] {
        let rename = Rename::RefusesExisting;
        let lab = Lab::new(Setup { staging, rename, old_target: true, ..Setup::default() });
        let wire = lab.wire("n1");
        let point = wire.plan(When::On(Operation::Rename, TARGET), Act::DieAfter);
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        point.strikes().await;
        node.dies().await;
        for path in lab.partner.files().into_iter().filter(|path| path.ends_with("a1.part")) {
            lab.partner.put(&path, *b"short");
        }
        std::fs::remove_file(lab.local()).unwrap();
        let wire = lab.wire("n2");
        let refused = held.then(|| {
            wire.plan(
                When::On(Operation::Rename, "from-e1.1/PRDY011.a2.old"),
                Act::Refuse(550, Kind::Unavailable),
            )
        });
        let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
        let job = node.rest(&job.id).await;
        assert_eq!(job.status, Status::Idle(Outcome::Failed));
        assert!(refused.is_none_or(|point| point.fired() == 1), "{}", lab.log.print());
        let result = node.quiet().await.and(lab.target(b"the old report")).and(lab.tidy());
        node.stop().await;
        assert_eq!(result, Ok(()), "{staging}\n{}", lab.log.print());
    }
}
