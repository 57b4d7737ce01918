//! The rename of a verified partial onto the target.

use ferryway_core::Event;

use super::{Mutation, Step, Turn};
use crate::model::{
    journal::Intent,
    names::{File, Name, TARGET},
    server::Command,
};

impl Turn<'_> {
    /// Makes the intent durable; from here on the job is settled by its token.
    pub(super) fn intend(&mut self) -> bool {
        let (own, version) = (self.here().own, self.here().version);
        self.record(|job| {
            job.step(&[Event::Verify, Event::Publish]);
            job.intent = Some(Intent {
                version,
                names: vec![own],
                displaced: Vec::new(),
                barred: Vec::new(),
            });
            job.partials.clear();
        }) && self.publish()
    }

    /// Renames the token onto the target, as an owner.
    pub(super) fn publish(&mut self) -> bool {
        self.still_owner() && self.send(Step::Publish, Command::Rename(self.here().own, TARGET))
    }

    /// A refusal is looked into: the target may be in the way.
    pub(super) fn renamed(&mut self, renamed: bool) -> bool {
        if !renamed {
            return self.send(Step::LookTarget, Command::Look(TARGET));
        }
        if !self.setting.protocol.settle_delay {
            return self.published();
        }
        self.here_mut().step = Step::Settling;
        true
    }

    /// Moves the old target out of the way, where the server does not replace it. A token that
    /// somebody else holds is tried again; one that is gone is looked for.
    pub(super) fn make_room(&mut self, target: bool, token: bool) -> bool {
        if !token {
            return self.retry();
        }
        let anyway = self.setting.mutated(Mutation::MovesTargetAnyway);
        if !target || self.setting.server.replaces && !anyway {
            return self.publish();
        }
        let Name { folder, file: File::Part(attempt) } = self.here().own else { return false };
        let old = Name { folder, file: File::Old(attempt) };
        let noted = self.record(|job| {
            if let Some(intent) = &mut job.intent {
                intent.displaced.retain(|name| *name != old);
                intent.displaced.push(old);
            }
        });
        let command = if self.setting.mutated(Mutation::DeletesTarget) {
            Command::Remove(TARGET)
        } else {
            Command::Rename(TARGET, old)
        };
        noted && self.send(Step::MakeRoom, command)
    }

    /// Looks whether the token is back under its name: then a loss of power has undone the
    /// rename. The target tells nothing, for an older one may be back as well.
    pub(super) fn look_again(&mut self) -> bool {
        let at_target = self.setting.mutated(Mutation::LooksAtTarget);
        let name = if at_target { TARGET } else { self.here().own };
        self.send(Step::LookAgain, Command::Look(name))
    }

    pub(super) fn looked_again(&mut self, found: bool) -> bool {
        let lasted = found == self.setting.mutated(Mutation::LooksAtTarget);
        if lasted { self.published() } else { self.retry() }
    }

    /// Records the delivery, and removes the old target where it was moved away.
    pub(super) fn published(&mut self) -> bool {
        let mut displaced = Vec::new();
        let recorded = self.record(|job| {
            job.step(&[Event::Published, Event::Complete]);
            if let Some(intent) = job.intent.take() {
                job.delivered = Some(intent.version);
                displaced = intent.displaced;
            }
            job.partials.clear();
        });
        match displaced.last() {
            Some(&old) if recorded => self.send(Step::Tidy, Command::Remove(old)),
            _ => recorded && self.next_try(),
        }
    }
}
