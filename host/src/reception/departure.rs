//! A file that a visitor fetches: read as the visitor takes it.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    sync::Arc,
};

use ferryway_core::{
    RemotePath,
    bytes::{self, Meter, Sink},
};

use super::{
    refusal::Refusal,
    room::WhileThere,
    visit::{CHUNK_BYTES, Errand, off_the_runtime},
};

/// Gives the file's bytes from `offset` on to the sink, and tells how many. No thread is held while
/// the visitor is waited for.
///
/// # Errors
/// Why not all went out.
pub(super) async fn send(
    path: RemotePath,
    offset: u64,
    mut sink: Sink,
    meter: Arc<Meter>,
    errand: Errand,
) -> Result<u64, Refusal> {
    let begin = move || Departing::begin(&path, offset, meter, errand);
    let mut departing = off_the_runtime(begin).await?;
    loop {
        let ready = sink.ready(CHUNK_BYTES).await;
        let given;
        (departing, sink, given) = off_the_runtime(move || departing.give(sink, ready)).await?;
        if given == Given::All {
            return Ok(departing.meter.bytes());
        }
    }
}

/// A file as it goes out.
struct Departing {
    file: File,
    meter: Arc<Meter>,
    errand: Errand,
}

#[derive(PartialEq, Eq)]
enum Given {
    /// What the visitor took: it has to be waited for.
    Some,
    All,
}

impl Departing {
    /// Opens the file. Blocks.
    fn begin(
        path: &RemotePath,
        offset: u64,
        meter: Arc<Meter>,
        errand: Errand,
    ) -> Result<Self, Refusal> {
        errand.pass.check()?;
        let mut file = errand.tree.to_read(path)?.open_read()?;
        let size = file.metadata()?.len();
        if offset > size {
            let text = format!("the file has {size} bytes: there is no byte {offset}");
            return Err(Refusal::Senseless(text));
        }
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, meter, errand })
    }

    /// Gives as much as the sink is ready for. Blocks.
    fn give(mut self, mut sink: Sink, mut ready: usize) -> Result<(Self, Sink, Given), Refusal> {
        let room = bytes::Room::take(CHUNK_BYTES);
        let mut chunk = vec![0; room.bytes()];
        loop {
            self.errand.pass.check()?;
            let length = ready.min(chunk.len());
            let mut file = WhileThere { room: &self.errand.room, inner: &mut self.file };
            match file.read(&mut chunk[..length])? {
                0 => return Ok((self, sink, Given::All)),
                read => {
                    sink.write(&chunk[..read]).map_err(Refusal::BrokenOff)?;
                    self.meter.add(read as u64);
                }
            }
            match sink.ready_now(chunk.len()) {
                Some(more) => ready = more,
                None => return Ok((self, sink, Given::Some)),
            }
        }
    }
}
