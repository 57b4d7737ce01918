//! A fetch: the bytes go to a file beside the local target, which is synced, renamed onto the
//! target, and made durable by a sync of the folder.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    sync::{Arc, Mutex},
    time::UNIX_EPOCH,
};

use ferryway_core::{
    Algorithm, Digest, Event, RemotePath,
    bytes::Sink,
    policy::{Publish, ResumePolicy},
    transport::{Download, Session},
};

use super::{
    Failure, announce, finish, publish,
    run::{Run, conclude},
    send::enter_publishing,
    source::{SMALL_BYTES, local_io},
    stream::{FileSink, SharedHashes, hash_prefix},
    verify,
};
use crate::{
    config::{LocalFile, RootError},
    digest::Hashes,
    durable::{Syncer, blocking},
    journal::record::{Attempt, Fingerprint, Intent, Token},
    locks::lock,
    partner::pool::Stay,
};

/// Delivers the job.
pub(super) async fn fetch(run: &Run, policy: Publish) -> Result<(), Failure> {
    let place = run.local()?;
    if run.look(|job| job.state.intent.is_some()) {
        enter_publishing(run).await?;
        return settle(run, &place).await;
    }
    let mut lease = announce::lend(run, Stay::Long, None).await?;
    let result = transfer(run, lease.session(), &place, policy).await;
    if matches!(result, Err(Failure::Void(_))) {
        // What is void is no beginning to go on from.
        run.checkpoint(run.job().state.attempts, 0);
    }
    let Fetched { proof, content } = conclude(lease, result)?;
    // The session serves other jobs while the bytes and the intent become durable.
    let (number, part) = match content {
        Content::InMemory(bytes) => {
            let (number, part) = Box::pin(begin(run, &place, policy, &proof.fingerprint)).await?;
            write(&part, bytes).await?;
            (number, part)
        }
        Content::InPart { number, part, syncer } => {
            if let Err(error) = blocking(move || syncer.finish()).await {
                // What was taken for durable may not be.
                run.checkpoint(number, 0);
                return Err(local_io(&part, "write", error));
            }
            (number, part)
        }
    };
    // The names as well: a settle that finds no name takes the file for published.
    run.context.folders.sync(&part).await?;
    let names = vec![part.name().to_owned()];
    let (size, digest) = (proof.fingerprint.size, proof.digest);
    let token = Token { attempt: number, names, size, digest, proof: None, witness: None };
    if policy == Publish::Direct {
        let delivered = Intent { tokens: vec![token], ..Intent::default() };
        finish::delivered(run, Event::Delivered, None, &delivered).await?.await?;
        return Ok(());
    }
    publish::intend(run, token).await?.await?;
    put_in_place(run, &part, &place).await
}

/// A file that is all here and proved, though not yet durable.
struct Fetched {
    proof: Proof,
    content: Content,
}

/// What was proved of a fetched file.
struct Proof {
    /// What it looks like on the partner; its size is the one that arrived.
    fingerprint: Fingerprint,
    digest: Option<Digest>,
}

/// Where the bytes of a fetched file are.
enum Content {
    /// A small file, of which nothing is on our disk and nothing on record.
    InMemory(Vec<u8>),
    /// In the attempt's file, which is on record.
    InPart { number: u32, part: LocalFile, syncer: Arc<Syncer> },
}

async fn transfer(
    run: &Run,
    session: &mut dyn Session,
    place: &LocalFile,
    policy: Publish,
) -> Result<Fetched, Failure> {
    let remote = run.target()?;
    let fingerprint = look(session, &remote).await?;
    let hashes: SharedHashes = Arc::new(Mutex::new(Hashes::new(&session.capabilities().checksums)));
    let small = fingerprint.size <= SMALL_BYTES && session.capabilities().size;
    if small && run.look(|job| job.state.attempt.is_none()) && policy == Publish::Atomic {
        let bytes = gather(run, session, &remote, fingerprint.size).await?;
        lock(&hashes).update(&bytes);
        let length = bytes.len() as u64;
        let proof = prove(session, &remote, fingerprint, length, &hashes).await?;
        return Ok(Fetched { proof, content: Content::InMemory(bytes) });
    }
    let (number, part) = Box::pin(begin(run, place, policy, &fingerprint)).await?;
    let earlier = run.look(|job| job.state.earlier.clone());
    let resumes = verify::can_resume(session);
    let durable =
        |attempt: &Attempt| if resumes { durable_of(run, attempt, &fingerprint) } else { 0 };
    let (file, offset) = open_part(run, &part, &earlier, durable, &hashes).await?;
    if !earlier.is_empty() {
        // Nothing is under the older names any more.
        drop(run.queue(&[], None, |state| state.earlier.clear()).await?);
    }
    if offset > 0 {
        // From here on the proof is this attempt's.
        run.checkpoint(number, offset);
        let note = format!("resumes at byte {offset} of {}", fingerprint.size);
        run.context.notices.resumed(&run.job(), offset, fingerprint.size);
        drop(run.queue(&[], Some(note), |_| {}).await?);
    }
    let syncer =
        receive(run, session, &remote, number, (&file, offset), fingerprint.size, &hashes).await?;
    drop(run.queue(&[Event::Verify], None, |_| {}).await?);
    let length = file.metadata().map_err(|error| local_io(&part, "look at", error))?.len();
    let proof = prove(session, &remote, fingerprint, length, &hashes).await?;
    Ok(Fetched { proof, content: Content::InPart { number, part, syncer } })
}

