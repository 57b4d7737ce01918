//! The conformance suite: what the trait promises, whichever engine is behind it.

mod history;

use std::{sync::Arc, time::Duration};

use ferryway_core::{Epoch, Event, Outcome, RunNumber, Status};
use ferryway_host::journal::{
    Durability, JournalError, JournalStore,
    record::{Checkpoint, Fence, Job, Leftover, Staging, StagingState},
};

use history::*;

use crate::{Install, accept, keyed, spec, until, walk, write};

/// A journal whose owner can be replaced.
pub(crate) trait Subject: Sync {
    /// Makes `node` the owner, and lists what is in flight.
    fn take_over(&self, node: &str) -> (Arc<dyn JournalStore>, Vec<Job>);
    /// The journal's clock goes on by so many seconds.
    fn pass(&self, seconds: i64);
    /// The journal's time.
    fn now(&self) -> jiff::Timestamp;
}

impl Subject for Install {
    fn take_over(&self, node: &str) -> (Arc<dyn JournalStore>, Vec<Job>) {
        let (journal, takeover) = self.host(node);
        assert_eq!(journal.epoch(), takeover.epoch);
        (Arc::new(journal), takeover.in_flight)
    }

    fn pass(&self, seconds: i64) {
        Install::pass(self, seconds);
    }

    fn now(&self) -> jiff::Timestamp {
        Install::now(self)
    }
}

macro_rules! suite {
    ($($case:ident,)+) => {
        mod write_ahead {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(&super::Install::new(super::Durability::WriteAhead)).await;
            })+
        }
        mod rollback {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(&super::Install::new(super::Durability::Rollback)).await;
            })+
        }
    };
}

suite! {
    a_job_gets_its_id_and_its_place_in_the_order,
    a_request_with_a_known_key_is_the_same_job,
    thousands_are_accepted_at_once,
    a_step_is_recorded_and_a_stale_one_refused,
    an_illegal_step_fails_alone,
    writes_become_durable_in_the_order_of_their_calls,
    a_record_tells_every_event,
    the_newest_checkpoint_survives_a_takeover,
    ids_are_not_used_again_after_pruning,
    the_history_is_listed_in_pages,
    the_history_can_be_narrowed_down,
    a_job_of_the_history_goes_on,
    a_key_in_the_history_is_known,
    no_two_jobs_bear_one_id,
    who_has_not_heard_of_an_end_is_known_without_the_history,
    whole_months_are_pruned,
    staging_folders_are_known_by_partner_base_and_epoch,
    leftovers_are_kept_until_forgotten,
    fences_rise_and_never_fall,
    a_former_owner_is_fenced,
    a_probe_proves_that_the_journal_is_written_to,
    an_idle_former_owner_notices,
    a_closed_journal_takes_nothing,
    takeovers_repeat,
    a_takeover_sees_everything,
}

async fn a_job_gets_its_id_and_its_place_in_the_order(subject: &impl Subject) {
    let (journal, in_flight) = subject.take_over("alpha");
    assert_eq!(journal.epoch(), Epoch::FIRST);
    assert_eq!(in_flight, []);
    let jobs =
        journal.accept(vec![spec("PRDY01"), spec("B"), spec("PRDY01"), spec("PRDY01")]).await;
    let jobs = jobs.unwrap();
    let ids: Vec<_> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["PRDY011", "B1", "PRDY012", "PRDY013"]);
    assert!(jobs.is_sorted_by(|a, b| a.sequence < b.sequence));
    let job = &jobs[0];
    assert_eq!((job.run, job.version, job.status), (RunNumber(1), 1, Status::Accepted));
    assert_eq!((job.epoch, job.accepted_at), (Epoch::FIRST, subject.now()));
    assert_eq!(*job.spec, spec("PRDY01"));
    for job in &jobs {
        assert_eq!(journal.job(&job.id).await.unwrap().as_ref(), Some(job));
    }
    assert_eq!(journal.in_flight().await.unwrap(), jobs);
    let unknown = "PRDY014".parse().unwrap();
    assert_eq!(journal.job(&unknown).await.unwrap(), None);
    let asked = [jobs[3].id.clone(), unknown, jobs[0].id.clone()];
    let expected = [Some(jobs[3].clone()), None, Some(jobs[0].clone())];
    assert_eq!(journal.jobs(&asked).await.unwrap(), expected);
}

