//! Fixed amounts of work, whose instructions are counted by `benches/instructions.sh`. Each does
//! one thing after the other, so that a run is like the next.

use std::path::Path;

use ferryway_core::{Algorithm, bytes::CHUNK_BYTES};
use ferryway_host::{
    digest::Hashes,
    journal::{JournalStore, SqliteJournal},
};

use crate::{
    Failure,
    frames::{Line, LineKind},
    house::House,
    jobs::{self, LIFE},
};

const MIB: usize = 1 << 20;

/// Does the work of this name in an empty folder, or one with a journal alone.
///
/// # Errors
/// When there is none of the name, or it fails.
pub async fn work(name: &str, folder: &Path) -> Result<(), Failure> {
    match name {
        "nothing" => Ok(()),
        "transitions" => transitions(folder, 500).await,
        "takeover" => takeover(folder).await,
        "hashes" => hashes(64 * MIB),
        "frames" => frames(64 * MIB),
        "large" => send(folder, 64 * MIB, 1).await,
        "small" => send(folder, 10 * 1024, 100).await,
        _ => Err(format!("there is no work `{name}`").into()),
    }
}

/// So many jobs from their acceptance to their end, each write durable before the next.
async fn transitions(folder: &Path, count: usize) -> Result<(), Failure> {
    let journal = jobs::open(folder)?;
    live(&journal, folder, count).await?;
    Ok(journal.close().await?)
}

async fn live(journal: &SqliteJournal, folder: &Path, count: usize) -> Result<(), Failure> {
    let spec = jobs::spec(folder)?;
    for _ in 0..count {
        let mut job = journal.accept_first(vec![spec.clone()]).await?.remove(0);
        for stage in 0..LIFE.len() {
            let (next, receipt) = jobs::live_on(journal, &job, stage).await?;
            receipt.await?;
            job = next;
        }
    }
    Ok(())
}

/// A takeover of what is in flight in the folder, up to a scheduler that could move it.
async fn takeover(folder: &Path) -> Result<(), Failure> {
    House::open(folder, None).await?.close().await
}

fn hashes(bytes: usize) -> Result<(), Failure> {
    let chunk = vec![7; CHUNK_BYTES];
    let mut hashes = Hashes::new(&[Algorithm::Sha256, Algorithm::Crc32]);
    for _ in 0..bytes / CHUNK_BYTES {
        hashes.update(&chunk);
    }
    hashes.digest(Algorithm::Blake3).map(drop).ok_or_else(|| "no digest".into())
}

fn frames(bytes: usize) -> Result<(), Failure> {
    let mut line = Line::new(LineKind::Keyed);
    for _ in 0..bytes / Line::CHUNK_BYTES {
        line.data()?;
        for _ in 0..100 {
            line.message()?;
        }
    }
    Ok(())
}

/// A host in this process sends a file so many times to a partner in memory, one after the other.
async fn send(folder: &Path, bytes: usize, times: usize) -> Result<(), Failure> {
    let house = House::open(folder, Some(bytes)).await?;
    for _ in 0..times {
        house.send(1).await?;
    }
    house.close().await
}
