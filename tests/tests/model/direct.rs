//! `publish = "direct"`: each outcome that a switch of nodes is known to have, and what late
//! bytes add to them.

use std::collections::BTreeSet;

use ferryway_tests::model::{
    Death, Lock, Protocol, ServerKind, Setting, State, World, explore::search, names::TARGET,
    names::whole,
};

const SHARED_DISK: [Death; 3] = [Death::Closed, Death::Reset, Death::Silent];
const LOCAL_DISK: [Death; 1] = [Death::Zombie];
const CHUNKS: u8 = 3;

/// How it can end, in words: the job, the target, and what was seen on the way.
fn outcomes(
    server: ServerKind,
    deaths: &[Death],
    set: impl FnOnce(&mut World),
) -> BTreeSet<String> {
    let mut world = World { deaths: deaths.to_vec(), chunks: CHUNKS, ..World::default() };
    set(&mut world);
    let protocol = Protocol { direct: true, ..Protocol::default() };
    let setting = Setting { server, protocol, world, ..Setting::default() };
    let mut outcomes = BTreeSet::new();
    search(&setting, &[], State::all_delivered, |state, last| {
        if last && state.epoch == 2 {
            outcomes.insert(outcome(&setting, state));
        }
    });
    println!("{setting:?}\n{outcomes:#?}");
    outcomes
}

fn outcome(setting: &Setting, state: &State) -> String {
    let job = match &state.journal.jobs[0] {
        job if job.delivered.is_some() => "done",
        job if job.failed() => "failed",
        _ => "waiting",
    };
    let target = match state.server.content(TARGET) {
        None => "absent",
        Some(content) if *content == whole(0, 0, CHUNKS) => "whole",
        Some(content) if setting.is_whole(content) => "whole, the other's",
        Some(content) if content.len() < usize::from(CHUNKS) => "cut off",
        Some(_) => "mixed",
    };
    let helped = if state.seen.operator { ", with help" } else { "" };
    let sent = if state.seen.uploads > 1 { ", sent twice" } else { "" };
    format!("{job}, {target}{sent}{helped}")
}

fn locking(lock: Lock) -> ServerKind {
    ServerKind { lock, reads_late: false, ..ServerKind::default() }
}

fn assert_seen(found: &BTreeSet<String>, expected: &[&str]) {
    for outcome in expected {
        assert!(found.contains(*outcome), "`{outcome}` was not seen in {found:#?}");
    }
}

#[test]
fn a_lock_refuses_the_restarted_job_until_the_server_is_restarted() {
    let found = outcomes(locking(Lock::Refuses), &SHARED_DISK, |_| {});
    assert_seen(&found, &["failed, cut off", "failed, whole", "done, whole"]);
    let found = outcomes(locking(Lock::Refuses), &SHARED_DISK, |world| world.operator = true);
    assert_seen(&found, &["done, whole, with help"]);
    assert!(found.iter().all(|outcome| outcome.starts_with("done, whole")), "{found:#?}");
}

#[test]
fn without_a_lock_the_half_file_is_written_over() {
    let found = outcomes(locking(Lock::None), &SHARED_DISK, |_| {});
    assert_seen(&found, &["done, whole", "done, whole, sent twice"]);
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn bytes_that_arrive_late_break_even_that() {
    let late = |lock| ServerKind { lock, ..ServerKind::default() };
    let found = outcomes(late(Lock::None), &SHARED_DISK, |_| {});
    assert_seen(&found, &["done, cut off", "done, mixed"]);
    let found = outcomes(late(Lock::Refuses), &SHARED_DISK, |_| {});
    assert_seen(&found, &["done, cut off"]);
}

#[test]
fn a_lock_that_waits_holds_the_job_up_and_cuts_the_file_off_later() {
    let found = outcomes(locking(Lock::Blocks), &SHARED_DISK, |_| {});
    assert_seen(&found, &["waiting, cut off", "waiting, whole", "done, whole"]);
    let late = ServerKind { lock: Lock::Blocks, ..ServerKind::default() };
    let found = outcomes(late, &SHARED_DISK, |_| {});
    assert_seen(&found, &["done, cut off"]);
}

#[test]
fn with_a_lock_the_former_owner_goes_on_and_the_job_fails_or_sends_again() {
    let found = outcomes(locking(Lock::Refuses), &LOCAL_DISK, |_| {});
    assert_seen(&found, &["failed, whole", "done, whole, sent twice"]);
}

#[test]
fn without_a_lock_both_write_at_once() {
    let found = outcomes(locking(Lock::None), &LOCAL_DISK, |world| world.copies_differ = true);
    assert_seen(&found, &["done, mixed, sent twice", "done, whole, the other's, sent twice"]);
    let appends = ServerKind { appends: true, ..locking(Lock::None) };
    let found = outcomes(appends, &LOCAL_DISK, |_| {});
    assert_seen(&found, &["done, mixed, sent twice", "done, whole, sent twice"]);
}
