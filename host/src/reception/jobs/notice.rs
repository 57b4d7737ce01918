//! What becomes of a notice. Each may be told again, and counts once.

use std::sync::Arc;

use ferryway_core::{
    Direction, Event, Outcome, Status,
    notice::{Announcement, Delivery, Reference, Standing, Withdrawal},
};
use tokio::task::spawn_blocking;

use super::{
    Receiver, Register,
    file::{self, Place, Sight},
    receiver::Turn,
    way::{
        back_to_announced, bytes_came, is_delivered, needs_pre_exit, up_to_publishing,
        up_to_waiting,
    },
};
use crate::{
    config::{Config, Template},
    exits::When,
    journal::record::{Fence, Job, JobSpec, JobState, Origin},
    locks::lock,
    reception::{fence::Pass, refusal::Refusal, room::Room, tree::Tree},
};

/// Who tells something, and what this host lets it reach.
pub(in crate::reception) struct Teller {
    pub(in crate::reception) who: Fence,
    pub(in crate::reception) pass: Pass,
    pub(in crate::reception) tree: Tree,
    pub(in crate::reception) room: Arc<Room>,
    /// The configuration in force.
    pub(in crate::reception) config: Arc<Config>,
}

impl Teller {
    fn origin(&self, of: &Reference) -> Origin {
        let Fence { visitor, instance, .. } = self.who.clone();
        Origin { visitor, instance, of: of.clone() }
    }

    /// How many jobs it may have announced.
    fn limit(&self) -> usize {
        let listen = self.config.listen.as_ref();
        let visitor = listen.and_then(|listen| listen.visitors.get(&self.who.visitor));
        visitor.map_or(0, |visitor| visitor.jobs)
    }
}

impl Register {
    /// Has a job of our own for the visitor's. It is durable on `Ok`.
    ///
    /// # Errors
    /// When there is no room for it, or the journal fails.
    pub(in crate::reception) async fn announced(
        self: &Arc<Self>,
        from: Teller,
        what: Announcement,
    ) -> Result<(Standing, Arc<Receiver>), Refusal> {
        let register = Arc::clone(self);
        let taken = whole(async move { register.take_on(&from, what).await });
        let (receiver, started) = taken.await?;
        if started {
            self.await_exit(&receiver).await;
        }
        Ok((receiver.standing(), receiver))
    }

    /// Brings the job to its end, if its file is what the visitor says.
    ///
    /// # Errors
    /// When the job is not known, or nobody can look at the file.
    pub(in crate::reception) async fn delivered(
        self: &Arc<Self>,
        from: Teller,
        what: Delivery,
    ) -> Result<Standing, Refusal> {
        let register = Arc::clone(self);
        let taken = whole(async move {
            let receiver = register.known(&from, &what.of).await?;
            let started = register.take_delivery(&from, &receiver, what).await?;
            Ok((receiver, started))
        });
        let (receiver, started) = taken.await?;
        // Whoever asks again does not hold its session for a program that takes long.
        if started {
            self.await_exit(&receiver).await;
        }
        let register = Arc::clone(self);
        whole(async move {
            register.complete(&receiver).await?;
            Ok(receiver.standing())
        })
        .await
    }

    /// Ends the job without its file, unless that is in place.
    ///
    /// # Errors
    /// When the journal fails.
    pub(in crate::reception) async fn withdrawn(
        self: &Arc<Self>,
        from: Teller,
        what: Withdrawal,
    ) -> Result<Option<Standing>, Refusal> {
        let register = Arc::clone(self);
        whole(async move {
            let receiver = match register.known(&from, &what.of).await {
                Err(Refusal::NotAnnounced) => return Ok(None),
                receiver => receiver?,
            };
            let turn = Turn::of(&receiver, &register).await;
            from.pass.check()?;
            if what.start < receiver.look(|job| job.state.starts) {
                // Its operator has let it go on since.
                return Ok(Some(receiver.standing()));
            }
            let reason = format!("withdrawn by the visitor: {}", what.reason);
            register.give_up(&turn, &receiver, &reason).await?;
            Ok(Some(receiver.standing()))
        })
        .await
    }

