//! A partner that is itself a cluster, whose service moves to a disk on which nothing of ours
//! is: then the absence of a token proves nothing, and no job may end without its file.

use ferryway_core::{Operation, Outcome, Status, transport::Rename};
use ferryway_host::journal::{JournalStore, record::Job};

use crate::{
    crash::{Broken, first_node, until_dead_or_done},
    lab::{Lab, Node, Setup, TARGET, content},
    wire::{Act, Point, When},
};

const OLD: &[u8] = b"the old report";

fn setups() -> Vec<Setup> {
    let base = Setup { size: 70_000, ..Setup::default() };
    let beside = Setup { staging: "beside", ..base.clone() };
    let refuses = Setup { rename: Rename::RefusesExisting, old_target: true, ..base.clone() };
    vec![
        base.clone(),
        refuses.clone(),
        beside,
        Setup { staging: "beside", ..refuses },
        Setup { lists_hidden: false, checksums: false, ..base.clone() },
        Setup { staging: "beside", lists_hidden: false, checksums: false, ..base },
    ]
}

impl Lab {
    fn other_disk(&self) {
        self.swap_disk(self.setup.old_target.then_some(OLD));
    }

    /// The file is on the disk that the partner has now, and `node` has put it there once.
    async fn check_there(&self, node: &Node, job: &Job, name: &str) -> Result<(), String> {
        self.check_end(node, std::slice::from_ref(job)).await?;
        match renames(self, name) {
            1 => Ok(()),
            other => Err(format!("{name} published {other} times on the new disk")),
        }
    }
}

/// How often this node renamed onto the target.
fn renames(lab: &Lab, name: &str) -> usize {
    let entries = lab.log.entries().into_iter();
    let onto = entries.filter(|d| d.ok && d.operation == Operation::Rename && d.node == name);
    onto.filter(|done| done.to.as_deref() == Some(TARGET)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_die_at_every_operation_and_the_disk_be_another() {
    let (mut broken, mut points) = (Broken::default(), 0);
    for setup in setups() {
        for act in [Act::DieBefore, Act::DieAfter, Act::DieMid(40_000)] {
            for number in 1.. {
                let lab = Lab::new(setup.clone());
                let (job, point) = first_node(&lab, number, act).await;
                if point.fired() == 0 {
                    break;
                }
                points += 1;
                lab.other_disk();
                let node = lab.start("n2").await;
                let ended = node.rest(&job.id).await;
                // A job that had ended before has nothing to do with the new disk.
                let result = match ended.epoch.number() {
                    1 => Ok(()),
                    _ => lab.check_there(&node, &job, "n2").await,
                };
                node.stop().await;
                broken.note(&lab, &format!("{act:?} at {number}"), result);
            }
        }
    }
    broken.report();
    eprintln!("{points} deaths with another disk for the successor");
    assert!(points > 100);
}

/// The intent is open when the disk changes, before the second node or before the third one,
/// and the second one dies at every operation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_may_die_at_every_operation_and_the_disk_be_another() {
    let (mut broken, mut points) = (Broken::default(), 0);
    for setup in setups() {
        for act in [Act::DieBefore, Act::DieAfter] {
            for swap_before in [2, 3] {
                for number in 1.. {
                    let lab = Lab::new(setup.clone());
                    let (job, _) = dies_publishing(&lab, Act::DieAfter).await;
                    if swap_before == 2 {
                        lab.other_disk();
                    }
                    let wire = lab.wire("n2");
                    let point = wire.plan(When::Number(number), act);
                    let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
                    until_dead_or_done(node, &point, &job).await;
                    if point.fired() == 0 {
                        break;
                    }
                    points += 1;
                    if swap_before == 3 {
                        lab.other_disk();
                    }
                    let node = lab.start("n3").await;
                    let ended = node.rest(&job.id).await;
                    // Settled before the disk changed, there is nothing to do on the new one.
                    let result = match swap_before == 3 && ended.epoch.number() == 2 {
                        true => Ok(()),
                        false => lab.check_end(&node, std::slice::from_ref(&job)).await,
                    };
                    node.stop().await;
                    let what = format!("{act:?} at {number}, swap before {swap_before}");
                    broken.note(&lab, &what, result);
                }
            }
        }
    }
    broken.report();
    eprintln!("{points} deaths in a settle with another disk");
    assert!(points > 100);
}

/// The disk changes under a node that goes on: an answer is lost, and the next connection
/// reaches the other disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_may_change_after_every_operation_of_a_living_node() {
    let (mut broken, mut points) = (Broken::default(), 0);
    for setup in setups() {
        for number in 2.. {
            let lab = Lab::new(setup.clone());
            let wire = lab.wire("n1");
            let lost = wire.plan(When::Number(number), Act::Lose);
            let connects = wire.plan(When::Number(number + 1), Act::PauseBefore);
            let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
            let job = node.submit().await.unwrap();
            if !strikes_or_rests(&node, &connects, &job).await {
                let reached = lost.fired() > 0;
                connects.release();
                node.stop().await;
                if reached {
                    // What is removed after the job's end needs no new connection.
                    continue;
                }
                break;
            }
            points += 1;
            lab.other_disk();
            connects.release();
            node.rest(&job.id).await;
            let result = lab.check_end(&node, std::slice::from_ref(&job)).await;
            node.stop().await;
            broken.note(&lab, &format!("another disk after {number}"), result);
        }
    }
    broken.report();
    eprintln!("{points} changes of the disk under a living node");
    assert!(points > 30);
}

