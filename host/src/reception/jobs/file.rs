//! The file of a receiving job on this host: where it is, and whether it is what was delivered.

use std::{io::ErrorKind, path::Path};

use ferryway_core::{Algorithm, DefinitionId, Direction, RemotePath, notice::Delivery};

use super::Teller;
use crate::{
    config::{LocalFile, LocalRoots},
    reception::{
        hashed::{Hashed, Proof},
        refusal::Refusal,
        room::Room,
    },
};

/// What this host sees of a file that a visitor says it has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is as delivered.
    Same,
    /// It is not there. If it ever was, whoever waited for it has taken it.
    Gone,
    /// It is another one.
    Other(String),
}

/// Where a visitor's file is on this host.
pub(super) enum Place {
    /// In a folder that the configuration names: its bytes come by another way than the
    /// visitor's session here.
    Beside(LocalFile),
    /// Where the visitor's own session reaches it.
    Within(LocalFile),
}

impl Place {
    /// The file there.
    pub(super) fn file(&self) -> &LocalFile {
        match self {
            Self::Beside(file) | Self::Within(file) => file,
        }
    }
}

/// The place of a visitor's file; `None` where that is not within the folders of this host.
///
/// # Errors
/// When the folder cannot be used, or the path leads out of the one that the configuration names.
pub(super) fn place(
    from: &Teller,
    definition: &DefinitionId,
    (path, direction): (&RemotePath, Direction),
) -> Result<Option<Place>, Refusal> {
    let reception = from.config.reception(&from.who.visitor, definition);
    if let Some(folder) = reception.and_then(|reception| reception.files.clone()) {
        let roots = LocalRoots::new(vec![folder.clone()], vec![folder]);
        let relative = Path::new(path.as_str().trim_start_matches('/'));
        // The visitor's sends are what we receive.
        let ours = match direction {
            Direction::Send => Direction::Fetch,
            Direction::Fetch => Direction::Send,
        };
        return Ok(Some(Place::Beside(roots.resolve(relative, ours)?)));
    }
    let within = match direction {
        Direction::Send => from.tree.to_write(path),
        Direction::Fetch => from.tree.to_read(path),
    };
    match within {
        // The bytes come by another way, or are refused when they come.
        Err(Refusal::Outside(_)) => Ok(None),
        within => Ok(Some(Place::Within(within?))),
    }
}

/// Refuses a file for which there is no space.
///
/// # Errors
/// When there is none, or the disk cannot be looked at.
pub(super) fn check_space(place: &LocalFile, size: u64) -> Result<(), Refusal> {
    match place.free_bytes()? < size {
        true => Err(std::io::Error::from(ErrorKind::StorageFull).into()),
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
        Err(error) if error.kind() == ErrorKind::NotFound => {
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
        // It came by another way, which may have made neither it nor its name durable.
        place.sync_folder()?;
    }
    let wanted = delivery.digest.as_ref().filter(|digest| digest.algorithm == Algorithm::Blake3);
    let found = match (known, wanted) {
        (Some(proof), _) => Some(proof.digest().clone()),
        (None, Some(_)) => Hashed::read(place, file, size, room)?.digest(),
        (None, None) => {
            place.sync(&file)?;
            None
        }
    };
    match (found, wanted) {
        (Some(found), Some(wanted)) if found != *wanted => {
            Ok(Sight::Other(format!("the file's hash is {found}, not {wanted}")))
        }
        _ => Ok(Sight::Same),
    }
}
