//! Where partials lie on a partner: in a folder of each epoch,
//! `.ferryway/<instance>.<partner>/e<epoch>`, or beside their targets, where an empty file of
//! the epoch is their mark, `.ferryway.<instance>.<partner>.e<epoch>`.
//!
//! A new owner takes an old epoch's folder away by renaming it and puts a *file* in its place,
//! so that a former owner that still runs can neither use the folder nor make it again: one
//! command revokes all it had. Every name is recorded before it is used, the oldest first, and
//! names are looked at in that order, since things only ever move from an older name to a
//! newer one.
//!
//! The folder, or the mark, is also the *witness* of what was staged: as long as the partner
//! shows it, it is the partner we staged on. A partner whose service has moved to another disk
//! shows neither. So no name stands for two makings: what was lost is made again under another
//! name, and a witness stays as long as an intent depends on it.

mod bar;
mod revoke;

use std::collections::HashMap;

use ferryway_core::{
    Epoch, Kind, RemotePath, TransportError,
    transport::{EntryKind, Session},
};

use super::PartnerState;
use crate::{
    attempt::{Failure, absence},
    config::Staging as StagingPlace,
    journal::record::{Staging, StagingState},
};

/// What is known of a partner's staging folders and marks.
#[derive(Debug, Default)]
pub struct Folders {
    records: Vec<Staging>,
    /// What our epoch has, for each folder of targets, which stands for itself by the base of
    /// its first staging folder.
    homes: HashMap<RemotePath, Home>,
    /// Whether the folders of all older epochs are out of their owners' reach.
    fenced: bool,
}

/// What our epoch has in one folder of targets.
#[derive(Clone, Debug, Default)]
struct Home {
    /// Where partials lie, once it is made.
    place: Option<Place>,
    /// How often what was made got lost.
    losses: u32,
    /// The partner lets us make no folder.
    refused: bool,
}

/// Where the partials of our epoch lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this folder of their own.
    Folder(RemotePath),
    /// Beside their targets. The mark is `None` where the partner takes none.
    Beside {
        /// The epoch's mark.
        mark: Option<RemotePath>,
    },
}

impl Place {
    /// What the partner shows as long as it is the partner on which we staged.
    pub fn witness(&self) -> Option<&RemotePath> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Beside { mark } => mark.as_ref(),
        }
    }
}

impl Folders {
    /// What the journal knows.
    pub fn new(records: Vec<Staging>) -> Self {
        Self { records, ..Self::default() }
    }

    /// The records, in no order.
    pub fn records(&self) -> &[Staging] {
        &self.records
    }

    fn keep(&mut self, record: Staging) {
        self.records.retain(|old| (&old.base, old.epoch) != (&record.base, record.epoch));
        if record.state != StagingState::Removed {
            self.records.push(record);
        }
    }
}

/// The name of an epoch's folder.
fn folder_name(epoch: Epoch) -> String {
    format!("e{epoch}")
}

/// Every path at which a file may be that was made as `path`: folders move as a whole.
pub fn locations(records: &[Staging], path: &RemotePath) -> Vec<RemotePath> {
    let moved = path.parent().and_then(|folder| {
        records.iter().find(|record| record.names.contains(&folder)).map(|record| {
            let from = record.names.iter().position(|name| *name == folder).unwrap_or(0);
            &record.names[from..]
        })
    });
    match moved {
        Some(names) => names.iter().filter_map(|name| name.join(path.name()).ok()).collect(),
        None => vec![path.clone()],
    }
}

impl PartnerState {
    /// Where partials of targets beside `target` lie in our epoch; made when it is not there.
    ///
    /// # Errors
    /// When the partner or the journal fails.
    pub async fn place(
        &self,
        session: &mut dyn Session,
        target: &RemotePath,
    ) -> Result<Place, Failure> {
        let key = self.staging_base(target, 0)?;
        let mut folders = self.staging.lock().await;
        let mut home = folders.homes.get(&key).cloned().unwrap_or_default();
        if let Some(place) = home.place {
            return Ok(place);
        }
        let wanted = self.config.staging == StagingPlace::Folder && !home.refused;
        let mut made = None;
        if wanted && session.capabilities().folders {
            made = self.make_folder(session, target, home.losses, &mut folders).await?;
            home.refused = made.is_none();
        }
        let place = match made {
            Some(folder) => Place::Folder(folder),
            None => {
                let mark = self.make_mark(session, target, home.losses, &mut folders).await?;
                Place::Beside { mark }
            }
        };
        home.place = Some(place.clone());
        folders.homes.insert(key, home);
        Ok(place)
    }

