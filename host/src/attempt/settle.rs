//! What became of an earlier intent to publish.
//!
//! The token decides: it is renamed to a name of our own before anything else. Found under one
//! of its names, it was not published, and nobody else can publish it any more; found under
//! none of them, as listings prove, it was, as long as the partner still shows the token's
//! witness. A partner that does not may have another disk, on which the token never was: there
//! the target decides, and where it is not the file that was to be published, the file is sent
//! anew. At least once is better than never.

use std::sync::{Arc, Mutex};

use ferryway_core::{
    Algorithm, Event, Kind, RemotePath,
    bytes::{Meter, Sink},
    transport::{Download, Session},
};

use super::{
    Failure, absence, publish,
    run::{Run, conclude},
    send::{Partial, discard, next_partial},
    stream::{HashSink, SharedHashes},
};
use crate::{
    digest::Hashes,
    journal::record::{Attempt, Fingerprint, Intent, Token},
    locks::lock,
    partner::{
        pool::{Lease, Stay},
        staging::locations,
    },
};

/// Brings a job with an open intent to its end. The session is given back.
pub(super) async fn settle(
    run: &Run,
    mut lease: Lease,
    target: &RemotePath,
) -> Result<(), Failure> {
    let has_token = |intent: &Intent| !intent.tokens.is_empty();
    let waits = run.look(|job| job.state.intent.as_ref().is_some_and(has_token));
    let mut delay = publish::settle_delay(run).filter(|_| waits);
    let own = loop {
        match look_for_token(run, lease.session(), target).await {
            Ok(Some(own)) => break own,
            Ok(None) => match delay.take() {
                // What a loss of power can still undo is not believed before that.
                Some(delay) => lease = publish::outlast(run, lease, delay, Stay::Long).await?,
                None => {
                    let result = without_token(run, lease.session(), target).await;
                    return conclude(lease, result);
                }
            },
            Err(failure) => return conclude(lease, Err(failure)),
        }
    };
    publish::publish(run, lease, &own, target).await?.await?;
    run.context.notices.published_at_settle(&run.job(), target.to_string());
    Ok(())
}

