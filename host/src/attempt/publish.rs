//! The rename of a proved partial onto the target. Its intent is durable before, and the
//! ownership is looked at right before each step that stays: a write of the journal is
//! acknowledged only after such a look, so what follows an acknowledgement at once needs none
//! of its own.

use std::time::Duration;

use ferryway_core::{
    Class, Event, Kind, Operation, RemotePath, Status, TransportError, transport::Session,
};

use super::{
    Failure, absence, finish,
    run::{Run, conclude},
    settle,
};
use crate::{
    journal::{
        Receipt,
        record::{Intent, Job, Leftover, Token},
    },
    partner::{
        pool::{Lease, Stay},
        staging::locations,
    },
};

/// Puts the intent to publish a token on record. Once the receipt says that it is durable, the
/// job is settled by its token.
pub(super) async fn intend(run: &Run, token: Token) -> Result<Receipt<Job>, Failure> {
    let events: &[Event] = match run.status() {
        Status::Transferring => &[Event::Verify, Event::Publish],
        _ => &[Event::Publish],
    };
    run.press(events, None, |state| {
        state.intent.get_or_insert_default().tokens.push(token);
        state.forget_attempts();
    })
    .await
}

/// Renames `token`, which is on record, onto the target, and records the delivery once that has
/// lasted for the settle delay. The caller has looked at the ownership a moment ago. The session
/// is given back.
///
/// # Errors
/// When the outcome is unknown or the partner refuses: the intent stays open.
pub(super) async fn publish(
    run: &Run,
    mut lease: Lease,
    token: &RemotePath,
    target: &RemotePath,
) -> Result<Receipt<Job>, Failure> {
    if let Err(failure) = rename(run, lease.session(), token, target).await {
        return conclude(lease, Err(failure));
    }
    if let Some(delay) = settle_delay(run) {
        lease = outlast(run, lease, delay, Stay::Short).await?;
        if let Err(failure) = look_again(run, lease.session(), token, target).await {
            return conclude(lease, Err(failure));
        }
    }
    let result = published(run, lease.session(), None).await;
    conclude(lease, result)
}

