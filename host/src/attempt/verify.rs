//! Proof that the partner holds the bytes. A 226 is none: every server sends it after a
//! connection that ended in mid-file.

use crate::locks::lock;
use ferryway_core::{
    Algorithm, Digest, Kind, RemotePath, TransportError,
    transport::{Resume, Session, Stored},
};

use super::{Failure, stream::SharedHashes};

/// Checks the partner's size of the file, and its hash where it offers one, which is returned.
/// `shown` is what it has shown since the last byte was stored.
///
/// # Errors
/// `Void` when the partner holds something else, or does not show it.
pub(super) async fn partial(
    session: &mut dyn Session,
    path: &RemotePath,
    (size, shown): (u64, Option<Stored>),
    hashes: &SharedHashes,
) -> Result<Option<Digest>, Failure> {
    if session.capabilities().size {
        let found = match shown.as_ref().and_then(|shown| shown.size) {
            None => match session.stat(path.clone()).await {
                Ok(stat) => stat.size,
                Err(error) => return Err(of_taken(path, error)),
            },
            shown => shown,
        };
        if found != Some(size) {
            return Err(Failure::Void(format!(
                "the partner holds {} bytes of `{path}`, not {size}; it is sent anew",
                found.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string()),
            )));
        }
    }
    let told = shown.and_then(|shown| shown.digest);
    match checksum(session, path, (size, told), hashes).await {
        Err(Failure::Transport(error)) => Err(of_taken(path, error)),
        compared => compared,
    }
}

/// What the failure of a look at a file means that the partner took a moment ago: its disk may
/// have gone since, and may come back.
pub(super) fn of_taken(path: &RemotePath, error: TransportError) -> Failure {
    match error.kind() {
        Kind::NotFound | Kind::Unavailable => Failure::Void(format!(
            "the partner does not show `{path}`, which it took; it is sent anew ({error})"
        )),
        _ => error.into(),
    }
}

/// Compares the partner's hash of the file with ours, where it offers one, and returns it. It is
/// asked for unless it was `told`.
///
/// # Errors
/// `Void` when the partner holds something else.
pub(super) async fn checksum(
    session: &mut dyn Session,
    path: &RemotePath,
    (size, told): (u64, Option<Digest>),
    hashes: &SharedHashes,
) -> Result<Option<Digest>, Failure> {
    let Some((algorithm, own)) = strongest(&session.capabilities().checksums, hashes) else {
        return Ok(None);
    };
    let found = match told.filter(|told| told.algorithm == algorithm) {
        Some(told) => Ok(told),
        None => session.checksum(path.clone(), algorithm, size).await,
    };
    match found {
        Ok(found) if found == own => Ok(Some(own)),
        Ok(found) => Err(Failure::Void(format!(
            "the partner's hash of `{path}` is {found}, not {own}; it is sent anew"
        ))),
        // Offered but not done, or not for this file: the size has to do.
        Err(error) if error.kind() == Kind::Unsupported => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The strongest hash that the partner offers and we have.
pub(super) fn strongest(
    offered: &[Algorithm],
    hashes: &SharedHashes,
) -> Option<(Algorithm, Digest)> {
    let hashes = lock(hashes);
    offered.iter().find_map(|&algorithm| Some((algorithm, hashes.digest(algorithm)?)))
}

/// Whether a transfer can start anywhere but at the first byte.
pub(super) fn can_resume(session: &dyn Session) -> bool {
    let capabilities = session.capabilities();
    capabilities.resume == Resume::AtOffset && capabilities.size
}
