//! The host dies or freezes, and another node takes over.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    thread,
    time::Duration,
};

use ferryway_core::JobId;
use ferryway_tests::{
    content::Content,
    scene::{Kind, Plan, SIZE, send_request},
};

/// Partials lie next to their targets.
const BESIDE: &str = "staging = \"beside\"";

/// When a frozen host goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thaw {
    /// While its successor moves the same job.
    During,
    /// When its successor has delivered.
    After,
}

pub(crate) fn killed_in_a_send(kind: Kind) {
    let Some(mut world) = Plan::slow(kind).start() else { return };
    let content = Content::new(30, SIZE);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    let there = world.halfway_up();
    world.alpha.kill();
    world.beta.start().unwrap();
    world.sent(&world.beta, &job, "a.bin", content);
    world.check_resume(&world.beta, &job, there, kind.resumes_uploads());
}

pub(crate) fn killed_in_a_fetch(kind: Kind) {
    let Some(mut world) = Plan::slow(kind).start() else { return };
    let content = Content::new(31, SIZE);
    world.offered("a.bin", content);
    let job = world.fetch(&world.alpha, "a.bin");
    let there = world.halfway_down();
    world.alpha.kill();
    world.beta.start().unwrap();
    world.fetched(&world.beta, &job, "a.bin", content);
    world.check_resume(&world.beta, &job, there, true);
}

pub(crate) fn zombie_after_a_send(kind: Kind) {
    zombie_in_a_send(Plan::slow(kind), Thaw::After);
}

pub(crate) fn zombie_during_a_send(kind: Kind) {
    zombie_in_a_send(Plan::slow(kind), Thaw::During);
}

pub(crate) fn zombie_after_a_send_beside(kind: Kind) {
    zombie_in_a_send(beside(kind), Thaw::After);
}

pub(crate) fn zombie_during_a_send_beside(kind: Kind) {
    zombie_in_a_send(beside(kind), Thaw::During);
}

fn beside(kind: Kind) -> Plan {
    Plan { partner: BESIDE, ..Plan::slow(kind) }
}

fn zombie_in_a_send(plan: Plan, thaw: Thaw) {
    let Some(mut world) = plan.start() else { return };
    let content = Content::new(32, SIZE);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    world.halfway_up();
    world.alpha.freeze().unwrap();
    world.beta.start().unwrap();
    if thaw == Thaw::During {
        world.await_successor(&job);
        world.bury_zombie();
    }
    world.completes(&world.beta, &job, "a.bin", content);
    if thaw == Thaw::After {
        world.bury_zombie();
    }
    // Whatever the zombie still had to say has been said.
    world.judge(&job, "a.bin", content, &world.target("a.bin"));
    // Beside its target nothing keeps a zombie's partial from appearing under its name after
    // its successor has looked for it.
    if plan.partner != BESIDE || !plan.kind.names_uploads_at_their_end() {
        world.leaves_no_trace();
    }
    world.stop_cleanly();
    world.judge(&job, "a.bin", content, &world.target("a.bin"));
}

pub(crate) fn zombie_after_a_fetch(kind: Kind) {
    let Some(mut world) = Plan::slow(kind).start() else { return };
    let content = Content::new(33, SIZE);
    world.offered("a.bin", content);
    let job = world.fetch(&world.alpha, "a.bin");
    world.halfway_down();
    world.alpha.freeze().unwrap();
    world.beta.start().unwrap();
    world.fetched(&world.beta, &job, "a.bin", content);
    world.bury_zombie();
    world.fetched(&world.beta, &job, "a.bin", content);
    world.stop_cleanly();
    world.judge(&job, "a.bin", content, &world.local("a.bin"));
}

/// Kills the owner again and again while a dozen files move, at moments that follow from a
/// seed: among them the one between a publish and its record.
pub(crate) fn random_kills(kind: Kind) {
    const KILLS: u32 = 8;
    let seed = std::env::var("FERRYWAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    eprintln!("FERRYWAY_TEST_SEED={seed} repeats this run's moments");
    let Some(mut world) = Plan::of(kind).start() else { return };
    let mut moments = Content::new(seed, 4 * u64::from(KILLS)).bytes().into_iter();
    let mut sent: Vec<(JobId, String, Content)> = Vec::new();
    for round in 0..KILLS {
        let files: Vec<_> = (0..12)
            .map(|n| {
                let number = round * 12 + n;
                let size = 1 + u64::from(number) * 9973 % 300_000;
                (format!("f{number}"), Content::new(u64::from(number), size))
            })
            .collect();
        for (name, content) in &files {
            world.outgoing(name, *content);
        }
        let requests: Vec<_> = files.iter().map(|(name, _)| send_request(name)).collect();
        let jobs = world.submit(&world.alpha, &requests);
        sent.extend(jobs.into_iter().zip(files).map(|(job, (name, file))| (job, name, file)));
        let moment = moments.by_ref().take(2).fold(0, |sum, byte| sum * 256 + u64::from(byte));
        // The moment itself is the test, so this waits for nothing.
        thread::sleep(Duration::from_micros(moment * 400_000 / 65_536));
        world.alpha.kill();
        world.beta.start().unwrap();
        std::mem::swap(&mut world.alpha, &mut world.beta);
    }
    let jobs: Vec<_> = sent.iter().map(|(job, ..)| job.clone()).collect();
    world.wait(&world.alpha, &jobs);
    for (job, name, content) in &sent {
        world.judge(job, name, *content, &world.target(name));
    }
    world.leaves_no_trace();
}
