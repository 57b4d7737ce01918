//! Jobs that have ended: listed, found again, gone after their time.

use ferryway_core::{Event, Outcome, Status, notice::Standing};
use ferryway_host::journal::{
    JournalStore,
    record::{HistoryQuery, Job, JobSpec, JobState},
};

use super::Subject;
use crate::{accept, finish, keyed, spec, walk, write};

pub(super) async fn ids_are_not_used_again_after_pruning(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = accept(&*journal, "A").await;
    finish(&*journal, &job).await;
    subject.pass(1);
    assert_eq!(journal.prune(subject.now()).await.unwrap(), 1);
    assert_eq!(journal.job(&job.id).await.unwrap(), None);
    assert_eq!(journal.entries(&job.id).await.unwrap(), []);
    let (successor, _) = subject.take_over("beta");
    let next = accept(&*successor, "A").await;
    assert_eq!(next.id.as_str(), "A2");
    assert!(next.sequence > job.sequence);
}

/// Ends `count` jobs of two definitions, a day apart.
async fn fill(subject: &impl Subject, journal: &dyn JournalStore, count: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    for number in 0..count {
        let job = accept(journal, if number % 3 == 0 { "A" } else { "B" }).await;
        jobs.push(finish(journal, &job).await);
        subject.pass(86_400);
    }
    jobs
}

pub(super) async fn the_history_is_listed_in_pages(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let mut expected = fill(subject, &*journal, 300).await;
    let (journal, _) = subject.take_over("beta");
    expected.extend(fill(subject, &*journal, 300).await);
    accept(&*journal, "A").await;
    expected.reverse();
    let mut listed: Vec<Job> = Vec::new();
    loop {
        let query = HistoryQuery {
            limit: 64,
            before_sequence: listed.last().map(|job| job.sequence),
            ..HistoryQuery::default()
        };
        let page = journal.history(query).await.unwrap();
        assert!(page.len() <= 64);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, expected);
    for job in [&expected[0], &expected[599]] {
        assert_eq!(journal.job(&job.id).await.unwrap().as_ref(), Some(job));
        assert_eq!(journal.entries(&job.id).await.unwrap().len(), 8);
    }
}

pub(super) async fn the_history_can_be_narrowed_down(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let jobs = fill(subject, &*journal, 400).await;
    let (since, until) = (jobs[20].updated_at, jobs[380].updated_at);
    let query = HistoryQuery {
        definition: Some("A".parse().unwrap()),
        since: Some(since),
        until: Some(until),
        limit: 1000,
        before_sequence: None,
    };
    let listed = journal.history(query.clone()).await.unwrap();
    let mut expected: Vec<Job> = jobs[20..380].to_vec();
    expected.retain(|job| job.spec.definition.as_str() == "A");
    expected.reverse();
    assert_eq!(listed, expected);
    assert_eq!(journal.history(HistoryQuery { limit: 0, ..query }).await.unwrap(), []);
}

pub(super) async fn a_job_of_the_history_goes_on(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let first = fill(subject, &*journal, 300).await.remove(0);
    let (journal, _) = subject.take_over("beta");
    let again = walk(&*journal, &first, &[Event::ForceRestart]).await;
    assert_eq!((again.status, again.sequence), (Status::Accepted, first.sequence));
    assert_eq!(journal.in_flight().await.unwrap(), std::slice::from_ref(&again));
    let all = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    let history = journal.history(all.clone()).await.unwrap();
    assert!(history.iter().all(|job| job.id != first.id), "it has not ended");
    assert_eq!(journal.entries(&first.id).await.unwrap().len(), 9);

    let ended = finish(&*journal, &again).await;
    fill(subject, &*journal, 300).await;
    let history = journal.history(all.clone()).await.unwrap();
    let found: Vec<_> = history.iter().filter(|job| job.id == first.id).collect();
    assert_eq!(found, [&ended], "once, as it ended the second time");
    assert_eq!(journal.entries(&first.id).await.unwrap().len(), 16);
    // In the time of its first end there is nothing of it any more.
    let until = Some(first.updated_at + jiff::SignedDuration::from_secs(1));
    let then = journal.history(HistoryQuery { until, ..all }).await.unwrap();
    assert_eq!(then, []);
}

