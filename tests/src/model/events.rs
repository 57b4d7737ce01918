//! What can happen next, and what it makes of a state.

use ferryway_core::Event;

use super::{
    Death, Setting, State,
    explore::System,
    names::{Content, Name, TARGET, whole},
    node::{Node, Step, Turn},
    server::{Command, Peer, Session, forget, serve},
};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The server reads what a session has sent.
    Serve(usize),
    /// A node takes its next step.
    Step(usize),
    /// What a node put in line for its journal becomes durable.
    Land(usize),
    /// The owner ends in this way, and the next epoch begins.
    TakeOver(Death),
    /// The owner's connection breaks; what was on its way arrives, or not.
    Lose {
        /// Whether it arrives.
        arrives: bool,
    },
    /// The server notices that a session has no client.
    Forget(usize),
    /// The operator restarts the server and the failed job.
    Help,
    /// The consumer takes the target away.
    Consume,
    /// Somebody else opens a file.
    Hold(Name),
    /// Somebody else closes it.
    Release,
    /// What was renamed onto the target is safe on the server's disk.
    Sync,
    /// The server loses its power; a rename that was not safe is undone.
    LosePower,
    /// The path closes a data connection.
    Cut(usize),
    /// The source changes.
    ChangeSource,
}

impl System for Setting {
    type State = State;
    type Action = Action;

    fn first(&self) -> State {
        self.start()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.of_server(state, actions);
        for (index, node) in state.nodes.iter().enumerate() {
            actions.push(Action::Step(index));
            if node.ahead.is_some() && node.epoch == state.epoch {
                actions.push(Action::Land(index));
            }
        }
        if state.epoch < self.world.epochs {
            actions.extend(self.world.deaths.iter().map(|&death| Action::TakeOver(death)));
        }
        let connected = |node: &Node| node.epoch == state.epoch && node.session.is_some();
        if state.budget.losses > 0 && state.nodes.iter().any(connected) {
            actions.extend([true, false].map(|arrives| Action::Lose { arrives }));
        }
        if self.world.operator && state.journal.jobs.iter().any(super::journal::Job::failed) {
            actions.push(Action::Help);
        }
        if state.budget.changes > 0 {
            actions.push(Action::ChangeSource);
        }
    }

    fn next(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.happen(&mut next, action);
        self.tidy(&mut next);
        (next != *state).then_some(next)
    }
}

impl Setting {
    fn of_server(&self, state: &State, actions: &mut Vec<Action>) {
        let unread =
            |s: &Session| !s.queue.is_empty() || s.peer == Peer::Closed && s.open.is_some();
        let late = |s: &Session| s.peer != Peer::Live && unread(s);
        let waits = !self.server.reads_late && state.sessions.iter().any(late);
        for (k, session) in state.sessions.iter().enumerate() {
            if waits && session.peer == Peer::Live {
                continue;
            }
            if unread(session) {
                actions.push(Action::Serve(k));
            }
            let idle = session.peer == Peer::Silent && session.queue.is_empty();
            if self.server.forgets_silent && idle && session.open.is_some() {
                actions.push(Action::Forget(k));
            }
            let data = matches!(session.queue.first(), Some(Command::Data(_)));
            if state.budget.cuts > 0 && session.open.is_some() && data {
                actions.push(Action::Cut(k));
            }
        }
        let server = &state.server;
        if self.world.consumer && server.names.contains_key(&TARGET) {
            actions.push(Action::Consume);
        }
        if state.budget.holds > 0 && server.held.is_none() {
            actions.extend(server.names.keys().map(|&name| Action::Hold(name)));
        }
        if server.held.is_some() {
            actions.push(Action::Release);
        }
        if server.unsynced.is_some() {
            actions.push(Action::Sync);
            if server.names.contains_key(&TARGET) {
                actions.push(Action::LosePower);
            }
        }
    }

