//! Takeovers that meet a running, a frozen or a dying former owner.

use std::{
    collections::HashSet,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferryway_core::Event;
use ferryway_host::journal::{
    Durability, Hook, JournalError, JournalStore, Options, Point, SqliteJournal, Warning,
    reader::Reader,
    record::{HistoryQuery, Job},
};

use crate::{Install, accept, finish, spec, until, walk};

const BOTH: [Durability; 2] = [Durability::WriteAhead, Durability::Rollback];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_owner_acknowledges_is_in_the_successor() {
    for durability in BOTH {
        let install = Install::new(durability);
        let mut owner = Arc::new(install.host("n0").0);
        let acknowledged: Arc<Mutex<HashSet<_>>> = Arc::default();
        for round in 1..=8 {
            let count = Arc::new(AtomicUsize::new(0));
            let submitters: Vec<_> = (0..8)
                .map(|_| {
                    let (owner, acknowledged) = (Arc::clone(&owner), Arc::clone(&acknowledged));
                    let count = Arc::clone(&count);
                    tokio::spawn(async move {
                        loop {
                            match owner.accept(vec![spec("HAMMER")]).await {
                                Ok(jobs) => {
                                    let ids = jobs.into_iter().map(|job| job.id);
                                    acknowledged.lock().unwrap().extend(ids);
                                    count.fetch_add(1, Ordering::Relaxed);
                                }
                                Err(error) => return error,
                            }
                        }
                    })
                })
                .collect();
            until("some acknowledgements", async || count.load(Ordering::Relaxed) > 100).await;
            let options = install.options(&format!("n{round}"));
            let take_over = move || SqliteJournal::take_over(options).unwrap();
            let (successor, takeover) = tokio::task::spawn_blocking(take_over).await.unwrap();
            for submitter in submitters {
                let error = submitter.await.unwrap();
                assert!(matches!(error, JournalError::Fenced { .. }), "{error}");
            }
            let found: HashSet<_> = takeover.in_flight.into_iter().map(|job| job.id).collect();
            let lost: Vec<_> = acknowledged.lock().unwrap().difference(&found).cloned().collect();
            assert!(lost.is_empty(), "{durability:?}, round {round}: lost {lost:?}");
            owner = Arc::new(successor);
        }
    }
}

/// Stops whoever comes to one point until it is let go.
#[derive(Default)]
struct Gate {
    /// Whether somebody stands there, and whether it is open.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn hook(self: &Arc<Self>, at: Point, armed: &Arc<AtomicBool>) -> Hook {
        let (gate, armed) = (Arc::clone(self), Arc::clone(armed));
        Hook::new(move |point| {
            if point == at && armed.load(Ordering::SeqCst) {
                let mut state = gate.state.lock().unwrap();
                state.0 = true;
                gate.changed.notify_all();
                let limit = Duration::from_secs(60);
                let (state, _) =
                    gate.changed.wait_timeout_while(state, limit, |(_, open)| !*open).unwrap();
                assert!(state.1, "nobody opened the gate");
            }
            Ok(())
        })
    }

    fn wait_for_somebody(&self) {
        let state = self.state.lock().unwrap();
        let limit = Duration::from_secs(60);
        let (state, _) =
            self.changed.wait_timeout_while(state, limit, |(there, _)| !*there).unwrap();
        assert!(state.0, "nobody came to the gate");
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_frozen_in_a_commit_acknowledges_nothing_afterwards() {
    for durability in BOTH {
        for point in [Point::Executed, Point::Committed] {
            let install = Install::new(durability);
            let (gate, armed) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
            let mut options = install.options("alpha");
            options.hook = gate.hook(point, &armed);
            let zombie = Arc::new(SqliteJournal::take_over(options).unwrap().0);
            let kept = accept(&*zombie, "A").await;
            armed.store(true, Ordering::SeqCst);
            let late = {
                let zombie = Arc::clone(&zombie);
                tokio::spawn(async move { zombie.accept(vec![spec("A")]).await })
            };
            let (successor, takeover) = tokio::task::block_in_place(|| {
                gate.wait_for_somebody();
                install.host("beta")
            });
            assert_eq!(takeover.in_flight[0], kept);
            gate.open();
            let error = late.await.unwrap().unwrap_err();
            assert!(matches!(error, JournalError::Fenced { .. }), "{point:?}: {error}");
            // The same number may now be somebody else's job; it was not acknowledged.
            let job = accept(&successor, "B").await;
            assert_eq!(successor.job(&job.id).await.unwrap(), Some(job));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_frozen_anywhere_loses_against_a_later_one_or_follows_it() {
    let points =
        [Point::Claimed, Point::Published, Point::Copied, Point::Prepared, Point::Completed];
    let cases = points.map(|point| (point, true)).into_iter().chain([(Point::Claimed, false)]);
    for (point, removed) in cases {
        let install = Install::new(Durability::WriteAhead);
        let (first, _) = install.host("alpha");
        let mut expected = vec![accept(&first, "A").await];
        let (gate, armed) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(true)));
        let mut options = install.options("slow");
        options.hook = gate.hook(point, &armed);
        let slow = tokio::task::spawn_blocking(move || SqliteJournal::take_over(options));
        let (quick, takeover) = tokio::task::block_in_place(|| {
            gate.wait_for_somebody();
            install.host("quick")
        });
        assert_eq!(takeover.in_flight, expected, "{point:?}");
        expected.push(accept(&quick, "A").await);
        if !removed {
            // As if the quick one could not have removed the slow one's folder.
            fs::create_dir(install.path().join("journal/hot.2")).unwrap();
        }
        gate.open();
        match slow.await.unwrap() {
            // It published after the quick one and noticed: it began again, and has it all.
            Ok((journal, takeover)) => {
                assert_eq!(point, Point::Claimed);
                assert_eq!(takeover.in_flight, expected);
                expected.push(accept(&journal, "A").await);
                quick.accept(vec![spec("A")]).await.unwrap_err();
            }
            Err(error) => {
                assert!(matches!(error, JournalError::Fenced { .. }), "{point:?}: {error}");
                expected.push(accept(&quick, "A").await);
            }
        }
        assert_eq!(install.host("last").1.in_flight, expected, "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_dies_leaves_a_state_to_go_on_from() {
    let points =
        [Point::Claimed, Point::Published, Point::Copied, Point::Prepared, Point::Completed];
    for durability in BOTH {
        // Also two deaths in a row, also of the very first host.
        for first in points {
            for second in points {
                let install = Install::new(durability);
                let mut expected = Vec::new();
                for empty in [true, false] {
                    die_in_takeover(install.options("alpha"), first);
                    die_in_takeover(install.options("beta"), second);
                    let (journal, takeover) = install.host("gamma");
                    assert_eq!(takeover.in_flight, expected, "{first:?}, {second:?}, {empty}");
                    expected.push(accept(&journal, "A").await);
                    journal.close().await.unwrap();
                }
                let folders = fs::read_dir(install.path().join("journal")).unwrap();
                let hot = folders
                    .filter(|entry| {
                        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("hot.")
                    })
                    .count();
                assert_eq!(hot, 2, "the owner's journal and the one it copied stay");
            }
        }
    }
}

fn die_in_takeover(mut options: Options, at: Point) {
    let died = Arc::new(AtomicBool::new(false));
    let witness = Arc::clone(&died);
    options.hook = Hook::new(move |point| {
        if point == at {
            witness.store(true, Ordering::SeqCst);
            // Unwinding skips every step that follows; resuming it prints nothing.
            std::panic::resume_unwind(Box::new("death"));
        }
        Ok(())
    });
    let result = catch_unwind(AssertUnwindSafe(|| SqliteJournal::take_over(options)));
    assert!(result.is_err() && died.load(Ordering::SeqCst), "{at:?} was not passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_in_a_takeover_leaves_the_journal_to_the_next() {
    for at in Point::EACH.into_iter().take(5) {
        let install = Install::new(Durability::WriteAhead);
        let (first, _) = install.host("alpha");
        let job = accept(&first, "A").await;
        let mut options = install.options("beta");
        options.hook =
            Hook::new(
                move |point| {
                    if point == at { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
                },
            );
        let error = SqliteJournal::take_over(options).unwrap_err();
        assert!(error.to_string().contains("disk is full"), "{error}");
        assert_eq!(install.host("gamma").1.in_flight, [job]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_while_jobs_move_to_the_history_loses_and_doubles_nothing() {
    let install = Install::new(Durability::WriteAhead);
    let mut options = install.options("alpha");
    options.hook = Hook::new(|point| match point {
        Point::Archived => Err(io::Error::other("death")),
        _ => Ok(()),
    });
    let (journal, _) = SqliteJournal::take_over(options).unwrap();
    let mut ended: Vec<Job> = Vec::new();
    while let Ok(jobs) = journal.accept(vec![spec("A")]).await {
        let events = [Event::Fail];
        let (_, step) = jobs[0].step(&events, None, |_| {}).unwrap();
        let Ok(receipt) = journal.queue(step).await else { break };
        let Ok(job) = receipt.await else { break };
        ended.push(job);
    }
    assert!(ended.len() >= 20, "{}", ended.len());
    ended.reverse();
    let (journal, _) = install.host("beta");
    let all = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
    let listed = journal.history(all.clone()).await.unwrap();
    assert_eq!(listed[listed.len() - ended.len()..], ended);
    let next = accept(&journal, "A").await;
    let next = finish(&journal, &next).await;
    until("a move", async || {
        fs::read_dir(install.path().join("journal/hist")).unwrap().count() >= 2
    })
    .await;
    let again = journal.history(all).await.unwrap();
    assert_eq!((&again[0], &again[1..]), (&next, &listed[..]));
}

/// A journal with a file of the history, of March 2024, and a job that is in it.
async fn with_history(install: &Install) -> (SqliteJournal, Job, PathBuf) {
    let (journal, _) = install.host("alpha");
    let mut first = None;
    for _ in 0..40 {
        let job = accept(&journal, "A").await;
        first.get_or_insert(finish(&journal, &job).await);
    }
    let file = install.path().join("journal/hist/202403.1.db");
    until("a move", async || file.exists()).await;
    (journal, first.unwrap(), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_owner_removes_nothing_from_the_history() {
    let install = Install::new(Durability::WriteAhead);
    let (former, first, file) = with_history(&install).await;
    let (journal, _) = install.host("beta");
    let error = former.prune("2024-07-01T00:00:00Z".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, JournalError::Fenced { .. }), "{error}");
    assert!(file.exists());
    assert_eq!(journal.job(&first.id).await.unwrap(), Some(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_file_left_in_a_transaction_is_read_and_mended() {
    let install = Install::new(Durability::WriteAhead);
    let (journal, first, file) = with_history(&install).await;
    let history = install.path().join("journal/hist");
    journal.close().await.unwrap();
    // The state in the middle of a transaction: rows are gone from the file, and its rollback
    // journal has them. It is taken from a writer that is still at it.
    let torn = install.path().join("torn.db");
    {
        let writer = rusqlite::Connection::open(&file).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; PRAGMA cache_spill = 1;
                 BEGIN IMMEDIATE; DELETE FROM jobs; DELETE FROM entries;
                 CREATE TABLE filler (a); INSERT INTO filler
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                 SELECT randomblob(2000) FROM n;",
            )
            .unwrap();
        fs::copy(&file, &torn).unwrap();
        fs::copy(history.join("202403.1.db-journal"), install.path().join("torn.db-journal"))
            .unwrap();
    }
    fs::rename(&torn, &file).unwrap();
    fs::rename(install.path().join("torn.db-journal"), history.join("202403.1.db-journal"))
        .unwrap();

    let reader = Reader::open(install.path()).unwrap();
    assert_eq!(reader.job(&first.id).unwrap().as_ref(), Some(&first));
    let (journal, _) = install.host("beta");
    assert_eq!(journal.job(&first.id).await.unwrap().as_ref(), Some(&first));
    until("the mended file", async || history.join("202403.1-2.db").exists() && !file.exists())
        .await;
    assert_eq!(journal.job(&first.id).await.unwrap().as_ref(), Some(&first));
    let again = walk(&journal, &first, &[Event::ForceRestart]).await;
    assert_eq!(journal.in_flight().await.unwrap(), [again]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_the_same_node_is_refused_unless_it_replaces() {
    let install = Install::new(Durability::WriteAhead);
    let (journal, takeover) = install.host("alpha");
    assert!(!takeover.warnings.iter().any(|w| matches!(w, Warning::LockHeld { .. })));
    let job = accept(&journal, "A").await;
    let error = SqliteJournal::take_over(install.options("alpha")).unwrap_err();
    let JournalError::Held { pid, .. } = error else { panic!("{error}") };
    assert_eq!(pid, std::process::id());
    // The refused one has not disturbed the owner.
    journal.check_ownership().await.unwrap();
    let mut options = install.options("alpha");
    options.replace = true;
    let (_owner, takeover) = SqliteJournal::take_over(options).unwrap();
    assert_eq!(takeover.in_flight, [job]);
    let holder = Some(("alpha".to_owned(), std::process::id()));
    assert!(takeover.warnings.contains(&Warning::LockHeld { holder }));
    assert!(matches!(journal.check_ownership().await, Err(JournalError::Fenced { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_dropped_leaves_everything_acknowledged() {
    let install = Install::new(Durability::WriteAhead);
    let mut expected = Vec::new();
    for _ in 0..5 {
        let mut opened = None;
        // The lock is free as soon as the writer has ended.
        until("the lock", async || {
            opened = SqliteJournal::take_over(install.options("alpha")).ok();
            opened.is_some()
        })
        .await;
        let (journal, takeover) = opened.unwrap();
        assert_eq!(takeover.in_flight, expected);
        expected.push(accept(&journal, "A").await);
        drop(journal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_onlooker_reads_with_and_without_a_host() {
    for durability in BOTH {
        let install = Install::new(durability);
        assert!(matches!(Reader::open(install.path()), Err(JournalError::Damaged { .. })));
        let (journal, _) = install.host("alpha");
        let ended = accept(&journal, "A").await;
        let ended = finish(&journal, &ended).await;
        let job = accept(&journal, "A").await;
        let check = || {
            let reader = Reader::open(install.path()).unwrap();
            assert_eq!((reader.owner().epoch.number(), &*reader.owner().node), (1, "alpha"));
            assert_eq!(reader.in_flight().unwrap(), std::slice::from_ref(&job));
            let query = HistoryQuery { limit: 10, ..HistoryQuery::default() };
            assert_eq!(reader.history(&query).unwrap(), std::slice::from_ref(&ended));
            assert_eq!(reader.job(&ended.id).unwrap().as_ref(), Some(&ended));
            assert_eq!(reader.entries(&ended.id).unwrap().len(), 8);
        };
        check();
        journal.close().await.unwrap();
        let list = || {
            let mut names: Vec<_> = fs::read_dir(install.path().join("journal/hot.1"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        let before = list();
        check();
        assert_eq!(list(), before, "reading leaves nothing behind");
    }
}
