//! Everything at once, for an operator who wants to know a partner before it is relied on.

use std::{sync::Arc, time::Duration};

use ferryway_core::{
    Algorithm, Kind, RemotePath, TransportError,
    path::InvalidPath,
    transport::{Rename, Resume, Session},
};

use super::{
    Findings, Folders, Locking, PartnerState, Restart, idle, late_close, open_upload, rename_over,
    store, taken,
};
use crate::{
    attempt::{Failure, absence},
    digest::Hashes,
    locks::lock,
    partner::pool::Pool,
};

/// One stores, one looks on, one is silent.
const SESSIONS: usize = 3;

const CONTENT: &[u8] = b"What becomes of this file shows what the server does.\n";

impl PartnerState {
    /// Tries out what the partner's server does, with files and folders of its own in `folder`,
    /// or where sessions start, and with sessions of its own; with `silent`, also whether a session
    /// outlives such a silence. Takes as long as that, or as the partner's own time limit where a
    /// store waits for another. What was found counts for the jobs from now on.
    ///
    /// # Errors
    /// When the partner cannot be reached, or takes no file in the folder at all. What was
    /// made may be there still, under names that begin with `ferryway-probe`.
    pub async fn probe(
        &self,
        folder: Option<&RemotePath>,
        silent: Option<Duration>,
    ) -> Result<Findings, Failure> {
        let pool = self.pool.beside(SESSIONS);
        let silence = async {
            match silent {
                Some(silent) => Ok(Some(idle::try_out(&pool, silent).await?)),
                None => Ok(None),
            }
        };
        let both = tokio::try_join!(self.look(&pool, folder), silence);
        pool.close().await;
        let (findings, idle) = both?;
        self.learn_late_close(findings.advice().late_close);
        *lock(&self.replaces) = findings.replaces;
        Ok(Findings { idle, ..findings })
    }

    async fn look(
        &self,
        pool: &Arc<Pool>,
        folder: Option<&RemotePath>,
    ) -> Result<Findings, Failure> {
        let place = Place::make(pool, &self.instance.to_string(), folder).await?;
        let found = self.look_around(pool, &place, folder).await;
        let left = place.clear(pool).await;
        let found = found?;
        Ok(Findings { left: left?, ..found })
    }

    async fn look_around(
        &self,
        pool: &Arc<Pool>,
        place: &Place,
        folder: Option<&RemotePath>,
    ) -> Result<Findings, Failure> {
        let locking = match stores_twice(pool, &place.file(File::Twice)?).await? {
            true => open_upload::locking(pool, &place.file(File::Shared)?).await?,
            false => Locking::Unseen,
        };
        let folders = if place.made { folders(pool, place).await? } else { Folders::Missing };
        let [open, moved] = [place.file(File::Open)?, place.file(File::Moved)?];
        let open_file = open_upload::rename_file(pool, &open, &moved).await?;
        let mut lease = Pool::lend(pool).await?;
        let session = lease.session();
        let replaces = match session.capabilities().rename {
            Rename::Unsupported => None,
            _ => {
                let paths = [place.file(File::From)?, place.file(File::Onto)?];
                rename_over::try_out(session, &paths).await?
            }
        };
        let restart = match session.capabilities().resume {
            Resume::Unsupported => Restart::Refuses,
            Resume::AtOffset => late_close::try_out(session, &place.file(File::Restarted)?).await?,
        };
        let checksums = checksums(session, &place.file(File::Twice)?).await?;
        let capabilities = session.capabilities();
        lease.give_back();
        Ok(Findings {
            partner: self.name.clone(),
            folder: folder.cloned(),
            locking,
            open_file,
            folders,
            replaces,
            restart,
            checksums,
            lists_hidden: capabilities.lists_hidden,
            fences: capabilities.epoch_fencing,
            idle: None,
            left: Vec::new(),
        })
    }
}

/// Where it is tried.
struct Place {
    /// A folder, or what the names of files begin with where none could be made.
    name: RemotePath,
    /// Whether the folder was made.
    made: bool,
}

ferryway_core::words! {
    /// A file that something is tried with.
    File {
        /// It is stored twice, and has [`CONTENT`] then.
        Twice = "twice",
        /// Two sessions store it at a time.
        Shared = "shared",
        /// It is renamed while it is being stored.
        Open = "open",
        /// What [`Open`](Self::Open) is renamed to.
        Moved = "moved",
        /// It is renamed onto another.
        From = "from",
        /// What [`From`](Self::From) is renamed onto.
        Onto = "onto",
        /// It is stored again from an offset on.
        Restarted = "restarted",
    }
}

