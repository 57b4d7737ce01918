//! A file while it is being stored.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    behaviour::{Lock, RestBeyondEnd, Tail},
    locks::{self, Guard},
    reply::Reply,
    shared::Shared,
};

/// Where in the file an upload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The file is emptied first.
    Empty,
    /// At this offset.
    At(u64),
    /// At the end.
    Append,
}

/// An upload. Dropping it, as when its session is cut, does what the server does then.
pub(super) struct Upload {
    /// Taken by the drop, so that a write which a thread of the disk still has to do is lost
    /// and cannot hit the next upload of the same file.
    file: Arc<Mutex<Option<File>>>,
    position: u64,
    cuts_behind: bool,
    /// The temporary file and the name that it gets at the end.
    temporary: Option<(PathBuf, PathBuf)>,
    _lock: Option<Guard>,
}

static TEMPORARIES: AtomicU64 = AtomicU64::new(0);

impl Upload {
    /// Opens the file at `place` as the server's kind does; the error is the refusal.
    pub(super) async fn open(
        shared: &Shared,
        place: &Path,
        shown: &str,
        start: Start,
    ) -> Result<Self, Reply> {
        admit(shared, place, shown, start)?;
        let behaviour = &shared.behaviour;
        let failed =
            |error: io::Error| Reply::file_error(shown, &error).with_code(behaviour.store_refusal);
        let (file, temporary, lock) = match &behaviour.lock {
            Lock::HiddenTemporary => {
                let hidden = beside(place, |name| format!(".in.{name}."));
                let file = OpenOptions::new().write(true).create_new(true).open(&hidden);
                let taken = format!("Temporary hidden file {} already exists.", hidden.display());
                let file = file.map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => Reply::new(550, taken),
                    _ => failed(error),
                })?;
                (file, Some((hidden, place.to_owned())), None)
            }
            Lock::AtomicTemporary if !matches!(start, Start::At(_)) => {
                let number = TEMPORARIES.fetch_add(1, Ordering::Relaxed);
                let process = std::process::id();
                let unique = beside(place, |_| format!(".pureftpd-upload.{process:x}.{number:x}"));
                let file = File::create_new(&unique).map_err(failed)?;
                (file, Some((unique, place.to_owned())), None)
            }
            lock => {
                let mut options = OpenOptions::new();
                if start == Start::Append && behaviour.append_follows_end {
                    options.append(true);
                } else {
                    options.write(true);
                }
                let file = options.create(true).truncate(false).open(place).map_err(failed)?;
                let guard = acquire(shared, lock, &file).await?;
                (file, None, guard)
            }
        };
        let position = seek(shared, &file, start)?;
        Ok(Self {
            file: Arc::new(Mutex::new(Some(file))),
            position,
            cuts_behind: behaviour.tail == Tail::CutAtEnd,
            temporary,
            _lock: lock,
        })
    }

    /// Writes the first `length` bytes of `buffer` and gives it back.
    pub(super) async fn write(&mut self, buffer: Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
        let file = Arc::clone(&self.file);
        let write = move || match file.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(file) => file.write_all(&buffer[..length]).map(|()| buffer),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        let buffer = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        self.position += length as u64;
        Ok(buffer)
    }

    /// Ends the upload: the file has its name and its length.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some((temporary, place)) = &self.temporary {
            fs::rename(temporary, place)?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // It waits for a write that has begun. Nobody is left to hear of an error.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(file), true) = (file, self.cuts_behind) {
            let _best_effort = file.set_len(self.position);
        }
        if let Some((temporary, _)) = &self.temporary {
            let _best_effort = fs::remove_file(temporary);
        }
    }
}

/// Refuses what the server's kind does not take, before anything is touched.
fn admit(shared: &Shared, place: &Path, shown: &str, start: Start) -> Result<(), Reply> {
    let behaviour = &shared.behaviour;
    let refused = |why: String| Err(Reply::new(behaviour.store_refusal, why));
    if !shared.disk.writable() {
        return refused("Could not create file.".to_owned());
    }
    let length = match fs::metadata(place) {
        // A temporary file is renamed onto the folder in vain at the end.
        Ok(metadata) if metadata.is_dir() && behaviour.lock != Lock::AtomicTemporary => {
            return refused(format!("{shown}: Is a directory."));
        }
        Ok(metadata) => Some(metadata.len()),
        Err(_) => None,
    };
    if length.is_some() && !behaviour.allow_overwrite && start != Start::Append {
        return Err(Reply::new(550, format!("{shown}: Overwrite permission denied.")));
    }
    if length.is_some() && start != Start::Empty && !behaviour.allow_store_restart {
        return Err(Reply::new(451, "Append/Restart not permitted, try again."));
    }
    let refuses = behaviour.rest_beyond_end == RestBeyondEnd::Refuse;
    match start {
        Start::At(offset) if refuses && offset > length.unwrap_or(0) => Err(Reply::beyond_end()),
        _ => Ok(()),
    }
}

async fn acquire(shared: &Shared, lock: &Lock, file: &File) -> Result<Option<Guard>, Reply> {
    let id = file.metadata().map(|metadata| locks::identity(&metadata));
    let id = id.map_err(|error| Reply::file_error("file", &error))?;
    match lock {
        Lock::Refuse { code, text } => match shared.locks.try_acquire(id) {
            Some(guard) => Ok(Some(guard)),
            None => Err(Reply::new(*code, text.clone())),
        },
        Lock::BlockThenTruncate => Ok(Some(shared.locks.acquire(id).await)),
        Lock::None | Lock::HiddenTemporary | Lock::AtomicTemporary => Ok(None),
    }
}

/// Brings the file to the upload's beginning and tells where that is.
fn seek(shared: &Shared, mut file: &File, start: Start) -> Result<u64, Reply> {
    let mut seek = || {
        let end = file.metadata()?.len();
        let position = match (start, shared.behaviour.rest_beyond_end) {
            (Start::Empty, _) => {
                file.set_len(0)?;
                0
            }
            (Start::Append, _) => end,
            (Start::At(offset), RestBeyondEnd::Clamp) => offset.min(end),
            (Start::At(offset), _) => offset,
        };
        if matches!(start, Start::At(_)) && shared.behaviour.tail == Tail::CutAtRestart {
            file.set_len(position)?;
        }
        file.seek(SeekFrom::Start(position))
    };
    seek().map_err(|error: io::Error| Reply::file_error("file", &error))
}

fn beside(place: &Path, name: impl FnOnce(&str) -> String) -> PathBuf {
    let old = place.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    place.with_file_name(name(&old))
}