    /// The job of an announcement, as far as it can come now, and whether an exit was started.
    async fn take_on(
        self: &Arc<Self>,
        from: &Teller,
        what: Announcement,
    ) -> Result<(Arc<Receiver>, bool), Refusal> {
        from.pass.check()?;
        let origin = from.origin(&what.of);
        if what.of.delivery > 1 {
            self.end_former(&origin).await?;
        }
        let (spec, place) = spec(from, &what, origin.clone())?;
        let receiver = match self.by_key(&origin.key()) {
            Some(receiver) => receiver,
            None => {
                let arrives = what.size.filter(|_| what.direction == Direction::Send);
                if let Some((size, place)) = arrives.zip(place) {
                    self.check_space(from, &what, (place, size)).await?;
                }
                self.accept(from, spec, &origin, what.first).await?
            }
        };
        let started = self.prepare(from, &receiver, what.start).await?;
        Ok((receiver, started))
    }

    /// Refuses a new job for whose file there is no space. A known one may have most of it on the
    /// disk, or all of it: what it still needs shows when it is written.
    async fn check_space(
        &self,
        from: &Teller,
        what: &Announcement,
        (place, size): (Place, u64),
    ) -> Result<(), Refusal> {
        let check = move || file::check_space(place.file(), size);
        let Err(full) = spawn_blocking(check).await.map_err(broke)? else { return Ok(()) };
        if what.first {
            return Err(full);
        }
        match self.known(from, &what.of).await {
            Err(Refusal::NotAnnounced) => Err(full),
            known => known.map(drop),
        }
    }

    /// Brings an announced job to where it waits for its file, or its pre-exit runs: `true` when
    /// that was started. `start` is the start by the visitor's operator that it is announced for.
    async fn prepare(
        self: &Arc<Self>,
        from: &Teller,
        receiver: &Arc<Receiver>,
        start: u32,
    ) -> Result<bool, Refusal> {
        let turn = Turn::of(receiver, self).await;
        from.pass.check()?;
        let (status, known) = (turn.status(), receiver.look(|job| job.state.starts));
        // What it ended with is the answer to this start, however often it is asked for: a failed
        // exit does not run again, and a cancelled job does not come back, by themselves.
        let answered = start == known && !status.in_flight();
        if answered || start < known || is_delivered(status) || receiver.is_busy() {
            return Ok(false);
        }
        let anew = |state: &mut JobState| {
            state.starts = start;
            state.withdrawn = false;
            state.last_error = None;
        };
        if receiver.look(needs_pre_exit) {
            let mut events = back_to_announced(status).to_vec();
            events.push(Event::Prepare);
            let what = (&*events, When::Pre, None);
            self.start_exit(self.place()?, &turn, receiver, what, anew).await?;
            return Ok(true);
        }
        let events = up_to_waiting(status);
        if start > known || !events.is_empty() {
            turn.record(events, Some("announced again".to_owned()), anew).await?;
        }
        Ok(false)
    }

    /// Takes the visitor's word and this host's own look for what was delivered: the job is at
    /// its post-exit, at its end, or waits for the file again. `true` when the post-exit was
    /// started.
    async fn take_delivery(
        self: &Arc<Self>,
        from: &Teller,
        receiver: &Arc<Receiver>,
        what: Delivery,
    ) -> Result<bool, Refusal> {
        if receiver.look(|job| job.remote() != what.path.as_str()) {
            let text = format!("job {} was announced for another file", receiver.id());
            return Err(Refusal::Senseless(text));
        }
        let turn = Turn::of(receiver, self).await;
        from.pass.check()?;
        let status = turn.status();
        if is_delivered(status) {
            return Ok(false);
        }
        if receiver.is_busy() {
            // Its pre-exit: an end of that must not be taken for one of the post-exit.
            return Err(exit_runs());
        }
        // A file takes long to read: only where its exit can start then.
        let exit = receiver
            .look(|job| When::Post.exit(&job.spec).is_some() && job.state.post_exit.end.is_none());
        let place = if exit { Some(self.place()?) } else { None };
        let note = match self.sight(from, receiver, &what).await? {
            Some(Sight::Other(reason)) => {
                self.refuse(&turn, receiver, reason).await?;
                return Ok(false);
            }
            Some(Sight::Same) => "the file is as delivered",
            Some(Sight::Gone) => "the file is not there any more: whoever waited has taken it",
            None => "the visitor says that the file is there; this host does not look",
        };
        let mut events = up_to_publishing(status).to_vec();
        let change = |state: &mut JobState| {
            (state.size, state.digest) = (Some(what.size), what.digest);
            state.published += 1;
            state.withdrawn = false;
            state.last_error = None;
        };
        if let Some(place) = place {
            events.push(Event::StartExit);
            let what = (&*events, When::Post, Some(note.to_owned()));
            self.start_exit(place, &turn, receiver, what, change).await?;
            return Ok(true);
        }
        events.extend([Event::Published, Event::Complete]);
        let job = turn.record(&events, Some(note.to_owned()), change).await?;
        self.notices.completed(&job);
        Ok(false)
    }

