//! Points on the wire, what a partner's server saw, and what its folder holds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ferryway_mocks::ftp_server::Transfer;
use serde::Serialize;

/// A point in what a client asks a server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Point {
    /// The request has arrived, and nothing is done.
    Before,
    /// It is done, and not answered.
    After,
    /// It is answered.
    Answered,
    /// So many bytes have come.
    Byte(u64),
}

/// A command's path, seen from the login folder, which is the root.
pub(crate) fn path(command: &str) -> Option<String> {
    let (_, path) = command.split_once(' ')?;
    Some(below_root(path).to_owned())
}

/// A path seen from the root.
pub(crate) fn below_root(path: &str) -> &str {
    path.trim_start_matches("./").trim_start_matches('/')
}

/// Whether it carries the bytes of the file for this target. The probe of the server's behaviour
/// and the marker of a revoked folder do not.
pub(crate) fn is_upload(transfer: &Transfer, target: &str) -> bool {
    transfer.verb == "STOR" && (is_partial(&transfer.path) || below_root(&transfer.path) == target)
}

/// Whether this is the name of a partial.
pub(crate) fn is_partial(path: &str) -> bool {
    path.ends_with(".part")
}

/// The BLAKE3 hash of a file; `None` when it cannot be read.
pub(crate) fn hash(path: &Path) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).ok()?).ok()?;
    Some(hasher.finalize())
}

/// The size of the largest file below a folder.
pub(crate) fn largest(folder: &Path) -> u64 {
    let mut files = Vec::new();
    // Files come and go meanwhile: what was found counts.
    let _complete = find_files(folder, &mut files);
    files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).max().unwrap_or(0)
}

/// Finds the files below a folder.
///
/// # Errors
/// When a folder cannot be listed.
pub(crate) fn find_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use ferryway_mocks::ftp_server::{Entry, Side};

    /// Lines of one session: commands, replies that start with a digit, and notes that start
    /// with a small letter.
    pub(crate) fn said(lines: &[&str]) -> Vec<Entry> {
        let side = |text: &str| match text.as_bytes()[0] {
            b'0'..=b'9' => Side::Server,
            b'a'..=b'z' => Side::Event,
            _ => Side::Client,
        };
        let entry = |text: &&str| Entry {
            session: 1,
            side: side(text),
            text: (*text).to_owned(),
            at: Instant::now(),
        };
        lines.iter().map(entry).collect()
    }
}
