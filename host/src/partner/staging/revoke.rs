//! Taking the staging folders of former owners out of their reach.

use ferryway_core::{
    Kind, Operation, RemotePath, TransportError,
    transport::{EntryKind, Session},
};

use super::{Folders, store_empty};
use crate::{
    attempt::{Failure, absence},
    journal::record::{Staging, StagingState},
    partner::PartnerState,
};

/// How often a former owner that keeps making its folder again is followed.
const REVOKE_TRIES: u32 = 5;

impl PartnerState {
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
        let is_older = |record: &&Staging| {
            // A mark gives its owner nothing that could be taken away.
            record.epoch < ours && record.state != StagingState::Mark
        };
        let older: Vec<_> = folders.records.iter().filter(is_older).cloned().collect();
        for record in older {
            self.revoke(session, record, &mut folders).await?;
        }
        folders.fenced = true;
        Ok(())
    }

    /// Looks that no successor has put a file where our epoch's folder was: then nothing is ours
    /// any more, and nothing may be staged anywhere else.
    ///
    /// # Errors
    /// When there is one, which suspends the jobs unless the journal says what has happened.
    pub(super) async fn not_barred(
        &self,
        session: &mut dyn Session,
        folder: &RemotePath,
    ) -> Result<(), Failure> {
        if !absence::is_file(session, folder).await? {
            return Ok(());
        }
        self.journal.check_ownership().await?;
        // Whichever job comes next would find the same.
        Err(TransportError::permanent(
            Kind::Refused,
            Operation::Connect,
            "a file lies where this host has its staging folder, as another host puts it there \
             that has taken the instance over; end the one of them that is not to be the owner. \
             If this is the only host, remove that file and release the jobs",
        )
        .at(folder)
        .into())
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
                self.keep(folders, record.clone()).await?;
                if let Err(error) = session.rename(name.clone(), refuge).await {
                    return self.not_revoked(&name, error);
                }
            }
            if bar(session, &record).await? {
                record.state = StagingState::Revoked;
                self.keep(folders, record.clone()).await?;
                self.notices.staging_revoked(&self.name, record.epoch);
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
    match store_empty(session, bar).await {
        Ok(()) => Ok(true),
        // A folder may have come back in between: the next round looks again.
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Denied) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
