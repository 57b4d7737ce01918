//! The local file of a send: what it looks like, and whether it still does.

use std::{fs::File, io, time::UNIX_EPOCH};

use super::{Failure, run::Run};
use crate::{config::LocalFile, journal::record::Fingerprint};

/// The source, opened once for the whole try.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: LocalFile,
    pub(super) file: File,
    pub(super) fingerprint: Fingerprint,
}

impl Source {
    /// Opens the job's local file.
    pub(super) async fn open(run: &Run) -> Result<Self, Failure> {
        let place = run.local()?;
        let opened = place.clone();
        let file = blocking(move || Ok(opened.open_read())).await;
        let file = file
            .map_err(|error| local_io(&place, "open", error))?
            .map_err(|error| Failure::LocalFile(format!("the source cannot be used: {error}")))?;
        let fingerprint = fingerprint(&file).map_err(|error| local_io(&place, "look at", error))?;
        Ok(Self { place, file, fingerprint })
    }

    /// A second handle that stands at the start.
    pub(super) fn reopen(&self) -> Result<File, Failure> {
        self.place.open_read().map_err(|error| local_io(&self.place, "open", error.into()))
    }

    /// Checks that the file is what it was when it was opened, by its name and by its handle.
    pub(super) fn unchanged(&self) -> Result<(), Failure> {
        let now = self.reopen().and_then(|file| {
            fingerprint(&file).map_err(|error| local_io(&self.place, "look at", error))
        })?;
        if now == self.fingerprint {
            return Ok(());
        }
        Err(Failure::Void(format!(
            "the source `{}` changed during the transfer (it had {} bytes and has {}); what was \
             sent of it is dropped",
            self.place.path().display(),
            self.fingerprint.size,
            now.size
        )))
    }
}

/// What tells this version of a file from others.
pub(super) fn fingerprint(file: &File) -> io::Result<Fingerprint> {
    let facts = file.metadata()?;
    let modified_ns = facts
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|age| i64::try_from(age.as_nanos()).ok());
    Ok(Fingerprint { size: facts.len(), modified_ns, identity: identity(&facts) })
}

/// The inode, not the device: the same shared disk may have another device number on each
/// node.
#[cfg(unix)]
fn identity(facts: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    Some(facts.ino().to_string())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Option<String> {
    None
}

pub(super) fn local_io(place: &LocalFile, action: &str, source: io::Error) -> Failure {
    Failure::LocalIo { what: format!("cannot {action} `{}`", place.path().display()), source }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
