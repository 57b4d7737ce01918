//! A file that a visitor fetches: read as the visitor takes it.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use ferryway_core::{
    RemotePath,
    bytes::{Buffer, Meter, Room, Sink},
};

use super::{
    hashed::{Hashed, Hashing},
    refusal::Refusal,
    room::WhileThere,
    visit::{CHUNK_BYTES, Errand, may_wait, off_the_runtime},
};
use crate::platform::{Looks, files};

/// A file that went out.
pub(super) struct Departed {
    /// How many bytes of it.
    pub(super) bytes: u64,
    /// Its hash, where that was wanted, and it went out whole and did not change meanwhile.
    pub(super) hashed: Option<Hashed>,
}

/// Gives the file's bytes from `offset` on to the sink, hashed where that is `wanted`. Where many
/// files go out no thread is held while the visitor is waited for.
///
/// # Errors
/// Why not all went out.
pub(super) async fn send(
    path: RemotePath,
    offset: u64,
    mut sink: Sink,
    meter: Arc<Meter>,
    errand: Errand,
    wanted: bool,
) -> Result<Departed, Refusal> {
    let begin = move || Departing::begin(&path, offset, meter, errand, wanted);
    let mut departing = off_the_runtime(begin).await?;
    loop {
        let ready = sink.ready(CHUNK_BYTES).await;
        match off_the_runtime(move || departing.give(sink, ready)).await? {
            Given::All(departed) => return Ok(departed),
            Given::Some(back, idle) => (departing, sink) = (back, idle),
        }
    }
}

/// A file as it goes out.
struct Departing {
    place: PathBuf,
    file: File,
    /// As it was before the first byte was read.
    looks: Looks,
    hashing: Option<Hashing>,
    meter: Arc<Meter>,
    errand: Errand,
}

enum Given {
    /// What the visitor took: it has to be waited for.
    Some(Departing, Sink),
    All(Departed),
}

impl Departing {
    /// Opens the file. Blocks.
    fn begin(
        path: &RemotePath,
        offset: u64,
        meter: Arc<Meter>,
        errand: Errand,
        wanted: bool,
    ) -> Result<Self, Refusal> {
        errand.pass.check()?;
        let place = errand.tree.to_read(path)?;
        let mut file = place.open_read()?;
        let looks = files::looks(&file)?;
        if offset > looks.size {
            let text = format!("the file has {} bytes: there is no byte {offset}", looks.size);
            return Err(Refusal::Senseless(text));
        }
        file.seek(SeekFrom::Start(offset))?;
        let place = place.path().to_owned();
        let hashing = (wanted && offset == 0).then(Hashing::new);
        Ok(Self { place, file, looks, hashing, meter, errand })
    }

    /// Gives as much as the sink is ready for, or all where few files go out. Blocks.
    fn give(mut self, mut sink: Sink, mut ready: usize) -> Result<Given, Refusal> {
        let room = Room::take(CHUNK_BYTES);
        let mut chunk = Buffer::of(room.bytes());
        loop {
            self.errand.pass.check()?;
            let length = ready.min(chunk.len());
            let mut file = WhileThere { room: &self.errand.room, inner: &mut self.file };
            match file.read(&mut chunk[..length])? {
                0 => return Ok(Given::All(self.end()?)),
                read => {
                    sink.write(&chunk[..read]).map_err(Refusal::BrokenOff)?;
                    self.meter.add(read as u64);
                    if let Some(hashing) = &mut self.hashing {
                        hashing.update(&chunk[..read]);
                    }
                }
            }
            match sink.ready_now(chunk.len()) {
                Some(more) => ready = more,
                None if may_wait() => ready = chunk.len(),
                None => return Ok(Given::Some(self, sink)),
            }
        }
    }

    /// Looks at the file once more. Blocks.
    fn end(self) -> Result<Departed, Refusal> {
        let unchanged = files::looks(&self.file)? == self.looks;
        let hashing = self.hashing.filter(|_| unchanged);
        let hashed = hashing.map(|hashing| hashing.of(&self.place, self.looks));
        Ok(Departed { bytes: self.meter.bytes(), hashed })
    }
}
