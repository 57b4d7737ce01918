//! The journal for onlookers: read-only, with or without a host.

use std::path::{Path, PathBuf};

use ferryway_core::JobId;
use rusqlite::Connection;

use super::{
    JournalError, Owner, Result,
    copy::Look,
    fault::{damaged, failed},
    record::{Entry, HistoryQuery, Job},
    sqlite::{
        Archive, View,
        schema::{self, JOURNAL},
    },
    takeover,
};

/// A journal as it stood when it was opened: after a takeover, a new reader sees what the
/// successor writes.
///
/// It changes nothing. While a host writes, and after one that died, SQLite needs the shared
/// memory file beside the journal, and so write permission on the folder: run as the service's
/// user. After a clean stop, permission to read is enough.
#[derive(Debug)]
pub struct Reader {
    owner: Owner,
    database: PathBuf,
    archive: Archive,
    connection: Connection,
}

impl Reader {
    /// Opens the journal of an install directory.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when there is none, [`JournalError::Newer`],
    /// [`JournalError::Io`].
    pub fn open(install: &Path) -> Result<Self> {
        let folder = install.join("journal");
        let owner = Owner::read(&folder)?.ok_or_else(|| no_journal(&folder))?;
        // In the middle of a takeover, the newest that is whole is the former owner's.
        let epoch = takeover::newest_complete(&folder, None)?.ok_or_else(|| no_journal(&folder))?;
        let database = takeover::database(&folder, epoch);
        schema::identify(&database, &JOURNAL)?;
        let connection = open(&database)?;
        Ok(Self { owner, archive: Archive::new(&folder, epoch), database, connection })
    }

    /// Who owns the instance.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// One job, finished ones included.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn job(&self, id: &JobId) -> Result<Option<Job>> {
        self.view().job(id)
    }

    /// All jobs that have not ended, in the order of acceptance.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn in_flight(&self) -> Result<Vec<Job>> {
        self.view().in_flight()
    }

    /// Jobs that ended, the newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<Job>> {
        self.view().history(query)
    }

    /// A job's record, the oldest entry first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(&self, id: &JobId) -> Result<Vec<Entry>> {
        self.view().entries(id)
    }

    fn view(&self) -> View<'_> {
        View { connection: &self.connection, database: &self.database, archive: &self.archive }
    }
}

fn open(database: &Path) -> Result<Connection> {
    let look =
        Look::before(database).map_err(|error| failed(database, "look at the journal", error))?;
    if !look.is_unfinished() && is_in_log_mode(database)? {
        // No log: the last host stopped cleanly, and the next one writes to a file of its own.
        return schema::open_immutable(database);
    }
    let connection = schema::open_reader(database)?;
    let probe = connection.query_row("SELECT epoch FROM meta", [], |row| row.get::<_, i64>(0));
    match probe {
        Ok(_) => Ok(connection),
        Err(error) => Err(JournalError::Io {
            path: database.display().to_string(),
            action: "cannot read it while its log is in use; run this command as the service's \
                     user, on the node that runs the host"
                .to_owned(),
            source: std::sync::Arc::new(error),
        }),
    }
}

/// Whether the database is in write-ahead mode, by the version numbers in its header.
fn is_in_log_mode(database: &Path) -> Result<bool> {
    use std::io::Read;
    let mut header = [0; 20];
    std::fs::File::open(database)
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(|error| failed(database, "read the header", error))?;
    Ok(header[18] == 2)
}

fn no_journal(folder: &Path) -> JournalError {
    damaged(
        folder,
        "there is no journal: no host ever ran here, or this is not the install directory",
    )
}
