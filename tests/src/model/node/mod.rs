//! A node: what an owner does next, from what it knows and the reply that it reads.

mod fence;
mod publish;
mod send;
mod settle;

use ferryway_core::Event;

use super::{
    Mutation, Setting, State,
    journal::{Job, Journal},
    names::{Attempt, File, Folder, Name, TARGET},
    server::{Command, Peer, Reply, Session},
};

/// A host that owns the instance, or believes so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its epoch.
    pub epoch: u8,
    /// What it waits for.
    pub step: Step,
    /// Its session with the partner.
    pub session: Option<usize>,
    /// The job that it moves.
    pub job: u8,
    /// The version of the source that it opened.
    pub version: u8,
    /// The name under which it stores or holds the file.
    pub own: Name,
    /// Older names at which the file may be.
    pub probes: Vec<Name>,
    /// Whether the folders of former owners are out of their reach.
    pub fenced: bool,
    /// What it knows of its own staging folder.
    pub folder: StagingFolder,
    /// Whether it made its folder again after that was taken away. A second time it gives up:
    /// its successor would follow for ever.
    pub remade: bool,
    /// The job's record as it is in line for the journal, when that is not durable yet.
    pub ahead: Option<Job>,
    /// The journal that it goes on with alone, where nothing refuses a former owner.
    pub private: Option<Journal>,
}

/// What a node knows of its own staging folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StagingFolder {
    /// Not made yet.
    Unknown,
    /// It is there.
    Ready,
    /// The partner makes none.
    Refused,
}

/// What a node waits for: nearly always a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// For a job to move.
    Idle,
    /// For the folders that are there, to take those of this epoch away.
    ListBase(u8),
    /// For the move of a folder of this epoch.
    MoveFolder(u8),
    /// For the file at the name of this epoch's folder.
    Bar(u8),
    /// For its own folder.
    MakeFolder,
    /// For the move of an unfinished partial, which may be at this one of its names.
    MoveEarlier(usize),
    /// For the removal of an unfinished partial from this one of its names; whether another one
    /// was moved before.
    RemoveEarlier(usize, bool),
    /// For the bytes of the unfinished partial.
    Prove,
    /// For the removal of what is of no use, to start under a fresh name.
    Discard,
    /// For the go-ahead of an upload from this chunk on.
    Store(u8),
    /// For room on the data connection for this chunk.
    Send(u8),
    /// For the end of the upload.
    Stored,
    /// For the size of what was stored.
    Verify,
    /// For a look whether the old target was moved to this one of the names for it.
    LookOld(usize),
    /// For the empty file at a name to which it was not.
    BarOld(usize),
    /// For the move of the token from this one of its names, the second time round or not.
    Take(usize, bool),
    /// For the listing that shows whether the token is absent there.
    Absent(usize, bool),
    /// For the server's write-back, before it is believed that the token was published.
    Unsettled,
    /// For the size of the token.
    Measure,
    /// For the removal of what is not what was proved.
    Void,
    /// For the rename onto the target.
    Publish,
    /// For a look at the target, after a refused rename.
    LookTarget,
    /// For a look at the token, after a refused rename; whether the target is there.
    LookToken(bool),
    /// For the old target to be out of the way.
    MakeRoom,
    /// For the server's write-back, after the rename.
    Settling,
    /// For a look whether the rename has lasted.
    LookAgain,
    /// For the removal of the old target.
    Tidy,
}

impl Node {
    pub(super) fn of(epoch: u8) -> Self {
        Self {
            epoch,
            step: Step::Idle,
            session: None,
            job: 0,
            version: 0,
            own: TARGET,
            probes: Vec::new(),
            fenced: false,
            folder: StagingFolder::Unknown,
            remade: false,
            ahead: None,
            private: None,
        }
    }
}

/// A node's turn in a state. What it does tells whether the node goes on: false when it has
/// ended, or waits for something.
pub(super) struct Turn<'a> {
    pub(super) setting: &'a Setting,
    pub(super) state: &'a mut State,
    pub(super) node: usize,
}

