//! Transfers whose server goes away in the middle and comes back.

use ferryway_core::JobId;
use ferryway_tests::{
    content::Content,
    host::Node,
    wait::{LIMIT, wait_until},
};

use crate::{
    partner::{Kind, largest},
    world::{MIB, Plan, World},
};

/// Long enough for a checkpoint, a cut after it, and a rest to resume.
pub(crate) const SIZE: u64 = 28 * MIB;

/// Where transfers are met: behind a checkpoint.
pub(crate) const MIDDLE: u64 = 13 * MIB;

/// What a failover may cost.
const SENT_AGAIN: u64 = 8 * MIB;

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

impl World {
    /// Waits until half of a send is across; the bytes that are.
    pub(crate) fn halfway_up(&self) -> u64 {
        let drop = self.root().join("drop");
        wait_until(LIMIT, "the middle of the send", || largest(&drop) >= MIDDLE);
        largest(&drop)
    }

    /// Waits until half of a fetch is across; the bytes that are.
    pub(crate) fn halfway_down(&self) -> u64 {
        let folder = self.install.path().join("in");
        wait_until(LIMIT, "the middle of the fetch", || largest(&folder) >= MIDDLE);
        largest(&folder)
    }

    /// Ends the server with its sessions, and starts it again once that was noticed.
    fn outage(&mut self) {
        self.server.stop();
        self.await_line(&["0312W", "BANK"]);
        self.server.start_again();
    }

    /// Judges where the last attempt of a job started, `there` bytes having been across when it
    /// was interrupted.
    #[track_caller]
    pub(crate) fn check_resume(&self, node: &Node, job: &JobId, there: u64, resumes: bool) {
        let entries = self.entries(node, job);
        let notes = || entries.iter().filter_map(|entry| entry.note.as_deref());
        let offset = notes().rev().find_map(|note| {
            note.strip_prefix("resumes at byte ")?.split(' ').next()?.parse::<u64>().ok()
        });
        let said = notes().collect::<Vec<_>>().join("\n");
        match offset {
            Some(offset) if resumes => assert!(
                offset + SENT_AGAIN >= there,
                "{there} bytes were across and only {offset} of them were used"
            ),
            None if !resumes => {}
            _ => panic!("resumed at {offset:?}, which is not as expected:\n{said}"),
        }
    }
}
