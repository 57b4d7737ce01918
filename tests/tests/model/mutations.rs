//! Each rule of the protocol is needed: without it the search finds what goes wrong.

use ferryway_tests::model::{
    Budget, Death, LateClose, Lock, Mutation, Protocol, ServerKind, Setting, World,
};

use crate::check::{safe, unsafe_in};

pub(crate) const WHOLE: &str = "absent or one whole version";
pub(crate) const ONCE: &str = "at most once, in order";
pub(crate) const DONE: &str = "that is done was published";
pub(crate) const STAYS: &str = "the target is its file";
pub(crate) const REVOKED: &str = "folder was taken away publishes nothing";

/// The setting is safe, and is not when the rule is broken.
fn caught(mutation: Mutation, setting: Setting, properties: &[&str]) {
    safe(&format!("{mutation:?}, not broken"), &setting);
    let broken = Setting { mutation: Some(mutation), ..setting };
    unsafe_in(&format!("{mutation:?}"), &broken, properties);
}

fn in_place() -> Protocol {
    Protocol { beside: true, ..Protocol::default() }
}

fn adopting(world: World) -> Setting {
    let protocol = Protocol { adopts: true, ..Protocol::default() };
    Setting { protocol, world, ..Setting::default() }
}

/// Without the mutation the setting is one of `safe::three_epochs`.
fn in_three_epochs(mutation: Mutation) {
    let world = World { epochs: 3, ..World::default() };
    let protocol = in_place();
    let setting = Setting { protocol, world, mutation: Some(mutation), ..Setting::default() };
    unsafe_in(&format!("{mutation:?}"), &setting, &[DONE, STAYS]);
}

#[test]
fn a_token_is_moved_and_not_deleted() {
    in_three_epochs(Mutation::DeletesToken);
}

#[test]
fn busy_is_not_absent() {
    let server = ServerKind { lock: Lock::Refuses, forgets_silent: true, ..ServerKind::default() };
    let world = World { budget: Budget { holds: 1, ..Budget::default() }, ..World::default() };
    let setting = Setting { server, world, protocol: in_place(), ..Setting::default() };
    caught(Mutation::BusyIsAbsent, setting, &[DONE, STAYS]);
}

#[test]
fn names_are_tried_from_the_oldest() {
    in_three_epochs(Mutation::NewestNameFirst);
}

#[test]
fn a_move_is_recorded_before_it_is_sent() {
    in_three_epochs(Mutation::MoveNotRecorded);
}

#[test]
fn all_names_of_a_token_are_kept() {
    in_three_epochs(Mutation::OneNameRecord);
}

#[test]
fn no_name_is_used_twice() {
    let budget = Budget { losses: 1, ..Budget::default() };
    let world = World { chunks: 2, budget, ..World::default() };
    let setting = Setting { world, protocol: in_place(), ..Setting::default() };
    caught(Mutation::ReusesNames, setting, &[WHOLE, ONCE, DONE, STAYS]);
}

#[test]
fn a_226_is_no_proof() {
    let budget = Budget { cuts: 1, ..Budget::default() };
    let world = World { chunks: 2, budget, ..World::default() };
    let setting = Setting { world, ..Setting::default() };
    caught(Mutation::NoVerification, setting, &[WHOLE, ONCE, DONE, STAYS]);
}

/// No rule on the partner's side stands in for it: a successor cannot settle what a former owner
/// records elsewhere.
#[test]
fn the_journal_refuses_a_former_owner() {
    let world = World { jobs: 2, ..World::default() };
    for protocol in [in_place(), Protocol::default()] {
        let name = format!("a journal that fences, beside {}", protocol.beside);
        let setting = Setting { world: world.clone(), ..Setting::default() };
        safe(&name, &Setting { protocol: protocol.clone(), ..setting.clone() });
        let protocol = Protocol { journal_fences: false, ..protocol };
        let name = format!("a journal that does not fence, beside {}", protocol.beside);
        let setting = Setting { protocol, ..setting };
        unsafe_in(&name, &setting, &[ONCE, STAYS]);
    }
}

