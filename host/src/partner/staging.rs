//! The staging folders on a partner: one for each epoch, `.ferryway/<instance>.<partner>/e<epoch>`.
//!
//! A new owner takes an old epoch's folder away by renaming it and puts a *file* in its place,
//! so that a former owner that still runs can neither use the folder nor make it again: one
//! command revokes all it had. Every name is recorded before it is used, the oldest first, and
//! names are looked at in that order, since things only ever move from an older name to a
//! newer one.

use std::collections::HashSet;

use ferryway_core::{
    Epoch, Kind, Operation, RemotePath, TransportError,
    bytes::{ByteSource, Meter, Source},
    transport::{EntryKind, Session, Upload},
};

use super::PartnerState;
use crate::{
    attempt::{Failure, absence},
    config::Staging as StagingPlace,
    journal::record::{Staging, StagingState},
};

/// How often a former owner that keeps making its folder again is followed.
const REVOKE_TRIES: u32 = 5;

/// What is known of a partner's staging folders.
#[derive(Debug, Default)]
pub struct Folders {
    records: Vec<Staging>,
    /// Bases whose folder of our epoch is known to exist.
    ready: HashSet<RemotePath>,
    /// Bases in which the partner lets us make no folder.
    refused: HashSet<RemotePath>,
    /// Whether the folders of all older epochs are out of their owners' reach.
    fenced: bool,
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
    /// The folder of our epoch for targets beside `target`, made when it is not there;
    /// `None` when partials are to lie beside the target: configured so, or the partner makes
    /// no folders.
    ///
    /// # Errors
    /// When the partner or the journal fails.
    pub async fn staging_folder(
        &self,
        session: &mut dyn Session,
        target: &RemotePath,
    ) -> Result<Option<RemotePath>, Failure> {
        if self.config.staging == StagingPlace::Beside || !session.capabilities().folders {
            return Ok(None);
        }
        let base = self.staging_base(target)?;
        let folder = base.join(&folder_name(self.journal.epoch()))?;
        let mut folders = self.staging.lock().await;
        if folders.ready.contains(&base) {
            return Ok(Some(folder));
        }
        if folders.refused.contains(&base) {
            return Ok(None);
        }
        // On record before it exists: a successor must know what to revoke.
        let record = Staging {
            partner: self.name.clone(),
            base: base.clone(),
            epoch: self.journal.epoch(),
            names: vec![folder.clone()],
            state: StagingState::Open,
        };
        self.journal.put_staging(record.clone()).await?;
        folders.keep(record.clone());
        if make_folders(session, &base, &folder).await? {
            folders.ready.insert(base);
            Ok(Some(folder))
        } else {
            let record = Staging { state: StagingState::Removed, ..record };
            self.journal.put_staging(record.clone()).await?;
            folders.keep(record);
            tracing::warn!(partner = %self.name, folder = %folder,
                "the partner makes no folder there; partials lie beside their targets");
            folders.refused.insert(base);
            Ok(None)
        }
    }

    /// Whether a folder is one of our staging folders.
    pub async fn is_staging(&self, folder: &RemotePath) -> bool {
        self.staging.lock().await.records.iter().any(|record| record.names.contains(folder))
    }

    /// Forgets that the folder of our epoch is there: the partner has lost it.
    pub async fn staging_is_lost(&self) {
        self.staging.lock().await.ready.clear();
    }

    /// Takes all folders of older epochs out of their owners' reach, once in our epoch. No
    /// job of ours may touch the partner before.
    ///
    /// # Errors
    /// When the partner or the journal fails; it is tried again with the next job.
    pub async fn fence_former_owners(&self, session: &mut dyn Session) -> Result<(), Failure> {
        let mut folders = self.staging.lock().await;
        if folders.fenced {
            return Ok(());
        }
        let ours = self.journal.epoch();
        let older: Vec<_> =
            folders.records.iter().filter(|record| record.epoch < ours).cloned().collect();
        for record in older {
            self.revoke(session, record, &mut folders).await?;
        }
        folders.fenced = true;
        Ok(())
    }

    /// What the journal knows of the folder, `folders` knows after every step: a name that is
    /// lost between two tries would make a token look published.
    async fn revoke(
        &self,
        session: &mut dyn Session,
        mut record: Staging,
        folders: &mut Folders,
    ) -> Result<(), Failure> {
        let ours = self.journal.epoch();
        for _ in 0..REVOKE_TRIES {
            let present = present_in(session, &record.base).await?;
            for name in record.names.clone() {
                if !present.iter().any(|found| found == name.name())
                    || is_file(session, &name).await?
                {
                    continue;
                }
                let refuge = format!("e{ours}.from-e{}.{}", record.epoch, record.names.len());
                let refuge = record.base.join(&refuge)?;
                record.names.push(refuge.clone());
                self.journal.put_staging(record.clone()).await?;
                folders.keep(record.clone());
                if let Err(error) = session.rename(name.clone(), refuge).await {
                    return self.not_revoked(&name, error);
                }
            }
            if bar(session, &record).await? {
                record.state = StagingState::Revoked;
                self.journal.put_staging(record.clone()).await?;
                self.notices.staging_revoked(&self.name, record.epoch);
                folders.keep(record);
                return Ok(());
            }
        }
        Err(TransportError::retryable(
            Kind::Locked,
            Operation::Rename,
            "a former owner keeps making its staging folder again",
        )
        .at(&record.names[0])
        .into())
    }

