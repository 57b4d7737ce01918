//! How a demo goes: one job, and hosts that are killed while it moves.

use std::time::{Duration, Instant};

use ferryway_core::{DefinitionId, Event, JobId, Outcome, Status};
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    Failover, Moments,
    evidence::Takeover,
    script::{Death, Side},
    stage::{self, Owner, Stage},
    story::{Bar, Story},
};
use crate::{
    control::api::{JobView, SubmitRequest},
    laboratory::{Deadline, Failure, POLL, hosts::HostProcess},
};

const STOP_LIMIT: Duration = Duration::from_secs(25);

/// Plays the script: lets the hosts die in the middle of the job, and their standbys bring it to
/// its end.
///
/// # Errors
/// When it cannot be played to its end.
pub(super) async fn play(
    stage: &Stage,
    receiver: Option<Owner>,
    moments: &mut Moments,
    story: &mut Story,
    deadline: Deadline,
) -> Result<(), Failure> {
    let sender = stage.open(Side::Sending, Side::Sending.first(), deadline).await?;
    let job = submit(&sender.host).await?;
    story.accepted(stage, &sender.health, &job);
    let mut play = Play { stage, moments, deadline, job, sender, receiver };
    for &death in stage.script.deaths {
        let mut bar = Bar::new(play.sender.host.node, stage.size);
        play.until(|view| {
            let Some(progress) = view.progress else { return false };
            bar.show(progress.done);
            progress.done * 100 >= progress.total * death.at_percent && progress.total > 0
        })
        .await?;
        if play.moments.completed {
            return Err(Failure("the job was done before a host could be killed".to_owned()));
        }
        let (pid, killed_at) = play.kill(death).await?;
        bar.leave();
        story.killed(stage, death, pid);
        let (failover, owner) = play.fail_over(death, killed_at).await?;
        let takeover = Takeover::of(&failover, &stage.partner.seen()?);
        story.taken_over(&owner, &failover, &takeover);
        play.moments.failovers.push(failover);
        play.replace(death.side, owner);
    }
    let mut bar = Bar::new(play.sender.host.node, stage.size);
    play.until(|view| {
        if let Some(progress) = view.progress {
            bar.show(progress.done);
        }
        false
    })
    .await?;
    bar.show(stage.size);
    bar.leave();
    play.stop().await
}

struct Play<'a> {
    stage: &'a Stage,
    moments: &'a mut Moments,
    deadline: Deadline,
    job: JobId,
    sender: Owner,
    receiver: Option<Owner>,
}

impl Play<'_> {
    /// Kills the host of a side; its process id, and when.
    async fn kill(&mut self, death: Death) -> Result<(u32, Instant), Failure> {
        let owner = match death.side {
            Side::Sending => Some(&mut self.sender),
            Side::Receiving => self.receiver.as_mut(),
        };
        let owner = owner.ok_or_else(|| Failure("no host receives".to_owned()))?;
        self.stage.lead_nowhere(death.side);
        Ok((owner.host.pid, owner.host.kill().await?))
    }

    /// Lets the standby take over, and waits until the transfer goes on.
    async fn fail_over(
        &mut self,
        death: Death,
        killed_at: Instant,
    ) -> Result<(Failover, Owner), Failure> {
        let (stage, deadline, receives) =
            (self.stage, self.deadline, death.side == Side::Receiving);
        let started = (Instant::now(), Timestamp::now());
        let successor = death.side.standby();
        let mut owner = stage.open(death.side, successor, deadline).await?;
        let owned_after = receives.then(|| started.0.elapsed());
        let mut failover = Failover {
            death,
            successor,
            epoch: owner.health.epoch,
            killed_at,
            started,
            owned_after,
            told_after: None,
            resumed_at: 0,
        };
        let (mut resumed_at, mut told_after) = (0, None);
        let sender = match death.side {
            Side::Sending => &mut owner.host,
            Side::Receiving => &mut self.sender.host,
        };
        let mut goes_on = |view: &JobView| {
            if receives && told_after.is_none() && stage.heard_back(failover.epoch) {
                told_after = Some(started.0.elapsed());
            }
            resumed_at = view.progress.map_or(0, |progress| progress.resumed_at);
            let seen = stage.partner.seen();
            seen.is_ok_and(|seen| Takeover::of(&failover, &seen).first_byte_at.is_some())
        };
        follow(stage, sender, &self.job, self.moments, deadline, &mut goes_on).await?;
        (failover.resumed_at, failover.told_after) = (resumed_at, told_after);
        if death.side == Side::Sending {
            failover.owned_after = owned_after_start(&owner.host, &self.job, started.1).await;
        }
        Ok((failover, owner))
    }

    fn replace(&mut self, side: Side, owner: Owner) {
        match side {
            Side::Sending => self.sender = owner,
            Side::Receiving => self.receiver = Some(owner),
        }
    }

    /// Looks at the job until `enough` says so or it is delivered.
    async fn until(&mut self, enough: impl FnMut(&JobView) -> bool) -> Result<(), Failure> {
        let sender = &mut self.sender.host;
        follow(self.stage, sender, &self.job, self.moments, self.deadline, enough).await
    }

    /// Stops all hosts in good order.
    async fn stop(mut self) -> Result<(), Failure> {
        self.sender.host.stop(STOP_LIMIT).await?;
        if let Some(receiver) = &mut self.receiver {
            receiver.host.stop(STOP_LIMIT).await?;
        }
        self.moments.stopped = true;
        Ok(())
    }
}

async fn submit(host: &HostProcess) -> Result<JobId, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure(format!("no job was accepted: {error}"));
    let definition: DefinitionId = stage::DEFINITION.parse().map_err(|error| refused(&error))?;
    let request = SubmitRequest { definition, local: None, remote: None, key: None };
    let jobs = host.client.submit(&[request]).await.map_err(|error| refused(&error))?;
    let job = jobs.into_iter().next().ok_or_else(|| refused(&"the answer is empty"))?;
    Ok(job.id)
}

async fn follow(
    stage: &Stage,
    host: &mut HostProcess,
    job: &JobId,
    moments: &mut Moments,
    deadline: Deadline,
    mut enough: impl FnMut(&JobView) -> bool,
) -> Result<(), Failure> {
    loop {
        host.check()?;
        let view = host.client.job(job).await.map_err(|error| Failure(error.to_string()))?;
        moments.samples.push((Instant::now(), stage.arrived()));
        match view.job.status {
            Status::Idle(Outcome::Completed) => {
                moments.completed = true;
                return Ok(());
            }
            Status::Idle(_) | Status::Suspended => {
                let reason = view.job.state.last_error.unwrap_or_default();
                return Err(Failure(format!(
                    "job {job} is {}: {reason}",
                    view.job.status.meaning()
                )));
            }
            _ if enough(&view) => return Ok(()),
            _ => {}
        }
        deadline.check(&format!("job {job} on node {}", host.node))?;
        sleep(POLL).await;
    }
}

/// When the standby had the job, by the journal's own clock.
async fn owned_after_start(
    standby: &HostProcess,
    job: &JobId,
    started: Timestamp,
) -> Option<Duration> {
    let entries = standby.client.entries(job).await.ok()?;
    let taken = entries.iter().find(|entry| entry.event == Some(Event::TakeOver))?;
    taken.at.duration_since(started).try_into().ok()
}
