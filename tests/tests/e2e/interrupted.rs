//! Transfers whose server goes away in the middle and comes back.

use ferryway_tests::{
    content::Content,
    scene::{Kind, Plan, SIZE},
    wait::LIMIT,
};

pub(crate) fn send(kind: Kind) {
    let Some(mut world) = Plan::slow(kind).start() else { return };
    let content = Content::new(20, SIZE);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    let there = world.halfway_up();
    world.outage();
    world.completes(&world.alpha, &job, "a.bin", content);
    world.check_resume(&world.alpha, &job, there, kind.resumes_uploads());
    if kind.names_uploads_at_their_end() {
        // A server that was killed has no chance to remove its own temporary file. That goes
        // with the folder of the epoch, when the next owner has something to do there.
        assert!(world.alpha.stop(LIMIT).unwrap().success());
        world.beta.start().unwrap();
        let content = Content::new(22, 1000);
        world.outgoing("b.bin", content);
        let job = world.send(&world.beta, "b.bin");
        world.sent(&world.beta, &job, "b.bin", content);
    }
    world.leaves_no_trace();
}

pub(crate) fn fetch(kind: Kind) {
    let Some(mut world) = Plan::slow(kind).start() else { return };
    let content = Content::new(21, SIZE);
    world.offered("a.bin", content);
    let job = world.fetch(&world.alpha, "a.bin");
    let there = world.halfway_down();
    world.outage();
    world.fetched(&world.alpha, &job, "a.bin", content);
    world.check_resume(&world.alpha, &job, there, true);
}