    /// Ends a job that has nothing to do but to say so.
    async fn complete(&self, receiver: &Arc<Receiver>) -> Result<(), Refusal> {
        let turn = Turn::of(receiver, self).await;
        if turn.status() == Status::ReceiverConfirming {
            let job = turn.record(&[Event::Complete], None, |_| {}).await?;
            self.notices.completed(&job);
        }
        Ok(())
    }

    async fn accept(
        &self,
        from: &Teller,
        spec: JobSpec,
        origin: &Origin,
        first: bool,
    ) -> Result<Arc<Receiver>, Refusal> {
        let limit = from.limit();
        let there = lock(&self.index).of_visitor.get(&origin.visitor).copied().unwrap_or_default();
        if there >= limit {
            // The same words however many there are: each new reason is news to an operator.
            let text = format!("no more than {limit} announced jobs are taken on here at once");
            return Err(Refusal::NotNow(text));
        }
        // A new job costs the same whatever has been received before.
        let accepted = match first {
            true => self.journal.accept_first(vec![spec]).await?,
            false => self.journal.accept(vec![spec]).await?,
        };
        let Some(job) = accepted.into_iter().next() else {
            return Err(Refusal::NotNow("the journal took no job".to_owned()));
        };
        if job.version == 1 {
            self.notices.announced(&job, origin);
        }
        Ok(self.recorded(job))
    }

    async fn known(&self, from: &Teller, of: &Reference) -> Result<Arc<Receiver>, Refusal> {
        let key = from.origin(of).key();
        if let Some(receiver) = self.by_key(&key) {
            return Ok(receiver);
        }
        let job = self.journal.job_by_key(&key).await?.ok_or(Refusal::NotAnnounced)?;
        Ok(self.recorded(job))
    }

    /// What this host sees of the file; `None` where it sees nothing.
    async fn sight(
        &self,
        from: &Teller,
        receiver: &Receiver,
        what: &Delivery,
    ) -> Result<Option<Sight>, Refusal> {
        let (definition, direction, status) =
            receiver.look(|job| (job.spec.definition.clone(), job.spec.direction, job.status));
        if direction == Direction::Fetch {
            // It is our own file that went away; what arrived of it the visitor has compared.
            return Ok(None);
        }
        let Some(place) = file::place(from, &definition, (&what.path, direction))? else {
            return Ok(None);
        };
        let (what, proof, room) = (what.clone(), receiver.proof(), Arc::clone(&from.room));
        let beside = matches!(place, Place::Beside(_));
        let compare = move || file::compare(place.file(), &what, proof.as_ref(), &room);
        let _comparing = receiver.comparing();
        match spawn_blocking(compare).await.map_err(broke)?? {
            // Its own session has put it there: that is on record.
            Sight::Gone if status == Status::ReceiverPublishing => Ok(Some(Sight::Gone)),
            // A disk that is not mounted looks the same as a file that somebody has taken.
            Sight::Gone if beside || bytes_came(status) => {
                Err(Refusal::NotNow("the file is not in place here".to_owned()))
            }
            // Its bytes went by a way that this host does not see.
            Sight::Gone => Ok(None),
            sight => Ok(Some(sight)),
        }
    }