/// Moves the first token that is found to a name of our own, and gives that; `None` when there
/// is none. The ownership was looked at a moment ago.
async fn look_for_token(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<Option<RemotePath>, Failure> {
    // The own name must be one that the partner can rename to, whatever became of its disk.
    run.partner.revisit(session, target).await?;
    bar_late_moves(run, session).await?;
    take_token(run, session, target).await
}

/// Settles by what the partner shows instead of a token.
async fn without_token(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<(), Failure> {
    let intent = run.look(|job| job.state.intent.clone()).unwrap_or_default();
    if intent.tokens.is_empty() {
        return send_once_more(run, session, target).await;
    }
    let note = match is_proved(run, session, &intent).await? {
        true => "settled: the file was published before",
        false if holds(session, target, &intent).await? => {
            "settled: the partner shows no trace of the staging, but the file itself"
        }
        false => return send_anew(run, session, target).await,
    };
    run.context.notices.found_published(&run.job(), target.to_string());
    publish::published(run, session, Some(note.to_owned())).await?.await?;
    Ok(())
}

/// Bars the names to which the old target was to be moved and at which nothing is: the command
/// was lost, and may be read when the new target is in place. A partner that was told to move the
/// old target does not replace files, so it refuses from then on.
async fn bar_late_moves(run: &Run, session: &mut dyn Session) -> Result<(), Failure> {
    let Intent { displaced, mut barred, .. } =
        run.look(|job| job.state.intent.clone()).unwrap_or_default();
    let mut moved = Vec::with_capacity(displaced.len());
    for name in displaced {
        match is_free(session, &name.parse()?).await? {
            true => barred.push(name),
            false => moved.push(name),
        }
    }
    // On record first: a bar must not be taken for an old target, and be removed.
    let names = barred.clone();
    if run.look(|job| job.state.intent.as_ref().is_some_and(|intent| intent.barred != names)) {
        run.record(&[], Some("bars the way of a lost command".to_owned()), |state| {
            let intent = state.intent.get_or_insert_default();
            (intent.displaced, intent.barred) = (moved, names);
        })
        .await?;
    }
    for name in barred {
        let path = name.parse()?;
        if is_free(session, &path).await? {
            run.partner.bar(session, &path).await?;
        }
    }
    Ok(())
}

/// Whether a file could be moved to this name. Nothing is moved into a folder that is gone.
async fn is_free(session: &mut dyn Session, path: &RemotePath) -> Result<bool, Failure> {
    match session.list(path.parent()).await {
        Ok(names) => Ok(!names.iter().any(|name| name == path.name())),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn take_token(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<Option<RemotePath>, Failure> {
    let intent = run.look(|job| job.state.intent.clone()).unwrap_or_default();
    for (index, token) in intent.tokens.iter().enumerate() {
        let Partial { number, path: own, .. } = next_partial(run, session, target).await?;
        // The move is on record before it is sent: it may be the last thing we do.
        let name = own.to_string();
        run.record(
            &[],
            Some(format!("looks for the token of attempt {}", token.attempt)),
            |state| {
                state.attempts = number;
                if let Some(token) =
                    state.intent.as_mut().and_then(|intent| intent.tokens.get_mut(index))
                {
                    token.names.push(name);
                }
            },
        )
        .await?;
        if !take(run, session, &token.names, &own).await? {
            continue;
        }
        let found = session.stat(own.clone()).await?.size;
        if found.is_some_and(|size| size != token.size) {
            void(run, session, &own, target, (token, found)).await?;
        }
        run.still_owner().await?;
        return Ok(Some(own));
    }
    Ok(None)
}

/// Whether the partner is one that held a token of the intent, so that its absence means that
/// it was published.
pub(super) async fn is_proved(
    run: &Run,
    session: &mut dyn Session,
    intent: &Intent,
) -> Result<bool, Failure> {
    for witness in intent.tokens.iter().filter_map(|token| token.witness.as_ref()) {
        if run.partner.shows(session, &witness.parse()?).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the target is the file that was to be published: its size, where the partner tells
/// sizes, and its hash, by the partner's own one or by reading the file back.
async fn holds(
    session: &mut dyn Session,
    target: &RemotePath,
    intent: &Intent,
) -> Result<bool, Failure> {
    let Some(token) = intent.tokens.last() else { return Ok(false) };
    if !absence::is_file(session, target).await? {
        return Ok(false);
    }
    if session.stat(target.clone()).await?.size.is_some_and(|size| size != token.size) {
        return Ok(false);
    }
    if let Some(proof) = &token.proof
        && session.capabilities().checksums.contains(&proof.algorithm)
        && let Ok(found) = session.checksum(target.clone(), proof.algorithm, token.size).await
    {
        return Ok(found == *proof);
    }
    let hashes: SharedHashes = Arc::new(Mutex::new(Hashes::new(&[])));
    let sink = Sink::new(HashSink::new(Arc::clone(&hashes)));
    let download = Download { path: target.clone(), offset: 0, sink, meter: Meter::new() };
    match session.fetch(download).await {
        Ok(_) => Ok(lock(&hashes).digest(Algorithm::Blake3) == token.digest),
        // What may not be read is not known to be there.
        Err(error) if error.reply().is_some() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes back what is left of an intent whose tokens an operator has given up.
async fn send_once_more(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<(), Failure> {
    put_back(run, session, target).await?;
    let reason = "the old target is where it was: the file is sent once more, as ordered";
    take_back(run, reason).await?;
    Err(Failure::Void(reason.to_owned()))
}

/// Takes the intent back: whether it was carried out cannot be found out any more.
async fn send_anew(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<(), Failure> {
    put_back(run, session, target).await?;
    let reason = "the partner does not show where the file was staged, as after a switch to \
                  another disk: whether it was published is unknown, and it is sent anew";
    take_back(run, reason).await?;
    run.context.notices.outcome_unknown(&run.job(), target.to_string());
    Err(Failure::Void(reason.to_owned()))
}

async fn take_back(run: &Run, reason: &str) -> Result<(), Failure> {
    run.record(&[Event::Void], Some(reason.to_owned()), |state| state.intent = None).await
}

/// Renames the token to our own name from whichever of its names it bears.
async fn take(
    run: &Run,
    session: &mut dyn Session,
    names: &[String],
    own: &RemotePath,
) -> Result<bool, Failure> {
    let records = run.partner.staging_records().await;
    // The oldest first: things move from older names to newer ones only, so one that moves
    // while we look is met later.
    for name in names {
        for path in locations(&records, &name.parse()?) {
            match session.rename(path.clone(), own.clone()).await {
                Ok(()) => return Ok(true),
                Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => {
                    return Err(error.into());
                }
                Err(error) => {
                    if !absence::is_absent(session, &path, None).await? {
                        return Err(publish::held(&path, error).into());
                    }
                }
            }
        }
    }
    Ok(false)
}

/// Takes the intent back: what we hold is not what was proved.
async fn void(
    run: &Run,
    session: &mut dyn Session,
    own: &RemotePath,
    target: &RemotePath,
    (token, found): (&Token, Option<u64>),
) -> Result<(), Failure> {
    put_back(run, session, target).await?;
    let reason = format!(
        "the partial `{own}` has {} bytes instead of {}; the file is sent anew",
        found.unwrap_or_default(),
        token.size
    );
    let attempt = Attempt {
        number: run.job().state.attempts,
        epoch: run.context.journal.epoch(),
        // No source looks like this: nothing is resumed from it.
        fingerprint: Fingerprint { size: token.size, modified_ns: None, identity: None },
        names: vec![own.to_string()],
    };
    run.record(&[Event::Void], Some(reason.clone()), |state| {
        state.intent = None;
        // Whoever tries next knows what to remove, should we not come to it.
        state.attempt = Some(attempt);
    })
    .await?;
    discard(run, session, own).await?;
    Err(Failure::Void(reason))
}

/// Puts the old target back where it was moved away, unless another file is there by now.
///
/// # Errors
/// Also when the partner holds on to it: the intent, which knows its name, stays on record.
async fn put_back(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<(), Failure> {
    let intent = run.job().state.intent.unwrap_or_default();
    if intent.displaced.is_empty() {
        return Ok(());
    }
    let records = run.partner.staging_records().await;
    for name in intent.displaced.iter().rev() {
        for path in locations(&records, &name.parse()?) {
            if absence::is_file(session, target).await? {
                break;
            }
            match session.rename(path.clone(), target.clone()).await {
                Ok(()) => {}
                Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => {
                    return Err(error.into());
                }
                Err(error) => {
                    if !absence::is_absent(session, &path, None).await? {
                        return Err(publish::held(&path, error).into());
                    }
                }
            }
        }
    }
    if absence::is_file(session, target).await? {
        publish::note_displaced(run, &intent).await?;
    }
    Ok(())
}
