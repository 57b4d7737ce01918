//! A send with policy `atomic`: the bytes go to a partial of a name that is never used twice,
//! which is proved and then renamed onto the target.

use std::{
    io::{Seek, SeekFrom},
    sync::{Arc, Mutex},
};

use ferryway_core::{
    Class, Event, Kind, RemotePath,
    bytes::Source as ByteStream,
    transport::{Session, Stored, Upload},
};

use super::{
    Failure, announce, finish, publish,
    resume::{self, Start},
    run::{Run, conclude},
    settle,
    source::{Source, local_io},
    stream::{FileSource, SharedHashes, hash_prefix},
    verify,
};
use crate::{
    digest::Hashes,
    durable::blocking,
    journal::record::{Attempt, Fingerprint, JobState, Token},
    locks::lock,
    partner::{pool::Stay, staging::Place},
};

/// Delivers the job.
pub(super) async fn send(run: &Run) -> Result<(), Failure> {
    let target = run.target()?;
    if run.look(|job| job.state.intent.is_some()) {
        // The source may be gone by now: an intent is settled without it.
        let lease = run.lend(Stay::Long).await?;
        enter_publishing(run).await?;
        return Box::pin(settle::settle(run, lease, &target)).await;
    }
    let source = Source::open(run).await?;
    let size = source.fingerprint.size;
    let mut lease = announce::lend(run, stay(run, &source), Some(size)).await?;
    let (token, partial) = match transfer(run, lease.session(), &target, source).await {
        Ok(proved) => proved,
        Err(failure) => return conclude(lease, Err(failure)),
    };
    // The session stays this job's: a proved file must not wait for its rename until another
    // job's long upload is over. What has little to move may use it meanwhile.
    let intent = publish::intend(run, token).await;
    let paused = lease.pause();
    // The acknowledgement of the intent comes with a look at the ownership.
    intent?.await?;
    let lease = run.go_on(paused).await?;
    let receipt = Box::pin(publish::publish(run, lease, &partial, &target)).await?;
    finish::recorded(run, receipt).await
}

/// How long the job wants its session. Without an earlier attempt nothing is looked for, and a
/// small file's bytes are at hand.
fn stay(run: &Run, source: &Source) -> Stay {
    let fresh = run.look(|job| job.state.attempt.is_none());
    if fresh && source.small().is_some() { Stay::Short } else { Stay::Long }
}

/// Brings a job with an open intent to the status that says so, from wherever it was stopped.
pub(super) async fn enter_publishing(run: &Run) -> Result<(), Failure> {
    let events = run.from_connecting(Event::Settle);
    if events.is_empty() {
        return Ok(());
    }
    drop(run.queue(&events, Some("an earlier intent is to be settled".to_owned()), |_| {}).await?);
    Ok(())
}

/// A partial of our epoch: a name that nobody used, and where it lies.
pub(super) struct Partial {
    /// The attempt that it is of.
    pub(super) number: u32,
    pub(super) path: RemotePath,
    place: Place,
}

/// Stores the source as a partial and proves it; gives the token for its publication, and its
/// name.
async fn transfer(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
    source: Source,
) -> Result<(Token, RemotePath), Failure> {
    let hashes: SharedHashes = Arc::new(Mutex::new(Hashes::new(&session.capabilities().checksums)));
    let (mut partial, start) = Box::pin(begin(run, session, target, &source, &hashes)).await?;
    let adopted = start.offset() > 0;
    let shown = match upload(run, session, &partial.path, &source, start, &hashes).await {
        Ok(shown) => shown,
        Err(failure) => {
            if !may_have_vanished(run, session, &partial, &failure).await? {
                return Err(failure);
            }
            *lock(&hashes) = Hashes::new(&session.capabilities().checksums);
            let fresh = next_partial(run, session, target).await?;
            record_attempt(run, &fresh, &source.fingerprint).await?;
            if adopted {
                // A server that refuses to go on with it, as for a lock, still has it.
                discard(run, session, &partial.path).await?;
            }
            partial = fresh;
            upload(run, session, &partial.path, &source, Start::Fresh, &hashes).await?
        }
    };
    let size = source.fingerprint.size;
    let is_told = shown.as_ref().is_some_and(|shown| shown.digest.is_some());
    if !is_told && !session.capabilities().checksums.is_empty() {
        // The partner hashes the file, which may take its time.
        drop(run.queue(&[Event::Verify], None, |_| {}).await?);
    }
    let path = &partial.path;
    let result = match verify::partial(session, path, (size, shown), &hashes).await {
        Ok(proof) => source.unchanged().await.map(|()| proof),
        Err(failure) => Err(failure),
    };
    let proof = match result {
        Ok(proof) => proof,
        Err(failure) => {
            if matches!(failure, Failure::Void(_)) {
                discard(run, session, path).await?;
            }
            return Err(failure);
        }
    };
    let digest = lock(&hashes).digest(ferryway_core::Algorithm::Blake3);
    let attempt = run.look(|job| job.state.attempts);
    let (names, witness) = (vec![path.to_string()], partial.place.witness());
    let token =
        Token { attempt, names, size, digest, proof, witness: witness.map(ToString::to_string) };
    Ok((token, partial.path))
}

