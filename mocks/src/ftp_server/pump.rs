//! Bytes through a data connection, with faults, disk and speed limit.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep_until, timeout},
};

use super::{
    ascii,
    faults::{Armed, When},
    ledger::Line,
    reply::Reply,
    session::Ended,
    shared::{Shared, Turn},
    upload::Upload,
    wire::{Condition, Wire},
};

/// Large enough that hand-overs to the disk's threads do not count.
const CHUNK: usize = 512 * 1024;

/// How a transfer ended; an error is the final reply.
pub(super) type Outcome = Result<(), Reply>;

/// One transfer.
pub(super) struct Pump<'a> {
    shared: &'a Shared,
    condition: &'a Condition,
    armed: &'a mut Armed,
    wire: &'a mut Wire,
    ascii: bool,
    moved: u64,
    corrupt: bool,
    pace: Pace,
    /// For a file.
    line: Option<Line>,
}

/// What a fault or the end of the data makes of the next chunk.
enum Next {
    /// At most so many bytes.
    AtMost(usize),
    /// The transfer ends here.
    Stop(Outcome),
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        condition: &'a Condition,
        armed: &'a mut Armed,
        wire: &'a mut Wire,
        ascii: bool,
    ) -> Self {
        condition.moving.store(true, Ordering::Relaxed);
        let pace = Pace::new(shared.bytes_per_second.load(Ordering::Relaxed));
        let (moved, corrupt, line) = (0, false, None);
        Self { shared, condition, armed, wire, ascii, moved, corrupt, pace, line }
    }

    /// Writes what passes into a line of the ledger.
    pub(super) fn account(mut self, line: Line) -> Self {
        self.line = Some(line);
        self
    }

    /// Stores what the client sends until it ends the data connection.
    pub(super) async fn receive(&mut self, upload: &mut Upload) -> Result<Outcome, Ended> {
        self.pace.limit(self.shared.upload_bytes_per_second);
        let mut buffer = vec![0; CHUNK];
        let mut text = ascii::FromWire::default();
        loop {
            let most = match self.next().await? {
                Next::AtMost(most) => most,
                Next::Stop(outcome) => return Ok(outcome),
            };
            let read = timeout(
                self.shared.behaviour.data_timeout,
                self.wire.read_ready(&mut buffer[..most]),
            );
            let Ok((length, result)) = read.await else {
                return Ok(Err(Reply::new(426, "Data connection timed out.")));
            };
            self.alter(&mut buffer[..length]);
            self.shared.disk.pace().await;
            let written = if self.ascii {
                let mut bytes = text.translate(&buffer[..length]);
                if length == 0 {
                    bytes.extend(text.rest());
                }
                let length = bytes.len();
                self.write(upload, bytes, length).await.map(drop)
            } else {
                self.write(upload, std::mem::take(&mut buffer), length).await.map(|b| buffer = b)
            };
            if written.is_err() {
                let code = self.shared.behaviour.write_failure;
                return Ok(Err(Reply::new(code, "Failure writing to local file.")));
            }
            if result.is_err() {
                return Ok(Err(Reply::new(426, "Failure reading network stream.")));
            }
            if length == 0 {
                return Ok(Ok(()));
            }
            self.passed(length).await;
        }
    }

    /// Sends a file from its position on.
    pub(super) async fn send_file(&mut self, file: File) -> Result<Outcome, Ended> {
        let file = Arc::new(file);
        let mut buffer = vec![0; CHUNK];
        loop {
            let most = match self.next().await? {
                Next::AtMost(most) => most,
                Next::Stop(outcome) => return Ok(outcome),
            };
            self.shared.disk.pace().await;
            if !self.shared.disk.readable() {
                let code = self.shared.behaviour.write_failure;
                return Ok(Err(Reply::new(code, "Failure reading local file.")));
            }
            let source = Arc::clone(&file);
            let read = move || (&*source).read(&mut buffer[..most]).map(|read| (read, buffer));
            let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other);
            let Ok(Ok((length, filled))) = read else {
                return Ok(Err(Reply::new(451, "Failure reading local file.")));
            };
            buffer = filled;
            if length == 0 {
                return Ok(Ok(()));
            }
            if let Err(reply) = self.send(&mut buffer[..length]).await {
                return Ok(Err(reply));
            }
        }
    }

    /// Sends a text, such as a listing.
    pub(super) async fn send_text(&mut self, text: String) -> Result<Outcome, Ended> {
        let mut bytes = text.into_bytes();
        let mut rest = &mut bytes[..];
        loop {
            let most = match self.next().await? {
                Next::AtMost(most) => most.min(rest.len()),
                Next::Stop(outcome) => return Ok(outcome),
            };
            if most == 0 {
                return Ok(Ok(()));
            }
            let (chunk, behind) = rest.split_at_mut(most);
            if let Err(reply) = self.send(chunk).await {
                return Ok(Err(reply));
            }
            rest = behind;
        }
    }

    /// Fires the faults that are due, and tells how many bytes may pass before the next.
    async fn next(&mut self) -> Result<Next, Ended> {
        while self.armed.distance(self.moved) == Some(0) {
            let Some(fault) = self.armed.fire(When::DataByte(self.moved)) else { break };
            match self.shared.perform(&fault, self.condition).await? {
                Turn::Reply(reply) => return Ok(Next::Stop(Err(reply))),
                Turn::EndOfData => return Ok(Next::Stop(Ok(()))),
                Turn::Corrupt => self.corrupt = true,
                Turn::GoOn | Turn::Size(_) => {}
            }
        }
        let due = self.armed.distance(self.moved).and_then(|due| usize::try_from(due).ok());
        Ok(Next::AtMost(CHUNK.min(self.pace.chunk()).min(due.unwrap_or(CHUNK))))
    }

    async fn write(
        &self,
        upload: &mut Upload,
        bytes: Vec<u8>,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let room = self.shared.disk.take(length).map_err(|_| full())?;
        let bytes = upload.write(bytes, room).await?;
        if room < length { Err(full()) } else { Ok(bytes) }
    }

    async fn send(&mut self, chunk: &mut [u8]) -> Result<(), Reply> {
        self.alter(chunk);
        let bytes: Cow<'_, [u8]> =
            if self.ascii { ascii::to_wire(chunk).into() } else { (&*chunk).into() };
        let limit = self.shared.behaviour.data_timeout;
        match timeout(limit, self.wire.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                let code = self.shared.behaviour.download_broken;
                return Err(Reply::new(code, "Failure writing network stream."));
            }
            Err(_) => return Err(Reply::new(426, "Data connection timed out.")),
        }
        self.passed(chunk.len()).await;
        Ok(())
    }

    async fn passed(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if let Some(line) = &self.line {
            line.passed(bytes);
        }
        self.pace.passed(bytes).await;
    }

    fn alter(&mut self, chunk: &mut [u8]) {
        if let Some(first) = chunk.first_mut()
            && std::mem::take(&mut self.corrupt)
        {
            *first = !*first;
        }
    }
}

/// The speed limit of one transfer.
struct Pace {
    bytes_per_second: u64,
    next: Instant,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, next: Instant::now() }
    }

    /// Makes the limit this one if it is lower.
    fn limit(&mut self, bytes_per_second: u64) {
        if bytes_per_second > 0
            && (self.bytes_per_second == 0 || bytes_per_second < self.bytes_per_second)
        {
            self.bytes_per_second = bytes_per_second;
        }
    }

    /// Small enough for an even flow.
    fn chunk(&self) -> usize {
        match self.bytes_per_second {
            0 => usize::MAX,
            rate => usize::try_from(rate / 50).unwrap_or(usize::MAX).max(1),
        }
    }

    async fn passed(&mut self, bytes: usize) {
        if self.bytes_per_second > 0 {
            self.next += Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            sleep_until(self.next).await;
        }
    }
}
