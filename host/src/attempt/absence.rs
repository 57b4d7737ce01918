//! What is at a partner's path, and the proof that nothing is.
//!
//! A reply code proves nothing: one server says 550 for denied and for absent, another 451 for
//! a vanished file. Only a successful listing without the name does.

use ferryway_core::{
    Kind, Operation, RemotePath, TransportError,
    transport::{EntryKind, Result, Session},
};

/// Whether `path` is absent, as a listing of its folder shows, or of the nearest folder above
/// it that exists. `floor` is a folder on the way that is known to exist for good: above it
/// nothing is asked.
///
/// # Errors
/// When no listing can tell; the message says why.
pub async fn is_absent(
    session: &mut dyn Session,
    path: &RemotePath,
    floor: Option<&RemotePath>,
) -> Result<bool> {
    let mut path = path.clone();
    let mut risen = false;
    loop {
        let folder = path.parent();
        match session.list(folder.clone()).await {
            Ok(names) if names.iter().any(|name| name == path.name()) => {
                // On the way up, the name found is a folder's: nothing lies in it when a file
                // has taken its place.
                return Ok(risen && session.stat(path).await?.kind == EntryKind::File);
            }
            Ok(_) if path.name().starts_with('.') && !session.capabilities().lists_hidden => {
                return Err(undecided(
                    &path,
                    "the partner does not list names that start with a dot",
                ));
            }
            Ok(_) => return Ok(true),
            Err(error) if !matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => {
                return Err(error);
            }
            Err(error) => match folder {
                Some(folder) if Some(&folder) != floor => {
                    path = folder;
                    risen = true;
                }
                _ => return Err(error),
            },
        }
    }
}

/// Removes a file, if it is there; whether it is known to be gone. `false` when the partner
/// refuses.
///
/// # Errors
/// When the connection fails.
pub async fn make_absent(session: &mut dyn Session, path: &RemotePath) -> Result<bool> {
    match session.remove(path.clone()).await {
        Ok(()) => Ok(true),
        Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => Err(error),
        Err(_) => Ok(is_absent(session, path, None).await.unwrap_or(false)),
    }
}

/// Whether the partner shows a file of this name. `false` proves nothing.
///
/// # Errors
/// When the connection fails.
pub async fn is_file(session: &mut dyn Session, path: &RemotePath) -> Result<bool> {
    match session.stat(path.clone()).await {
        Ok(stat) => Ok(stat.kind == EntryKind::File),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => Ok(false),
        Err(error) => Err(error),
    }
}

fn undecided(path: &RemotePath, why: &str) -> TransportError {
    TransportError::permanent(
        Kind::Unsupported,
        Operation::List,
        format!("cannot tell whether the file is there: {why}"),
    )
    .at(path)
}