/// Compares what arrived, and was hashed, with what the partner tells of the file now.
async fn prove(
    session: &mut dyn Session,
    remote: &RemotePath,
    fingerprint: Fingerprint,
    length: u64,
    hashes: &SharedHashes,
) -> Result<Proof, Failure> {
    if session.capabilities().size && length != fingerprint.size {
        return Err(Failure::Void(format!(
            "{length} bytes of `{remote}` arrived, not {}; it is fetched anew",
            fingerprint.size
        )));
    }
    if look(session, remote).await? != fingerprint {
        return Err(Failure::Void(format!(
            "`{remote}` changed on the partner during the transfer; it is fetched anew"
        )));
    }
    verify::checksum(session, remote, (length, None), hashes).await?;
    let digest = lock(hashes).digest(Algorithm::Blake3);
    Ok(Proof { fingerprint: Fingerprint { size: length, ..fingerprint }, digest })
}

async fn look(session: &mut dyn Session, remote: &RemotePath) -> Result<Fingerprint, Failure> {
    let stat = session.stat(remote.clone()).await?;
    let modified_ns = stat
        .modified
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|age| i64::try_from(age.as_nanos()).ok());
    Ok(Fingerprint { size: stat.size.unwrap_or(0), modified_ns, identity: None })
}

/// Puts the attempt on record with the name of its file.
async fn begin(
    run: &Run,
    place: &LocalFile,
    policy: Publish,
    fingerprint: &Fingerprint,
) -> Result<(u32, LocalFile), Failure> {
    let job = run.job();
    let number = job.state.attempts + 1;
    let part = match policy {
        Publish::Direct => place.clone(),
        Publish::Atomic => part_of(run, place, number)?,
    };
    let attempt = Attempt {
        number,
        epoch: run.context.journal.epoch(),
        fingerprint: fingerprint.clone(),
        names: vec![part.name().to_owned()],
    };
    let note = format!("attempt {number} goes to `{}`", part.path().display());
    run.record(&run.from_connecting(Event::Begin), Some(note), |state| {
        state.begin_attempt(attempt);
    })
    .await?;
    run.context.notices.attempt(&run.job(), number);
    Ok((number, part))
}

fn part_of(run: &Run, place: &LocalFile, number: u32) -> Result<LocalFile, Failure> {
    let job = run.job();
    let epoch = run.context.journal.epoch();
    sibling(place, &format!(".{}.{}.e{epoch}.a{number}.part", place.name(), job.id))
}

fn sibling(place: &LocalFile, name: &str) -> Result<LocalFile, Failure> {
    place.sibling(name).map_err(|error| Failure::LocalFile(error.to_string()))
}

/// How many bytes of an earlier attempt's file are known to be durable and those of the remote
/// file as it is now; 0 when it is of no use.
fn durable_of(run: &Run, earlier: &Attempt, fingerprint: &Fingerprint) -> u64 {
    let job = run.job();
    // Without a time, another file of the same size is the same to us.
    let told_apart = fingerprint.modified_ns.is_some() || job.spec.resume == ResumePolicy::Size;
    let same = earlier.fingerprint == *fingerprint && told_apart;
    // A checkpoint of another attempt tells nothing of this one's file.
    let point = job.checkpoint.filter(|point| point.attempt == earlier.number);
    let useful = same
        && job.spec.publish == Publish::Atomic
        && job.spec.resume != ResumePolicy::Never
        && fingerprint.size >= run.partner.config.resume_min_bytes;
    point.filter(|point| useful && point.offset <= fingerprint.size).map_or(0, |point| point.offset)
}

