//! The user's programs of a run, and the operator who is asked about them.

use ferryway_core::{policy::OnTakeover, words};
use serde::Serialize;

use tokio::time::sleep;

use super::{
    plan::Plan,
    stage::{LIMIT, Stage},
};
use crate::{
    control::api::Command,
    laboratory::{Deadline, Failure, POLL, Transport, hosts::HostProcess},
};

words! {
    /// One of the two ends of a transfer.
    Side {
        /// The host that asks for it.
        Sender = "sender",
        /// The host that is told of it.
        Receiver = "receiver",
    }
}

words! {
    /// What an operator does about a post-exit whose end nobody knows.
    Answer {
        /// It runs again.
        Restart = "restart",
        /// It is taken for done. Only a sender's job can be released.
        Release = "release",
    }
}

/// The post-exits of a run: what a new owner does with one whose end it does not know. `None`
/// where there is no post-exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Exits {
    pub(super) sender: Option<OnTakeover>,
    pub(super) receiver: Option<OnTakeover>,
    /// About the sender's.
    pub(super) answer: Answer,
}

impl Exits {
    /// Those of a seed over this transport. Three of four runs have one at a side; the kinds take
    /// turns, so that few seeds meet each of them.
    pub(super) fn draw(transport: Transport, seed: u64, random: &mut fastrand::Rng) -> Self {
        let one = |turn: u64| match usize::try_from(turn % 4) {
            Ok(number @ 1..) => Some(OnTakeover::EACH[number - 1]),
            _ => None,
        };
        let sender = one(seed / 2);
        let receiver = one(seed / 2 + seed / 8).filter(|_| transport == Transport::Socket);
        let answer = Answer::EACH[random.usize(..Answer::EACH.len())];
        Self { sender, receiver, answer }
    }

    /// The one of a side.
    pub(super) fn of(self, side: Side) -> Option<OnTakeover> {
        match side {
            Side::Sender => self.sender,
            Side::Receiver => self.receiver,
        }
    }
}

/// Waits for what the operator's log asks (0215E) after a takeover, if it is to ask, and answers
/// it. What it asks besides is for the judge.
///
/// # Errors
/// When it does not ask, or the host does not take the answer.
pub(super) async fn answer(
    plan: &Plan,
    side: Side,
    stage: &Stage,
    host: &HostProcess,
) -> Result<(), Failure> {
    if plan.moment.exit() != Some(side) || plan.exits.of(side) != Some(OnTakeover::Ask) {
        return Ok(());
    }
    let deadline = Deadline::after(LIMIT);
    let job = loop {
        if let Some(job) = stage.questions(host.node).first() {
            break job.clone();
        }
        deadline.check("a question to the operator (0215E)")?;
        sleep(POLL).await;
    };
    // A job of the receiving side cannot be released.
    let answer = if side == Side::Sender { plan.exits.answer } else { Answer::Restart };
    stage.trace.event("operator", format!("ftprel {answer} {job}, as 0215E asks for it"));
    let command = match answer {
        Answer::Restart => Command::Restart { force: false },
        Answer::Release => Command::Release,
    };
    let ordered = host.client.command(&job, command).await;
    ordered.map_err(|error| Failure(format!("`{answer}` is refused: {error}")))?;
    Ok(())
}
