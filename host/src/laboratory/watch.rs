//! What happens to the files and folders below a folder, told by the kernel.

use std::{
    collections::HashMap,
    fs, io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::{task::JoinHandle, time::interval};

use super::Failure;
use crate::locks::lock;

/// How often the kernel is asked: its queue is bounded, and a change bears the time of the
/// answer. Writes to one file that are closer together are one change.
const GRAIN: Duration = Duration::from_millis(1);

/// A watch on a folder and all folders in it, from its making on until it is dropped. It knows
/// the folders by what they are, not by their names: where they move, it follows.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    reading: JoinHandle<()>,
}

/// Something that happened to a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    /// Its name, seen from the folder that is watched.
    pub(crate) path: String,
    pub(crate) what: What,
}

/// What happened to a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It was made, or was there when its folder came.
    Made,
    /// Its bytes changed.
    Written,
    /// A rename gave it this name.
    MovedHere,
    /// A rename took this name away.
    MovedAway,
    /// It was removed.
    Removed,
}

#[derive(Debug)]
struct Seen {
    queue: OwnedFd,
    /// The folders that are watched: where each is, seen from the first.
    folders: HashMap<i32, PathBuf>,
    root: PathBuf,
    changes: Vec<Change>,
    /// Why not everything was seen.
    broken: Option<String>,
}

impl Watch {
    /// Watches `folder` from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(folder: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::io("watch", folder, error);
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        let mut seen = Seen {
            queue,
            folders: HashMap::new(),
            root: folder.to_owned(),
            changes: Vec::new(),
            broken: None,
        };
        seen.enter(Path::new(""));
        if let Some(broken) = seen.broken {
            return Err(Failure(broken));
        }
        seen.changes.clear();
        let seen = Arc::new(Mutex::new(seen));
        let reading = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut ticks = interval(GRAIN);
                loop {
                    ticks.tick().await;
                    lock(&seen).drain();
                }
            }
        });
        Ok(Self { seen, reading })
    }

    /// All that happened so far, in its order.
    ///
    /// # Errors
    /// When not everything was seen.
    pub(crate) fn changes(&self) -> Result<Vec<Change>, Failure> {
        let mut seen = lock(&self.seen);
        seen.drain();
        match &seen.broken {
            None => Ok(seen.changes.clone()),
            Some(broken) => Err(Failure(broken.clone())),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Seen {
    fn drain(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        loop {
            // Copied out first: a folder that comes is entered by way of the same queue.
            let mut events = Vec::new();
            let mut reader = Reader::new(&self.queue, &mut buffer);
            let ended = loop {
                match reader.next() {
                    Ok(event) => {
                        let name =
                            event.file_name().map(|name| name.to_string_lossy().into_owned());
                        events.push((event.wd(), event.events(), name));
                        if reader.is_buffer_empty() {
                            break false;
                        }
                    }
                    Err(Errno::WOULDBLOCK) => break true,
                    Err(error) => {
                        self.broken = Some(format!("the watch of files broke: {error}"));
                        break true;
                    }
                }
            };
            for (folder, flags, name) in events {
                self.note(folder, flags, name);
            }
            if ended {
                return;
            }
        }
    }

    fn note(&mut self, folder: i32, flags: ReadFlags, name: Option<String>) {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.broken = Some("the watch of files missed events".to_owned());
        }
        let (Some(folder), Some(name)) = (self.folders.get(&folder), name) else { return };
        let path = folder.join(name);
        let comes = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        if comes && flags.contains(ReadFlags::ISDIR) {
            self.enter(&path);
        }
        let kinds = [
            (ReadFlags::CREATE, What::Made),
            (ReadFlags::MODIFY, What::Written),
            (ReadFlags::MOVED_TO, What::MovedHere),
            (ReadFlags::MOVED_FROM, What::MovedAway),
            (ReadFlags::DELETE, What::Removed),
        ];
        if let Some((_, what)) = kinds.into_iter().find(|(flag, _)| flags.contains(*flag)) {
            self.push(&path, what);
        }
    }

    /// Watches a folder, and notes what is in it already.
    fn enter(&mut self, folder: &Path) {
        let place = self.root.join(folder);
        let wanted = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE;
        match inotify::add_watch(&self.queue, &place, wanted) {
            Ok(number) => self.folders.insert(number, folder.to_owned()),
            // It has gone again.
            Err(Errno::NOENT | Errno::NOTDIR) => return,
            Err(error) => {
                let place = place.display();
                self.broken = Some(format!("cannot watch {place}: {error}"));
                return;
            }
        };
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            let path = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.enter(&path),
                _ => self.push(&path, What::Made),
            }
        }
    }

    fn push(&mut self, path: &Path, what: What) {
        let (at, path) = (Instant::now(), path.to_string_lossy().into_owned());
        if what == What::Written
            && let Some(last) = self.changes.last()
            && last.what == what
            && last.path == path
            && at.duration_since(last.at) < GRAIN
        {
            return;
        }
        self.changes.push(Change { at, path, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_happens_in_folders_that_come_and_move_is_told() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("in");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("old"), "x").unwrap();
        let watch = Watch::start(root.path()).unwrap();
        fs::create_dir(inside.join("e1")).unwrap();
        fs::write(inside.join("e1/a.part"), "x").unwrap();
        watch.changes().unwrap();
        fs::rename(inside.join("e1"), inside.join("e2")).unwrap();
        watch.changes().unwrap();
        fs::rename(inside.join("e2/a.part"), inside.join("a")).unwrap();
        fs::remove_file(inside.join("old")).unwrap();
        let seen: Vec<_> = watch.changes().unwrap().into_iter().map(|c| (c.path, c.what)).collect();
        let told = |path: &str, what| seen.contains(&(path.to_owned(), what));
        for (path, what) in [
            ("in/e1/a.part", What::Made),
            ("in/e2/a.part", What::MovedAway),
            ("in/a", What::MovedHere),
            ("in/old", What::Removed),
        ] {
            assert!(told(path, what), "{path} {what:?}: {seen:?}");
        }
        assert!(!told("in/old", What::Made), "{seen:?}");
    }
}
