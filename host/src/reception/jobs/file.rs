//! The file of a receiving job on this host: where it is, and whether it is what was delivered.

use std::path::Path;

use ferryway_core::{
    Algorithm, DefinitionId, Direction, PartnerName, RemotePath, notice::Delivery,
};

use crate::{
    config::{Config, LocalFile, LocalRoots},
    reception::{
        arrival::{Hashed, Proof},
        refusal::Refusal,
        room::Room,
        tree::Tree,
    },
};

/// What this host sees of a file that a visitor says it has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is as delivered.
    Same,
    /// It is not there: whoever waited for it has taken it.
    Gone,
    /// It is another one.
    Other(String),
}

/// The place of a visitor's file when its bytes come by another way than its session here, as
/// the configuration says.
///
/// # Errors
/// When the folder cannot be used, or the path leads out of it.
pub(super) fn beside(
    config: &Config,
    visitor: &PartnerName,
    definition: &DefinitionId,
    (path, direction): (&RemotePath, Direction),
) -> Option<Result<LocalFile, Refusal>> {
    let folder = config.reception(visitor, definition)?.files.clone()?;
    let roots = LocalRoots::new(vec![folder.clone()], vec![folder]);
    let relative = Path::new(path.as_str().trim_start_matches('/'));
    // The visitor's sends are what we receive.
    let place = match direction {
        Direction::Send => roots.resolve(relative, Direction::Fetch),
        Direction::Fetch => roots.resolve(relative, Direction::Send),
    };
    Some(place.map_err(Refusal::from))
}

/// The place of a visitor's file as its own session reaches it.
///
/// # Errors
/// When it does not.
pub(super) fn within(
    tree: &Tree,
    (path, direction): (&RemotePath, Direction),
) -> Result<LocalFile, Refusal> {
    match direction {
        Direction::Send => tree.to_write(path),
        Direction::Fetch => tree.to_read(path),
    }
}

/// Refuses a file for which there is no space.
///
/// # Errors
/// When there is none, or the disk cannot be looked at.
pub(super) fn check_space(place: &LocalFile, size: u64) -> Result<(), Refusal> {
    match place.free_bytes()? < size {
        true => Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()),
        false => Ok(()),
    }
}

/// Compares a file with what was delivered, and makes it durable. `proof` may be what its
/// arrival has shown. Blocks.
///
/// # Errors
/// When nobody can tell: the folder is not there, the disk fails, the visitor has left.
pub(super) fn compare(
    place: &LocalFile,
    delivery: &Delivery,
    proof: Option<&Proof>,
    room: &Room,
) -> Result<Sight, Refusal> {
    let file = match place.open_read() {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A folder that is not there says nothing of what was in it.
            place.sync_folder()?;
            return Ok(Sight::Gone);
        }
        Err(error) => return Err(error.into()),
    };
    let size = file.metadata()?.len();
    if size != delivery.size {
        return Ok(Sight::Other(format!("the file has {size} bytes, not {}", delivery.size)));
    }
    let known = proof.filter(|proof| proof.is_of(&file));
    if known.is_none() {
        // It came by another way, which may not have made it durable.
        file.sync_all()?;
        place.sync_folder()?;
    }
    let Some(wanted) = delivery.digest.as_ref().filter(|d| d.algorithm == Algorithm::Blake3) else {
        return Ok(Sight::Same);
    };
    let found = match known {
        Some(proof) => Some(proof.digest().clone()),
        None => Hashed::read(place, size, room)?.digest(),
    };
    match found {
        Some(found) if found != *wanted => {
            Ok(Sight::Other(format!("the file's hash is {found}, not {wanted}")))
        }
        _ => Ok(Sight::Same),
    }
}