/// Opens the file of this attempt: an earlier one's under the new name, cut to what is
/// `durable` of it, or a fresh one. Tells where to go on.
async fn open_part(
    run: &Run,
    part: &LocalFile,
    earlier: &[Attempt],
    durable: impl Fn(&Attempt) -> u64,
    hashes: &SharedHashes,
) -> Result<(File, u64), Failure> {
    if run.job().spec.publish == Publish::Direct {
        let file = part.create_new().or_else(|_| part.open_write());
        let file = file.map_err(unusable)?;
        file.set_len(0).map_err(|error| local_io(part, "empty", error))?;
        return Ok((file, 0));
    }
    let mut offset = 0;
    let names = earlier.iter().flat_map(|attempt| attempt.names.iter().map(move |n| (attempt, n)));
    for (attempt, name) in names {
        let found = sibling(part, name)?;
        let Ok(facts) = found.metadata() else { continue };
        let proved = durable(attempt);
        let useful = proved > 0 && proved <= facts.len();
        let moved = if useful { found.rename_to(part) } else { found.remove() };
        moved.map_err(|error| local_io(&found, "take over", error.into()))?;
        if useful {
            offset = proved;
        }
    }
    let file = if offset > 0 { part.open_write() } else { part.create_new() };
    let mut file = file.map_err(unusable)?;
    if offset == 0 {
        return Ok((file, 0));
    }
    let shared = Arc::clone(hashes);
    let file = blocking(move || {
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(0))?;
        hash_prefix(&mut file, offset, &shared)?;
        Ok(file)
    });
    Ok((file.await.map_err(|error| local_io(part, "read", error))?, offset))
}

fn unusable(error: RootError) -> Failure {
    Failure::of_root("the local target cannot be written", error)
}

/// Fetches a small file into memory.
async fn gather(
    run: &Run,
    session: &mut dyn Session,
    remote: &RemotePath,
    size: u64,
) -> Result<Vec<u8>, Failure> {
    // A file that has become a little longer shows by its length; more is refused.
    let (sink, kept) = Sink::in_memory(2 * SMALL_BYTES as usize);
    let meter = run.start_stream(0, size);
    session.fetch(Download { path: remote.clone(), offset: 0, sink, meter }).await?;
    Ok(kept.take())
}

/// Writes a small file in one go; durable on `Ok`, except for its name.
async fn write(part: &LocalFile, bytes: Vec<u8>) -> Result<(), Failure> {
    let place = part.clone();
    let written = blocking(move || {
        let mut file = match place.create_new() {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        file.write_all(&bytes)?;
        file.sync_all().map(Ok)
    });
    let written = written.await.map_err(|error| local_io(part, "write", error))?;
    written.map_err(unusable)
}

async fn receive(
    run: &Run,
    session: &mut dyn Session,
    remote: &RemotePath,
    number: u32,
    (file, offset): (&File, u64),
    total: u64,
    hashes: &SharedHashes,
) -> Result<Arc<Syncer>, Failure> {
    let io = |source| Failure::LocalIo { what: "cannot write the local file".to_owned(), source };
    let meter = run.start_stream(offset, total);
    let syncer = Syncer::new(file.try_clone().map_err(io)?, offset);
    let durable = Arc::clone(&syncer);
    let mut checkpoint = run.checkpoints(number, move || durable.durable());
    let early = Arc::clone(&syncer);
    let progress = Box::new(move |passed| {
        early.written(offset + passed);
        checkpoint();
    });
    let sink = FileSink::new(file.try_clone().map_err(io)?, Arc::clone(hashes), progress);
    let sink = Sink::new(sink);
    let download = Download { path: remote.clone(), offset, sink, meter };
    session.fetch(download).await?;
    Ok(syncer)
}

/// Renames the file onto the target and makes that durable.
async fn put_in_place(run: &Run, part: &LocalFile, place: &LocalFile) -> Result<(), Failure> {
    run.context.folders.put_in_place(part, place).await?;
    published(run, None).await
}

async fn published(run: &Run, note: Option<String>) -> Result<(), Failure> {
    let intent = run.look(|job| job.state.intent.clone()).unwrap_or_default();
    finish::delivered(run, Event::Published, note, &intent).await?.await?;
    Ok(())
}

/// Finds out what became of an earlier intent: the file found under one of its names was not
/// published; found under none, it was.
async fn settle(run: &Run, place: &LocalFile) -> Result<(), Failure> {
    let intent = run.look(|job| job.state.intent.clone()).unwrap_or_default();
    for (index, token) in intent.tokens.iter().enumerate() {
        let number = run.look(|job| job.state.attempts) + 1;
        let own = part_of(run, place, number)?;
        let name = own.name().to_owned();
        run.record(&[], Some("looks for the fetched file".to_owned()), |state| {
            state.attempts = number;
            if let Some(token) =
                state.intent.as_mut().and_then(|intent| intent.tokens.get_mut(index))
            {
                token.names.push(name);
            }
        })
        .await?;
        for name in &token.names {
            match sibling(place, name)?.rename_to(&own) {
                Ok(()) => {
                    put_in_place(run, &own, place).await?;
                    let target = place.path().display().to_string();
                    run.context.notices.published_at_settle(&run.job(), target);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(local_io(place, "look for the parts of", error.into())),
            }
        }
    }
    run.context.folders.sync(place).await?;
    run.context.notices.found_published(&run.job(), place.path().display().to_string());
    published(run, Some("settled: the file was published before".to_owned())).await
}