pub(super) async fn a_key_in_the_history_is_known(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let job = journal.accept(vec![keyed("A", "old")]).await.unwrap().remove(0);
    let job = finish(&*journal, &job).await;
    fill(subject, &*journal, 300).await;
    let ask = async |journal: &dyn JournalStore| {
        journal.accept(vec![keyed("A", "old"), keyed("A", "old")]).await.unwrap()
    };
    assert_eq!(ask(&*journal).await, [job.clone(), job.clone()]);
    let (journal, _) = subject.take_over("beta");
    assert_eq!(ask(&*journal).await, [job.clone(), job]);
}

/// Of `A`, `A1` and `A11` none gets an id that another has got, whatever lies in the history by
/// then.
pub(super) async fn no_two_jobs_bear_one_id(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let mut ids = std::collections::BTreeSet::new();
    for round in 0..6 {
        for definition in ["A11", "A1", "A", "A11"] {
            for job in journal.accept(vec![spec(definition); 9]).await.unwrap() {
                assert!(ids.insert(job.id.clone()), "{} for {definition} in {round}", job.id);
                assert_eq!(job.id.run_of(&job.spec.definition), Some(job.run));
                finish(&*journal, &job).await;
            }
        }
        fill(subject, &*journal, 30).await;
    }
    let (journal, _) = subject.take_over("beta");
    for definition in ["A1", "A11", "A"] {
        let jobs = journal.accept(vec![spec(definition); 20]).await.unwrap();
        assert!(jobs.into_iter().all(|job| ids.insert(job.id)));
    }
}

pub(super) async fn who_has_not_heard_of_an_end_is_known_without_the_history(
    subject: &impl Subject,
) {
    let (journal, _) = subject.take_over("alpha");
    let told = JobSpec { told: Some("osaka".parse().unwrap()), ..spec("A") };
    let jobs = journal.accept(vec![told; 6]).await.unwrap();
    let peer = |status| {
        move |state: &mut JobState| {
            let job = "A99".parse().unwrap();
            state.peer = Some(Standing { job, status, open: None });
        }
    };
    let waits = Status::ReceiverWaiting;
    let done = Status::ReceiverIdle(Outcome::Completed);
    let end = async |job: &Job, events: &[Event], standing| {
        let (_, step) = job.step(events, None, peer(standing)).unwrap();
        write(&*journal, step).await.unwrap()
    };
    let failed = end(&jobs[0], &[Event::Fail], waits).await;
    let cancelled = end(&jobs[1], &[Event::Cancel], waits).await;
    let suspended = end(&jobs[2], &[Event::Suspend], waits).await;
    end(&jobs[3], &[Event::Fail], Status::ReceiverIdle(Outcome::Failed)).await;
    let early = finish(&*journal, &end(&jobs[4], &[], waits).await).await;
    finish(&*journal, &end(&jobs[5], &[], done).await).await;
    fill(subject, &*journal, 300).await;
    let (journal, _) = subject.take_over("beta");
    let unheard = [&failed, &cancelled, &suspended, &early];
    assert_eq!(journal.unheard().await.unwrap().iter().collect::<Vec<_>>(), unheard);

    let (_, step) = failed.step(&[], None, |state| state.withdrawn = true).unwrap();
    write(&*journal, step).await.unwrap();
    walk(&*journal, &cancelled, &[Event::Restart]).await;
    let (_, step) = suspended.step(&[], None, peer(done)).unwrap();
    write(&*journal, step).await.unwrap();
    assert_eq!(journal.unheard().await.unwrap(), std::slice::from_ref(&early));
    // What is forgotten with its month is waited for no more.
    let later = subject.now() + jiff::SignedDuration::from_hours(1);
    journal.prune(later).await.unwrap();
    assert_eq!(journal.unheard().await.unwrap(), []);
    fill(subject, &*journal, 30).await;
}

pub(super) async fn whole_months_are_pruned(subject: &impl Subject) {
    let (journal, _) = subject.take_over("alpha");
    let jobs = fill(subject, &*journal, 400).await;
    let before = jobs[200].updated_at;
    let pruned = journal.prune(before).await.unwrap();
    let all = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    let kept = journal.history(all).await.unwrap();
    assert_eq!(kept.len() as u64 + pruned, 400);
    assert!((1..=200).contains(&pruned), "{pruned}");
    for job in &jobs[200..] {
        assert!(kept.contains(job), "{} is newer than that", job.id);
    }
    // All jobs of months that were over are gone.
    assert!(pruned >= 200 - 31, "{pruned}");
}
