//! Renames on our side, and the syncs that make them durable: many jobs with one go at their
//! folder.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use super::{Failure, source::local_io};
use crate::{
    config::LocalFile,
    journal::{self, JournalStore},
    locks::lock,
};

/// Folders remembered before those that nobody uses are forgotten.
const REMEMBERED: usize = 256;

/// The folders that jobs and visitors deliver into.
pub struct Folders {
    journal: Arc<dyn JournalStore>,
    folders: Mutex<HashMap<PathBuf, Arc<Folder>>>,
}

#[derive(Default)]
struct Folder {
    waiting: Mutex<Vec<Wish>>,
    /// Held by the caller who serves all that wait.
    turn: tokio::sync::Mutex<()>,
}

/// What a job wants of its folder.
struct Wish {
    rename: Option<(LocalFile, LocalFile)>,
    done: oneshot::Sender<Result<(), Failure>>,
}

impl Folders {
    /// The folders of a host that owns a journal.
    pub fn new(journal: Arc<dyn JournalStore>) -> Self {
        Self { journal, folders: Mutex::default() }
    }

    /// Makes what was done until now in the folder of `place` durable.
    ///
    /// # Errors
    /// When the system refuses; others try for themselves.
    pub(crate) async fn sync(&self, place: &LocalFile) -> Result<(), Failure> {
        self.wish(place, None).await
    }

    /// Renames `part` to `place` in the same folder; durable on `Ok`. The ownership is looked
    /// at right before.
    ///
    /// # Errors
    /// When the instance is not ours any more, or the system refuses. The file may be under
    /// either name.
    pub(super) async fn put_in_place(
        &self,
        part: &LocalFile,
        place: &LocalFile,
    ) -> Result<(), Failure> {
        self.wish(place, Some((part.clone(), place.clone()))).await
    }

    async fn wish(
        &self,
        place: &LocalFile,
        rename: Option<(LocalFile, LocalFile)>,
    ) -> Result<(), Failure> {
        let folder = self.folder(place.path().parent().unwrap_or(Path::new("")));
        let (done, mut answer) = oneshot::channel();
        lock(&folder.waiting).push(Wish { rename, done });
        tokio::select! {
            biased;
            answer = &mut answer => return answer.unwrap_or_else(|_| Err(broken(place))),
            _turn = folder.turn.lock() => self.serve(&folder, place).await,
        }
        answer.await.unwrap_or_else(|_| Err(broken(place)))
    }

    /// Does what everybody who waits wants. Dropped halfway, it has begun with all of it or
    /// with nothing.
    async fn serve(&self, folder: &Folder, place: &LocalFile) {
        let renames = lock(&folder.waiting).iter().any(|wish| wish.rename.is_some());
        let owner = if renames { self.journal.check_ownership().await } else { Ok(()) };
        let wishes = std::mem::take(&mut *lock(&folder.waiting));
        if wishes.is_empty() {
            return;
        }
        let place = place.clone();
        let work = tokio::task::spawn_blocking(move || fulfil(wishes, &owner, &place));
        if let Err(error) = work.await {
            tracing::error!(%error, "the work in a local folder broke");
        }
    }

    fn folder(&self, path: &Path) -> Arc<Folder> {
        let mut folders = lock(&self.folders);
        if folders.len() >= REMEMBERED {
            folders.retain(|_, folder| Arc::strong_count(folder) > 1);
        }
        Arc::clone(folders.entry(path.to_owned()).or_default())
    }
}

impl std::fmt::Debug for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folders").field("known", &lock(&self.folders).len()).finish_non_exhaustive()
    }
}

/// Renames, then syncs the folder once for all. Blocks.
fn fulfil(wishes: Vec<Wish>, owner: &journal::Result<()>, place: &LocalFile) {
    let mut renamed = Vec::with_capacity(wishes.len());
    for Wish { rename, done } in wishes {
        let result = match (rename, owner) {
            (None, _) => Ok(()),
            (Some(_), Err(lost)) => Err(lost.clone().into()),
            (Some((part, to)), Ok(())) => part
                .rename_to(&to)
                .map_err(|error| local_io(&to, "put the file in place as", error.into())),
        };
        renamed.push((result, done));
    }
    let synced = place.sync_folder();
    for (result, done) in renamed {
        let synced = synced.as_ref().map_err(|error| {
            let error = io::Error::new(error.kind(), error.to_string());
            local_io(place, "sync the folder of", error)
        });
        // Whoever has gone does not miss the answer.
        let _gone = done.send(result.and(synced.map(drop)));
    }
}

fn broken(place: &LocalFile) -> Failure {
    let error = io::Error::other("the work in its folder broke");
    local_io(place, "put the file in place as", error)
}
