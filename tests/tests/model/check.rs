//! Searches a setting and judges what is found.

use std::time::Instant;

use ferryway_tests::model::{
    Setting, State,
    events::Action,
    explore::{Found, search},
    properties::PROPERTIES,
    story::tell,
};

/// Nothing goes wrong in any state, and from each the jobs can be brought to their end.
pub(crate) fn safe(name: &str, setting: &Setting) {
    let found = look(name, setting);
    if let Some((property, way)) = found.violated.first() {
        panic!("{name}: not so: {property}\n{}", tell(setting, way));
    }
    if let Some(way) = &found.stuck {
        panic!("{name}: the jobs cannot end any more\n{}", tell(setting, way));
    }
}

/// Exactly these properties are violated in some state, and a story tells how.
pub(crate) fn unsafe_in(name: &str, setting: &Setting, properties: &[&str]) {
    let found = look(name, setting);
    let violated: Vec<_> = found.violated.iter().map(|(property, _)| *property).collect();
    for (_, way) in &found.violated {
        assert_eq!(tell(setting, way).lines().count(), way.len() + 1, "{name}: a step is not told");
    }
    let expected = |property: &&str| properties.iter().any(|part| property.contains(part));
    assert!(violated.iter().all(expected), "{name}: {violated:#?}");
    assert_eq!(violated.len(), properties.len(), "{name}: {violated:#?}");
    if let Some((property, way)) = found.violated.iter().min_by_key(|(_, way)| way.len()) {
        println!("{name}: not so: {property}\n{}", tell(setting, way));
    }
}

fn look(name: &str, setting: &Setting) -> Found<Action> {
    let begun = Instant::now();
    let goal = State::all_delivered;
    let found = search(setting, &PROPERTIES, goal, |_, _| {});
    let seconds = begun.elapsed().as_secs_f64();
    println!("{name}: {} states, {} steps, {seconds:.1} s", found.states, found.steps);
    found
}
