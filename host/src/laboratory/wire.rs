//! What a partner's server saw, and what its folder holds.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use ferryway_mocks::ftp_server::{Entry, Side};

/// A rename that the server confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rename {
    /// The new name.
    pub(crate) to: String,
    /// Number of the session that asked for it.
    pub(crate) session: u64,
    /// When it was confirmed.
    pub(crate) at: Instant,
}

/// The renames that were confirmed, in their order.
pub(crate) fn renames(said: &[Entry]) -> Vec<Rename> {
    let rename = |(index, command): (usize, &Entry)| {
        if command.side != Side::Client || !command.text.starts_with("RNTO ") {
            return None;
        }
        let answers =
            |entry: &&Entry| entry.session == command.session && entry.side == Side::Server;
        let reply = said[index..].iter().find(answers)?;
        let to = path(&command.text)?;
        let session = command.session;
        reply.text.starts_with("250").then_some(Rename { to, session, at: reply.at })
    };
    said.iter().enumerate().filter_map(rename).collect()
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

    /// Lines of one session: commands, and replies that start with a digit.
    pub(crate) fn said(lines: &[&str]) -> Vec<Entry> {
        let side = |text: &str| match text.as_bytes()[0] {
            b'0'..=b'9' => Side::Server,
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
    fn only_confirmed_renames_count() {
        let said = said(&[
            "RNFR a.part",
            "350 Ready.",
            "RNTO in/b.dat",
            "550 No.",
            "RNFR a.part",
            "350 Ready.",
            "RNTO /in/b.dat",
            "250 Done.",
            "RNTO in/b.dat",
        ]);
        let onto: Vec<_> = renames(&said).into_iter().map(|rename| rename.to).collect();
        assert_eq!(onto, ["in/b.dat"]);
    }
}
