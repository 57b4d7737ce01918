//! Taking the staging folders of former owners away, and making one's own.

use super::{Mutation, StagingFolder, Step, Turn};
use crate::model::{names::Folder, server::Command};

impl Turn<'_> {
    /// Goes on with the folder of the oldest epoch from `of` on that is on record.
    pub(super) fn fence_from(&mut self, of: u8) -> bool {
        let ours = self.here().epoch;
        let recorded = |epoch: &u8| self.journal().staging.iter().any(|(of, _)| of == epoch);
        if let Some(of) = (of..ours).find(recorded) {
            return self.send(Step::ListBase(of), Command::ListBase);
        }
        self.here_mut().fenced = true;
        self.next_try()
    }

    /// Moves the folder away from the first of its names that is there, and puts a file in its
    /// place when it is at none of them.
    pub(super) fn revoke(&mut self, of: u8, present: &[Folder]) -> bool {
        let ours = self.here().epoch;
        let Some(names) = self.staging_names(of) else { return self.fence_from(of + 1) };
        let taken = |folder: &Folder| matches!(folder, Folder::Refuge { by, .. } if *by == ours);
        let there = names.iter().copied().find(|name| present.contains(name) && !taken(name));
        match there {
            None if self.setting.mutated(Mutation::NoBar) => self.barred(of, true),
            None => self.send(Step::Bar(of), Command::Bar(Folder::Epoch(of))),
            Some(name) => {
                let nth = u8::try_from(names.len()).unwrap_or(u8::MAX);
                let refuge = Folder::Refuge { of, by: ours, nth };
                // On record before it is sent: it may be the last thing we do.
                self.record_staging(|staging| {
                    let record = staging.iter_mut().find(|(epoch, _)| *epoch == of);
                    if let Some((_, names)) = record {
                        names.push(refuge);
                    }
                }) && self.send(Step::MoveFolder(of), Command::RenameFolder(name, refuge))
            }
        }
    }

    /// A folder that the server does not let go of is left: each token in it moves by itself.
    pub(super) fn folder_moved(&mut self, of: u8, moved: bool) -> bool {
        if moved {
            return self.send(Step::ListBase(of), Command::ListBase);
        }
        self.fence_from(of + 1)
    }

    /// Where the folder has come back meanwhile, it is moved again.
    pub(super) fn barred(&mut self, of: u8, barred: bool) -> bool {
        if barred {
            self.state.seen.revoked |= 1 << of;
            return self.fence_from(of + 1);
        }
        self.send(Step::ListBase(of), Command::ListBase)
    }

    pub(super) fn make_folder(&mut self) -> bool {
        let ours = self.here().epoch;
        // On record before it exists: a successor must know what to revoke.
        self.record_staging(|staging| {
            if staging.iter().all(|(epoch, _)| *epoch != ours) {
                staging.push((ours, vec![Folder::Epoch(ours)]));
            }
        }) && self.send(Step::MakeFolder, Command::MakeFolder(Folder::Epoch(ours)))
    }

    pub(super) fn folder_made(&mut self, made: bool) -> bool {
        let ours = self.here().epoch;
        if made {
            self.here_mut().folder = StagingFolder::Ready;
            return self.next_try();
        }
        let barred = self.state.server.bars.contains(&Folder::Epoch(ours));
        if barred && !self.setting.mutated(Mutation::IgnoresBar) {
            // A successor's file is where our folder was: nothing is ours any more.
            self.stop();
            return false;
        }
        self.here_mut().folder = StagingFolder::Refused;
        self.record_staging(|staging| staging.retain(|(epoch, _)| *epoch != ours))
            && self.next_try()
    }

    fn staging_names(&self, of: u8) -> Option<Vec<Folder>> {
        let record = self.journal().staging.iter().find(|(epoch, _)| *epoch == of);
        record.map(|(_, names)| names.clone())
    }

    /// Changes the records of staging folders, durably; false when the node has ended.
    fn record_staging(&mut self, change: impl FnOnce(&mut Vec<(u8, Vec<Folder>)>)) -> bool {
        self.still_owner() && {
            change(&mut self.journal_mut().staging);
            true
        }
    }
}
