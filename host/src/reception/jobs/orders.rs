//! What an operator says of a job of the receiving side.

use std::sync::Arc;

use ferryway_core::{Event, JobId, Operation, Status};

use super::{Receiver, Register, receiver::Turn};
use crate::{
    control::api::{Command, Reason, Refusal},
    exits::When,
    journal::{
        JournalError,
        record::{Job, JobState},
    },
};

impl Register {
    /// Carries out an order for a job of the receiving side; `None` for any other job.
    ///
    /// # Errors
    /// When the job's status does not allow it, or the journal fails.
    pub async fn command(
        self: &Arc<Self>,
        id: &JobId,
        command: Command,
    ) -> Option<Result<Job, Refusal>> {
        let receiver = match self.by_id(id) {
            Some(receiver) => receiver,
            None => {
                let job = match self.journal.job(id).await {
                    Ok(job) => job?,
                    Err(error) => return Some(Err(refuse(&error))),
                };
                job.spec.origin.as_ref()?;
                self.recorded(job)
            }
        };
        // To its end, also when whoever asked does not wait for the answer.
        let register = Arc::clone(self);
        let order = tokio::spawn(async move { register.carry_out(&receiver, command).await });
        Some(order.await.unwrap_or_else(|error| Err(unavailable(error))))
    }

    async fn carry_out(
        self: &Arc<Self>,
        receiver: &Arc<Receiver>,
        command: Command,
    ) -> Result<Job, Refusal> {
        let turn = tokio::select! {
            biased;
            turn = Turn::of(receiver, self) => turn,
            () = receiver.until_comparing() => return Err(conflict(format!(
                "the file of job {} is compared now with what its visitor says; give the order \
                 again when that is over",
                receiver.id()
            ))),
        };
        let status = turn.status();
        if receiver.is_busy() {
            return Err(conflict(format!("the exit of job {} runs now", receiver.id())));
        }
        if (command, status) == (Command::Restart { force: false }, Status::ReceiverPostExit) {
            let what: (&[Event], _, _) =
                (&[Event::Restart], When::Post, Some("restarted by an operator".to_owned()));
            let place =
                self.place().map_err(|full| unavailable(full.into_error(Operation::Tell)))?;
            let started = self.start_exit(place, &turn, receiver, what, |_| {}).await;
            started.map_err(|error| refuse(&error))?;
            self.notices.ordered(&receiver.job(), command);
            return Ok(receiver.job());
        }
        let (events, note): (&[Event], _) = match (command, status) {
            (Command::Cancel, Status::ReceiverPublishing) => {
                (&[Event::Void, Event::Cancel], "cancelled by an operator")
            }
            (Command::Cancel, _) => (&[Event::Cancel], "cancelled by an operator"),
            (Command::Restart { force: false }, Status::ReceiverConfirming) => {
                (&[Event::Complete], "ended by an operator before the visitor asked")
            }
            (Command::Restart { force: true }, _) => {
                (&[Event::ForceRestart], "restarted by an operator")
            }
            (Command::Restart { force: false }, _) => {
                (&[Event::Restart], "restarted by an operator")
            }
            (Command::Hold | Command::Release, _) => {
                let id = receiver.id();
                return Err(conflict(format!(
                    "job {id} is moved by its visitor: hold or release the visitor's own job"
                )));
            }
        };
        let change = |state: &mut JobState| {
            state.withdrawn = false;
            state.last_error = None;
        };
        let done = turn.record(events, Some(note.to_owned()), change).await;
        let job = done.map_err(|error| refuse(&error))?;
        self.notices.ordered(&job, command);
        Ok(job)
    }
}

fn refuse(error: &JournalError) -> Refusal {
    match error.is_fatal() {
        true => Refusal::new(Reason::Unavailable, error.to_string()),
        false => conflict(error.to_string()),
    }
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Unavailable, error.to_string())
}

fn conflict(message: String) -> Refusal {
    Refusal::new(Reason::Conflict, message)
}
