//! A file that a visitor sends: written and hashed as it comes, durable when it is answered.

use std::{
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ferryway_core::{Algorithm, Digest, bytes::Source, transport::Stored};

use super::{
    fence::Pass,
    refusal::Refusal,
    room::{Room, WhileThere},
    visit::Errand,
};
use crate::{
    attempt::stream::hash_prefix,
    config::LocalFile,
    digest::Hashes,
    durable::Syncer,
    locks::lock,
    platform::{Looks, files},
};

/// Bytes that are taken from the connection and written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// The first bytes of a file, hashed and durable: as they came in, or as they were read. The visitor asks
/// for the hash of what it has sent, and goes on after what it has asked about; neither is read
/// again.
pub(super) struct Hashed {
    place: PathBuf,
    length: u64,
    hashes: Hashes,
    looks: Looks,
}

/// What was found of a whole file, all of which is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    digest: Digest,
    looks: Looks,
}

/// A file that came in, as far as it did.
pub(super) struct Arrived {
    /// What was written and is durable.
    pub(super) stored: Stored,
    /// Its hash from the first byte on, where that is known.
    pub(super) hashed: Option<Hashed>,
}

/// Writes the source's bytes at `offset`; at 0 the file is created or emptied first. What came
/// in is durable on return, and so is its name, also when not all did. `earlier` may be the hash
/// of what lies before. Blocks.
///
/// # Errors
/// Why not all came in. The file may have any prefix of it.
pub(super) fn receive(
    place: &LocalFile,
    offset: u64,
    mut source: Source,
    errand: &Errand,
    earlier: Option<Hashed>,
) -> Result<Arrived, Refusal> {
    let mut file = open(place, offset, &errand.pass)?;
    let mut hashes = match earlier.filter(|hashed| hashed.is_of(place.path(), &file, offset)) {
        Some(earlier) => Some(earlier.hashes),
        None => (offset == 0).then(|| Hashes::new(&[])),
    };
    let syncer = Syncer::new(file.try_clone()?, offset);
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    let ended = loop {
        let read = match errand.room.still_wanted().and_then(|()| source.read(&mut chunk)) {
            Ok(0) => break Ok(()),
            Ok(read) => read,
            Err(error) => break Err(Refusal::BrokenOff(error)),
        };
        let written = match errand.pass.effect() {
            Ok(_effect) => file.write_all(&chunk[..read]).map_err(Refusal::from),
            Err(outdated) => Err(outdated.into()),
        };
        if let Err(refusal) = written {
            break Err(refusal);
        }
        if let Some(hashes) = &mut hashes {
            hashes.update(&chunk[..read]);
        }
        bytes += read as u64;
        syncer.written(offset + bytes);
    };
    // Also after a break: what a look shows from here on is what a later try goes on from.
    // An earlier try may have made the name and died before it was synced.
    syncer.finish()?;
    place.sync_folder()?;
    ended?;
    let (looks, length) = (files::looks(&file)?, offset + bytes);
    let hashed =
        hashes.map(|hashes| Hashed { place: place.path().to_owned(), length, hashes, looks });
    let digest = hashed.as_ref().and_then(Hashed::proof).map(|proof| proof.digest);
    Ok(Arrived { stored: Stored { bytes, size: Some(looks.size), digest }, hashed })
}

fn open(place: &LocalFile, offset: u64, pass: &Pass) -> Result<std::fs::File, Refusal> {
    let _effect = pass.effect()?;
    if offset > 0 {
        let mut file = place.open_write()?;
        let size = file.metadata()?.len();
        if offset > size {
            let text = format!("the file has {size} bytes: nothing can go to byte {offset}");
            return Err(Refusal::Senseless(text));
        }
        file.seek(SeekFrom::Start(offset))?;
        return Ok(file);
    }
    match place.create_new() {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let file = place.open_write()?;
            file.set_len(0)?;
            Ok(file)
        }
        Err(error) => Err(error.into()),
    }
}

impl Hashed {
    /// Reads the first `length` bytes of a file, for as long as the visitor is there. Blocks.
    ///
    /// # Errors
    /// When they cannot be read, or are fewer.
    pub(super) fn read(place: &LocalFile, length: u64, room: &Room) -> Result<Self, Refusal> {
        let file = place.open_read()?;
        // What is proved is what a later try goes on from. Who wrote it may have died before it
        // was durable, and with it the word that it was not.
        place.sync(&file)?;
        // A disk that failed for a while tells that once. From then on the system has bytes in its
        // memory that it takes for the disk's.
        files::forget(&file);
        let looks = files::looks(&file)?;
        if length > looks.size {
            let text = format!("the file has {} bytes, not {length}", looks.size);
            return Err(Refusal::Senseless(text));
        }
        let shared = Arc::new(Mutex::new(Hashes::new(&[])));
        hash_prefix(&mut WhileThere { room, inner: file }, length, &shared)?;
        let hashes = std::mem::replace(&mut *lock(&shared), Hashes::new(&[]));
        Ok(Self { place: place.path().to_owned(), length, hashes, looks })
    }

    /// Whether it is of the first `length` bytes of this file, as that is now.
    pub(super) fn is_of(&self, place: &Path, file: &std::fs::File, length: u64) -> bool {
        self.place == place
            && self.length == length
            && files::looks(file).is_ok_and(|looks| looks == self.looks)
    }

    /// The hash.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.hashes.digest(Algorithm::Blake3)
    }

    /// What it says of the whole file, if it is of that.
    pub(super) fn proof(&self) -> Option<Proof> {
        let whole = self.length == self.looks.size;
        let digest = self.digest().filter(|_| whole)?;
        Some(Proof { digest, looks: self.looks })
    }
}

impl Proof {
    /// Whether it is of this file as that is now, whatever its name.
    pub(super) fn is_of(&self, file: &std::fs::File) -> bool {
        files::looks(file).is_ok_and(|looks| looks == self.looks)
    }

    /// The file's hash.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}
