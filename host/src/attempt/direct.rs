//! A send with policy `direct`: the bytes go straight to the target, for partners that watch
//! for one name. A reader can see it half-written, and a former owner that still runs can
//! write into it.

use std::sync::{Arc, Mutex};

use ferryway_core::{
    Event,
    bytes::Source as ByteStream,
    transport::{Session, Upload},
};

use super::{
    Failure, announce, finish,
    run::{Run, conclude},
    source::Source,
    stream::{FileSource, SharedHashes},
    verify,
};
use crate::{
    digest::Hashes,
    journal::record::{Attempt, Intent, Token},
    locks::lock,
    partner::pool::Stay,
};

/// Delivers the job, from the first byte on every try.
pub(super) async fn send(run: &Run) -> Result<(), Failure> {
    let source = Source::open(run).await?;
    let size = source.fingerprint.size;
    let mut lease = announce::lend(run, Stay::Long, Some(size)).await?;
    let result = transfer(run, lease.session(), source).await;
    conclude(lease, result)
}

async fn transfer(run: &Run, session: &mut dyn Session, source: Source) -> Result<(), Failure> {
    let target = run.target()?;
    let hashes: SharedHashes = Arc::new(Mutex::new(Hashes::new(&session.capabilities().checksums)));
    let number = run.look(|job| job.state.attempts) + 1;
    let attempt = Attempt {
        number,
        epoch: run.context.journal.epoch(),
        fingerprint: source.fingerprint.clone(),
        names: vec![target.to_string()],
    };
    let note = format!("attempt {number} goes straight to `{target}`");
    run.record(&run.from_connecting(Event::Begin), Some(note), |state| {
        state.attempts = number;
        // All attempts have the target's name.
        state.attempt = Some(attempt);
    })
    .await?;
    run.context.notices.attempt(&run.job(), number);
    run.still_owner().await?;
    let size = source.fingerprint.size;
    let meter = run.start_stream(0, size);
    let counted = Arc::clone(&meter);
    let mut checkpoint = run.checkpoints(number, move || counted.bytes());
    let progress = Box::new(move |_| checkpoint());
    let (file, version) = (source.reopen()?, source.fingerprint.clone());
    let bytes = FileSource::new(file, version, size, Arc::clone(&hashes), progress);
    let source_stream = ByteStream::new(bytes);
    let upload =
        Upload { path: target.clone(), offset: 0, length: size, source: source_stream, meter };
    let stored = match session.store(upload).await {
        Ok(stored) => stored,
        Err(error) => {
            if error.kind() == ferryway_core::Kind::Local {
                source.unchanged().await?;
            }
            return Err(error.into());
        }
    };
    drop(run.queue(&[Event::Verify], None, |_| {}).await?);
    verify::partial(session, &target, (size, Some(stored)), &hashes).await?;
    source.unchanged().await?;
    let digest = lock(&hashes).digest(ferryway_core::Algorithm::Blake3);
    let names = vec![target.to_string()];
    let token = Token { attempt: number, names, size, digest, proof: None, witness: None };
    let delivered = Intent { tokens: vec![token], ..Intent::default() };
    finish::delivered(run, Event::Delivered, None, &delivered).await?.await?;
    Ok(())
}
