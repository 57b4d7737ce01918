//! Becoming the owner of a journal that somebody else may still believe to own.
//!
//! # Why nothing acknowledged is lost
//!
//! Each epoch writes to a file of its own, `hot.<epoch>/journal.db`. A takeover
//!
//! 1. *claims* the lowest epoch above all that were ever claimed, by making its folder; making
//!    a folder is atomic everywhere, so no epoch has two claimants;
//! 2. *publishes* it in `CURRENT`, and then looks for a higher claim. If there is one, either
//!    that was published later, and this takeover is beaten; or this publication may have
//!    replaced it, and this takeover begins again with a still higher epoch;
//! 3. *copies* the newest complete predecessor under a temporary name, checks and migrates the
//!    copy, gives it the epoch and renames it to `journal.db`: only then is it complete;
//! 4. looks at `CURRENT` once more.
//!
//! An owner acknowledges a write only after the write was durable *and* `CURRENT`, read after
//! that, still named the owner. Let X be an owner that got through step 2 and Y one with a
//! higher epoch. When X looked for a higher claim there was none, so Y claimed and published
//! later than X; and since every owner publishes each epoch once, no look of X sees X's name
//! again after Y's publication. So whatever X acknowledges was durable before Y published,
//! hence before Y chose what to copy. At that moment X's file was complete, for X acknowledges
//! nothing before step 4; so Y copies X's file, or a newer complete one, which by the same
//! argument has everything of X's.
//!
//! # Why a takeover that dies leaves a state to go on from
//!
//! After step 1 there is an empty folder, which is passed over. After step 2 the former owner
//! is fenced, and its file is still the newest complete one. In step 3 the copy has another
//! name until it is whole, durable and checked. Predecessors are removed after step 4 only,
//! except the one copied from, which is the way back. `CURRENT` tells which epoch was complete
//! at its publication, so a journal that somebody removed is not mistaken for a fresh install.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
};

use ferryway_core::Epoch;

use super::{
    JournalError, NodeName, Result,
    copy::{copy_database, remove_database},
    current::{Owner, Ownership},
    fault::{Point, RESTORE, damaged, failed},
    lock::Lock,
    sqlite::{
        Options,
        schema::{self, JOURNAL},
    },
};
use crate::platform::{
    disk,
    files::{self, sync_folder},
};

/// Something that the operator should know about a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Another host has the journal's lock: its node and process id, if it says so.
    LockHeld {
        /// Node and process id.
        holder: Option<(String, u32)>,
    },
    /// The file system has no locks.
    NoLocks {
        /// What it said.
        reason: String,
    },
    /// The file system is destroyed when a second node mounts it.
    NoMountProtection {
        /// The device.
        device: String,
    },
    /// An earlier journal that is of no use any more could not be removed.
    NotRemoved {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LockHeld { holder: Some((node, pid)) } => write!(
                f,
                "the journal is locked by process {pid} of node `{node}`, which this host takes \
                 over from; make sure that the cluster manager has stopped it"
            ),
            Self::LockHeld { holder: None } => f.write_str(
                "the journal is locked by an unknown process, which this host takes over from; \
                 make sure that no other host is meant to run",
            ),
            Self::NoLocks { reason } => write!(
                f,
                "the journal's file system has no locks ({reason}): a second host cannot be \
                 warned about before it takes over"
            ),
            Self::NoMountProtection { device } => write!(
                f,
                "multi-mount protection is off on `{device}`: if a second node can mount it, \
                 turn it on (`tune2fs -O mmp`, unmounted)"
            ),
            Self::NotRemoved { path, reason } => {
                write!(f, "`{}` is of no use any more and stays: {reason}", path.display())
            }
        }
    }
}

/// An ownership with a complete journal that nobody has opened yet.
pub(super) struct Taken {
    pub(super) ownership: Ownership,
    /// The journal's database.
    pub(super) database: PathBuf,
    pub(super) previous: Option<(Epoch, NodeName)>,
    /// Held as long as the owner lives.
    pub(super) lock: Lock,
    pub(super) warnings: Vec<Warning>,
}