/// For how long a partner that loses its power may still undo a rename that it confirmed.
/// `None` when the job asks for no wait.
pub(super) fn settle_delay(run: &Run) -> Option<Duration> {
    let seconds = run.look(|job| job.spec.settle_delay_s);
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Waits for the settle delay without a session: the partner may close one that is idle for so
/// long, and others may need it. The intent on record tells whoever comes after us, should we
/// not outlast it.
///
/// # Errors
/// As [`Run::lend`].
pub(super) async fn outlast(
    run: &Run,
    lease: Lease,
    delay: Duration,
    stay: Stay,
) -> Result<Lease, Failure> {
    lease.give_back();
    tokio::time::sleep(delay).await;
    run.lend(stay).await
}

/// Records that the target is in place, and removes the old target where it was moved away.
pub(super) async fn published(
    run: &Run,
    session: &mut dyn Session,
    note: Option<String>,
) -> Result<Receipt<Job>, Failure> {
    let intent = run.look(|job| job.state.intent.clone()).unwrap_or_default();
    let displaced = note_displaced(run, &intent).await?;
    let receipt = finish::delivered(run, Event::Published, note, &intent).await?;
    if displaced.is_empty() {
        return Ok(receipt);
    }
    let job = receipt.await?;
    let records = run.partner.staging_records().await;
    for leftover in displaced {
        for path in locations(&records, &leftover.path) {
            // What cannot be removed now is removed when the partner is tidied.
            if session.remove(path).await.is_ok() {
                run.context.journal.forget_leftover(leftover).await?;
                break;
            }
        }
    }
    let (done, receipt) = Receipt::pair();
    // The other end is held right here.
    let _received = done.send(Ok(job));
    Ok(receipt)
}

/// Notes the old target where it was moved away. It is on record before the job ends: after
/// that, nobody would know of it.
pub(super) async fn note_displaced(run: &Run, intent: &Intent) -> Result<Vec<Leftover>, Failure> {
    let mut noted = Vec::with_capacity(intent.displaced.len());
    for path in intent.displaced.iter().filter_map(|name| name.parse().ok()) {
        noted.push(run.note_leftover(path).await?);
    }
    Ok(noted)
}

/// Renames the token onto the target, which is moved out of the way where it has to be.
async fn rename(
    run: &Run,
    session: &mut dyn Session,
    token: &RemotePath,
    target: &RemotePath,
) -> Result<(), Failure> {
    let error = match session.rename(token.clone(), target.clone()).await {
        Ok(()) => return Ok(()),
        Err(error) if error.reply().is_none() => return Err(error.into()),
        Err(error) => error,
    };
    let in_the_way = absence::is_file(session, target).await?;
    if !absence::is_file(session, token).await? {
        return Err(token_is_gone(token, error).into());
    }
    if !in_the_way || replaces(run, session, token).await? != Some(false) {
        return Err(held(token, error).into());
    }
    displace(run, session, token, target).await?;
    run.still_owner().await?;
    let renamed = session.rename(token.clone(), target.clone()).await;
    Ok(renamed.map_err(|error| held(token, error))?)
}

/// Looks after the settle delay whether the rename has lasted: the token must not be back. The
/// target tells nothing, for its consumer may have taken it, or an older one may be back.
async fn look_again(
    run: &Run,
    session: &mut dyn Session,
    token: &RemotePath,
    target: &RemotePath,
) -> Result<(), Failure> {
    let intent = run.look(|job| job.state.intent.clone()).unwrap_or_default();
    // The rename was confirmed to us: where there never was a witness, none is missed.
    let same_disk = intent.tokens.iter().all(|token| token.witness.is_none())
        || settle::is_proved(run, session, &intent).await?;
    if same_disk && !is_back(run, session, &intent, token).await? {
        return Ok(());
    }
    run.context.notices.publish_lost(&run.job(), target.to_string());
    Err(TransportError::retryable(
        Kind::NotFound,
        Operation::Rename,
        "the rename has not lasted for the settle delay; what became of it is looked up",
    )
    .at(target)
    .into())
}

/// Whether the token that was renamed from `path` is back under any of its names: a loss of
/// power can undo more than the last rename.
async fn is_back(
    run: &Run,
    session: &mut dyn Session,
    intent: &Intent,
    path: &RemotePath,
) -> Result<bool, Failure> {
    let records = run.partner.staging_records().await;
    let bears = |token: &&Token| token.names.iter().any(|name| *name == path.as_str());
    for name in intent.tokens.iter().filter(bears).flat_map(|token| &token.names) {
        for path in locations(&records, &name.parse()?) {
            if !absence::is_absent(session, &path, None).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whoever has taken the token, the old target must not be moved away for nothing.
fn token_is_gone(token: &RemotePath, cause: TransportError) -> TransportError {
    TransportError::retryable(
        Kind::NotFound,
        Operation::Rename,
        "the partial is not where it was; what became of it is looked up",
    )
    .at(token)
    .caused_by(cause)
}

/// A partner that refuses a rename although nothing is in its way: something holds on to the
/// partial or the target, which shows when it lets go. What the partner calls permanent is
/// tried again too: one code stands for denied and for busy.
pub(super) fn held(path: &RemotePath, cause: TransportError) -> TransportError {
    if cause.class() != Class::Permanent {
        return cause;
    }
    TransportError::new(
        Class::Locked,
        Kind::Locked,
        Operation::Rename,
        "the partner holds on to the partial or the target; whether it was published shows when \
         it lets go",
    )
    .at(path)
    .caused_by(cause)
}

/// Whether the partner replaces files by a rename; found out once, beside the token. `None` when
/// it cannot be found out now.
async fn replaces(
    run: &Run,
    session: &mut dyn Session,
    token: &RemotePath,
) -> Result<Option<bool>, Failure> {
    let known = run.partner.replaces(session);
    if known.is_some() {
        return Ok(known);
    }
    let name = token.name();
    let paths = [token.sibling(&format!("{name}.from"))?, token.sibling(&format!("{name}.onto"))?];
    let mut noted = Vec::with_capacity(paths.len());
    // On record before they are there: whoever dies in between leaves files that nobody knows.
    for path in &paths {
        noted.push(run.note_leftover(path.clone()).await?);
    }
    let found = run.partner.probe_rename(session, &paths).await?;
    for leftover in noted {
        // What cannot be removed now is removed when the partner is tidied.
        if absence::make_absent(session, &leftover.path).await? {
            run.context.journal.forget_leftover(leftover).await?;
        }
    }
    Ok(found)
}

/// Moves the old target out of the way of a server that does not replace it. It is never
/// deleted first: that could leave no file at all.
async fn displace(
    run: &Run,
    session: &mut dyn Session,
    token: &RemotePath,
    target: &RemotePath,
) -> Result<(), Failure> {
    let job = run.job();
    let number = job.state.attempts + 1;
    let old = token.sibling(&format!("{}.a{number}.old", job.id))?;
    run.record(&[], Some(format!("the old target is moved to `{old}`")), |state| {
        state.attempts = number;
        state.intent.get_or_insert_default().displaced.push(old.to_string());
    })
    .await?;
    let moved = session.rename(target.clone(), old).await;
    Ok(moved.map_err(|error| held(target, error))?)
}