    /// A folder that a server will not let go of, because a dead session has a file open in
    /// it, must not hold up the instance: it is left, and every token in it is moved by itself.
    fn not_revoked(&self, folder: &RemotePath, error: TransportError) -> Result<(), Failure> {
        if error.reply().is_none() {
            return Err(error.into());
        }
        self.notices.staging_not_revoked(&self.name, folder.to_string(), error.to_string());
        Ok(())
    }

    /// Removes what former owners left in their revoked folders, and the folders. Only called
    /// when no job in flight has anything there.
    ///
    /// # Errors
    /// When the partner or the journal fails; the rest stays for a later sweep.
    pub async fn sweep(&self, session: &mut dyn Session) -> Result<(), Failure> {
        let mut folders = self.staging.lock().await;
        let revoked: Vec<_> = folders
            .records
            .iter()
            .filter(|record| record.state == StagingState::Revoked)
            .cloned()
            .collect();
        for mut record in revoked {
            let mut gone = true;
            for folder in &record.names[1..] {
                gone &= empty_folder(session, folder).await?;
            }
            if gone {
                record.state = StagingState::Removed;
                self.journal.put_staging(record.clone()).await?;
                folders.keep(record);
            }
        }
        Ok(())
    }

    /// Removes our own empty folders at a clean stop, so that a partner keeps no trace of an
    /// instance at rest. What is not empty stays.
    ///
    /// # Errors
    /// When the journal fails. The partner's refusals are no errors here.
    pub async fn leave(&self, session: &mut dyn Session) -> Result<(), Failure> {
        let mut folders = self.staging.lock().await;
        let ours = self.journal.epoch();
        let own: Vec<_> =
            folders.records.iter().filter(|record| record.epoch == ours).cloned().collect();
        for mut record in own {
            if session.remove_folder(record.names[0].clone()).await.is_err() {
                continue;
            }
            folders.ready.remove(&record.base);
            record.state = StagingState::Removed;
            self.journal.put_staging(record.clone()).await?;
            // Other instances and older epochs may still use these; then they stay.
            if session.remove_folder(record.base.clone()).await.is_ok()
                && let Some(parent) = record.base.parent()
                && let Err(error) = session.remove_folder(parent).await
            {
                tracing::debug!(%error, "the staging folder of all instances stays");
            }
            folders.keep(record);
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
    for path in base.parent().iter().chain([base, folder]) {
        match session.make_folder(path.clone()).await {
            Ok(()) => {}
            // It may be there already; the listing below tells.
            Err(error) if error.reply().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    match session.list(Some(folder.clone())).await {
        Ok(_) => Ok(true),
        Err(error) if error.reply().is_some() || error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The names in the folder of all epochs, which is made when it is absent.
async fn present_in(session: &mut dyn Session, base: &RemotePath) -> Result<Vec<String>, Failure> {
    match session.list(Some(base.clone())).await {
        Ok(names) => return Ok(names),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => {}
        Err(error) => return Err(error.into()),
    }
    for folder in base.parent().iter().chain([base]) {
        match session.make_folder(folder.clone()).await {
            Ok(()) => {}
            // Where we may make no folder, the former owner may not either.
            Err(error) if error.reply().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Vec::new())
}

async fn is_file(session: &mut dyn Session, path: &RemotePath) -> Result<bool, Failure> {
    Ok(session.stat(path.clone()).await?.kind == EntryKind::File)
}

/// Puts a file where the epoch's folder was; false when a folder is there again.
async fn bar(session: &mut dyn Session, record: &Staging) -> Result<bool, Failure> {
    let bar = &record.names[0];
    let present = match session.list(Some(record.base.clone())).await {
        Ok(names) => names.iter().any(|name| name == bar.name()),
        // There is no folder for all epochs, and none can be made: nothing to bar.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable) => {
            return Ok(true);
        }
        Err(error) => return Err(error.into()),
    };
    if present {
        return is_file(session, bar).await;
    }
    let upload = Upload {
        path: bar.clone(),
        offset: 0,
        length: 0,
        source: Source::new(Nothing),
        meter: Meter::new(),
    };
    match session.store(upload).await {
        Ok(_) => Ok(true),
        // A folder may have come back in between: the next round looks again.
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Denied) => Ok(false),
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

struct Nothing;

impl ByteSource for Nothing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
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
