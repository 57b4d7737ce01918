//! Finding out what became of an intent: the token decides.

use ferryway_core::Event;

use super::{Mutation, Step, Turn};
use crate::model::{names::Content, server::Command};

impl Turn<'_> {
    /// Bars every name to which the old target was to be moved and at which nothing is: the
    /// command was lost, and may be read when the new target is in place.
    pub(super) fn bar_late_moves(&mut self, index: usize) -> bool {
        let Some(intent) = &self.job().intent else { return false };
        let names = intent.barred.iter().chain(&intent.displaced);
        match names.copied().nth(index) {
            Some(name) if !self.setting.mutated(Mutation::LeavesLateMoves) => {
                self.send(Step::LookOld(index), Command::LookFree(name))
            }
            _ => self.settle(),
        }
    }

    /// A bar is on record before it is there: it must not be taken for an old target.
    pub(super) fn old_looked_at(&mut self, index: usize, free: bool) -> bool {
        let Some(intent) = &self.job().intent else { return false };
        let known = intent.barred.len();
        let Some(&name) = intent.barred.iter().chain(&intent.displaced).nth(index) else {
            return false;
        };
        if !free {
            return self.bar_late_moves(index + 1);
        }
        let recorded = index < known
            || self.record(|job| {
                if let Some(intent) = &mut job.intent {
                    intent.displaced.retain(|old| *old != name);
                    intent.barred.push(name);
                }
            });
        recorded && self.send(Step::BarOld(index), Command::BarName(name))
    }

    /// Moves the token to a name of our own, from whichever of its names it bears.
    pub(super) fn settle(&mut self) -> bool {
        let mut job = self.job().clone();
        job.walk_to(Event::Settle);
        let own = self.next_name(&mut job);
        let Some(intent) = &mut job.intent else { return false };
        let names = intent.names.clone();
        if self.setting.mutated(Mutation::OneNameRecord) {
            intent.names.clear();
        }
        // The move is on record before it is sent: it may be the last thing we do.
        if !self.setting.mutated(Mutation::MoveNotRecorded) {
            intent.names.push(own);
        }
        // Things only move from older names to newer ones, so one that moves while we look is
        // met later.
        let mut probes: Vec<_> =
            names.iter().flat_map(|&name| self.journal().locations(name)).collect();
        if self.setting.mutated(Mutation::NewestNameFirst) {
            probes.reverse();
        }
        self.here_mut().own = own;
        self.here_mut().probes = probes;
        self.record(|now| *now = job) && self.take(0, false)
    }

    /// Found under none of its names, the token was published. What a loss of power can still
    /// undo is looked for once more after the server's write-back.
    pub(super) fn take(&mut self, index: usize, again: bool) -> bool {
        let Some(&name) = self.here().probes.get(index) else {
            let waits = self.setting.protocol.settle_delay && !again;
            if !waits || self.setting.mutated(Mutation::SettlesAtOnce) {
                return self.published();
            }
            self.here_mut().step = Step::Unsettled;
            return true;
        };
        let command = if self.setting.mutated(Mutation::DeletesToken) {
            Command::Remove(name)
        } else {
            Command::Rename(name, self.here().own)
        };
        self.send(Step::Take(index, again), command)
    }

    /// A refusal proves nothing; a listing does.
    pub(super) fn taken(&mut self, index: usize, again: bool, taken: bool) -> bool {
        if taken && self.setting.mutated(Mutation::DeletesToken) {
            return self.record(|job| {
                job.step(&[Event::Void]);
                job.intent = None;
            }) && self.begin();
        }
        if taken {
            return self.send(Step::Measure, Command::Look(self.here().own));
        }
        if self.setting.mutated(Mutation::BusyIsAbsent) {
            return self.take(index + 1, again);
        }
        let name = self.here().probes[index];
        self.send(Step::Absent(index, again), Command::Look(name))
    }

    /// A token that somebody holds on to is waited for: nothing newer may go before.
    pub(super) fn absent(&mut self, index: usize, again: bool, absent: bool) -> bool {
        if absent {
            return self.take(index + 1, again);
        }
        self.still_owner() && self.take(index, again)
    }

    /// Takes the intent back when what we hold is not what was proved.
    pub(super) fn measured(&mut self, found: Option<&Content>) -> bool {
        let Some(found) = found else { return self.retry() };
        if found.len() == usize::from(self.setting.world.chunks) {
            return self.publish();
        }
        self.record(|job| {
            job.step(&[Event::Void]);
            job.intent = None;
        }) && self.send(Step::Void, Command::Remove(self.here().own))
    }
}
