//! Deliveries that nothing disturbs.

use ferryway_tests::{
    content::Content,
    scene::{Kind, MIB, Plan},
};

const ODD_NAMES: [&str; 4] =
    ["two words.txt", "売上 データ.csv", "it's \"quoted\".bin", "{name}%20&;$.x"];

pub(crate) fn send(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    let content = Content::new(1, 3 * MIB + 7);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    world.sent(&world.alpha, &job, "a.bin", content);
}

pub(crate) fn fetch(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    let content = Content::new(2, 3 * MIB + 7);
    world.offered("a.bin", content);
    let job = world.fetch(&world.alpha, "a.bin");
    world.fetched(&world.alpha, &job, "a.bin", content);
}

pub(crate) fn odd_names(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    for (name, seed) in ODD_NAMES.into_iter().zip(10..) {
        let content = Content::new(seed, 1000 + seed);
        world.outgoing(name, content);
        let job = world.send(&world.alpha, name);
        world.sent(&world.alpha, &job, name, content);
        world.offered(name, content);
        let job = world.fetch(&world.alpha, name);
        world.fetched(&world.alpha, &job, name, content);
    }
}

pub(crate) fn empty_files(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    let content = Content::new(3, 0);
    world.outgoing("empty", content);
    let job = world.send(&world.alpha, "empty");
    world.sent(&world.alpha, &job, "empty", content);
    world.offered("empty", content);
    let job = world.fetch(&world.alpha, "empty");
    world.fetched(&world.alpha, &job, "empty", content);
}

/// An older file is at the target, which not every server replaces.
pub(crate) fn replace(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    let (old, new) = (Content::new(4, 5000), Content::new(5, 3000));
    for name in ["a.bin", "b.bin"] {
        old.write_to(&world.target(name)).unwrap();
        world.server.grant(&world.target(name));
    }
    // From here on only what happens to the new one counts.
    assert_eq!(world.dropped.take("a.bin").made, 1);
    world.outgoing("a.bin", new);
    let job = world.send(&world.alpha, "a.bin");
    world.sent(&world.alpha, &job, "a.bin", new);

    old.write_to(&world.local("c.bin")).unwrap();
    assert_eq!(world.received.take("c.bin").made, 1);
    world.offered("c.bin", new);
    let job = world.fetch(&world.alpha, "c.bin");
    world.fetched(&world.alpha, &job, "c.bin", new);
    assert_eq!(old.difference(&world.target("b.bin")).unwrap(), None, "a bystander was touched");
}
