//! A file that a visitor sends: written and hashed as it comes, durable when it is answered.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    sync::Arc,
};

use ferryway_core::{
    RemotePath,
    bytes::{Buffer, Room, Source},
    transport::Stored,
};

use super::{
    fence::Pass,
    hashed::{Hashed, Hashing},
    refusal::Refusal,
    visit::{CHUNK_BYTES, Errand, may_wait, off_the_runtime},
};
use crate::{config::LocalFile, durable::Syncer, platform::files};

/// A file that came in, as far as it did.
pub(super) struct Arrived {
    /// What was written and is durable.
    pub(super) stored: Stored,
    /// Its hash from the first byte on, where that is known.
    pub(super) hashed: Option<Hashed>,
}

/// Writes the source's bytes at `offset`; at 0 the file is created or emptied first. What came
/// in is durable on return, and so is its name, also when not all did. `earlier` may be the hash
/// of what lies before. Nothing is touched before the first bytes are there, and where many files
/// come in no thread is held while more are waited for.
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
            Taken::All(arrived) => return Ok(arrived),
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
    hashing: Option<Hashing>,
    offset: u64,
    bytes: u64,
    errand: Errand,
}

enum Taken {
    /// What was at hand: more is to come.
    Some(Arriving, Source),
    All(Arrived),
}

impl Arriving {
    /// Opens the file. Blocks.
    fn begin(
        place: LocalFile,
        offset: u64,
        errand: Errand,
        earlier: Option<Hashed>,
    ) -> Result<Self, Refusal> {
        let file = open(&place, offset, &errand.pass)?;
        let hashing = Hashing::after(earlier, place.path(), &file, offset);
        let syncer = Syncer::new(file.try_clone()?, offset);
        Ok(Self { place, file, syncer, hashing, offset, bytes: 0, errand })
    }

    /// Writes what is at hand, or all of it where few files come in. Blocks.
    fn take(mut self, mut source: Source) -> Result<Taken, Refusal> {
        let room = Room::take(CHUNK_BYTES);
        let mut chunk = Buffer::of(room.bytes());
        let ended = loop {
            let ready = match source.ready_now(chunk.len()) {
                Some(ready) => ready,
                None if may_wait() => chunk.len(),
                None => return Ok(Taken::Some(self, source)),
            };
            let read = source.read(&mut chunk[..ready]);
            // It may have been waited for: the visitor may be out by now, and a newer owner in.
            match self.errand.room.still_wanted().and(read) {
                Ok(0) => break self.errand.pass.check().map_err(Refusal::from),
                Ok(read) => {
                    if let Err(refusal) = self.write(&chunk[..read]) {
                        break Err(refusal);
                    }
                }
                Err(error) => break Err(Refusal::BrokenOff(error)),
            }
        };
        Ok(Taken::All(self.finish(ended)?))
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        let effect = self.errand.pass.effect()?;
        self.file.write_all(chunk)?;
        drop(effect);
        if let Some(hashing) = &mut self.hashing {
            hashing.update(chunk);
        }
        self.bytes += chunk.len() as u64;
        self.syncer.written(self.offset + self.bytes);
        Ok(())
    }

    /// Makes what came in durable. Blocks.
    fn finish(self, ended: Result<(), Refusal>) -> Result<Arrived, Refusal> {
        let Self { place, file, syncer, hashing, bytes, errand, .. } = self;
        // Also after a break: what a look shows from here on is what a later try goes on from.
        // An earlier try may have made the name and died before it was synced.
        syncer.finish()?;
        place.sync_folder()?;
        ended?;
        // Not those of what a newer owner has written meanwhile.
        let effect = errand.pass.effect()?;
        let looks = files::looks(&file)?;
        drop(effect);
        let size = Some(looks.size);
        let hashed = hashing.map(|hashing| hashing.of(place.path(), looks));
        let digest = hashed.as_ref().and_then(Hashed::proof).map(|proof| proof.digest().clone());
        Ok(Arrived { stored: Stored { bytes, size, digest }, hashed })
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
