//! The files of the operator's log, and their rotation by size.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::config::LogSettings;

/// `ferryway.log` and its predecessors `ferryway.log.1`, the newest, and on.
///
/// The file is opened anew for each batch of lines: the folder may be moved, cleared or
/// unmounted under a running host, and after a takeover another host writes there.
pub(super) struct LogFile {
    folder: PathBuf,
    name: String,
    /// A write failed in mid-line, so the next line begins with a line end.
    torn: bool,
}

/// A batch that could not be written whole.
pub(super) struct Unwritten {
    /// How many lines of the batch are in the file.
    pub(super) written: usize,
    pub(super) error: io::Error,
}

impl LogFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self::named(folder, "ferryway.log")
    }

    /// Files of another name.
    pub(super) fn named(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned(), torn: false }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Appends the lines, each getting its line end.
    pub(super) fn append(
        &mut self,
        lines: &[String],
        settings: LogSettings,
    ) -> Result<(), Unwritten> {
        let mut written = 0;
        let mut append = || {
            let (mut file, mut size) = self.open()?;
            for line in lines {
                let bytes = line.len() as u64 + 1;
                if size > 0 && size + bytes > settings.file_bytes {
                    self.rotate(settings.files)?;
                    (file, size) = self.open()?;
                }
                let start = if std::mem::replace(&mut self.torn, true) { "\n" } else { "" };
                // One write for a whole line, so that lines of two hosts do not mix.
                file.write_all(format!("{start}{line}\n").as_bytes())?;
                self.torn = false;
                written += 1;
                size += bytes;
            }
            Ok(())
        };
        append().map_err(|error| Unwritten { written, error })
    }

    fn open(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).open(self.path())?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Moves each file one number up. The one beyond the last number is replaced.
    fn rotate(&self, files: usize) -> io::Result<()> {
        let numbered = |number: usize| self.folder.join(format!("{}.{number}", self.name));
        for number in (1..files).rev() {
            ignore_absence(fs::rename(numbered(number), numbered(number + 1)))?;
        }
        ignore_absence(fs::rename(self.path(), numbered(1)))
    }
}

fn ignore_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
