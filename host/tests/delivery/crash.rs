//! Every operation on the partner fails, loses its answer, or is the last of its node.

use ferryway_core::{Direction, Publish, ResumePolicy, transport::Rename};
use ferryway_host::{control::Operations, journal::record::Job};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    lab::{LIMIT, Lab, Node, Setup},
    wire::{Act, Point, When},
};

/// The setups through which every fault goes.
fn setups() -> Vec<Setup> {
    let base = Setup::default();
    let refuses = Setup { rename: Rename::RefusesExisting, old_target: true, ..base.clone() };
    vec![
        base.clone(),
        refuses.clone(),
        Setup { staging: "beside", ..base.clone() },
        Setup { staging: "beside", lists_hidden: false, ..refuses },
        Setup { lists_hidden: false, checksums: false, late_close: "probe", ..base.clone() },
        Setup { staging: "beside", late_close: "probe", ..base.clone() },
        Setup { resume: ResumePolicy::Never, ..base.clone() },
        Setup { resume: ResumePolicy::Size, ..base.clone() },
        Setup { size: 10, ..base.clone() },
        Setup { direction: Direction::Fetch, old_target: true, ..base.clone() },
        Setup { direction: Direction::Fetch, old_target: true, size: 10, ..base.clone() },
        Setup { direction: Direction::Fetch, publish: Publish::Direct, ..base.clone() },
        Setup { publish: Publish::Direct, ..base },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_may_fail_or_lose_its_answer() {
    let mut broken = Broken::default();
    for setup in setups() {
        for act in [Act::Fail, Act::Lose, Act::FailMid(70_000)] {
            for number in 1.. {
                let lab = Lab::new(setup.clone());
                let wire = lab.wire("n1");
                let point = wire.plan(When::Number(number), act);
                let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
                let job = node.submit().await.unwrap();
                node.rest(&job.id).await;
                let result = lab.check(&node, &[job]).await;
                node.stop().await;
                broken.note(&lab, &format!("{act:?} at {number}"), result);
                if point.fired() == 0 {
                    assert!(number > 3, "only {number} operations: {}", lab.log.print());
                    break;
                }
            }
        }
    }
    broken.report();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_die_at_every_operation() {
    let mut broken = Broken::default();
    for setup in setups() {
        for act in [Act::DieBefore, Act::DieAfter, Act::DieMid(70_000)] {
            for number in 1.. {
                let lab = Lab::new(setup.clone());
                let (job, point) = first_node(&lab, number, act).await;
                let node = lab.start("n2").await;
                node.rest(&job.id).await;
                let result = lab.check(&node, &[job]).await;
                node.stop().await;
                broken.note(&lab, &format!("{act:?} at {number}"), result);
                if point.fired() == 0 {
                    break;
                }
            }
        }
    }
    broken.report();
}

/// A node dies, and its successor dies while it recovers: at every operation of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_may_die_or_fail_at_every_operation() {
    let base = Setup { size: 70_000, ..Setup::default() };
    let beside = Setup { staging: "beside", ..base.clone() };
    let refuses = Setup { rename: Rename::RefusesExisting, old_target: true, ..base.clone() };
    let mut broken = Broken::default();
    for setup in [base, beside, refuses] {
        for first in 1.. {
            let mut reached = false;
            for act in [Act::DieBefore, Act::DieAfter, Act::Lose] {
                for second in 1.. {
                    let lab = Lab::new(setup.clone());
                    let (job, point) = first_node(&lab, first, Act::DieAfter).await;
                    reached = point.fired() > 0;
                    let wire = lab.wire("n2");
                    let point = wire.plan(When::Number(second), act);
                    let mut node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
                    if act == Act::Lose {
                        node.rest(&job.id).await;
                    } else {
                        until_dead_or_done(node, &point, &job).await;
                        node = lab.start("n3").await;
                        node.rest(&job.id).await;
                    }
                    let result = lab.check(&node, &[job]).await;
                    node.stop().await;
                    let what = format!("dies after {first}, then {act:?} at {second}");
                    broken.note(&lab, &what, result);
                    if point.fired() == 0 {
                        break;
                    }
                }
            }
            if !reached {
                break;
            }
        }
    }
    broken.report();
}

/// Runs a node until it dies at the operation, or to its job's end.
pub async fn first_node(lab: &Lab, number: usize, act: Act) -> (Job, Point) {
    let wire = lab.wire("n1");
    let point = wire.plan(When::Number(number), act);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    until_dead_or_done(node, &point, &job).await;
    (job, point)
}

pub async fn until_dead_or_done(node: Node, point: &Point, job: &Job) {
    let done = node.desk.wait(vec![job.id.clone()], LIMIT);
    let ended = async {
        tokio::select! {
            () = point.strikes() => {}
            _ = done => {}
        }
    };
    timeout(LIMIT, ended).await.expect("the node dies or ends");
    node.dies().await;
}

/// What did not hold.
#[derive(Default)]
pub struct Broken(Vec<String>);

impl Broken {
    pub fn note(&mut self, lab: &Lab, what: &str, result: Result<(), String>) {
        if let Err(reason) = result {
            self.0.push(format!("{what}: {reason}\n  {:?}\n{}", lab.setup, lab.log.print()));
        }
    }

    /// All that did not hold in any of the tasks, which run side by side: most of them wait
    /// for a zombie to look at the journal.
    pub async fn all(mut tasks: JoinSet<Self>) -> Self {
        let mut all = Self::default();
        while let Some(broken) = tasks.join_next().await {
            all.0.extend(broken.expect("a task breaks only with its test").0);
        }
        all
    }

    /// The same as one of many, with what a server said instead of what the wire did.
    pub fn add(&mut self, what: String, result: Result<(), String>, said: impl FnOnce() -> String) {
        if let Err(reason) = result {
            self.0.push(format!("{what}: {reason}\n{}", said()));
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn report(&self) {
        let Some(first) = self.0.first() else { return };
        let lines: Vec<_> = self.0.iter().map(|b| b.lines().next().unwrap_or_default()).collect();
        panic!("the first of {}:\n{first}\n\nall:\n{}", lines.len(), lines.join("\n"));
    }
}
