//! The user's programs before and after a transfer.

use std::{pin::pin, time::Duration};

use ferryway_core::{Direction, Event, Operation, Outcome, Publish, Status};
use ferryway_host::{
    control::api::Command,
    journal::{JournalStore, record::Job},
};
use tokio::time::timeout;

use crate::{
    effects::At,
    lab::{LIMIT, Lab, Node, Setup},
    wire::{Act, When},
};

const BOTH: &str = "[definition.pre_exit]\ncommand = @\n[definition.post_exit]\ncommand = @\n";
const ASKS: &str = "[definition.post_exit]\ncommand = @\non_failure = \"ask\"\n";
const RERUN: &str = "[definition.post_exit]\ncommand = @\non_takeover = \"rerun\"\n";
const SKIP: &str = "[definition.post_exit]\ncommand = @\non_takeover = \"skip\"\n";

const COMPLETED: Status = Status::Idle(Outcome::Completed);

fn lab(exits: &'static str) -> Lab {
    Lab::new(Setup { exits, size: 1000, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_exit_runs_once_around_the_delivery() {
    for (direction, publish) in [
        (Direction::Send, Publish::Atomic),
        (Direction::Send, Publish::Direct),
        (Direction::Fetch, Publish::Atomic),
        (Direction::Fetch, Publish::Direct),
    ] {
        let base = Setup { exits: BOTH, size: 1000, ..Setup::default() };
        let lab = Lab::new(Setup { direction, publish, ..base });
        let node = lab.start("n1").await;
        let job = node.submit().await.unwrap();
        let job = node.rest(&job.id).await;
        assert_eq!(job.status, COMPLETED, "{job:?}");
        let entries = node.journal.entries(&job.id).await.unwrap();
        let events: Vec<_> = entries.iter().filter_map(|entry| entry.event).collect();
        assert_eq!(events[0], Event::Prepare, "{entries:?}");
        assert_eq!(events[events.len() - 2..], [Event::StartExit, Event::Complete]);
        let said = |state: &ferryway_host::journal::record::ExitState| {
            let end = state.end.clone().unwrap();
            (state.starts, end.success, end.how, end.output)
        };
        let ended = |output: &str| (1, true, "exit code 0".to_owned(), output.to_owned());
        assert_eq!(said(&job.state.pre_exit), ended("this is run 1\n"));
        assert_eq!(said(&job.state.post_exit), ended("this is run 2\n"));
        // A run of the script that found another size than the file's is another line.
        let expected = ["pre night/PRDY011/1/pre 1 0 none", "post night/PRDY011/1/post 1 0 1000"];
        assert_eq!(lab.effects.lines(), expected, "{direction} {publish}");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_without_exits_ends_with_the_write_of_its_delivery() {
    let lab = lab("");
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    node.rest(&job.id).await;
    let entries = node.journal.entries(&job.id).await.unwrap();
    let [.., published, completed] = &entries[..] else { panic!("{entries:?}") };
    let events = (published.event, completed.event);
    assert_eq!(events, (Some(Event::Published), Some(Event::Complete)));
    assert_eq!(published.at, completed.at, "one write has one time");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_moves_before_the_pre_exit_lets_it() {
    let lab = lab(BOTH);
    lab.effects.will_end_with("pre", &[75, 75, 3]).unwrap();
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    let job = node.rest(&job.id).await;
    assert_eq!(job.status, Status::Idle(Outcome::Failed));
    assert_eq!(job.state.last_error.as_deref(), Some("the pre-exit failed: exit code 3"));
    assert_eq!(lab.effects.lines().len(), 3);
    let stored = lab.log.entries().iter().any(|done| done.operation == Operation::Store);
    assert!(!stored, "{}", lab.log.print());
    node.command(&job.id, Command::Restart { force: false }).await.unwrap();
    let job = node.rest(&job.id).await;
    assert_eq!((job.status, lab.effects.lines().len()), (COMPLETED, 5));
    assert_eq!(lab.effects.lines()[3], "pre night/PRDY011/1/pre 4 1 none");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_of_the_transfer_runs_no_exit_again() {
    let lab = lab(BOTH);
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::Fail);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    let job = node.rest(&job.id).await;
    assert_eq!((job.status, point.fired()), (COMPLETED, 1));
    assert_eq!(lab.effects.lines().len(), 2, "{:?}", lab.effects.lines());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_post_exit_ends_the_job_or_asks() {
    let goes_on = lab(BOTH);
    goes_on.effects.will_end_with("post", &[9]).unwrap();
    let node = goes_on.start("n1").await;
    let job = node.submit().await.unwrap();
    let job = node.rest(&job.id).await;
    let end = job.state.post_exit.end.as_ref().unwrap();
    assert_eq!((job.status, end.success, end.how.as_str()), (COMPLETED, false, "exit code 9"));
    goes_on.log_line("PRDY01 0218E ").await;
    node.stop().await;

    let lab = lab(ASKS);
    lab.effects.will_end_with("post", &[9, 8]).unwrap();
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    let rested = node.rest(&job.id).await;
    assert_eq!(rested.status, Status::PostExit);
    // The next owner leaves it, too: its end is known, and nobody is told otherwise.
    node.stop().await;
    let node = lab.start("n2").await;
    assert_eq!(node.rest(&job.id).await.status, Status::PostExit);
    for refused in [Command::Cancel, Command::Hold] {
        node.command(&job.id, refused).await.expect_err("it is delivered");
    }
    let again = async |node: &Node, expected: Status| {
        node.command(&job.id, Command::Restart { force: false }).await.unwrap();
        assert_eq!(node.rest(&job.id).await.status, expected);
    };
    again(&node, Status::PostExit).await;
    again(&node, COMPLETED).await;
    assert_eq!(lab.effects.lines()[2], "post night/PRDY011/1/post 3 1 1000");
    let log = std::fs::read_to_string(lab.path().join("logs/ferryway.log")).unwrap();
    assert!(!log.contains("0215E"), "{log}");
    node.stop().await;
}

async fn held(lab: &Lab) {
    timeout(LIMIT, lab.effects.held()).await.expect("an exit is held");
}

/// A job that waits in 09 because its post-exit may have run, on a node of its own.
async fn unknown(lab: &Lab) -> (Node, Job) {
    lab.effects.hold(At::After, 1).unwrap();
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    held(lab).await;
    node.dies().await;
    lab.effects.let_go();
    let node = lab.start("n2").await;
    let rested = node.rest(&job.id).await;
    (node, rested)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_asked_what_became_of_an_exit() {
    let lab = lab("[definition.post_exit]\ncommand = @\n");
    let (node, job) = unknown(&lab).await;
    assert_eq!(job.status, Status::PostExit);
    let line = lab.log_line("0215E").await;
    assert!(line.ends_with(" PRDY01 0215E Job can not recovery!! Job(PRDY011)"), "{line}");
    node.command(&job.id, Command::Restart { force: false }).await.unwrap();
    assert_eq!(node.rest(&job.id).await.status, COMPLETED);
    let key = "night/PRDY011/1/post";
    let expected = [format!("post {key} 1 0 1000"), format!("post {key} 2 1 1000")];
    assert_eq!(lab.effects.lines(), expected);
    assert_eq!(lab.published(1), Ok(()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_an_exit_for_done_or_delivers_once_more() {
    let released = lab("[definition.post_exit]\ncommand = @\n");
    let (node, job) = unknown(&released).await;
    let job = node.command(&job.id, Command::Release).await.unwrap();
    assert_eq!((job.status, released.effects.lines().len()), (COMPLETED, 1));
    node.stop().await;

    let forced = lab(BOTH);
    forced.effects.hold(At::After, 2).unwrap();
    let node = forced.start("n1").await;
    let job = node.submit().await.unwrap();
    held(&forced).await;
    node.dies().await;
    forced.effects.let_go();
    let node = forced.start("n2").await;
    node.command(&job.id, Command::Restart { force: true }).await.unwrap();
    assert_eq!(node.rest(&job.id).await.status, COMPLETED);
    assert_eq!(forced.published(2), Ok(()));
    let lines = forced.effects.lines();
    assert_eq!(
        lines[2..],
        ["pre night/PRDY011/2/pre 1 0 1000", "post night/PRDY011/2/post 1 0 1000"]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_can_decide_what_becomes_of_an_exit() {
    for (exits, runs, code) in [(RERUN, 2, "0214I"), (SKIP, 1, "0220W")] {
        let lab = lab(exits);
        let (node, job) = unknown(&lab).await;
        assert_eq!((job.status, lab.effects.lines().len()), (COMPLETED, runs), "{exits}");
        lab.log_line(code).await;
        lab.log_line("0203I").await;
        assert_eq!(lab.published(1), Ok(()));
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pre_exit_runs_again_when_its_node_died() {
    let lab = lab(BOTH);
    let (node, job) = unknown(&lab).await;
    assert_eq!(job.status, COMPLETED);
    assert_eq!(lab.effects.lines()[1], "pre night/PRDY011/1/pre 2 1 none");
    assert_eq!(lab.effects.lines().len(), 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_an_exit_and_puts_its_end_on_record() {
    let lab = lab(ASKS);
    lab.effects.hold(At::After, 1).unwrap();
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    held(&lab).await;
    let mut stopped = pin!(node.stop());
    let early = timeout(Duration::from_millis(200), &mut stopped).await;
    early.expect_err("it waits for the exit");
    lab.effects.let_go();
    stopped.await;
    let node = lab.start_idle("n2").await;
    let found = node.journal.job(&job.id).await.unwrap().unwrap();
    assert_eq!(found.status, COMPLETED);
    assert!(found.state.post_exit.end.unwrap().success);
    node.dies().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_a_pre_exit_and_not_a_post_exit() {
    let cancelled = lab(BOTH);
    cancelled.effects.hold(At::Before, 1).unwrap();
    let node = cancelled.start("n1").await;
    let job = node.submit().await.unwrap();
    held(&cancelled).await;
    let job = timeout(LIMIT, node.command(&job.id, Command::Cancel)).await.unwrap().unwrap();
    assert_eq!(job.status, Status::Idle(Outcome::Cancelled));
    node.stop().await;

    let lab = lab(ASKS);
    lab.effects.hold(At::Before, 1).unwrap();
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    held(&lab).await;
    for command in [Command::Cancel, Command::Hold, Command::Restart { force: true }] {
        let refused = node.command(&job.id, command).await.expect_err("its exit runs");
        assert!(refused.message.contains("post-exit") || refused.message.contains("moving"));
    }
    assert_eq!(node.journal.job(&job.id).await.unwrap().unwrap().status, Status::PostExit);
    node.dies().await;
}
