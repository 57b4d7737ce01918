//! Commands that the partner reads late: their connection is lost, the job goes on and comes to
//! its end, and only then are they performed. Nothing that was promised may change by it.

use ferryway_core::transport::Rename;
use tokio::time::timeout;

use crate::{
    crash::Broken,
    lab::{LIMIT, Lab, Setup},
    wire::{Act, When},
};

fn setups() -> Vec<Setup> {
    let base = Setup { old_target: true, size: 20_000, ..Setup::default() };
    let refuses = Setup { rename: Rename::RefusesExisting, ..base.clone() };
    vec![
        base.clone(),
        Setup { staging: "beside", ..base },
        refuses.clone(),
        Setup { staging: "beside", ..refuses },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_may_be_performed_after_the_job_has_ended() {
    every_command(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_owners_command_may_be_performed_after_its_successor_has_finished() {
    every_command(true).await;
}

async fn every_command(dies: bool) {
    let (mut broken, mut performed) = (Broken::default(), 0);
    for setup in setups() {
        for number in 1.. {
            let lab = Lab::new(setup.clone());
            let (ended, result) = late(&lab, number, dies).await;
            broken.note(&lab, &format!("late at {number}, dies {dies}"), result);
            if ended {
                assert!(number > 4, "only {number} operations: {}", lab.log.print());
                break;
            }
            let entries = lab.log.entries();
            performed += entries.iter().filter(|done| done.ok && done.note == "very late").count();
        }
    }
    broken.report();
    assert!(performed > 0, "no late command had any effect");
}

/// Performs one operation of the first node after everything else. Tells whether the job ended
/// without it.
async fn late(lab: &Lab, number: usize, dies: bool) -> (bool, Result<(), String>) {
    let wire = lab.wire("n1");
    let point = wire.plan(When::Number(number), Act::Late);
    let mut node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    if dies {
        let struck = async {
            tokio::select! {
                () = point.strikes() => {}
                _ = node.rest(&job.id) => {}
            }
        };
        timeout(LIMIT, struck).await.expect("the point is reached, or the job ends");
        node.dies().await;
        node = lab.start("n2").await;
    }
    node.rest(&job.id).await;
    let jobs = [job];
    let mut result = lab.check(&node, &jobs).await;
    let fired = point.fired() > 0;
    if fired && result.is_ok() {
        timeout(LIMIT, point.release_late()).await.expect("the command is performed");
        result = lab.check(&node, &jobs).await;
    }
    node.stop().await;
    (!fired, result)
}
