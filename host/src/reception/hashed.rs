//! What was hashed of a file: as it came in, as it went out, or as it was read for that.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ferryway_core::{Algorithm, Digest};

use super::{
    refusal::Refusal,
    room::{Room, WhileThere},
};
use crate::{
    attempt::stream::hash_prefix,
    config::LocalFile,
    digest::Hashes,
    locks::lock,
    platform::{Looks, files},
};

/// The first bytes of a file, hashed. The visitor asks for the hash of what it has sent or fetched, and
/// goes on after what it has asked about; neither is read again.
pub(super) struct Hashed {
    place: PathBuf,
    hashing: Hashing,
    looks: Looks,
}

/// The hash of a file's first bytes as more are added.
pub(super) struct Hashing {
    length: u64,
    hashes: Box<Hashes>,
}

/// What was found of a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    digest: Digest,
    looks: Looks,
}

impl Hashing {
    /// The hash of nothing yet.
    pub(super) fn new() -> Self {
        Self { length: 0, hashes: Box::new(Hashes::new(&[])) }
    }

    /// The hash of the first `offset` bytes of this file, to which the next ones can be added: an
    /// `earlier` one that is of these; `None` when there is none.
    pub(super) fn after(
        earlier: Option<Hashed>,
        place: &Path,
        file: &File,
        offset: u64,
    ) -> Option<Self> {
        match earlier.filter(|hashed| hashed.is_of(place, file, offset)) {
            Some(earlier) => Some(earlier.hashing),
            None => (offset == 0).then(Self::new),
        }
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hashes.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The hash, of a file that looks like this now that it has them all.
    pub(super) fn of(self, place: &Path, looks: Looks) -> Hashed {
        Hashed { place: place.to_owned(), hashing: self, looks }
    }
}

impl Hashed {
    /// Makes an open file durable and reads its first `length` bytes, for as long as the visitor is
    /// there. Blocks.
    ///
    /// # Errors
    /// When they cannot be read, or are fewer.
    pub(super) fn read(
        place: &LocalFile,
        file: File,
        length: u64,
        room: &Room,
    ) -> Result<Self, Refusal> {
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
        Ok(Hashing { length, hashes: Box::new(hashes) }.of(place.path(), looks))
    }

    /// Whether it is of the first `length` bytes of this file, as that is now.
    pub(super) fn is_of(&self, place: &Path, file: &File, length: u64) -> bool {
        self.place == place
            && self.hashing.length == length
            && files::looks(file).is_ok_and(|looks| looks == self.looks)
    }

    /// The hash.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.hashing.hashes.digest(Algorithm::Blake3)
    }

    /// What it says of the whole file, if it is of that.
    pub(super) fn proof(&self) -> Option<Proof> {
        let whole = self.hashing.length == self.looks.size;
        let digest = self.digest().filter(|_| whole)?;
        Some(Proof { digest, looks: self.looks })
    }
}

impl Proof {
    /// Whether it is of this file as that is now, whatever its name.
    pub(super) fn is_of(&self, file: &File) -> bool {
        files::looks(file).is_ok_and(|looks| looks == self.looks)
    }

    /// The file's hash.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}
