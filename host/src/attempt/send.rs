//! A send with policy `atomic`: the bytes go to a partial of a name that is never used twice,
//! which is proved and then renamed onto the target.

use std::{
    io::{Seek, SeekFrom},
    sync::{Arc, Mutex},
};

use ferryway_core::{
    Event, Kind, RemotePath, Status,
    bytes::Source as ByteStream,
    transport::{Session, Upload},
};

use super::{
    Failure, publish,
    resume::{self, Start},
    run::{Run, conclude},
    settle,
    source::{Source, blocking, local_io},
    stream::{FileSource, SharedHashes, hash_prefix, lock},
    verify,
};
use crate::{
    digest::Hashes,
    journal::record::{Attempt, Fingerprint, Leftover, Token},
};

/// Delivers the job.
pub(super) async fn send(run: &Run) -> Result<(), Failure> {
    let target = run.target()?;
    if run.job().state.intent.is_some() {
        // The source may be gone by now: an intent is settled without it.
        enter_publishing(run).await?;
        let mut lease = run.lend().await?;
        let result = settle::settle(run, lease.session(), &target).await;
        return conclude(lease, result);
    }
    if run.job().status == Status::Accepted {
        drop(run.queue(&[Event::Prepare], None, |_| {}).await?);
    }
    let source = Source::open(run).await?;
    drop(run.queue(&[Event::Connect], None, |_| {}).await?);
    let mut lease = run.lend().await?;
    let result = transfer_and_publish(run, lease.session(), &target, source).await;
    let receipt = conclude(lease, result)?;
    receipt.await?;
    Ok(())
}

/// Brings a job with an open intent to the status that says so, from wherever it was stopped.
async fn enter_publishing(run: &Run) -> Result<(), Failure> {
    let events: &[Event] = match run.job().status {
        Status::Accepted => &[Event::Prepare, Event::Connect, Event::Settle],
        _ => return Ok(()),
    };
    drop(run.queue(events, Some("an earlier intent is to be settled".to_owned()), |_| {}).await?);
    Ok(())
}

