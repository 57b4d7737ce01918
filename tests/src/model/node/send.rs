//! Storing the file: under a fresh name, or on from where an earlier partial ends.

use ferryway_core::Event;

use super::{Mutation, StagingFolder, Step, Turn};
use crate::model::{
    LateClose,
    journal::Partial,
    names::{Content, Name, TARGET, chunk, whole},
    server::{Command, Reply},
};

impl Turn<'_> {
    /// Puts a new attempt on record, beside the earlier ones, and sees first what of those can be
    /// used.
    pub(super) fn begin(&mut self) -> bool {
        let version = self.open_source();
        if self.job().partials.is_empty() {
            return self.begin_fresh(version);
        }
        let names: Vec<_> = self.job().partials.iter().map(|partial| partial.name).collect();
        if !self.record_attempt(version) {
            return false;
        }
        let probes = names.into_iter().flat_map(|name| self.journal().locations(name)).collect();
        self.here_mut().probes = probes;
        self.earlier(0, false)
    }

    /// Goes on with this one of the names under which a partial may be: moves the first that can
    /// be used, removes the others.
    pub(super) fn earlier(&mut self, index: usize, moved: bool) -> bool {
        let own = self.here().own;
        match self.here().probes.get(index) {
            Some(&from) if !moved && self.may_adopt(from) => {
                self.send(Step::MoveEarlier(index), Command::Rename(from, own))
            }
            Some(&name) => self.send(Step::RemoveEarlier(index, moved), Command::Remove(name)),
            None if moved => self.send(Step::Prove, Command::Read(own)),
            None => self.forget_and_store(0),
        }
    }

    /// Whether the partial under this name may be gone on with.
    fn may_adopt(&self, name: Name) -> bool {
        // A folder moves with the files in it.
        let of = self.job().partials.iter().find(|partial| partial.name.file == name.file);
        let same = of.is_some_and(|partial| partial.version == self.here().version)
            || self.setting.mutated(Mutation::AdoptsOtherFingerprint);
        // A server that appends is found out by the same probe as one that truncates.
        let keeps = self.setting.server.late_close == LateClose::Keeps
            && !self.setting.server.appends
            || self.setting.mutated(Mutation::AdoptsDespiteTruncation);
        self.setting.protocol.adopts && same && keeps
    }

    /// A fresh partial in a staging folder, which is on record itself, may move bytes while its
    /// name becomes durable; beside other files the name is durable first.
    fn begin_fresh(&mut self, version: u8) -> bool {
        if self.here().folder != StagingFolder::Ready {
            return self.record_attempt(version) && self.store(0);
        }
        let mut job = self.job().clone();
        let own = self.next_name(&mut job);
        job.walk_to(Event::Begin);
        job.partials = vec![Partial { version, name: own }];
        self.here_mut().own = own;
        self.queue(|now| *now = job);
        self.store(0)
    }

    fn record_attempt(&mut self, version: u8) -> bool {
        let mut job = self.job().clone();
        let own = self.next_name(&mut job);
        job.walk_to(Event::Begin);
        if self.setting.mutated(Mutation::MergesFingerprints) {
            job.partials.iter_mut().for_each(|earlier| earlier.version = version);
        }
        job.partials.push(Partial { version, name: own });
        self.here_mut().own = own;
        self.record(|now| *now = job)
    }

    /// One that another session holds stays where it is, for a later removal.
    pub(super) fn earlier_moved(&mut self, index: usize, moved: bool) -> bool {
        self.earlier(index + 1, moved)
    }

    /// Goes on behind the bytes that are there, when they are the source's.
    pub(super) fn proved(&mut self, reply: Reply) -> bool {
        let own = self.here().own;
        match reply {
            Reply::Found(Some(found)) => {
                let source = self.source();
                if found.is_empty() || !source.starts_with(&found) {
                    self.forget_older_names();
                    return self.send(Step::Discard, Command::Remove(own));
                }
                let from = u8::try_from(found.len()).unwrap_or(u8::MAX);
                self.forget_and_store(from)
            }
            Reply::Held => self.leave(),
            // Somebody has it open: the next try looks again.
            Reply::Refused => self.still_owner() && self.send(Step::Prove, Command::Read(own)),
            _ => self.retry(),
        }
    }

    /// Starts under a fresh name: the one on record was used for what is of no use.
    pub(super) fn start_afresh(&mut self) -> bool {
        self.record_attempt(self.here().version) && self.store(0)
    }

    /// Leaves a partial that another session holds for a later removal.
    fn leave(&mut self) -> bool {
        self.record(|job| job.partials.clear()) && self.retry()
    }

    fn forget_and_store(&mut self, from: u8) -> bool {
        self.forget_older_names();
        if from == self.setting.world.chunks {
            return self.stored();
        }
        self.store(from)
    }

    /// Nothing is under the older names any more that is not noted elsewhere.
    fn forget_older_names(&mut self) {
        let (own, version) = (self.here().own, self.here().version);
        self.queue(|job| job.partials = vec![Partial { version, name: own }]);
    }

    /// With `publish = "direct"` every try writes to the target, from the first byte.
    pub(super) fn begin_direct(&mut self) -> bool {
        self.open_source();
        self.here_mut().own = TARGET;
        self.record(|job| job.walk_to(Event::Begin)) && self.store(0)
    }

    fn store(&mut self, from: u8) -> bool {
        self.send(Step::Store(from), Command::Store(self.here().own, from))
    }

    pub(super) fn opened(&mut self, from: u8, opened: bool) -> bool {
        if opened {
            self.here_mut().step = Step::Send(from);
            return true;
        }
        if self.setting.protocol.direct {
            self.state.seen.refused = true;
            return self.record(|job| job.step(&[Event::Fail])) && self.rest();
        }
        if from > 0 {
            return self.leave();
        }
        // The folder may have vanished; it is made again, unless a successor took it.
        if std::mem::replace(&mut self.here_mut().remade, true) {
            self.stop();
            return false;
        }
        self.here_mut().folder = StagingFolder::Unknown;
        self.retry()
    }

    /// One chunk is on its way at a time.
    pub(super) fn send_chunk(&mut self, index: u8) -> bool {
        let Some(session) = self.here().session else { return false };
        if !self.state.sessions[session].queue.is_empty() {
            return false;
        }
        if index == self.setting.world.chunks {
            return self.send(Step::Stored, Command::End);
        }
        // An open file shows what was written into it meanwhile.
        let in_place = self.setting.world.changes_in_place;
        if in_place && !self.unchanged() && !self.setting.mutated(Mutation::SendsWhatChanged) {
            return self.source_changed();
        }
        let version = if in_place { self.state.version } else { self.here().version };
        let value = chunk(self.here().job, version, index);
        self.send(Step::Send(index + 1), Command::Data(value))
    }

    /// The upload is broken off, with the session that it ran on.
    fn source_changed(&mut self) -> bool {
        if let Some(session) = self.here_mut().session.take() {
            self.state.sessions[session].peer = crate::model::server::Peer::Closed;
        }
        self.retry()
    }

    /// A 226 proves nothing.
    pub(super) fn stored(&mut self) -> bool {
        if self.setting.mutated(Mutation::NoVerification) {
            return self.intend();
        }
        self.send(Step::Verify, Command::Look(self.here().own))
    }

    /// Compares sizes only: many servers offer no hash.
    pub(super) fn verified(&mut self, found: Option<&Content>) -> bool {
        let own = self.here().own;
        let size = found.map(Vec::len) == Some(self.setting.world.chunks.into());
        if self.setting.protocol.direct {
            return if size && self.unchanged() { self.delivered() } else { self.retry() };
        }
        if size && self.unchanged() {
            return self.intend();
        }
        self.send(Step::Void, Command::Remove(own))
    }

    fn delivered(&mut self) -> bool {
        let version = self.here().version;
        self.record(|job| {
            job.step(&[Event::Verify, Event::Delivered, Event::Complete]);
            job.delivered = Some(version);
        }) && self.next_try()
    }

    fn open_source(&mut self) -> u8 {
        let copies_differ = self.setting.world.copies_differ;
        let own_copy = u8::from(self.here().epoch > 1);
        let version = if copies_differ { own_copy } else { self.state.version };
        self.here_mut().version = version;
        version
    }

    fn unchanged(&self) -> bool {
        self.setting.world.copies_differ || self.here().version == self.state.version
    }

    fn source(&self) -> Content {
        whole(self.here().job, self.here().version, self.setting.world.chunks)
    }
}