impl Turn<'_> {
    /// Takes the node's next step, if there is one.
    pub(super) fn step(&mut self) {
        match self.here().step {
            Step::Idle => self.next_try(),
            Step::Send(index) => self.send_chunk(index),
            Step::Unsettled | Step::Settling if self.state.server.unsynced.is_some() => false,
            Step::Unsettled => self.take(0, true),
            Step::Settling => self.look_again(),
            step => {
                let session = self.here().session;
                let reply = session.and_then(|k| self.state.sessions[k].reply.take());
                reply.is_some_and(|reply| self.read(step, reply))
            }
        };
    }

    fn read(&mut self, step: Step, reply: Reply) -> bool {
        let refused = reply == Reply::Refused;
        match (step, reply) {
            (Step::ListBase(of), Reply::Folders(folders)) => self.revoke(of, &folders),
            (Step::MoveFolder(of), _) => self.folder_moved(of, !refused),
            (Step::Bar(of), _) => self.barred(of, !refused),
            (Step::MakeFolder, _) => self.folder_made(!refused),
            (Step::MoveEarlier(index), _) => self.earlier_moved(index, !refused),
            (Step::RemoveEarlier(index, moved), _) => self.earlier(index + 1, moved),
            (Step::Prove, reply) => self.proved(reply),
            (Step::Discard, _) => self.start_afresh(),
            (Step::Store(from), _) => self.opened(from, !refused),
            (Step::Stored, _) => self.stored(),
            (Step::Verify, Reply::Found(content)) => self.verified(content.as_ref()),
            (Step::LookOld(index), _) => self.old_looked_at(index, !refused),
            (Step::BarOld(index), _) => self.bar_late_moves(index + 1),
            (Step::Take(index, again), _) => self.taken(index, again, !refused),
            (Step::Absent(index, again), Reply::Found(content)) => {
                self.absent(index, again, content.is_none())
            }
            (Step::Measure, Reply::Found(content)) => self.measured(content.as_ref()),
            (Step::Void, _) => self.retry(),
            (Step::Publish, _) => self.renamed(!refused),
            (Step::LookTarget, Reply::Found(content)) => {
                self.send(Step::LookToken(content.is_some()), Command::Look(self.here().own))
            }
            (Step::LookToken(target), Reply::Found(content)) => {
                self.make_room(target, content.is_some())
            }
            (Step::MakeRoom, _) => self.publish(),
            (Step::LookAgain, Reply::Found(content)) => self.looked_again(content.is_some()),
            (Step::Tidy, _) => self.next_try(),
            _ => false,
        }
    }

    /// The try ends with its connection, and the record says so while the journal takes it.
    pub(super) fn fail(&mut self) {
        self.here_mut().step = Step::Idle;
        if self.job().status.in_flight() {
            self.record(|job| job.step(&[Event::Retry]));
        }
    }

    /// Starts the next try: from the record alone.
    fn next_try(&mut self) -> bool {
        if !self.still_owner() {
            return false;
        }
        let newer_first = self.setting.mutated(Mutation::NewerJobFirst);
        let journal = self.journal();
        let waits = |job: &Job| job.delivered.is_none();
        let without_intent = |job: &Job| waits(job) && job.intent.is_none();
        let newer = journal.jobs.iter().position(without_intent).filter(|_| newer_first);
        let next = newer.or_else(|| journal.jobs.iter().position(waits));
        let Some(job) = next.filter(|&job| !journal.jobs[job].failed()) else {
            return self.rest();
        };
        self.here_mut().job = u8::try_from(job).unwrap_or(u8::MAX);
        if self.setting.protocol.direct {
            return self.begin_direct();
        }
        if !self.here().fenced {
            return self.fence_from(1);
        }
        let beside = self.setting.protocol.beside;
        if !beside && self.here().folder == StagingFolder::Unknown {
            return self.make_folder();
        }
        if self.job().intent.is_some() { self.bar_late_moves(0) } else { self.begin() }
    }

    /// Has nothing to do, and says good-bye to the partner.
    fn rest(&mut self) -> bool {
        self.here_mut().step = Step::Idle;
        if let Some(k) = self.here_mut().session.take() {
            self.state.sessions[k].peer = Peer::Closed;
        }
        false
    }

    /// Records a failed try and starts the next one.
    fn retry(&mut self) -> bool {
        self.record(|job| job.step(&[Event::Retry])) && self.next_try()
    }

    /// Whether the journal would acknowledge a write now; ends the node when it would not.
    fn still_owner(&mut self) -> bool {
        let owner = !self.setting.protocol.journal_fences || self.here().epoch == self.state.epoch;
        if !owner {
            self.stop();
        }
        owner
    }

    /// The host ends; its system closes its connection.
    fn stop(&mut self) {
        let node = self.state.nodes.remove(self.node);
        if let Some(k) = node.session {
            self.state.sessions[k].peer = Peer::Closed;
        }
        // A turn ends with its node; nobody looks at it again in this state.
        self.node = usize::MAX;
    }

    /// Changes the job, durably; false when the journal refuses and the node has ended.
    fn record(&mut self, change: impl FnOnce(&mut Job)) -> bool {
        self.still_owner() && {
            let mut job = self.job().clone();
            change(&mut job);
            let place = usize::from(self.here().job);
            self.journal_mut().jobs[place] = job;
            self.here_mut().ahead = None;
            true
        }
    }

    /// Puts a change of the job in line for the journal, which is durable at some later time.
    fn queue(&mut self, change: impl FnOnce(&mut Job)) {
        let mut job = self.job().clone();
        change(&mut job);
        self.here_mut().ahead = Some(job);
    }

    /// What was in line becomes durable.
    pub(super) fn land(&mut self) {
        self.record(|_| {});
    }

    /// Sends a command and waits for its reply.
    fn send(&mut self, step: Step, command: Command) -> bool {
        let epoch = self.here().epoch;
        let session = self.here().session.unwrap_or_else(|| {
            self.state.sessions.push(Session::of(epoch));
            self.state.sessions.len() - 1
        });
        self.state.sessions[session].queue.push(command);
        self.here_mut().session = Some(session);
        self.here_mut().step = step;
        true
    }

    /// The name of the next attempt's partial. No two are the same.
    fn next_name(&self, job: &mut Job) -> Name {
        let node = self.here();
        let mut attempt = job.next_attempt(node.job, node.epoch);
        if self.setting.mutated(Mutation::ReusesNames) {
            attempt = Attempt { epoch: 1, number: 1, ..attempt };
        }
        let in_folder = node.folder == StagingFolder::Ready;
        let folder = if in_folder { Folder::Epoch(node.epoch) } else { Folder::Inbox };
        Name { folder, file: File::Part(attempt) }
    }

    fn here(&self) -> &Node {
        &self.state.nodes[self.node]
    }

    fn here_mut(&mut self) -> &mut Node {
        &mut self.state.nodes[self.node]
    }

    /// The job as the node knows it.
    fn job(&self) -> &Job {
        let node = self.here();
        node.ahead.as_ref().unwrap_or_else(|| &self.journal().jobs[usize::from(node.job)])
    }

    fn journal(&self) -> &Journal {
        self.here().private.as_ref().unwrap_or(&self.state.journal)
    }

    fn journal_mut(&mut self) -> &mut Journal {
        self.state.nodes[self.node].private.as_mut().unwrap_or(&mut self.state.journal)
    }
}
