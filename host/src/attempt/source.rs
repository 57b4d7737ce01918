//! The local file of a send: what it looks like, and whether it still does.

use std::{
    fs::File,
    io::{self, Read},
};

use super::{Failure, run::Run};
use crate::{config::LocalFile, durable::blocking, journal::record::Fingerprint, platform::files};

/// The source, opened once for the whole try.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: LocalFile,
    pub(super) file: File,
    pub(super) fingerprint: Fingerprint,
    /// The whole file, when it is small and was not changed meanwhile: it is read where it is
    /// opened, on the same thread.
    bytes: Option<Vec<u8>>,
}

/// Files up to this size pass through memory as a whole.
pub(super) const SMALL_BYTES: u64 = 64 * 1024;

impl Source {
    /// Opens the job's local file.
    pub(super) async fn open(run: &Run) -> Result<Self, Failure> {
        let run = run.clone();
        off_the_runtime(move || Self::read(run.local()?)).await
    }

    /// Opens a file, and reads it when it is small. Blocks.
    fn read(place: LocalFile) -> Result<Self, Failure> {
        let mut file = place.open_read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                Failure::LocalFile(format!("the source cannot be used: {error}"))
            }
            _ => Failure::of_root("the source cannot be used", error),
        })?;
        let io = |error| local_io(&place, "read", error);
        let found = fingerprint(&file).map_err(io)?;
        let mut bytes = None;
        if found.size <= SMALL_BYTES {
            let mut all = Vec::with_capacity(usize::try_from(found.size).unwrap_or(0));
            (&mut file).take(found.size).read_to_end(&mut all).map_err(io)?;
            bytes = Some(all).filter(|_| fingerprint(&file).is_ok_and(|now| now == found));
        }
        Ok(Self { place, file, fingerprint: found, bytes })
    }

    /// The bytes of a small file.
    pub(super) fn small(&self) -> Option<&[u8]> {
        let whole = |bytes: &&Vec<u8>| bytes.len() as u64 == self.fingerprint.size;
        self.bytes.as_ref().filter(whole).map(Vec::as_slice)
    }

    /// A second handle that stands at the start.
    pub(super) fn reopen(&self) -> Result<File, Failure> {
        open(&self.place)
    }

    /// Checks that the file is what it was when it was opened, by its name and by its handle.
    pub(super) async fn unchanged(&self) -> Result<(), Failure> {
        let place = self.place.clone();
        let look = move || {
            let file = open(&place)?;
            fingerprint(&file).map_err(|error| local_io(&place, "look at", error))
        };
        let now = off_the_runtime(look).await?;
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

fn open(place: &LocalFile) -> Result<File, Failure> {
    place.open_read().map_err(|error| local_io(place, "open", error.into()))
}

/// Does what a disk may hold up where that holds up no other job.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = blocking(|| Ok(work())).await;
    done.map_err(|source| Failure::LocalIo { what: "cannot work on a file".to_owned(), source })?
}

/// What tells this version of a file from others. Not the device: the same shared disk may have
/// another device number on each node.
pub(super) fn fingerprint(file: &File) -> io::Result<Fingerprint> {
    let looks = files::looks(file)?;
    let (seconds, nanoseconds) = looks.modified;
    let modified_ns = seconds
        .checked_mul(1_000_000_000)
        .and_then(|whole| whole.checked_add(nanoseconds))
        .filter(|&time| time >= 0);
    Ok(Fingerprint { size: looks.size, modified_ns, identity: Some(looks.number.to_string()) })
}

pub(super) fn local_io(place: &LocalFile, action: &str, source: io::Error) -> Failure {
    Failure::LocalIo { what: format!("cannot {action} `{}`", place.path().display()), source }
}
