//! What of an earlier partial is used.
//!
//! An upload of a former owner that is still open follows the file when it is renamed, so a
//! partial is adopted only where late bytes cannot hurt: they are the same source's, the
//! partner does not cut the file off when the late session closes, and the file is only ever
//! opened at an offset from here on. It then continues at the size it has now, after the bytes
//! that are there are proved.

use std::{fs::File, sync::Arc};

use ferryway_core::{
    Kind, RemotePath, TransportError,
    bytes::{Meter, Sink},
    policy::ResumePolicy,
    transport::{Download, Session},
};

use super::{
    Failure, absence,
    run::Run,
    send::discard,
    source::{Source, local_io},
    stream::{CompareSink, SharedHashes, hash_prefix},
    verify,
};
use crate::{
    config::LateClose,
    digest::Hashes,
    durable::blocking,
    journal::record::{Attempt, JobState},
    locks::lock,
    partner::staging::locations,
};

/// Where an upload starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first byte, under a name that nobody used.
    Fresh,
    /// At this offset; the bytes before it are proved, and hashed.
    Proved(u64),
    /// At this offset; the bytes before it are taken for the source's, and not hashed yet.
    Trusted(u64),
    /// The file at this path is of no use, and the name is used up.
    Unusable(RemotePath),
}

impl Start {
    pub(super) fn offset(&self) -> u64 {
        match *self {
            Self::Proved(offset) | Self::Trusted(offset) => offset,
            Self::Fresh | Self::Unusable(_) => 0,
        }
    }
}

/// Moves the partial of an earlier attempt to `partial`, a name of our own on record, and tells
/// where to go on. What is not used is removed or noted.
pub(super) async fn adopt(
    run: &Run,
    session: &mut dyn Session,
    partial: &RemotePath,
    source: &Source,
    hashes: &SharedHashes,
) -> Result<Start, Failure> {
    let start = match take_earlier(run, session, partial, source).await? {
        Some(number) => prove_taken(run, session, number, partial, source, hashes).await?,
        None => Start::Fresh,
    };
    // Nothing is left under the older names that is not noted: a job on a line that breaks
    // again and again must not look for ever more of them.
    drop(run.queue(&[], None, |state| state.earlier.clear()).await?);
    Ok(start)
}

/// Moves the first partial that can be used to `partial` and removes the others, the oldest
/// first: things move from older names to newer ones only. Tells whose it is.
async fn take_earlier(
    run: &Run,
    session: &mut dyn Session,
    partial: &RemotePath,
    source: &Source,
) -> Result<Option<u32>, Failure> {
    let mut taken = None;
    for earlier in run.look(|job| job.state.earlier.clone()) {
        if taken.is_some() || !worth_it(run, session, &earlier, partial, source).await? {
            drop_earlier(run, session, &earlier).await?;
        } else if move_to(run, session, &earlier, partial).await? {
            taken = Some(earlier.number);
        }
    }
    Ok(taken)
}

/// Tells where to go on in the partial that was attempt `earlier`'s.
async fn prove_taken(
    run: &Run,
    session: &mut dyn Session,
    earlier: u32,
    partial: &RemotePath,
    source: &Source,
    hashes: &SharedHashes,
) -> Result<Start, Failure> {
    let size = session.stat(partial.clone()).await?.size.unwrap_or(0);
    if size == 0 || size > source.fingerprint.size {
        return Ok(Start::Unusable(partial.clone()));
    }
    let job = run.job();
    let start = match job.spec.resume {
        ResumePolicy::Never => Start::Unusable(partial.clone()),
        ResumePolicy::Size => match &job.checkpoint {
            Some(point) if point.attempt == earlier && point.offset > 0 => {
                Start::Trusted(size.min(point.offset))
            }
            _ => Start::Unusable(partial.clone()),
        },
        ResumePolicy::Verified => match prove(session, partial, size, source, hashes).await? {
            Proof::Same => Start::Proved(size),
            Proof::Differs => {
                *lock(hashes) = Hashes::new(&session.capabilities().checksums);
                Start::Unusable(partial.clone())
            }
            Proof::Held(error) => {
                leave(run, partial).await?;
                return Err(error.into());
            }
        },
    };
    let (job, total) = (run.job(), source.fingerprint.size);
    match &start {
        Start::Proved(at) | Start::Trusted(at) => {
            run.context.notices.adopted(&job, partial.to_string(), size);
            run.context.notices.resumed(&job, *at, total);
        }
        Start::Fresh | Start::Unusable(_) => {
            let reason = "the earlier partial is not the beginning of the source";
            run.context.notices.fresh_start(&job, reason);
        }
    }
    let note = match &start {
        Start::Proved(at) => format!("resumes at byte {at} of {}, proved", source.fingerprint.size),
        Start::Trusted(at) => format!("resumes at byte {at} of {}", source.fingerprint.size),
        Start::Fresh | Start::Unusable(_) => {
            "starts anew: the earlier partial is not the source's beginning".to_owned()
        }
    };
    drop(run.queue(&[], Some(note), |_| {}).await?);
    Ok(start)
}

async fn worth_it(
    run: &Run,
    session: &mut dyn Session,
    earlier: &Attempt,
    partial: &RemotePath,
    source: &Source,
) -> Result<bool, Failure> {
    if run.look(|job| job.spec.resume) == ResumePolicy::Never
        || source.fingerprint.size < run.partner.config.resume_min_bytes
        || earlier.fingerprint != source.fingerprint
        || !verify::can_resume(session)
    {
        return Ok(false);
    }
    Ok(late_close(run, session, partial).await? == LateClose::Keeps)
}