/// Puts a new attempt on record, with the name of its partial, and prepares the partial: an
/// earlier one that can be used, or a fresh one.
async fn begin(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
    source: &Source,
    hashes: &SharedHashes,
) -> Result<(Partial, Start), Failure> {
    let partial = next_partial(run, session, target).await?;
    record_attempt(run, &partial, &source.fingerprint).await?;
    run.context.notices.attempt(&run.job(), partial.number);
    if run.look(|job| job.state.earlier.is_empty()) {
        return Ok((partial, Start::Fresh));
    }
    let start = resume::adopt(run, session, &partial.path, source, hashes).await?;
    if let Start::Unusable(found) = start {
        // The name was used for what turned out unusable, and no name is used twice.
        discard(run, session, &found).await?;
        let partial = next_partial(run, session, target).await?;
        record_attempt(run, &partial, &source.fingerprint).await?;
        return Ok((partial, Start::Fresh));
    }
    Ok((partial, start))
}

async fn record_attempt(
    run: &Run,
    partial: &Partial,
    fingerprint: &Fingerprint,
) -> Result<(), Failure> {
    let number = partial.number;
    let attempt = Attempt {
        number,
        epoch: run.context.journal.epoch(),
        fingerprint: fingerprint.clone(),
        names: vec![partial.path.to_string()],
    };
    // A second name within one try is no second begin.
    let events = run.from_connecting(Event::Begin);
    let note = Some(format!("attempt {number} goes to `{}`", partial.path));
    // A fresh partial is found and removed with its staging folder, which is on record: its
    // name may become durable while its bytes move. Where a partial is to be moved, or lies
    // among other files, its name comes first.
    let is_first = run.look(|job| job.state.attempt.is_none());
    let may_lag = is_first && matches!(partial.place, Place::Folder(_));
    let change = |state: &mut JobState| state.begin_attempt(attempt);
    if may_lag {
        drop(run.queue(&events, note, change).await?);
        return Ok(());
    }
    run.record(&events, note, change).await
}

/// The partial of the next attempt.
pub(super) async fn next_partial(
    run: &Run,
    session: &mut dyn Session,
    target: &RemotePath,
) -> Result<Partial, Failure> {
    let (id, number) = run.look(|job| (job.id.clone(), job.state.attempts + 1));
    let place = run.partner.place(session, target).await?;
    let path = match &place {
        Place::Folder(folder) => folder.join(&format!("{id}.a{number}.part"))?,
        Place::Beside { .. } => {
            let epoch = run.context.journal.epoch();
            // A name that the partner would not list could not be proved absent later.
            let dot = if session.capabilities().lists_hidden { "." } else { "" };
            let name = target.name();
            target.sibling(&format!("{dot}{name}.{id}.e{epoch}.a{number}.part"))?
        }
    };
    Ok(Partial { number, path, place })
}

/// Brings what lies behind `start` to the partner, and gives what that shows of it then.
async fn upload(
    run: &Run,
    session: &mut dyn Session,
    partial: &RemotePath,
    source: &Source,
    start: Start,
    hashes: &SharedHashes,
) -> Result<Option<Stored>, Failure> {
    let size = source.fingerprint.size;
    let offset = start.offset();
    if offset > 0 && offset == size {
        // All of it is there and proved: only a hash of a trusted prefix is still to be made.
        drop(position(source, &start, hashes).await?);
        return Ok(None);
    }
    let meter = run.start_stream(offset, size);
    if offset > 0 {
        // From here on the proof is this attempt's.
        run.checkpoint(run.look(|job| job.state.attempts), offset);
    }
    let bytes = match source.small().filter(|_| start == Start::Fresh) {
        Some(bytes) => {
            lock(hashes).update(bytes);
            ByteStream::of_bytes(bytes.to_vec())
        }
        None => {
            let file = position(source, &start, hashes).await?;
            let attempt = run.look(|job| job.state.attempts);
            let counted = Arc::clone(&meter);
            let mut checkpoint = run.checkpoints(attempt, move || offset + counted.bytes());
            let progress = Box::new(move |_| checkpoint());
            let (version, hashes) = (source.fingerprint.clone(), Arc::clone(hashes));
            ByteStream::new(FileSource::new(file, version, size - offset, hashes, progress))
        }
    };
    let upload =
        Upload { path: partial.clone(), offset, length: size - offset, source: bytes, meter };
    match session.store(upload).await {
        Ok(stored) => Ok(Some(stored)),
        Err(error) => {
            if error.kind() == Kind::Local {
                // The source's own trouble comes first: it may have changed.
                source.unchanged().await?;
            }
            if offset > 0 && error.class() == Class::Locked {
                resume::leave(run, partial).await?;
            }
            Err(error.into())
        }
    }
}

/// Whether a refused store is tried once more under a fresh name: somebody may have removed our
/// staging folder from the partner. It is then made again, here or by another job meanwhile.
async fn may_have_vanished(
    run: &Run,
    session: &mut dyn Session,
    partial: &Partial,
    failure: &Failure,
) -> Result<bool, Failure> {
    let refused = matches!(failure, Failure::Transport(error)
        if matches!(error.kind(), Kind::Denied | Kind::Unavailable | Kind::NotFound));
    let Place::Folder(folder) = &partial.place else { return Ok(false) };
    if !refused {
        return Ok(false);
    }
    run.still_owner().await?;
    if session.list(Some(folder.clone())).await.is_err() {
        run.partner.forget_place(session, &partial.place).await?;
    }
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
            tracing::debug!(job = %run.id(), path = %path, %error, "a partial stays for now");
            run.note_leftover(path.clone()).await?;
            Ok(())
        }
    }
}
