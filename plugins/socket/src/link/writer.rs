//! The end of a connection that writes what all of its streams have to say.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

use super::{SMALL_BYTES, Shared, message};
use crate::{
    failure::Failure,
    frame::{Body, Frame, Message, Seal},
};

/// Writes, and gives signs of life.
pub(super) struct Writer {
    pub(super) to: Box<dyn AsyncWrite + Send + Unpin>,
    seal: Seal,
    limit: Duration,
    /// Small words that go out with the next one.
    small: Vec<u8>,
    /// Bytes of files among them.
    small_data: u64,
}

impl Writer {
    /// A writer of what `seal` makes of frames, with a limit for each step.
    pub(super) fn new(to: Box<dyn AsyncWrite + Send + Unpin>, seal: Seal, limit: Duration) -> Self {
        Self { to, seal, limit, small: Vec::new(), small_data: 0 }
    }

    /// Writes what comes, and a sign of life after each pause without.
    pub(super) async fn write_all(
        &mut self,
        mut waiting: mpsc::Receiver<Frame>,
        shared: &Shared,
    ) -> Failure {
        loop {
            let frame = tokio::select! {
                Some(frame) = waiting.recv() => frame,
                () = tokio::time::sleep(shared.pause) => message(0, Message::Ping),
            };
            // Whatever waits goes out together.
            let more = !waiting.is_empty();
            if let Err(failure) = self.write(frame, more, shared).await {
                return failure;
            }
        }
    }

    /// Writes a frame, or keeps it when it is small and `more` comes right behind it.
    async fn write(&mut self, frame: Frame, more: bool, shared: &Shared) -> Result<(), Failure> {
        let stream = frame.stream;
        let is_data = matches!(frame.body, Body::Data(_) | Body::Packed(_));
        let (head, payload) = match self.seal.encode(frame) {
            Ok(encoded) => encoded,
            Err(unspeakable) => {
                // Only the stream that wanted to say it is over.
                tracing::warn!(%unspeakable, "a stream is closed");
                shared.lock().open.remove(&stream);
                self.seal.encode(message(stream, Message::Close))?
            }
        };
        let start = payload.len().min(SMALL_BYTES);
        self.small.extend_from_slice(&head);
        self.small.extend_from_slice(&payload[..start]);
        self.small_data += if is_data { start as u64 } else { 0 };
        if more && self.small.len() < SMALL_BYTES {
            return Ok(());
        }
        let mut small = std::mem::take(&mut self.small);
        self.write_full(&small, None).await?;
        shared.carried.fetch_add(std::mem::take(&mut self.small_data), Ordering::Relaxed);
        small.clear();
        self.small = small;
        self.write_full(&payload[start..], is_data.then_some(&shared.carried)).await?;
        if more {
            return Ok(());
        }
        let flushed = timeout(self.limit, self.to.flush()).await;
        Ok(flushed.map_err(|_| Failure::Silent("while it was written to"))??)
    }

    /// Writes all, and counts it where that is wanted. The clock starts anew with each byte, as
    /// with reading.
    async fn write_full(
        &mut self,
        mut bytes: &[u8],
        carried: Option<&AtomicU64>,
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let written = timeout(self.limit, self.to.write(bytes)).await;
            match written.map_err(|_| Failure::Silent("while it was written to"))?? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => {
                    bytes = &bytes[written..];
                    if let Some(carried) = carried {
                        carried.fetch_add(written as u64, Ordering::Relaxed);
                    }
                }
            }
        }
        Ok(())
    }
}
