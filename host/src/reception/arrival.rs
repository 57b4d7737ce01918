//! A file that a visitor sends: written and hashed as it comes, durable when it is answered.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use ferryway_core::{
    Algorithm, Digest, RemotePath,
    bytes::{Room, Source},
    transport::Stored,
};

use super::{
    fence::Pass,
    refusal::Refusal,
    room,
    visit::{CHUNK_BYTES, Errand, off_the_runtime},
};
use crate::{
    attempt::stream::hash_prefix,
    config::LocalFile,
    digest::Hashes,
    durable::Syncer,
    locks::lock,
    platform::{Looks, files},
};

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
/// of what lies before. Nothing is touched before the first bytes are there, and no thread is held
/// while more are waited for.
///
/// # Errors
/// Why not all came in. The file may have any prefix of it.
pub(super) async fn receive(
    path: RemotePath,
    offset: u64,
    mut source: Source,
    errand: Errand,
    earlier: Option<Hashed>,
) -> Result<Arrived, Refusal> {
    source.ready(CHUNK_BYTES).await;
    let begin = move || {
        let place = errand.tree.to_write(&path)?;
        Arriving::begin(place, offset, errand, earlier)?.take(source)
    };
    let mut taken = off_the_runtime(begin).await?;
    loop {
        match taken {
            Taken::All(arrived) => return Ok(*arrived),
            Taken::Some(arriving, mut source) => {
                source.ready(CHUNK_BYTES).await;
                taken = off_the_runtime(move || arriving.take(source)).await?;
            }
        }
    }
}

/// A file as it comes in.
struct Arriving {
    place: LocalFile,
    file: File,
    syncer: Arc<Syncer>,
    hashes: Option<Hashes>,
    offset: u64,
    bytes: u64,
    errand: Errand,
}

enum Taken {
    /// What was at hand: more is to come.
    Some(Box<Arriving>, Source),
    All(Box<Arrived>),
}

impl Arriving {
    /// Opens the file. Blocks.
    fn begin(
        place: LocalFile,
        offset: u64,
        errand: Errand,
        earlier: Option<Hashed>,
    ) -> Result<Box<Self>, Refusal> {
        let file = open(&place, offset, &errand.pass)?;
        let hashes = match earlier.filter(|hashed| hashed.is_of(place.path(), &file, offset)) {
            Some(earlier) => Some(earlier.hashes),
            None => (offset == 0).then(|| Hashes::new(&[])),
        };
        let syncer = Syncer::new(file.try_clone()?, offset);
        Ok(Box::new(Self { place, file, syncer, hashes, offset, bytes: 0, errand }))
    }

    /// Writes what is at hand. Blocks.
    fn take(mut self: Box<Self>, mut source: Source) -> Result<Taken, Refusal> {
        let room = Room::take(CHUNK_BYTES);
        let mut chunk = vec![0; room.bytes()];
        let ended = loop {
            let Some(ready) = source.ready_now(chunk.len()) else {
                return Ok(Taken::Some(self, source));
            };
            let wanted = self.errand.room.still_wanted();
            match wanted.and_then(|()| source.read(&mut chunk[..ready])) {
                Ok(0) => break Ok(()),
                Ok(read) => {
                    if let Err(refusal) = self.write(&chunk[..read]) {
                        break Err(refusal);
                    }
                }
                Err(error) => break Err(Refusal::BrokenOff(error)),
            }
        };
        Ok(Taken::All(Box::new(self.finish(ended)?)))
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let effect = self.errand.pass.effect()?;
        self.file.write_all(chunk)?;
        drop(effect);
        if let Some(hashes) = &mut self.hashes {
            hashes.update(chunk);
        }
        self.bytes += chunk.len() as u64;
        self.syncer.written(self.offset + self.bytes);
        Ok(())
    }

    /// Makes what came in durable. Blocks.
    fn finish(self: Box<Self>, ended: Result<(), Refusal>) -> Result<Arrived, Refusal> {
        let Self { place, file, syncer, hashes, offset, bytes, errand: _errand } = *self;
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
}

fn open(place: &LocalFile, offset: u64, pass: &Pass) -> Result<File, Refusal> {
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
    pub(super) fn read(place: &LocalFile, length: u64, room: &room::Room) -> Result<Self, Refusal> {
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
        hash_prefix(&mut room::WhileThere { room, inner: file }, length, &shared)?;
        let hashes = std::mem::replace(&mut *lock(&shared), Hashes::new(&[]));
        Ok(Self { place: place.path().to_owned(), length, hashes, looks })
    }

    /// Whether it is of the first `length` bytes of this file, as that is now.
    pub(super) fn is_of(&self, place: &Path, file: &File, length: u64) -> bool {
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
    pub(super) fn is_of(&self, file: &File) -> bool {
        files::looks(file).is_ok_and(|looks| looks == self.looks)
    }

    /// The file's hash.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}