async fn a_request_with_a_known_key_is_the_same_job(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let first = journal.accept(vec![keyed("A", "k")]).await.unwrap().remove(0);
    let requests = vec![keyed("A", "k"), keyed("A", "l"), keyed("A", "l"), spec("A")];
    let jobs = journal.accept(requests).await.unwrap();
    assert_eq!(jobs[0], first);
    assert_eq!(jobs[1], jobs[2]);
    let ids: Vec<_> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["A1", "A2", "A2", "A3"]);
    let (successor, _) = subject.take_over("beta");
    assert_eq!(successor.accept(vec![keyed("A", "k")]).await.unwrap(), [first]);
}

async fn thousands_are_accepted_at_once(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let jobs = journal.accept(vec![spec("BULK"); 2000]).await.unwrap();
    assert_eq!(jobs.len(), 2000);
    assert_eq!(jobs[1999].id.as_str(), "BULK2000");
    assert_eq!(journal.in_flight().await.unwrap(), jobs);
    assert_eq!(subject.take_over("beta").1, jobs);
}

async fn a_step_is_recorded_and_a_stale_one_refused(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = accept(&*journal, "A").await;
    subject.pass(5);
    let (next, step) = job.step(&[Event::Prepare], None, |state| state.attempts = 3).unwrap();
    let written = write(&*journal, step.clone()).await.unwrap();
    assert_eq!(written, Job { updated_at: subject.now(), ..next });
    assert_eq!(journal.job(&job.id).await.unwrap(), Some(written.clone()));
    let error = write(&*journal, step.clone()).await.unwrap_err();
    let JournalError::Stale { expected: 1, found: 2, .. } = error else { panic!("{error}") };
    assert!(!error.is_fatal());
    let mut strange = step;
    strange.job = "A9".parse().unwrap();
    let error = write(&*journal, strange).await.unwrap_err();
    assert!(matches!(error, JournalError::Unknown(_)), "{error}");
    assert_eq!(journal.job(&job.id).await.unwrap(), Some(written));
}

async fn an_illegal_step_fails_alone(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let jobs = journal.accept(vec![spec("A"); 3]).await.unwrap();
    let mut receipts = Vec::new();
    for (job, event) in jobs.iter().zip([Event::Prepare, Event::Published, Event::Prepare]) {
        let (_, mut step) = job.step(&[], None, |_| {}).unwrap();
        step.events = vec![Event::Prepare, event];
        if event == Event::Prepare {
            step.events.pop();
        }
        receipts.push(journal.queue(step).await.unwrap());
    }
    let mut results = Vec::new();
    for receipt in receipts {
        results.push(receipt.await);
    }
    assert_eq!(results[0].as_ref().unwrap().status, Status::Preparing);
    assert!(matches!(results[1], Err(JournalError::Illegal(_))), "{:?}", results[1]);
    assert_eq!(results[2].as_ref().unwrap().status, Status::Preparing);
    // The event before the illegal one has not happened either.
    assert_eq!(journal.job(&jobs[1].id).await.unwrap().as_ref(), Some(&jobs[1]));
    assert_eq!(journal.entries(&jobs[1].id).await.unwrap().len(), 1);
}

async fn writes_become_durable_in_the_order_of_their_calls(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let mut job = accept(&*journal, "A").await;
    let mut receipts = Vec::new();
    for count in 1..=3000 {
        let (next, step) = job.step(&[], None, |state| state.failures = count).unwrap();
        receipts.push(journal.queue(step).await.unwrap());
        job = next;
    }
    let last = receipts.pop().unwrap().await.unwrap();
    assert_eq!((last.state.failures, last.version), (3000, 3001));
    // Earlier writes are durable as soon as a later one is.
    for receipt in receipts {
        tokio::time::timeout(Duration::from_secs(5), receipt).await.unwrap().unwrap();
    }
}

async fn a_record_tells_every_event(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = accept(&*journal, "A").await;
    subject.pass(1);
    let events = [Event::Prepare, Event::Connect];
    let (_, step) = job.step(&events, Some("on our way".into()), |_| {}).unwrap();
    let job = write(&*journal, step).await.unwrap();
    let (_, step) = job.step(&[], Some("waiting".into()), |_| {}).unwrap();
    write(&*journal, step).await.unwrap();
    let record = journal.entries(&job.id).await.unwrap();
    let lines: Vec<_> =
        record.iter().map(|entry| (entry.event, entry.status, entry.note.as_deref())).collect();
    assert_eq!(
        lines,
        [
            (None, Status::Accepted, None),
            (Some(Event::Prepare), Status::Preparing, None),
            (Some(Event::Connect), Status::Connecting, Some("on our way")),
            (None, Status::Connecting, Some("waiting")),
        ]
    );
    assert_eq!(record[1].at, subject.now());
    assert_eq!(record[1].epoch, Epoch::FIRST);
    assert_eq!(journal.entries(&"A7".parse().unwrap()).await.unwrap(), []);
}

