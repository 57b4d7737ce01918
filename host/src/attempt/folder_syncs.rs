//! Makes renames durable, many with one sync of their folder.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::source::blocking;
use crate::config::LocalFile;

/// Folders remembered before those that nobody syncs are forgotten.
const REMEMBERED: usize = 256;

/// The folders that jobs deliver into.
#[derive(Debug, Default)]
pub struct FolderSyncs(Mutex<HashMap<PathBuf, Arc<Folder>>>);

#[derive(Debug, Default)]
struct Folder {
    /// The last ticket given out. Who has one has done its rename.
    tickets: AtomicU64,
    /// The last ticket that is durable; held while a sync is under way.
    durable: tokio::sync::Mutex<u64>,
}

impl FolderSyncs {
    /// Makes what was done in the folder of `place` until now durable. Callers that come while a
    /// sync is under way share the next one.
    ///
    /// # Errors
    /// When the system refuses; others try for themselves.
    pub(super) async fn sync(&self, place: &LocalFile) -> io::Result<()> {
        let folder = self.folder(place.path().parent().unwrap_or(Path::new("")));
        let ticket = folder.tickets.fetch_add(1, Ordering::AcqRel) + 1;
        let mut durable = folder.durable.lock().await;
        if *durable >= ticket {
            return Ok(());
        }
        let covered = folder.tickets.load(Ordering::Acquire);
        let place = place.clone();
        blocking(move || Ok(place.sync_folder()?)).await?;
        *durable = covered;
        Ok(())
    }

    fn folder(&self, path: &Path) -> Arc<Folder> {
        let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.len() >= REMEMBERED {
            folders.retain(|_, folder| Arc::strong_count(folder) > 1);
        }
        Arc::clone(folders.entry(path.to_owned()).or_default())
    }
}