/// A folder that was taken away stays so, even where the journal does not fence.
#[test]
fn a_revoked_folder_gets_a_file_in_its_place_that_is_heeded() {
    let protocol = Protocol { journal_fences: false, ..Protocol::default() };
    let setting = Setting { protocol, ..Setting::default() };
    unsafe_in("a bar, and a journal that does not fence", &setting, &[ONCE]);
    for mutation in [Mutation::NoBar, Mutation::IgnoresBar] {
        let broken = Setting { mutation: Some(mutation), ..setting.clone() };
        unsafe_in(&format!("{mutation:?}"), &broken, &[ONCE, REVOKED]);
    }
}

#[test]
fn nothing_is_adopted_where_a_late_close_truncates() {
    let world = World { chunks: 2, ..World::default() };
    let server = ServerKind { late_close: LateClose::Truncates, ..ServerKind::default() };
    let setting = Setting { server, ..adopting(world) };
    caught(Mutation::AdoptsDespiteTruncation, setting, &[WHOLE, ONCE, DONE, STAYS]);
}

#[test]
fn nothing_is_adopted_with_another_fingerprint() {
    let budget = Budget { changes: 1, ..Budget::default() };
    let setting = adopting(World { chunks: 3, budget, ..World::default() });
    caught(Mutation::AdoptsOtherFingerprint, setting, &[WHOLE, ONCE, DONE, STAYS]);
}

#[test]
fn a_name_keeps_the_fingerprint_of_its_attempt() {
    let budget = Budget { changes: 1, losses: 1, ..Budget::default() };
    let world = World { chunks: 3, deaths: vec![Death::Silent], budget, ..World::default() };
    caught(Mutation::MergesFingerprints, adopting(world), &[WHOLE, ONCE, DONE, STAYS]);
}

#[test]
fn what_is_written_into_an_open_source_is_not_sent() {
    let budget = Budget { changes: 1, ..Budget::default() };
    let setting = adopting(World { chunks: 3, changes_in_place: true, budget, ..World::default() });
    caught(Mutation::SendsWhatChanged, setting, &[WHOLE, ONCE, DONE, STAYS]);
}

#[test]
fn an_old_target_is_moved_and_not_deleted() {
    let server = ServerKind { replaces: false, ..ServerKind::default() };
    let world = World { old_target: true, ..World::default() };
    let setting = Setting { server, world, ..Setting::default() };
    caught(Mutation::DeletesTarget, setting, &[STAYS]);
}

/// The move of the old target has no token of its own: one that the server reads late would move
/// whatever the target is by then.
#[test]
fn a_late_move_of_the_old_target_is_barred() {
    let server = ServerKind { replaces: false, ..ServerKind::default() };
    let budget = Budget { losses: 1, ..Budget::default() };
    let world = World { old_target: true, ..World::default() };
    let lossy = World { budget, ..world.clone() };
    for (world, protocol) in [(lossy, Protocol::default()), (world, in_place())] {
        let setting = Setting { server: server.clone(), world, protocol, ..Setting::default() };
        caught(Mutation::LeavesLateMoves, setting, &[STAYS]);
    }
}

#[test]
fn a_server_that_replaces_is_not_made_to_move_the_old_target() {
    let server = ServerKind { lock: Lock::Refuses, forgets_silent: true, ..ServerKind::default() };
    let budget = Budget { holds: 1, ..Budget::default() };
    let world = World { old_target: true, budget, ..World::default() };
    let setting = Setting { server, world, ..Setting::default() };
    caught(Mutation::MovesTargetAnyway, setting, &[STAYS]);
}

fn settling() -> Setting {
    let protocol = Protocol { settle_delay: true, ..Protocol::default() };
    let budget = Budget { power_losses: 1, ..Budget::default() };
    let world = World { old_target: true, budget, ..World::default() };
    Setting { protocol, world, ..Setting::default() }
}

#[test]
fn after_the_settle_delay_the_token_is_looked_for() {
    let server = ServerKind { storage_apart: true, ..ServerKind::default() };
    caught(Mutation::LooksAtTarget, Setting { server, ..settling() }, &[DONE, STAYS]);
}

#[test]
fn a_successor_waits_for_the_settle_delay() {
    caught(Mutation::SettlesAtOnce, settling(), &[DONE, STAYS]);
}

#[test]
fn an_older_intent_is_settled_before_a_newer_job() {
    let world = World { jobs: 2, ..World::default() };
    let setting = Setting { world, ..Setting::default() };
    caught(Mutation::NewerJobFirst, setting, &[ONCE, STAYS]);
}
