//! What a partner's server saw, and what its folder holds.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use ferryway_mocks::ftp_server::{Entry, Side};

/// A rename that the server did, whether or not anybody heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rename {
    /// The new name, seen from the root.
    pub(crate) to: String,
    /// When it was done.
    pub(crate) at: Instant,
}

/// The renames that were done, in their order.
pub(crate) fn renames(said: &[Entry]) -> Vec<Rename> {
    let rename = |entry: &Entry| {
        let done = entry.text.strip_prefix("renamed ").filter(|_| entry.side == Side::Event)?;
        // No name of ours has a blank.
        let (_, to) = done.split_once(" to ")?;
        Some(Rename { to: to.trim_start_matches('/').to_owned(), at: entry.at })
    };
    said.iter().filter_map(rename).collect()
}

/// A command's path, seen from the login folder, which is the root.
pub(crate) fn path(command: &str) -> Option<String> {
    let (_, path) = command.split_once(' ')?;
    Some(path.trim_start_matches("./").trim_start_matches('/').to_owned())
}

/// The BLAKE3 hash of a file; `None` when it cannot be read.
pub(crate) fn hash(path: &Path) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).ok()?).ok()?;
    Some(hasher.finalize())
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
    use super::*;

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

    #[test]
    fn what_was_renamed_counts_and_not_what_was_asked_for() {
        let said = said(&[
            "RNFR a.part",
            "350 Ready.",
            "RNTO in/b.dat",
            "550 No.",
            "RNTO in/b.dat",
            "renamed /a.part to /in/b.dat",
        ]);
        let onto: Vec<_> = renames(&said).into_iter().map(|rename| rename.to).collect();
        assert_eq!(onto, ["in/b.dat"]);
    }
}
