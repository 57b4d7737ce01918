//! Deliveries in which nothing goes wrong.

use ferryway_core::{Direction, Publish, ResumePolicy, transport::Rename};

use crate::lab::{Lab, RESUME_MIN, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_job_delivers() {
    for direction in [Direction::Send, Direction::Fetch] {
        for publish in [Publish::Atomic, Publish::Direct] {
            for size in [0, 1, RESUME_MIN - 1, 3 * RESUME_MIN, 1_500_000] {
                let setup = Setup { direction, publish, size, ..Setup::default() };
                delivers(setup.clone()).await;
                delivers(Setup { old_target: true, ..setup.clone() }).await;
                delivers(Setup { checksums: false, ..setup }).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_partner_is_delivered_to() {
    for staging in ["folder", "beside"] {
        for rename in [Rename::Replaces, Rename::RefusesExisting] {
            for lists_hidden in [true, false] {
                for &resume in ResumePolicy::EACH {
                    let setup = Setup { staging, rename, lists_hidden, resume, ..Setup::default() };
                    delivers(Setup { old_target: true, ..setup }).await;
                }
            }
        }
    }
}

async fn delivers(setup: Setup) {
    let lab = Lab::new(setup);
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    let folders = lab.partner.folders();
    assert_eq!(result, Ok(()), "{:?}\n{}", lab.setup, lab.log.print());
    assert_eq!(folders, ["in"], "{:?}: a clean stop leaves no folder", lab.setup);
}
