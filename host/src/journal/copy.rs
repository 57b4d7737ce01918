//! Copies of a database that its owner may still be writing to, without its locks.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::platform::{Looks, files};

/// The files of a database, in the order in which they must be copied.
///
/// The write-ahead log comes after the database: whatever a checkpoint moved into the
/// database meanwhile is still in the log, as long as the log's header (with its salts) is
/// the same. So does the rollback journal: it has the old content of every page that was
/// changed, as long as its transaction has not ended, and an end changes the journal's
/// header and the change counter in the database's.
const SUFFIXES: [&str; 3] = ["", "-wal", "-journal"];

/// What a database's files look like: enough to tell whether a commit or a checkpoint ended
/// between two looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look([Option<Face>; 3]);

#[derive(Debug, PartialEq, Eq)]
struct Face {
    looks: Looks,
    header: Vec<u8>,
}

impl Look {
    /// The look before a read: the journal last. A commit writes the change counter first and
    /// ends its journal last, so one whose counter was seen is seen in the journal as well,
    /// unless it is over.
    pub(super) fn before(database: &Path) -> io::Result<Self> {
        let [main, log, journal] = SUFFIXES.map(|suffix| with_suffix(database, suffix));
        let (main, log, journal) = (face(&main)?, face(&log)?, face(&journal)?);
        Ok(Self([main, log, journal]))
    }

    /// The look after a read: the journal first. A commit that was over by then has left its
    /// change counter.
    pub(super) fn after(database: &Path) -> io::Result<Self> {
        let [main, log, journal] = SUFFIXES.map(|suffix| with_suffix(database, suffix));
        let (journal, log, main) = (face(&journal)?, face(&log)?, face(&main)?);
        Ok(Self([main, log, journal]))
    }

    /// Whether the database has content that is not in its main file, or a transaction whose
    /// end nobody saw.
    pub(super) fn is_unfinished(&self) -> bool {
        let [_, log, journal] = &self.0;
        log.as_ref().is_some_and(|log| log.looks.size > 0)
            || journal.as_ref().is_some_and(|journal| {
                // A journal that is over is empty, or its header is zero.
                journal.header.first().is_some_and(|&byte| byte != 0)
            })
    }

    /// Whether there is no such database.
    pub(super) fn is_absent(&self) -> bool {
        self.0[0].is_none()
    }
}

/// Copies a database with its log and journal, as of one moment, waiting for its owner to
/// come to rest. An owner that was fenced writes at most once more; so this ends soon.
///
/// # Errors
/// The last failure, after some seconds of trying.
pub(super) fn copy_database(from: &Path, to: &Path) -> io::Result<()> {
    const TRIES: u32 = 60;
    let mut tries = 1;
    loop {
        // Any error may be the owner's doing, such as a log removed between look and copy, or
        // a stale handle on NFS.
        match copy_once(from, to) {
            Ok(true) => return Ok(()),
            Ok(false) if tries < TRIES => {}
            Ok(false) => {
                return Err(io::Error::other("the file keeps changing: its owner still runs"));
            }
            Err(error) if tries >= TRIES || error.kind() == io::ErrorKind::StorageFull => {
                return Err(error);
            }
            Err(_) => {}
        }
        let pause = (2 * u64::from(tries)).min(100);
        std::thread::sleep(Duration::from_millis(pause + fastrand::u64(..=pause)));
        tries += 1;
    }
}

/// Removes a database with everything that belongs to it.
pub(super) fn remove_database(database: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-journal", "-shm"] {
        match fs::remove_file(with_suffix(database, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn copy_once(from: &Path, to: &Path) -> io::Result<bool> {
    remove_database(to)?;
    let before = Look::before(from)?;
    if before.is_absent() {
        return Err(io::ErrorKind::NotFound.into());
    }
    for (suffix, face) in SUFFIXES.iter().zip(&before.0) {
        if face.is_some() {
            let mut source = File::open(with_suffix(from, suffix))?;
            let mut copy = File::create(with_suffix(to, suffix))?;
            io::copy(&mut source, &mut copy)?;
        }
    }
    Ok(Look::after(from)? == before)
}

fn face(path: &Path) -> io::Result<Option<Face>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // The database's header has 100 bytes with the change counter, the log's 32 with the
    // salts, the journal's 28.
    let mut header = Vec::with_capacity(100);
    (&file).take(100).read_to_end(&mut header)?;
    Ok(Some(Face { looks: files::looks(&file)?, header }))
}

fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rusqlite::Connection;

    use super::*;

    /// Each transaction gives all rows one number, so a torn copy has several.
    fn copies_of_a_busy_database_are_whole(mode: &str) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
        let writer = Connection::open(&from).unwrap();
        writer
            .execute_batch(&format!(
                "PRAGMA journal_mode = {mode}; PRAGMA wal_autocheckpoint = 50;
                 PRAGMA cache_size = 20; CREATE TABLE t (n INTEGER, filler BLOB);
                 INSERT INTO t WITH RECURSIVE i(n) AS
                 (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 400)
                 SELECT 0, randomblob(3000) FROM i;"
            ))
            .unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (writer, done) = (writer, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    for _ in 0..fastrand::u32(1..8) {
                        writer.execute("UPDATE t SET n = n + 1", []).unwrap();
                    }
                    // A database that never rests cannot be copied.
                    std::thread::sleep(Duration::from_millis(fastrand::u64(5..30)));
                }
            });
            let _done = Done(done);
            for _ in 0..60 {
                copy_database(&from, &to).unwrap();
                let copy = Connection::open(&to).unwrap();
                let numbers = "SELECT count(DISTINCT n) FROM t";
                let different: i64 = copy.query_row(numbers, [], |row| row.get(0)).unwrap();
                let fault: String =
                    copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
                assert_eq!((different, &*fault), (1, "ok"));
            }
        });
    }

    /// Ends the writer, also when an assertion fails.
    struct Done<'a>(&'a AtomicBool);

    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn with_a_log() {
        copies_of_a_busy_database_are_whole("WAL");
    }

    #[test]
    fn with_a_rollback_journal() {
        copies_of_a_busy_database_are_whole("PERSIST");
    }
}