/// A folder that is renamed.
const FORMER: &str = "former";

/// What it is renamed to.
const LATTER: &str = "latter";

/// A file that is being stored in it.
const WITHIN: &str = "within";

impl Place {
    async fn make(
        pool: &Arc<Pool>,
        instance: &str,
        folder: Option<&RemotePath>,
    ) -> Result<Self, Failure> {
        let name = format!("ferryway-probe-{instance}-{:08x}", fastrand::u32(..));
        let name: RemotePath = match folder {
            Some(folder) => folder.join(&name)?,
            None => name.parse()?,
        };
        let mut lease = Pool::lend(pool).await?;
        let made = taken(lease.session().make_folder(name.clone()).await)?;
        lease.give_back();
        Ok(Self { name, made })
    }

    fn file(&self, file: File) -> Result<RemotePath, InvalidPath> {
        match self.made {
            true => self.name.join(file.as_str()),
            false => self.name.sibling(&format!("{}.{file}", self.name.name())),
        }
    }

    /// Removes all that may be there, and tells what could not be removed.
    async fn clear(&self, pool: &Arc<Pool>) -> Result<Vec<RemotePath>, Failure> {
        let mut lease = Pool::lend(pool).await?;
        let session = lease.session();
        let mut left = Vec::new();
        if self.made {
            // The inner one has either name.
            for folder in [self.name.join(FORMER)?, self.name.join(LATTER)?, self.name.clone()] {
                let gone = remove_folder(session, &folder).await?;
                if !gone && folder == self.name {
                    left.push(folder);
                }
            }
        } else {
            for &file in File::EACH {
                let path = self.file(file)?;
                if !absence::make_absent(session, &path).await? {
                    left.push(path);
                }
            }
        }
        lease.give_back();
        Ok(left)
    }
}

/// Removes a folder with the files in it, also those that only the server has names for: an upload
/// that it keeps apart until its end stays behind when its folder is renamed meanwhile.
async fn remove_folder(session: &mut dyn Session, folder: &RemotePath) -> Result<bool, Failure> {
    let names = match session.list(Some(folder.clone())).await {
        Ok(names) => names,
        Err(error) if error.reply().is_some() || error.kind() == Kind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for name in names {
        let _removed = taken(session.remove(folder.join(&name)?).await)?;
    }
    Ok(taken(session.remove_folder(folder.clone()).await)?)
}

/// Whether a store onto an existing file is taken, which nobody holds.
async fn stores_twice(pool: &Arc<Pool>, path: &RemotePath) -> Result<bool, TransportError> {
    let mut lease = Pool::lend(pool).await?;
    let session = lease.session();
    store(session, path, CONTENT, 0).await?;
    let again = taken(store(session, path, CONTENT, 0).await)?;
    lease.give_back();
    Ok(again)
}

/// What can be done with folders in the one that was made.
async fn folders(pool: &Arc<Pool>, place: &Place) -> Result<Folders, Failure> {
    let (former, latter) = (place.name.join(FORMER)?, place.name.join(LATTER)?);
    let mut lease = Pool::lend(pool).await?;
    let made = taken(lease.session().make_folder(former.clone()).await)?;
    lease.give_back();
    if !made {
        return Ok(Folders::Fixed);
    }
    if open_upload::rename_folder(pool, [&former, &latter], &former.join(WITHIN)?).await? {
        return Ok(Folders::Always);
    }
    let mut lease = Pool::lend(pool).await?;
    let renamed = taken(lease.session().rename(former, latter).await)?;
    lease.give_back();
    Ok(if renamed { Folders::Idle } else { Folders::Fixed })
}

/// The announced hashes that the partner computes right, of a file that has [`CONTENT`].
async fn checksums(
    session: &mut dyn Session,
    path: &RemotePath,
) -> Result<Vec<Algorithm>, TransportError> {
    let announced = session.capabilities().checksums;
    let mut ours = Hashes::new(&announced);
    ours.update(CONTENT);
    let mut right = Vec::new();
    for algorithm in announced {
        match session.checksum(path.clone(), algorithm, CONTENT.len() as u64).await {
            Ok(theirs) if ours.digest(algorithm) == Some(theirs.clone()) => right.push(algorithm),
            Ok(theirs) => tracing::warn!(%path, %theirs, "the partner's hash is wrong"),
            Err(error) if error.reply().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(right)
}
