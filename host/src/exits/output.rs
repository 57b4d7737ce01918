//! What an exit prints: all of it in a file of the logs folder, up to a bound, and its end for the
//! job's record.

use std::{fs, io, path::PathBuf};

use jiff::Timestamp;
use tokio::{fs::File, io::AsyncWriteExt};

use super::{When, process::How};
use crate::{config::InstallDir, durable::blocking, journal::record::Job};

/// Bytes of the end of the output that go on record.
pub const TAIL_BYTES: usize = 1024;

/// Bytes of the output that the file takes.
const FILE_BYTES: usize = 1024 * 1024;

/// Where a run's output goes.
#[derive(Debug)]
pub(super) struct Output {
    /// `None` when it cannot be written: an exit runs all the same.
    file: Option<File>,
    /// Bytes that the file still takes.
    room: usize,
    /// Whether the file says that not all is there.
    cut: bool,
    tail: Vec<u8>,
}

impl Output {
    /// Opens `logs/exits/<job>.<delivery>.<pre or post>.<run>.log`.
    pub(super) async fn open(install: &InstallDir, job: &Job, when: When) -> Self {
        let (delivery, run) = (job.reference().delivery, when.state(&job.state).starts);
        let path = folder(install).join(format!("{}.{delivery}.{when}.{run}.log", job.id));
        let made = blocking(move || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::OpenOptions::new().create(true).append(true).open(&path)
        });
        let file = made.await.map(File::from_std);
        let file = file.inspect_err(|error| {
            tracing::warn!(job = %job.id, %error, "the output of a user exit is not kept");
        });
        Self {
            file: file.ok(),
            room: FILE_BYTES,
            cut: false,
            tail: Vec::with_capacity(2 * TAIL_BYTES),
        }
    }

    /// Takes what was printed.
    pub(super) async fn add(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        let (kept, rest) = bytes.split_at(bytes.len().min(self.room));
        self.room -= kept.len();
        self.write(kept).await;
        if !rest.is_empty() && !self.cut {
            self.cut = true;
            self.write(b"\n[what follows is not kept]\n").await;
        }
    }

    /// Closes the file with how the run ended, and gives the end of what was printed.
    pub(super) async fn close(mut self, how: &How) -> String {
        self.write(format!("[{how}]\n").as_bytes()).await;
        if let Some(mut file) = self.file
            && let Err(error) = file.flush().await
        {
            tracing::warn!(%error, "the output of a user exit is not complete");
        }
        let text = String::from_utf8_lossy(&self.tail);
        let start = text.len().saturating_sub(TAIL_BYTES);
        text[text.ceil_char_boundary(start)..].to_owned()
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(bytes).await {
            tracing::warn!(%error, "the output of a user exit is not kept any more");
            self.file = None;
        }
    }
}

/// Removes the outputs of runs before a time.
///
/// # Errors
/// When the folder cannot be read; a file that cannot be removed stays.
pub fn prune(install: &InstallDir, before: Timestamp) -> io::Result<()> {
    let entries = match fs::read_dir(folder(install)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let modified = entry.metadata()?.modified()?;
        if Timestamp::try_from(modified).is_ok_and(|modified| modified < before)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "an old output stays");
        }
    }
    Ok(())
}

fn folder(install: &InstallDir) -> PathBuf {
    install.logs().join("exits")
}
