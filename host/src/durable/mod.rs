//! How the bytes of files become durable behind their writer.

mod syncer;

pub(crate) use syncer::Syncer;

use std::io;

/// Bytes between two checkpoints. Half of what a failover may cost: until the bytes and then
/// their checkpoint are durable the stream goes on.
pub const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