    fn happen(&self, state: &mut State, action: Action) {
        let State { server, sessions, budget, .. } = state;
        match action {
            Action::Serve(k) => self.serve(state, k),
            Action::Step(node) => Turn { setting: self, state, node }.step(),
            Action::Land(node) => Turn { setting: self, state, node }.land(),
            Action::TakeOver(death) => self.take_over(state, death),
            Action::Lose { arrives } => {
                budget.losses -= 1;
                let epoch = state.epoch;
                for node in state.nodes.iter_mut().filter(|node| node.epoch == epoch) {
                    let Some(k) = node.session.take() else { continue };
                    match arrives {
                        true => sessions[k].peer = Peer::Silent,
                        false => sessions[k].reset(),
                    }
                }
                self.fail_try(state, |node| node.epoch == epoch);
            }
            Action::Forget(k) => forget(&self.server, server, &mut sessions[k]),
            Action::Help => {
                disconnect(state);
                self.fail_try(state, |node| node.step != Step::Idle);
                for job in state.journal.jobs.iter_mut().filter(|job| job.failed()) {
                    job.step(&[Event::Restart]);
                }
                state.seen.operator = true;
            }
            Action::Consume => drop(server.names.remove(&TARGET)),
            Action::Hold(name) => {
                server.held = server.names.get(&name).copied();
                budget.holds -= 1;
            }
            Action::Release => server.held = None,
            Action::Sync => server.unsynced = None,
            Action::LosePower => {
                server.undo_publish();
                budget.power_losses -= 1;
                if !self.server.storage_apart {
                    let connected = |node: &&Node| node.session.is_some();
                    let cut = state.nodes.iter().filter(connected).map(|node| node.epoch);
                    let cut: Vec<_> = cut.collect();
                    disconnect(state);
                    self.fail_try(state, |node| cut.contains(&node.epoch));
                }
            }
            Action::Cut(k) => {
                sessions[k].queue[0] = Command::End;
                budget.cuts -= 1;
            }
            Action::ChangeSource => {
                state.version += 1;
                budget.changes -= 1;
            }
        }
    }

    fn serve(&self, state: &mut State, k: usize) {
        let State { server, sessions, .. } = state;
        let uploading = sessions[k].open;
        let (epoch, published) = (sessions[k].epoch, server.published.len());
        serve(&self.server, server, sessions, k);
        let ended = uploading.filter(|_| sessions[k].reply.is_some() && sessions[k].open.is_none());
        if ended.is_some_and(|(file, _)| server.names.get(&TARGET) == Some(&file)) {
            state.seen.uploads += 1;
        }
        if server.published.len() > published && state.seen.revoked & 1 << epoch != 0 {
            state.seen.published_after = true;
        }
    }

    fn take_over(&self, state: &mut State, death: Death) {
        let epoch = state.epoch;
        let owner = state.nodes.iter().position(|node| node.epoch == epoch);
        if death == Death::Zombie {
            if let Some(owner) = owner
                && !self.protocol.journal_fences
            {
                state.nodes[owner].private = Some(state.journal.clone());
            }
        } else if let Some(owner) = owner {
            let node = state.nodes.remove(owner);
            if let Some(session) = node.session.map(|k| &mut state.sessions[k]) {
                match death {
                    Death::Reset => session.reset(),
                    Death::Silent => session.peer = Peer::Silent,
                    _ => session.peer = Peer::Closed,
                }
            }
        }
        state.epoch += 1;
        state.journal.take_over();
        state.nodes.push(Node::of(state.epoch));
    }

    /// Ends the tries of some nodes, as a broken connection does.
    fn fail_try(&self, state: &mut State, of: impl Fn(&Node) -> bool) {
        for node in (0..state.nodes.len()).rev() {
            if of(&state.nodes[node]) {
                Turn { setting: self, state, node }.fail();
            }
        }
    }

    /// Forgets what makes no difference any more.
    fn tidy(&self, state: &mut State) {
        let State { server, sessions, nodes, .. } = state;
        if state.budget.power_losses == 0 {
            server.unsynced = None;
        }
        for k in (0..sessions.len()).rev() {
            if nodes.iter().any(|node| node.session == Some(k)) {
                continue;
            }
            sessions[k].reply = None;
            if sessions[k].open.is_none() && sessions[k].queue.is_empty() {
                sessions.remove(k);
                let later = nodes.iter_mut().filter_map(|node| node.session.as_mut());
                later.filter(|other| **other > k).for_each(|other| *other -= 1);
            }
        }
        server.renumber(sessions);
        let done = state.journal.jobs.iter().any(|job| job.delivered.is_some());
        let broken = |content: &Content| !self.is_whole(content);
        if self.protocol.direct && done && state.server.content(TARGET).is_some_and(broken) {
            state.seen.broken_after_done = true;
        }
    }

    /// Whether a content is a whole version of some job's source, or the target's first one.
    pub fn is_whole(&self, content: &Content) -> bool {
        let chunks = self.world.chunks;
        let versions = |job| (0..=1).map(move |version| whole(job, version, chunks));
        *content == super::names::old_target(chunks)
            || (0..self.world.jobs).flat_map(versions).any(|version| version == *content)
    }
}

/// All sessions end, with what was on its way.
fn disconnect(state: &mut State) {
    state.sessions.iter_mut().for_each(Session::reset);
    state.nodes.iter_mut().for_each(|node| node.session = None);
}