async fn the_newest_checkpoint_survives_a_takeover(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = accept(&*journal, "A").await;
    let checkpoint = |attempt, offset| Checkpoint { attempt, offset, moved_bytes: offset + 1 };
    for offset in 0..10_000 {
        journal.checkpoint(&job.id, checkpoint(2, offset));
    }
    // Late news of an attempt that is over, and of a job that does not exist.
    journal.checkpoint(&job.id, checkpoint(1, 99_999));
    journal.checkpoint(&"A9".parse().unwrap(), checkpoint(1, 1));
    let expected = Some(checkpoint(2, 9999));
    until("the checkpoint", async || {
        journal.job(&job.id).await.unwrap().unwrap().checkpoint == expected
    })
    .await;
    let job = journal.job(&job.id).await.unwrap().unwrap();
    assert_eq!(job.version, 1, "a checkpoint is no write of the job");
    let job = walk(&*journal, &job, &[Event::Prepare]).await;
    assert_eq!(job.checkpoint, expected, "a step leaves it as it is");
    assert_eq!(subject.take_over("beta").1, [job]);
}

async fn staging_folders_are_known_by_partner_base_and_epoch(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let folder = |partner: &str, base: &str, state| Staging {
        partner: partner.parse().unwrap(),
        base: base.parse().unwrap(),
        epoch: Epoch::FIRST,
        names: vec![format!("{base}/e1").parse().unwrap(), format!("{base}/r1").parse().unwrap()],
        state,
    };
    let osaka = "osaka".parse().unwrap();
    let folders = [
        folder("osaka", "in/a", StagingState::Open),
        folder("osaka", "in/b", StagingState::Revoked),
    ];
    for folder in &folders {
        journal.put_staging(folder.clone()).await.unwrap();
    }
    journal.put_staging(folder("kyoto", "in/a", StagingState::Open)).await.unwrap();
    assert_eq!(journal.staging(&osaka).await.unwrap(), folders);
    journal.put_staging(folder("osaka", "in/a", StagingState::Removed)).await.unwrap();
    let (successor, _) = subject.take_over("beta");
    assert_eq!(successor.staging(&osaka).await.unwrap(), folders[1..]);
}

async fn leftovers_are_kept_until_forgotten(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let osaka = "osaka".parse().unwrap();
    let leftover = |path: &str| Leftover {
        partner: "osaka".parse().unwrap(),
        path: path.parse().unwrap(),
        job: "A1".parse().unwrap(),
    };
    for path in ["in/x", "in/y", "in/x"] {
        journal.put_leftover(leftover(path)).await.unwrap();
    }
    assert_eq!(journal.leftovers(&osaka).await.unwrap(), [leftover("in/x"), leftover("in/y")]);
    journal.forget_leftover(leftover("in/x")).await.unwrap();
    journal.forget_leftover(leftover("in/z")).await.unwrap();
    let (successor, _) = subject.take_over("beta");
    assert_eq!(successor.leftovers(&osaka).await.unwrap(), [leftover("in/y")]);
}

async fn fences_rise_and_never_fall(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let fence = |visitor: &str, epoch| Fence {
        visitor: visitor.parse().unwrap(),
        instance: "night".parse().unwrap(),
        epoch: Epoch::new(epoch).unwrap(),
    };
    assert_eq!(journal.fences().await.unwrap(), []);
    for raised in [fence("osaka", 3), fence("kyoto", 1), fence("osaka", 5), fence("osaka", 4)] {
        journal.raise_fence(raised).await.unwrap();
    }
    let (successor, _) = subject.take_over("beta");
    assert_eq!(successor.fences().await.unwrap(), [fence("kyoto", 1), fence("osaka", 5)]);
    assert!(journal.raise_fence(fence("osaka", 9)).await.is_err(), "a former owner raised it");
    assert_eq!(successor.fences().await.unwrap()[1], fence("osaka", 5));
}