    /// The folder of our epoch; `None` when the partner makes none.
    async fn make_folder(
        &self,
        session: &mut dyn Session,
        target: &RemotePath,
        losses: u32,
        folders: &mut Folders,
    ) -> Result<Option<RemotePath>, Failure> {
        let base = self.staging_base(target, losses)?;
        let folder = base.join(&folder_name(self.journal.epoch()))?;
        // On record before it exists: a successor must know what to revoke.
        let record = self.record(base, folder.clone(), StagingState::Open);
        self.keep(folders, record.clone()).await?;
        if make_folders(session, &record.base, &folder).await? {
            return Ok(Some(folder));
        }
        self.not_barred(session, &folder).await?;
        self.keep(folders, Staging { state: StagingState::Removed, ..record }).await?;
        tracing::warn!(partner = %self.name, folder = %folder,
            "the partner makes no folder there; partials lie beside their targets");
        Ok(None)
    }

    /// The mark of our epoch; `None` when the partner takes none.
    async fn make_mark(
        &self,
        session: &mut dyn Session,
        target: &RemotePath,
        losses: u32,
        folders: &mut Folders,
    ) -> Result<Option<RemotePath>, Failure> {
        let (own, epoch) = (self.own_name(losses), folder_name(self.journal.epoch()));
        // Hidden, though the partner may not list it: consumers must not take it.
        let mark = target.sibling(&format!(".ferryway.{own}.{epoch}"))?;
        // On record before it exists, or nobody would remove it.
        let record = self.record(mark.clone(), mark.clone(), StagingState::Mark);
        self.keep(folders, record.clone()).await?;
        match store_empty(session, &mark).await {
            Ok(()) => return Ok(Some(mark)),
            Err(error) if error.reply().is_none() => return Err(error.into()),
            // Its first store may have lost its answer on a server that replaces no file.
            Err(_) if absence::is_file(session, &mark).await? => return Ok(Some(mark)),
            Err(error) => tracing::warn!(partner = %self.name, mark = %mark, %error,
                "the partner takes no mark: what becomes of a publish cannot always be proved"),
        }
        self.keep(folders, Staging { state: StagingState::Removed, ..record }).await?;
        Ok(None)
    }

    /// A record of our epoch.
    fn record(&self, base: RemotePath, name: RemotePath, state: StagingState) -> Staging {
        let (partner, epoch) = (self.name.clone(), self.journal.epoch());
        Staging { partner, base, epoch, names: vec![name], state }
    }

    /// Puts a record into the journal and, once it is durable, among `folders`.
    async fn keep(&self, folders: &mut Folders, record: Staging) -> Result<(), Failure> {
        self.journal.put_staging(record.clone()).await?;
        folders.keep(record);
        Ok(())
    }