    /// Lets the job wait for its file again.
    async fn refuse(
        &self,
        turn: &Turn<'_>,
        receiver: &Arc<Receiver>,
        reason: String,
    ) -> Result<(), Refusal> {
        let events: &[Event] = match turn.status() {
            Status::ReceiverPublishing => &[Event::Void],
            Status::ReceiverAnnounced | Status::ReceiverIdle(_) => &[],
            _ => &[Event::Retry],
        };
        let change = |state: &mut JobState| state.last_error = Some(reason.clone());
        let job = turn.record(events, Some(reason.clone()), change).await?;
        receiver.prove(None);
        self.notices.not_as_delivered(&job, &reason);
        Ok(())
    }

    /// Ends a job that nobody delivers or asks for any more. One whose pre-exit runs stays as it
    /// is until that has ended; one that is delivered ends as such, after its post-exit.
    async fn give_up(
        &self,
        turn: &Turn<'_>,
        receiver: &Arc<Receiver>,
        reason: &str,
    ) -> Result<(), Refusal> {
        let events: &[Event] = match turn.status() {
            Status::ReceiverIdle(_) => return Ok(()),
            Status::ReceiverConfirming => &[Event::Complete],
            Status::ReceiverPostExit if receiver.look(|job| job.state.withdrawn) => return Ok(()),
            Status::ReceiverPostExit => &[],
            _ if receiver.is_busy() => return Err(exit_runs()),
            Status::ReceiverPublishing => &[Event::Void, Event::Fail],
            _ => &[Event::Fail],
        };
        let fails = events.contains(&Event::Fail);
        let change = |state: &mut JobState| {
            state.withdrawn = true;
            if fails {
                state.last_error = Some(reason.to_owned());
            }
        };
        let job = turn.record(events, Some(reason.to_owned()), change).await?;
        match job.status.outcome() {
            Some(Outcome::Completed) => self.notices.completed(&job),
            Some(_) => self.notices.withdrawn(&job, reason),
            None => {}
        }
        Ok(())
    }

    /// Ends the jobs of former deliveries of the visitor's job.
    async fn end_former(&self, origin: &Origin) -> Result<(), Refusal> {
        let former = |job: &Job| {
            job.spec.origin.as_ref().is_some_and(|other| {
                (&other.visitor, &other.instance) == (&origin.visitor, &origin.instance)
                    && other.of.job == origin.of.job
                    && other.of.delivery < origin.of.delivery
            })
        };
        let former: Vec<_> = {
            let index = lock(&self.index);
            index.by_id.values().filter(|receiver| receiver.look(former)).cloned().collect()
        };
        for receiver in former {
            let turn = Turn::of(&receiver, self).await;
            self.give_up(&turn, &receiver, "the visitor delivers its job once more").await?;
        }
        Ok(())
    }
}

/// The job that stands for an announced one, and its file's place as far as it is known.
fn spec(
    from: &Teller,
    what: &Announcement,
    origin: Origin,
) -> Result<(JobSpec, Option<Place>), Refusal> {
    if what.direction == Direction::Send {
        from.tree.check_sends()?;
    }
    let place = file::place(from, &what.definition, (&what.path, what.direction))?;
    let reception = from.config.reception(&from.who.visitor, &what.definition);
    let remote = what.path.as_str();
    let local = place.as_ref().map(|place| place.file().path().display().to_string());
    let local = local.unwrap_or_default();
    let (definition, partner) = (what.definition.clone(), from.who.visitor.clone());
    let files = (&*Template::literal(&local), &*Template::literal(remote));
    let spec = JobSpec {
        key: Some(origin.key()),
        origin: Some(origin),
        exits: reception.map(|reception| reception.exits.clone()).unwrap_or_default(),
        ..JobSpec::plain(definition, partner, what.direction, files)
    };
    Ok((spec, place))
}

/// Does work to its end, also when the visitor leaves meanwhile: what follows a write must not be
/// left out once that is durable.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work).await.map_err(broke)?
}

pub(super) fn exit_runs() -> Refusal {
    Refusal::NotNow("its exit runs".to_owned())
}

fn broke(error: tokio::task::JoinError) -> Refusal {
    tracing::error!(%error, "the work for a visitor broke");
    Refusal::NotNow("the work broke".to_owned())
}