async fn transfer_and_publish(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
    source: Source,
) -> Result<crate::journal::Receipt<crate::journal::record::Job>, Failure> {
    let hashes: SharedHashes = Arc::new(Mutex::new(Hashes::new(&session.capabilities().checksums)));
    let (mut partial, start) = begin(run, session, target, &source, &hashes).await?;
    if let Err(failure) = upload(run, session, &partial, &source, start, &hashes).await {
        if !staging_vanished(run, session, &partial, &failure).await? {
            return Err(failure);
        }
        // Nothing was stored, so nothing was hashed either.
        let (number, fresh) = next_partial(run, session, target).await?;
        record_attempt(run, number, &fresh, &source.fingerprint, Event::Begin).await?;
        upload(run, session, &fresh, &source, Start::Fresh, &hashes).await?;
        partial = fresh;
    }
    drop(run.queue(&[Event::Verify], None, |_| {}).await?);
    let size = source.fingerprint.size;
    let result = match verify::partial(session, &partial, size, &hashes).await {
        Ok(()) => source.unchanged(),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = result {
        if matches!(failure, Failure::Void(_)) {
            discard(run, session, &partial).await?;
        }
        return Err(failure);
    }
    let digest = lock(&hashes).digest(ferryway_core::Algorithm::Blake3);
    let attempt = run.job().state.attempts;
    let token = Token { attempt, names: vec![partial.to_string()], size, digest };
    publish::intend(run, token).await?;
    publish::publish(run, session, &partial, target).await
}

/// Puts a new attempt on record, with the name of its partial, and prepares the partial: an
/// earlier one that can be used, or a fresh one.
async fn begin(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
    source: &Source,
    hashes: &SharedHashes,
) -> Result<(RemotePath, Start), Failure> {
    let earlier = run.job().state.attempt;
    let (number, partial) = next_partial(run, session, target).await?;
    record_attempt(run, number, &partial, &source.fingerprint, Event::Begin).await?;
    run.context.notices.attempt(&run.job(), number);
    let Some(earlier) = earlier else { return Ok((partial, Start::Fresh)) };
    let start = resume::adopt(run, session, &earlier, &partial, source, hashes).await?;
    if let Start::Unusable(found) = start {
        // The name was used for what turned out unusable, and no name is used twice.
        discard(run, session, &found).await?;
        let (number, partial) = next_partial(run, session, target).await?;
        record_attempt(run, number, &partial, &source.fingerprint, Event::Begin).await?;
        return Ok((partial, Start::Fresh));
    }
    Ok((partial, start))
}

async fn record_attempt(
    run: &Run,
    number: u32,
    partial: &RemotePath,
    fingerprint: &Fingerprint,
    event: Event,
) -> Result<(), Failure> {
    let attempt = Attempt {
        number,
        epoch: run.context.journal.epoch(),
        fingerprint: fingerprint.clone(),
        names: vec![partial.to_string()],
    };
    // A second name within one try is no second begin.
    let events: &[Event] = if run.job().status == Status::Transferring { &[] } else { &[event] };
    let earlier = run.job().state.attempt;
    run.record(events, Some(format!("attempt {number} goes to `{partial}`")), |state| {
        state.attempts = number;
        let mut attempt = attempt;
        // Until the earlier partial is moved or removed, it may be under its old names too.
        if let Some(earlier) = earlier.filter(|earlier| earlier.number != number) {
            attempt.names.splice(0..0, earlier.names);
        }
        state.attempt = Some(attempt);
    })
    .await
}

/// The number of the next attempt and the name of its partial.
pub(super) async fn next_partial(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<(u32, RemotePath), Failure> {
    let job = run.job();
    let number = job.state.attempts + 1;
    let partial = match run.partner.staging_folder(session, target).await? {
        Some(folder) => folder.join(&format!("{}.a{number}.part", job.id))?,
        None => {
            let epoch = run.context.journal.epoch();
            // A name that the partner would not list could not be proved absent later.
            let dot = if session.capabilities().lists_hidden { "." } else { "" };
            let name = target.name();
            target.sibling(&format!("{dot}{name}.{}.e{epoch}.a{number}.part", job.id))?
        }
    };
    Ok((number, partial))
}

async fn upload(
    run: &Run,
    session: &mut dyn Session,
    partial: &RemotePath,
    source: &Source,
    start: Start,
    hashes: &SharedHashes,
) -> Result<(), Failure> {
    let size = source.fingerprint.size;
    let offset = start.offset();
    if offset > 0 && offset == size {
        // All of it is there and proved: only a hash of a trusted prefix is still to be made.
        drop(position(source, &start, hashes).await?);
        return Ok(());
    }
    let file = position(source, &start, hashes).await?;
    let meter = run.start_stream(offset, size);
    let attempt = run.job().state.attempts;
    let counted = Arc::clone(&meter);
    let mut checkpoint = run.checkpoints(attempt, move || offset + counted.bytes());
    let progress = Box::new(move |_| checkpoint());
    let bytes = FileSource::new(file, size - offset, Arc::clone(hashes), progress);
    let upload = Upload {
        path: partial.clone(),
        offset,
        length: size - offset,
        source: ByteStream::new(bytes),
        meter,
    };
    match session.store(upload).await {
        Ok(_) => Ok(()),
        Err(error) => {
            if error.kind() == Kind::Local {
                // The source's own trouble comes first: it may have changed.
                source.unchanged()?;
            }
            Err(error.into())
        }
    }
}

/// Whether a store was refused because somebody removed our staging folder from the partner;
/// it is then made again with the next partial.
async fn staging_vanished(
    run: &Run,
    session: &mut dyn Session,
    partial: &RemotePath,
    failure: &Failure,
) -> Result<bool, Failure> {
    let refused = matches!(failure, Failure::Transport(error)
        if matches!(error.kind(), Kind::Denied | Kind::Unavailable | Kind::NotFound));
    let Some(folder) = partial.parent().filter(|_| refused) else { return Ok(false) };
    // A successor that revoked the folder has put a file there: then nothing is ours any more.
    run.still_owner().await?;
    if !run.partner.is_staging(&folder).await || session.list(Some(folder)).await.is_ok() {
        return Ok(false);
    }
    run.partner.staging_is_lost().await;
    Ok(true)
}

/// The source's file standing at the start, with the hashes of what lies before it.
async fn position(
    source: &Source,
    start: &Start,
    hashes: &SharedHashes,
) -> Result<std::fs::File, Failure> {
    let io = |error| local_io(&source.place, "read", error);
    let mut file = source.file.try_clone().map_err(io)?;
    file.rewind().map_err(io)?;
    match *start {
        Start::Proved(offset) => {
            file.seek(SeekFrom::Start(offset)).map_err(io)?;
            Ok(file)
        }
        Start::Trusted(offset) => {
            let shared = Arc::clone(hashes);
            blocking(move || hash_prefix(&mut file, offset, &shared).map(|()| file))
                .await
                .map_err(io)
        }
        Start::Fresh | Start::Unusable(_) => Ok(file),
    }
}

/// Removes a partial that is of no use, or notes it for later.
pub(super) async fn discard(
    run: &Run,
    session: &mut dyn Session,
    path: &RemotePath,
) -> Result<(), Failure> {
    match session.remove(path.clone()).await {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::debug!(job = %run.job().id, path = %path, %error, "a partial stays for now");
            let leftover = Leftover {
                partner: run.partner.name.clone(),
                path: path.clone(),
                job: run.job().id,
            };
            Ok(run.context.journal.put_leftover(leftover).await?)
        }
    }
}
