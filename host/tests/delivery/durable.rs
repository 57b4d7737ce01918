//! A node dies before or after every durable write of its journal.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ferryway_core::{Direction, transport::Rename};
use ferryway_host::journal::{Hook, Point};

use crate::{
    crash::Broken,
    lab::{Lab, Setup},
};

/// A hook that fails the disk at the `nth` time that the writer passes a point, and tells how
/// often it passed.
fn fails_at(point: Point, nth: u32) -> (Hook, Arc<AtomicU32>) {
    let passed = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&passed);
    let hook = Hook::new(move |at| {
        if at == point && count.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            return Err(io::Error::other("the disk is gone, as planned"));
        }
        Ok(())
    });
    (hook, passed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_die_before_and_after_every_durable_write() {
    let base = Setup::default();
    let refuses = Setup { rename: Rename::RefusesExisting, old_target: true, ..base.clone() };
    let fetch = Setup { direction: Direction::Fetch, ..base.clone() };
    let beside = Setup { staging: "beside", ..base.clone() };
    let mut broken = Broken::default();
    for setup in [base, refuses, fetch, beside] {
        for point in [Point::Executed, Point::Committed] {
            for (epoch, node) in [(1, "n1"), (2, "n2")] {
                for nth in 1.. {
                    let lab = Lab::new(setup.clone());
                    let reached = dies_at(&lab, epoch, point, nth, &mut broken).await;
                    if !reached {
                        assert!(nth > 3, "{node} writes only {nth} times");
                        break;
                    }
                }
            }
        }
    }
    broken.report();
}

/// The node of the first or the second epoch dies at the write; its successor finishes.
async fn dies_at(lab: &Lab, epoch: u32, point: Point, nth: u32, broken: &mut Broken) -> bool {
    let (hook, passed) = fails_at(point, nth);
    let mut accepted = Vec::new();
    if epoch == 2 {
        // The first one leaves a job that nobody has moved.
        let wire = lab.wire("n1");
        let held = wire.plan(
            crate::wire::When::On(ferryway_core::Operation::Store, "PRDY011"),
            crate::wire::Act::DieMid(70_000),
        );
        let node = lab.start_with(wire, "n1", Hook::default()).await.unwrap();
        if lab.setup.direction == Direction::Send {
            accepted.push(node.submit().await.unwrap());
            held.strikes().await;
        } else {
            accepted.push(node.submit().await.unwrap());
        }
        node.dies().await;
    }
    let name = format!("n{epoch}");
    if let Ok(node) = lab.start_with(lab.wire(&name), &name, hook).await {
        if epoch == 1 {
            // A refused request is not accepted; whether it is on record is not known.
            accepted.extend(node.submit().await.ok());
        }
        if let Some(job) = accepted.first() {
            drop(node.desk_wait(&job.id).await);
        }
        node.dies().await;
    }
    let reached = passed.load(Ordering::SeqCst) >= nth;
    let node = lab.start("n3").await;
    if accepted.is_empty() {
        accepted = node.all().await;
    }
    for job in &accepted {
        node.rest(&job.id).await;
    }
    let result = match accepted.is_empty() {
        true => Ok(()),
        false => lab.check(&node, &accepted).await,
    };
    node.stop().await;
    broken.note(lab, &format!("epoch {epoch} dies at {point:?} {nth}"), result);
    reached
}