async fn a_former_owner_is_fenced(subject: &impl Subject) {
    let (zombie, _) = subject.take_over("alpha");
    let job = accept(&*zombie, "A").await;
    zombie.check_ownership().await.unwrap();
    let (owner, in_flight) = subject.take_over("beta");
    assert_eq!(in_flight, std::slice::from_ref(&job));
    let fenced = |error: &JournalError| {
        matches!(error, JournalError::Fenced { ours, current, owner }
            if ours.number() == 1 && current.number() == 2 && owner == "beta")
    };
    let error = zombie.check_ownership().await.unwrap_err();
    assert!(fenced(&error) && error.is_fatal(), "{error}");
    let error = zombie.accept(vec![spec("A")]).await.unwrap_err();
    assert!(fenced(&error), "{error}");
    let (_, step) = job.step(&[Event::Prepare], None, |_| {}).unwrap();
    let error = write(&*zombie, step).await.unwrap_err();
    assert!(fenced(&error), "{error}");
    let closed = tokio::time::timeout(Duration::from_secs(5), zombie.closed()).await.unwrap();
    assert!(fenced(&closed), "{closed}");
    owner.check_ownership().await.unwrap();
    assert_eq!(owner.in_flight().await.unwrap(), [job]);
}

async fn a_probe_proves_that_the_journal_is_written_to(subject: &impl Subject) {
    let (zombie, _) = subject.take_over("alpha");
    zombie.probe().await.unwrap();
    let (first, second) = tokio::join!(zombie.probe(), zombie.probe());
    assert!(first.is_ok() && second.is_ok());
    let (owner, _) = subject.take_over("beta");
    owner.probe().await.unwrap();
    let error = zombie.probe().await.unwrap_err();
    assert!(matches!(error, JournalError::Fenced { .. }), "{error}");
    owner.close().await.unwrap();
    assert!(matches!(owner.probe().await, Err(JournalError::Closed)));
}

async fn an_idle_former_owner_notices(subject: &impl Subject) {
    let (zombie, _) = subject.take_over("alpha");
    let (_owner, _) = subject.take_over("beta");
    let closed = tokio::time::timeout(Duration::from_secs(10), zombie.closed()).await.unwrap();
    assert!(matches!(closed, JournalError::Fenced { .. }), "{closed}");
}

async fn a_closed_journal_takes_nothing(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = accept(&*journal, "A").await;
    let (_, step) = job.step(&[Event::Prepare], None, |_| {}).unwrap();
    let receipt = journal.queue(step.clone()).await.unwrap();
    journal.close().await.unwrap();
    // What was in line is written.
    receipt.await.unwrap();
    assert!(matches!(journal.queue(step).await, Err(JournalError::Closed)));
    assert!(matches!(journal.closed().await, JournalError::Closed));
    let (_, in_flight) = subject.take_over("alpha");
    assert_eq!(in_flight[0].status, Status::Preparing);
}

async fn takeovers_repeat(subject: &impl Subject) {
    let mut expected: Vec<Job> = Vec::new();
    for epoch in 1..=12 {
        let node = if epoch % 2 == 0 { "alpha" } else { "beta" };
        let (journal, in_flight) = subject.take_over(node);
        assert_eq!(journal.epoch().number(), epoch);
        assert_eq!(in_flight, expected);
        expected.push(accept(&*journal, "A").await);
        if epoch % 2 == 0 {
            journal.close().await.unwrap();
        }
    }
}

async fn a_takeover_sees_everything(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = accept(&*journal, "A").await;
    let (_, step) = job
        .step(&[Event::Fail], Some("no such file".into()), |state| {
            state.last_error = Some("消えた".into());
            state.not_before = Some(subject.now());
        })
        .unwrap();
    let failed = write(&*journal, step).await.unwrap();
    assert_eq!(failed.status, Status::Idle(Outcome::Failed));
    let record = journal.entries(&job.id).await.unwrap();
    let (successor, in_flight) = subject.take_over("beta");
    assert_eq!(in_flight, []);
    assert_eq!(successor.job(&job.id).await.unwrap().as_ref(), Some(&failed));
    assert_eq!(successor.entries(&job.id).await.unwrap(), record);
    let restarted = walk(&*successor, &failed, &[Event::Restart]).await;
    assert_eq!(restarted.epoch.number(), 2);
}