/// What the partner does when an upload ends late; found out once.
async fn late_close(
    run: &Run,
    session: &mut dyn Session,
    partial: &RemotePath,
) -> Result<LateClose, Failure> {
    let known = run.partner.late_close();
    if known != LateClose::Probe {
        return Ok(known);
    }
    let probe = partial.sibling(&format!("{}.probe", partial.name()))?;
    // On record before it is there: whoever dies in between leaves a file that nobody knows.
    let leftover = run.note_leftover(probe.clone()).await?;
    let found = match run.partner.probe_late_close(session, &probe).await {
        // The folder may have vanished, with the partner's disk for example. The upload finds out
        // about that; nothing is taken over from where not even this can be written.
        Err(error) if matches!(error.kind(), Kind::Denied | Kind::Unavailable | Kind::NotFound) => {
            return Ok(LateClose::Probe);
        }
        found => found?,
    };
    run.context.journal.forget_leftover(leftover).await?;
    Ok(found)
}

/// Renames the earlier partial to the new name, from wherever it is.
async fn move_to(
    run: &Run,
    session: &mut dyn Session,
    earlier: &Attempt,
    partial: &RemotePath,
) -> Result<bool, Failure> {
    for path in earlier_paths(run, earlier).await {
        match session.rename(path.clone(), partial.clone()).await {
            Ok(()) => return Ok(true),
            Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => {
                return Err(error.into());
            }
            Err(error) if absence::is_absent(session, &path, None).await.unwrap_or(false) => {
                tracing::debug!(path = %path, %error, "no partial there");
            }
            // Locked or open on a server that minds: it stays for a later removal.
            Err(error) => {
                tracing::warn!(job = %run.id(), path = %path, %error,
                    "an earlier partial cannot be moved; the file is sent anew");
                run.note_leftover(path).await?;
            }
        }
    }
    Ok(false)
}

async fn drop_earlier(
    run: &Run,
    session: &mut dyn Session,
    earlier: &Attempt,
) -> Result<(), Failure> {
    for path in earlier_paths(run, earlier).await {
        if !absence::make_absent(session, &path).await? {
            discard(run, session, &path).await?;
        }
    }
    Ok(())
}

async fn earlier_paths(run: &Run, earlier: &Attempt) -> Vec<RemotePath> {
    let records = run.partner.staging_records().await;
    let names = earlier.names.iter().filter_map(|name| name.parse::<RemotePath>().ok());
    names.flat_map(|name| locations(&records, &name)).collect()
}

/// Leaves a partial that another session holds for a later removal, so that the next try starts
/// under a fresh name: a partner that does not know of a session's death can keep its lock for
/// ever.
pub(super) async fn leave(run: &Run, partial: &RemotePath) -> Result<(), Failure> {
    run.note_leftover(partial.clone()).await?;
    let note = "the earlier partial is held by another session: the next try starts anew";
    run.context.notices.fresh_start(&run.job(), "another session holds the earlier partial");
    run.record(&[], Some(note.to_owned()), JobState::forget_attempts).await
}

/// What a look at the partner's bytes has shown.
enum Proof {
    /// They are the source's.
    Same,
    /// They are not, or not so many.
    Differs,
    /// The partner, which answered before, is silent about this file.
    Held(TransportError),
}

/// Compares the partner's first `size` bytes with the source's, by the partner's own hash or by
/// reading them back. Leaves the hashes at `size` bytes when they are the same.
async fn prove(
    session: &mut dyn Session,
    partial: &RemotePath,
    size: u64,
    source: &Source,
    hashes: &SharedHashes,
) -> Result<Proof, Failure> {
    if !session.capabilities().checksums.is_empty() {
        let (mut file, shared) = (source.reopen()?, Arc::clone(hashes));
        blocking(move || hash_prefix(&mut file, size, &shared))
            .await
            .map_err(|error| local_io(&source.place, "read", error))?;
        if let Some((algorithm, own)) = verify::strongest(&session.capabilities().checksums, hashes)
        {
            match session.checksum(partial.clone(), algorithm, size).await {
                Ok(found) if found == own => return Ok(Proof::Same),
                // A hash of a file that still grows may be one of more bytes.
                Ok(_) if session.stat(partial.clone()).await?.size == Some(size) => {
                    return Ok(Proof::Differs);
                }
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Unsupported => {}
                Err(error) => return Err(verify::of_taken(partial, error)),
            }
        }
        *lock(hashes) = Hashes::new(&session.capabilities().checksums);
    }
    read_back(session, partial, size, source.reopen()?, hashes).await
}

async fn read_back(
    session: &mut dyn Session,
    partial: &RemotePath,
    size: u64,
    file: File,
    hashes: &SharedHashes,
) -> Result<Proof, Failure> {
    let fresh = Hashes::new(&session.capabilities().checksums);
    let (sink, result) = CompareSink::new(file, size, fresh);
    let meter = Meter::new();
    let download = Download {
        path: partial.clone(),
        offset: 0,
        sink: Sink::new(sink),
        meter: Arc::clone(&meter),
    };
    match session.fetch(download).await {
        Ok(_) => {}
        // vsftpd does not answer RETR while an upload has its lock on the file.
        Err(error) if error.kind() == Kind::Timeout && meter.bytes() == 0 => {
            return Ok(Proof::Held(error));
        }
        Err(error) => return Err(error.into()),
    }
    let mut result = lock(&result);
    if result.differs || result.equal != size {
        return Ok(Proof::Differs);
    }
    if let Some(read) = result.hashes.take() {
        *lock(hashes) = read;
    }
    Ok(Proof::Same)
}
