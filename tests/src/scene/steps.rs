//! What the scenarios do to a world, step by step.

use std::time::Duration;

use ferryway_core::{JobId, Status};
use ferryway_host::journal::record::Job;

use super::{MIB, World, largest};
use crate::{
    host::Node,
    wait::{LIMIT, holds_within, wait_until},
};

/// Long enough for a checkpoint, a cut after it, and a rest to resume.
pub const SIZE: u64 = 28 * MIB;

/// Where transfers are met: behind a checkpoint.
pub const MIDDLE: u64 = 13 * MIB;

/// What a failover may cost.
const SENT_AGAIN: u64 = 8 * MIB;

/// The exit code of a host that lost the instance.
const FENCED: i32 = 3;

impl World {
    /// Waits until half of a send is across; the bytes that are.
    pub fn halfway_up(&self) -> u64 {
        let drop = self.root().join("drop");
        wait_until(LIMIT, "the middle of the send", || largest(&drop) >= MIDDLE);
        largest(&drop)
    }

    /// Waits until half of a fetch is across; the bytes that are.
    pub fn halfway_down(&self) -> u64 {
        let folder = self.install.path().join("in");
        wait_until(LIMIT, "the middle of the fetch", || largest(&folder) >= MIDDLE);
        largest(&folder)
    }

    /// Ends the server with its sessions, and starts it again once that was noticed.
    pub fn outage(&mut self) {
        self.server.stop();
        self.await_line(&["0312W", "BANK"]);
        self.server.start_again();
    }

    /// Judges where the last attempt of a job started, `there` bytes having been across when it
    /// was interrupted.
    #[track_caller]
    pub fn check_resume(&self, node: &Node, job: &JobId, there: u64, resumes: bool) {
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

    /// Waits until the successor moves the job, if it does so for long enough to be seen.
    pub fn await_successor(&self, job: &JobId) {
        let moves = || {
            let view = self.view(&self.beta, job);
            view.job.status.outcome().is_some()
                || view.progress.is_some_and(|progress| progress.done > MIDDLE / 4)
        };
        holds_within(Duration::from_secs(3), moves);
    }

    /// Lets the frozen host on alpha go on, and sees it end as one that lost the instance.
    pub fn bury_zombie(&mut self) {
        self.alpha.thaw().unwrap();
        let ended = self.alpha.wait(LIMIT).unwrap();
        assert_eq!(ended.code(), Some(FENCED), "a zombie is to end as fenced");
    }

    /// Stops the host on beta, which is to end well.
    pub fn stop_cleanly(&mut self) {
        let ended = self.beta.stop(LIMIT).unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// Waits for a job of alpha's to end or rest in `status`, and until the operator is told.
    #[track_caller]
    pub fn ends_as(&self, job: &JobId, status: Status) -> Job {
        let found = self.wait(&self.alpha, std::slice::from_ref(job)).remove(0);
        assert_eq!(found.status, status, "{:?}", found.state.last_error);
        wait_until(LIMIT, "the operator is told", || self.operator_log().contains(job.as_str()));
        found
    }

    /// Checks that the operator is told what failed: the job, and in its reason the path and
    /// the word.
    #[track_caller]
    pub fn blames(&self, job: &Job, code: &str, path: &str, word: &str) {
        let reason = job.state.last_error.clone().expect("a reason");
        assert!(reason.contains(path) && reason.contains(word), "{reason}");
        let line = self.await_line(&[code, job.id.as_str(), &reason]);
        assert!(line.contains(job.spec.definition.as_str()), "{line}");
    }
}
