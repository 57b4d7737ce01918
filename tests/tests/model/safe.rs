//! Where `publish = "atomic"` is safe, and can always end.

use ferryway_tests::model::{Budget, LateClose, Lock, Protocol, ServerKind, Setting, World};

use crate::check::safe;

fn once(set: impl FnOnce(&mut Budget)) -> Budget {
    let mut budget = Budget::default();
    set(&mut budget);
    budget
}

fn beside() -> Protocol {
    Protocol { beside: true, ..Protocol::default() }
}

fn adopting() -> Protocol {
    Protocol { adopts: true, ..Protocol::default() }
}

fn with_lock(lock: Lock) -> ServerKind {
    ServerKind { lock, forgets_silent: true, ..ServerKind::default() }
}

fn of(server: ServerKind, protocol: Protocol, world: World) -> Setting {
    Setting { server, protocol, world, ..Setting::default() }
}

fn plain(protocol: Protocol, world: World) -> Setting {
    of(ServerKind::default(), protocol, world)
}

#[test]
fn two_jobs_to_one_target_with_every_death_and_a_lost_connection() {
    let world = World { jobs: 2, budget: once(|b| b.losses = 1), ..World::default() };
    safe("folders, 2 jobs, 1 loss", &plain(Protocol::default(), world.clone()));
    safe("tokens in place, 2 jobs, 1 loss", &plain(beside(), world));
}

#[test]
fn three_epochs() {
    let world = World { epochs: 3, ..World::default() };
    safe("folders, 3 epochs", &plain(Protocol::default(), world.clone()));
    safe("tokens in place, 3 epochs", &plain(beside(), world.clone()));
    let server = ServerKind { folders: false, ..ServerKind::default() };
    safe("a server without folders, 3 epochs", &of(server, Protocol::default(), world));
}

#[test]
fn an_older_target_is_replaced() {
    let world = World { old_target: true, budget: once(|b| b.losses = 1), ..World::default() };
    safe("folders, older target, 1 loss", &plain(Protocol::default(), world));
}

#[test]
fn a_server_that_refuses_to_replace() {
    let server = ServerKind { replaces: false, ..ServerKind::default() };
    let world = World { old_target: true, ..World::default() };
    safe("folders, no replacing", &of(server.clone(), Protocol::default(), world));
    let world = World { jobs: 2, ..World::default() };
    safe("folders, no replacing, 2 jobs", &of(server, Protocol::default(), world));
}

#[test]
fn servers_with_locks_and_somebody_who_holds_a_file() {
    let world = World { budget: once(|b| b.holds = 1), ..World::default() };
    for lock in [Lock::Refuses, Lock::Blocks] {
        for protocol in [Protocol::default(), beside()] {
            let name = format!("lock {lock:?}, beside {}, 1 hold", protocol.beside);
            safe(&name, &of(with_lock(lock), protocol, world.clone()));
        }
    }
    let two = World { jobs: 2, ..world };
    safe("lock None, 2 jobs, 1 hold", &of(with_lock(Lock::None), Protocol::default(), two));
}

#[test]
fn a_server_that_never_gives_up_a_dead_session() {
    for lock in [Lock::None, Lock::Refuses, Lock::Blocks] {
        let server = ServerKind { lock, ..ServerKind::default() };
        let world = World { jobs: 2, ..World::default() };
        safe(&format!("lock {lock:?} for ever, 2 jobs"), &of(server, adopting(), world));
    }
}

#[test]
fn a_data_connection_that_the_path_closes() {
    let world = World { chunks: 2, budget: once(|b| b.cuts = 1), ..World::default() };
    safe("folders, 1 early 226", &plain(Protocol::default(), world.clone()));
    safe("adoption, 1 early 226", &plain(adopting(), world));
}

#[test]
fn a_consumer_that_takes_the_target_away() {
    let budget = once(|b| b.losses = 1);
    let world = World { jobs: 2, consumer: true, budget, ..World::default() };
    safe("tokens in place, consumer, 2 jobs, 1 loss", &plain(beside(), world));
}

/// An upload that is still open follows the file to its new name. Its late bytes are the same
/// source's, and its late close keeps the file whole.
#[test]
fn an_unfinished_partial_is_gone_on_with() {
    let world = World { chunks: 2, budget: once(|b| b.losses = 1), ..World::default() };
    for lock in [Lock::None, Lock::Refuses, Lock::Blocks] {
        let name = format!("adoption, lock {lock:?}, 1 loss");
        safe(&name, &of(with_lock(lock), adopting(), world.clone()));
    }
    let truncates = ServerKind { late_close: LateClose::Truncates, ..ServerKind::default() };
    let world = World { chunks: 2, jobs: 2, ..World::default() };
    safe("no adoption where a late close truncates", &of(truncates, adopting(), world.clone()));
    let appends = ServerKind { appends: true, ..ServerKind::default() };
    safe("no adoption where bytes go to the end", &of(appends, adopting(), world));
}

/// A changed source is another file, as a rename puts it there. A node that has the old one open
/// goes on with the old bytes.
#[test]
fn a_source_that_is_replaced_by_another_file() {
    let budget = once(|b| b.changes = 1);
    let world = World { chunks: 3, budget, ..World::default() };
    safe("adoption, the source changes", &plain(adopting(), world));
}

#[test]
fn a_server_that_loses_its_power_is_waited_for() {
    let protocol = Protocol { settle_delay: true, ..Protocol::default() };
    let budget = once(|b| b.power_losses = 1);
    let world = World { epochs: 1, budget, ..World::default() };
    safe("settle delay, 1 loss of power, 1 epoch", &plain(protocol, world));
}

#[test]
#[ignore = "takes many minutes"]
fn large_settings() {
    let all = || once(|b| b.losses = 1);
    let world = World { epochs: 3, budget: all(), ..World::default() };
    safe("tokens in place, 3 epochs, 1 loss", &plain(beside(), world.clone()));
    safe("folders, 3 epochs, 1 loss", &plain(Protocol::default(), world));
    let world = World { epochs: 3, jobs: 2, ..World::default() };
    safe("tokens in place, 3 epochs, 2 jobs", &plain(beside(), world.clone()));
    safe("folders, 3 epochs, 2 jobs", &plain(Protocol::default(), world));
    let world = World { epochs: 3, chunks: 2, ..World::default() };
    safe("adoption, 3 epochs, 2 chunks", &plain(adopting(), world));
    let world = World { epochs: 3, budget: once(|b| b.holds = 1), ..World::default() };
    safe("lock Refuses, 3 epochs, 1 hold", &of(with_lock(Lock::Refuses), beside(), world));
}
