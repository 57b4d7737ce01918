//! Where the host's protocol is weak. Each weakness is shown with the scenario that it needs,
//! and that it is gone when the one rule is mended. docs/model.md tells them in words.

use ferryway_tests::model::{Budget, Protocol, ServerKind, Setting, World};

use crate::{check::unsafe_in, mutations::STAYS};

/// The move of the old target has no token of its own: one that the server reads late moves
/// whatever the target is by then.
#[test]
fn a_late_move_of_the_old_target_takes_the_new_one() {
    let server = ServerKind { replaces: false, ..ServerKind::default() };
    let budget = Budget { losses: 1, ..Budget::default() };
    let world = World { old_target: true, ..World::default() };
    let setting = Setting { server, ..Setting::default() };
    let lossy = World { budget, ..world.clone() };
    unsafe_in("a move that is read late", &Setting { world: lossy, ..setting.clone() }, &[STAYS]);
    let protocol = Protocol { beside: true, ..Protocol::default() };
    let name = "a zombie's move, tokens in place";
    unsafe_in(name, &Setting { world, protocol, ..setting }, &[STAYS]);
}