/// Takes the journal of an install directory over, see the [module](self).
pub(super) fn take(options: &Options) -> Result<Taken> {
    let folder = options.install.join("journal");
    make_folders(&folder)?;
    let mut warnings = Vec::new();
    let mut lock = Lock::take(&folder, &options.node.0, options.replace, &mut warnings)?;
    if let Some(device) = disk::lacks_mount_protection(&folder) {
        warnings.push(Warning::NoMountProtection { device });
    }
    // A journal that this program cannot use is found before its owner is fenced.
    if let Some(epoch) = newest_complete(&folder, None)? {
        schema::identify(&database(&folder, epoch), &JOURNAL)?;
    }
    let previous = Owner::read(&folder)?;
    let ownership = claim_and_publish(&folder, previous.as_ref(), options)?;
    let epoch = ownership.owner().epoch;
    lock.record(epoch)?;

    let completed = complete(&folder, previous.as_ref(), &ownership, options);
    // A later owner removes the folders of earlier ones: that it is there tells more than
    // what failed because of it.
    ownership.check()?;
    let origin = completed?;
    remove_predecessors(&folder, epoch, origin, &mut warnings)?;
    Ok(Taken {
        database: database(&folder, epoch),
        previous: previous.map(|owner| (owner.epoch, NodeName(owner.node))),
        ownership,
        lock,
        warnings,
    })
}

/// The newest epoch, below `limit` if there is one, whose journal is complete.
pub(super) fn newest_complete(folder: &Path, limit: Option<Epoch>) -> Result<Option<Epoch>> {
    let mut epochs = claims(folder)?;
    epochs.retain(|&epoch| {
        limit.is_none_or(|limit| epoch < limit) && database(folder, epoch).exists()
    });
    Ok(epochs.into_iter().max())
}

/// The database of an epoch.
pub(super) fn database(folder: &Path, epoch: Epoch) -> PathBuf {
    hot(folder, epoch).join("journal.db")
}

fn make_folders(folder: &Path) -> Result<()> {
    let make = || {
        fs::create_dir_all(folder.join("hist"))?;
        sync_folder(folder)?;
        folder.parent().map_or(Ok(()), sync_folder)
    };
    make().map_err(|error| failed(folder, "make the journal's folder", error))
}

fn claim_and_publish(
    folder: &Path,
    previous: Option<&Owner>,
    options: &Options,
) -> Result<Ownership> {
    let mut highest = previous.map(|owner| owner.epoch);
    loop {
        let epoch = claim(folder, highest)?;
        options.hook.pass(Point::Claimed, folder)?;
        let predecessor = newest_complete(folder, Some(epoch))?;
        let owner = Owner::new(epoch, &options.node.0, options.clock.now(), predecessor);
        let published = Ownership::publish(folder, &hot(folder, epoch), owner);
        options.hook.pass(Point::Published, folder)?;
        match published {
            Ok(ownership) if claims(folder)?.into_iter().all(|other| other <= epoch) => {
                return Ok(ownership);
            }
            Ok(ownership) => ownership.check()?,
            // A later owner has already removed the folder as one of its predecessors'.
            Err(error) if hot(folder, epoch).exists() => return Err(error),
            Err(_) => {}
        }
        highest = Some(epoch);
    }
}

