//! The disks of a lab: ours, as a successor finds it, and the partner's.

use std::{path::Path, time::Duration};

use ferryway_core::Direction;
use ferryway_host::journal::JournalStore;
use ferryway_mocks::memory_transport::MemoryPartner;
use tempfile::TempDir;

use crate::lab::{Lab, Node, TARGET};

impl Lab {
    /// The disk as it is at this moment, for a successor that finds it so.
    pub fn image(&self) -> TempDir {
        self.camera()()
    }

    /// What takes such an image from another thread.
    pub fn camera(&self) -> impl Fn() -> TempDir + Send + Sync + 'static {
        camera(self.path(), self.setup.direction)
    }

    /// From now on the disk is this one; whoever still writes to the old one is dead.
    pub fn mount(&mut self, image: TempDir) {
        self.dir = image;
    }

    /// Waits until the node has moved all finished jobs into the history's files.
    pub async fn archived(&self, node: &Node) {
        let hot = self.hot(node.journal.epoch().number()).unwrap();
        let finished = "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL";
        while hot.query_one(finished, [], |row| row.get::<_, i64>(0)).unwrap_or(1) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What the newest journal says of staging folders and leftovers.
    pub fn notes_on_partner(&self) -> Vec<String> {
        let Some(hot) = (1..10).rev().find_map(|epoch| self.hot(epoch).ok()) else {
            return Vec::new();
        };
        let all = "SELECT base || epoch || names || state FROM staging \
                   UNION ALL SELECT path FROM leftovers";
        let mut all = hot.prepare(all).unwrap();
        all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn hot(&self, epoch: u64) -> rusqlite::Result<rusqlite::Connection> {
        let path = self.path().join(format!("journal/hot.{epoch}/journal.db"));
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(path, flags)
    }

    /// The partner's service moves to a disk on which nothing of ours is, with this file as the
    /// target if there is one.
    pub fn swap_disk(&self, target: Option<&[u8]>) {
        match &self.remote {
            None => {
                let other = MemoryPartner::new();
                other.make_folders("in");
                self.partner.swap_disks(&other);
            }
            Some(remote) => {
                let folder = remote.folder.join("in");
                std::fs::rename(&folder, self.path().join("other_disk")).unwrap();
                std::fs::create_dir(&folder).unwrap();
            }
        }
        if let Some(bytes) = target {
            self.put(TARGET, bytes);
        }
    }
}

/// What takes an image of a disk from another thread.
pub fn camera(disk: &Path, direction: Direction) -> impl Fn() -> TempDir + Send + Sync + 'static {
    let disk = disk.to_owned();
    move || {
        let image = in_memory();
        copy_disk(&disk, image.path(), direction);
        image
    }
}

/// A folder that costs no disk, where there is such a thing.
pub fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    folder.unwrap()
}

/// Copies an install directory while its node may be writing. What vanishes meanwhile was not
/// to stay.
fn copy_disk(from: &Path, to: &Path, direction: Direction) {
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let done = if path.is_dir() {
            std::fs::create_dir(&copy).map(|()| copy_disk(&path, &copy, direction))
        } else if direction == Direction::Send && from.ends_with("data") {
            // A source is known by its inode, too.
            std::fs::hard_link(&path, &copy)
        } else {
            std::fs::copy(&path, &copy).map(drop)
        };
        if let Err(error) = done {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display());
        }
    }
}

/// The paths of all files in a folder, with `lead` before them.
pub fn files_below(folder: &Path, lead: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{lead}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path(), &format!("{path}/")));
        } else {
            files.push(path);
        }
    }
    files
}