/// A mirrored disk has the target, and nothing that starts with a dot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_there_is_not_sent_again() {
    for setup in setups() {
        let lab = Lab::new(setup);
        let (job, sent) = dies_publishing(&lab, Act::DieAfter).await;
        lab.swap_disk(Some(&content(1, lab.setup.size)));
        let node = lab.start("n2").await;
        node.rest(&job.id).await;
        let result = lab.check_end(&node, &[job]).await;
        lab.log_line("0301I").await;
        node.stop().await;
        let print = || format!("{:?}\n{}", lab.setup, lab.log.print());
        assert_eq!((result, renames(&lab, "n2")), (Ok(()), 0), "{}", print());
        assert_eq!(stores(&lab), sent, "{}", print());
    }
}

/// Fixed lengths are common: a size alone does not tell one day's report from the next one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_file_of_the_same_size_is_not_taken_for_it() {
    for setup in setups() {
        let lab = Lab::new(setup);
        let (job, _) = dies_publishing(&lab, Act::DieAfter).await;
        lab.swap_disk(Some(&content(2, lab.setup.size)));
        let node = lab.start("n2").await;
        node.rest(&job.id).await;
        let result = lab.check_there(&node, &job, "n2").await;
        let line = lab.log_line("0314W").await;
        node.stop().await;
        assert!(line.contains("PRDY01 0314W") && line.contains("sent anew"), "{line}");
        assert_eq!(result, Ok(()), "{:?}\n{}", lab.setup, lab.log.print());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_source_the_job_fails_and_is_not_reported_delivered() {
    for setup in setups() {
        let lab = Lab::new(setup);
        let (job, _) = dies_publishing(&lab, Act::DieAfter).await;
        lab.other_disk();
        std::fs::remove_file(lab.local()).unwrap();
        let node = lab.start("n2").await;
        let job = node.rest(&job.id).await;
        assert_eq!(job.status, Status::Idle(Outcome::Failed), "{:?}", lab.setup);
        node.stop().await;
    }
}

/// Lets a node die at the rename onto the target; tells how much was stored by then.
async fn dies_publishing(lab: &Lab, act: Act) -> (Job, usize) {
    let wire = lab.wire("n1");
    // Where the old target is in the way, the rename that counts is the one after its move.
    if lab.setup.rename == Rename::RefusesExisting && lab.setup.old_target {
        let refused = When::On(Operation::Rename, "a1.part");
        let _first = wire.plan(refused, Act::Refuse(550, ferryway_core::Kind::Unavailable));
    }
    let point = wire.plan(When::On(Operation::Rename, "a1.part"), act);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    node.dies().await;
    assert_eq!(renames(lab, "n1"), 1, "{}", lab.log.print());
    (job, stores(lab))
}

/// How often a partial was stored.
fn stores(lab: &Lab) -> usize {
    let entries = lab.log.entries().into_iter();
    entries.filter(|d| d.operation == Operation::Store && d.path.ends_with("part")).count()
}

async fn strikes_or_rests(node: &Node, point: &Point, job: &Job) -> bool {
    tokio::select! {
        () = point.strikes() => {
            // An end that was in line for the journal before is on record behind this write.
            node.journal.probe().await.unwrap();
            let job = node.journal.job(&job.id).await.unwrap().unwrap();
            job.status.outcome().is_none()
        }
        _ = node.rest(&job.id) => false,
    }
}