/// Makes the folder of the lowest epoch above `floor` and above every one that was claimed.
fn claim(folder: &Path, floor: Option<Epoch>) -> Result<Epoch> {
    let mut floor = floor.into_iter().chain(claims(folder)?).max();
    loop {
        let Some(epoch) = floor.map_or(Some(Epoch::FIRST), Epoch::next) else {
            return Err(damaged(folder, "the numbers of epochs are used up"));
        };
        let path = hot(folder, epoch);
        match fs::create_dir(&path) {
            Ok(()) => {
                sync_folder(folder).map_err(|error| failed(folder, "claim an epoch", error))?;
                return Ok(epoch);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => floor = Some(epoch),
            Err(error) => return Err(failed(&path, "claim an epoch", error)),
        }
    }
}

/// Makes the epoch's journal, out of the newest complete one, whose epoch it tells.
fn complete(
    folder: &Path,
    previous: Option<&Owner>,
    ownership: &Ownership,
    options: &Options,
) -> Result<Option<Epoch>> {
    let epoch = ownership.owner().epoch;
    let workshop = hot(folder, epoch);
    let new = workshop.join("new.db");
    let result = build(folder, previous, epoch, &new, options).and_then(|origin| {
        let target = database(folder, epoch);
        let finish = || {
            files::sync(&new)?;
            sync_folder(&workshop)?;
            fs::rename(&new, &target)?;
            sync_folder(&workshop)?;
            sync_folder(folder)
        };
        finish().map_err(|error| failed(&target, "complete the new journal", error))?;
        options.hook.pass(Point::Completed, &target)?;
        Ok(origin)
    });
    if result.is_err() {
        // A half copy must not fill the disk; if even this fails, a later takeover removes it.
        let _removed = remove_database(&new);
    }
    result
}

fn build(
    folder: &Path,
    previous: Option<&Owner>,
    epoch: Epoch,
    new: &Path,
    options: &Options,
) -> Result<Option<Epoch>> {
    // A copy that does not come out whole may have met a removal of its origin by another
    // successor, or a cache that was not coherent; a damaged file stays damaged.
    const TRIES: u32 = 3;
    let durability = options.durability()?;
    let mut tries = 1;
    loop {
        let origin = origin(folder, previous, epoch)?;
        let copied = match origin {
            None => Ok(()),
            Some(origin) => {
                let source = database(folder, origin);
                copy_database(&source, new)
                    .map_err(|error| failed(&source, "copy the predecessor's journal", error))
            }
        };
        options.hook.pass(Point::Copied, new)?;
        let fresh = origin.is_none();
        let prepare = || schema::prepare(new, fresh, (epoch, &options.instance), durability);
        let prepared = match (copied, fresh) {
            (Ok(()), false) => while_it_is_synced(new, prepare)?,
            (copied, _) => copied.and_then(|()| prepare()),
        };
        match prepared {
            Ok(()) => {
                options.hook.pass(Point::Prepared, new)?;
                return Ok(origin);
            }
            Err(JournalError::Damaged { .. } | JournalError::Io { .. }) if tries < TRIES => {
                tries += 1;
            }
            Err(JournalError::Damaged { path, reason }) => {
                // What the operator must look at is the original.
                let path = origin.map_or(path, |o| database(folder, o).display().to_string());
                return Err(JournalError::Damaged { path, reason });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Prepares a copy while its bytes go to the disk; then a few pages are left to be synced.
///
/// # Errors
/// The disk's, after which nothing is tried again. What comes of `prepare` is inside.
fn while_it_is_synced(copy: &Path, prepare: impl FnOnce() -> Result<()>) -> Result<Result<()>> {
    let sync = || -> io::Result<File> {
        let file = File::options().read(true).write(true).open(copy)?;
        file.sync_all()?;
        Ok(file)
    };
    thread::scope(|scope| {
        // Without a thread all is synced in the end.
        let syncing = thread::Builder::new().spawn_scoped(scope, sync);
        let prepared = prepare();
        // Closed only now: to close a file drops SQLite's locks on it.
        let synced = match syncing.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(synced)) => synced.map(drop),
            Ok(Err(_panic)) => Err(io::Error::other("the thread for it broke")),
            Err(_none) => Ok(()),
        };
        synced.map_err(|error| failed(copy, "sync the copy of the journal", error))?;
        Ok(prepared)
    })
}

/// The epoch to copy from; `None` in a fresh install.
fn origin(folder: &Path, previous: Option<&Owner>, epoch: Epoch) -> Result<Option<Epoch>> {
    let newest = newest_complete(folder, Some(epoch))?;
    let missing = match previous {
        // A journal that was complete before is not there any more.
        Some(owner) if owner.predecessor > newest => owner.predecessor,
        // The owner's folder was made before its publication.
        Some(owner) if newest.is_none() && !hot(folder, owner.epoch).exists() => Some(owner.epoch),
        Some(_) => None,
        None => return Ok(None).and_then(|fresh| refuse_lost_current(folder, newest, fresh)),
    };
    match missing {
        None => Ok(newest),
        Some(missing) => Err(damaged(
            &database(folder, missing),
            format!("it is missing, and with it the jobs it held; {RESTORE}"),
        )),
    }
}

fn refuse_lost_current(
    folder: &Path,
    newest: Option<Epoch>,
    fresh: Option<Epoch>,
) -> Result<Option<Epoch>> {
    match newest {
        None => Ok(fresh),
        Some(epoch) => Err(damaged(
            &folder.join("CURRENT"),
            format!("it is missing, but the journal of epoch {epoch} is there; {RESTORE}"),
        )),
    }
}

/// Removes the journals of epochs before `epoch`, except `origin`: the way back.
fn remove_predecessors(
    folder: &Path,
    epoch: Epoch,
    origin: Option<Epoch>,
    warnings: &mut Vec<Warning>,
) -> Result<()> {
    for old in claims(folder)? {
        if old < epoch && Some(old) != origin {
            let path = hot(folder, old);
            if let Err(error) = fs::remove_dir_all(&path) {
                warnings.push(Warning::NotRemoved { path, reason: error.to_string() });
            }
        }
    }
    Ok(())
}

/// Every epoch that was claimed and not removed.
fn claims(folder: &Path) -> Result<Vec<Epoch>> {
    let list = || -> io::Result<Vec<Epoch>> {
        let mut epochs = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("hot."));
            epochs.extend(number.and_then(|n| n.parse().ok()).and_then(Epoch::new));
        }
        Ok(epochs)
    };
    list().map_err(|error| failed(folder, "list the epochs", error))
}

fn hot(folder: &Path, epoch: Epoch) -> PathBuf {
    folder.join(format!("hot.{epoch}"))
}