    /// Whether the partner still shows a witness of our staging, under any of its names.
    ///
    /// # Errors
    /// When no listing can tell.
    pub async fn shows(
        &self,
        session: &mut dyn Session,
        witness: &RemotePath,
    ) -> Result<bool, TransportError> {
        let records = self.staging_records().await;
        let Some(record) = records.iter().find(|record| record.names.contains(witness)) else {
            return Ok(false);
        };
        if record.state == StagingState::Mark {
            return absence::is_file(session, witness).await;
        }
        for name in record.names.iter().skip_while(|name| *name != witness) {
            // The bar of a revoked folder is put there on whatever disk the partner has.
            if !absence::is_absent(session, name, None).await?
                && session.stat(name.clone()).await?.kind == EntryKind::Folder
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks whether the place of our epoch is still there. When it is not, it is forgotten,
    /// and made again under another name by whoever needs it.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn revisit(
        &self,
        session: &mut dyn Session,
        target: &RemotePath,
    ) -> Result<(), Failure> {
        let place = self.place(session, target).await?;
        let there = match &place {
            Place::Folder(folder) => match session.list(Some(folder.clone())).await {
                Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => {
                    return Err(error.into());
                }
                listed => listed.is_ok(),
            },
            Place::Beside { mark: Some(mark) } => absence::is_file(session, mark).await?,
            Place::Beside { mark: None } => true,
        };
        if there { Ok(()) } else { self.forget_place(session, &place).await }
    }

    /// Forgets a place of our epoch: the partner has lost it.
    ///
    /// # Errors
    /// When it was not lost, but taken away by a successor.
    pub async fn forget_place(
        &self,
        session: &mut dyn Session,
        place: &Place,
    ) -> Result<(), Failure> {
        if let Place::Folder(folder) = place {
            self.not_barred(session, folder).await?;
        }
        for home in self.staging.lock().await.homes.values_mut() {
            // Another job may have noticed before.
            if home.place.as_ref() == Some(place) {
                home.place = None;
                home.losses += 1;
            }
        }
        Ok(())
    }

    /// Removes what former owners left in their revoked folders, the folders, and marks. Only
    /// called when no job in flight has anything there, or an intent of which they are witnesses.
    ///
    /// # Errors
    /// When the partner or the journal fails; the rest stays for a later sweep.
    pub async fn sweep(&self, session: &mut dyn Session) -> Result<(), Failure> {
        let mut folders = self.staging.lock().await;
        let ours = self.journal.epoch();
        let old: Vec<_> = folders.records.iter().filter(|r| r.is_spent(ours)).cloned().collect();
        for record in old {
            let mut gone = true;
            if record.state == StagingState::Mark {
                gone = remove_mark(session, &record.base).await?;
            } else {
                for folder in &record.names[1..] {
                    gone &= empty_folder(session, folder).await?;
                }
            }
            if gone {
                let record = Staging { state: StagingState::Removed, ..record };
                self.keep(&mut folders, record).await?;
            }
        }
        Ok(())
    }

    /// Removes our own empty folders and marks at a clean stop, so that a partner keeps no
    /// trace of an instance at rest. What is not empty stays. Not called while a job of the
    /// partner has an open intent: its witness has to stay.
    ///
    /// # Errors
    /// When the journal fails. The partner's refusals are no errors here.
    pub async fn leave(&self, session: &mut dyn Session) -> Result<(), Failure> {
        let mut folders = self.staging.lock().await;
        let ours = self.journal.epoch();
        folders.homes.clear();
        let own: Vec<_> =
            folders.records.iter().filter(|record| record.epoch == ours).cloned().collect();
        for record in own {
            let name = record.names[0].clone();
            let is_mark = record.state == StagingState::Mark;
            let removed = match is_mark {
                true => session.remove(name).await,
                false => session.remove_folder(name).await,
            };
            if removed.is_err() {
                continue;
            }
            let base = record.base.clone();
            self.keep(&mut folders, Staging { state: StagingState::Removed, ..record }).await?;
            // Other instances and older epochs may still use these; then they stay.
            if !is_mark
                && session.remove_folder(base.clone()).await.is_ok()
                && let Some(parent) = base.parent()
                && let Err(error) = session.remove_folder(parent).await
            {
                tracing::debug!(%error, "the staging folder of all instances stays");
            }
        }
        Ok(())
    }
}

/// Makes the folder and what lies above it; false when the partner refuses.
async fn make_folders(
    session: &mut dyn Session,
    base: &RemotePath,
    folder: &RemotePath,
) -> Result<bool, Failure> {
    if session.make_folder(folder.clone()).await.is_ok() {
        return Ok(true);
    }
    let mut made = false;
    for path in base.parent().iter().chain([base, folder]) {
        made = match session.make_folder(path.clone()).await {
            Ok(()) => true,
            // It may be there already; the listing below tells.
            Err(error) if error.reply().is_some() => false,
            Err(error) => return Err(error.into()),
        };
    }
    if made {
        return Ok(true);
    }
    match session.list(Some(folder.clone())).await {
        Ok(_) => Ok(true),
        Err(error) if error.reply().is_some() || error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes the files of a folder and the folder; false when something stays.
async fn empty_folder(session: &mut dyn Session, folder: &RemotePath) -> Result<bool, Failure> {
    let names = match session.list(Some(folder.clone())).await {
        Ok(names) => names,
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => {
            return Ok(absence::is_absent(session, folder, None).await?);
        }
        Err(error) => return Err(error.into()),
    };
    for name in names {
        match session.remove(folder.join(&name)?).await {
            Ok(()) => {}
            Err(error) if error.reply().is_some() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    match session.remove_folder(folder.clone()).await {
        Ok(()) => Ok(true),
        Err(error) if error.reply().is_some() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes a mark; false when it stays.
async fn remove_mark(session: &mut dyn Session, path: &RemotePath) -> Result<bool, Failure> {
    match session.remove(path.clone()).await {
        Ok(()) => Ok(true),
        Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => {
            Err(error.into())
        }
        Err(_) => Ok(!absence::is_file(session, path).await?),
    }
}

/// Stores a file without a byte.
///
/// # Errors
/// As [`Session::store`].
pub async fn store_empty(
    session: &mut dyn Session,
    path: &RemotePath,
) -> Result<(), TransportError> {
    super::store(session, path, b"", 0).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_for_wherever_its_folder_went_since() {
        let path = |text: &str| text.parse::<RemotePath>().unwrap();
        let record = Staging {
            partner: "BANK".parse().unwrap(),
            base: path("in/.ferryway/night.BANK"),
            epoch: Epoch::FIRST,
            names: vec![
                path("in/.ferryway/night.BANK/e1"),
                path("in/.ferryway/night.BANK/e2.from-e1"),
                path("in/.ferryway/night.BANK/e3.from-e1"),
            ],
            state: StagingState::Revoked,
        };
        let found =
            locations(std::slice::from_ref(&record), &path("in/.ferryway/night.BANK/e1/a.part"));
        assert_eq!(
            found,
            [
                path("in/.ferryway/night.BANK/e1/a.part"),
                path("in/.ferryway/night.BANK/e2.from-e1/a.part"),
                path("in/.ferryway/night.BANK/e3.from-e1/a.part"),
            ]
        );
        let beside = path("in/.a.PRDY014.e1.a1.part");
        assert_eq!(locations(&[record], &beside), [beside]);
    }
}
