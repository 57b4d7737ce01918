//! Files and folders: file indexes, handles that can be synced, names that are none.
//!
//! Who may read and write what is said by access lists, which new files inherit from their
//! folder: they are the administrator's.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt,
    path::{Component, Path},
};

use cap_std::fs::{Dir, OpenOptions as Inside, OpenOptionsExt as _};
use winapi_util::file::information;

use crate::platform::{Looks, Readers};

/// What the system tells of an open file.
pub(crate) fn looks(file: &File) -> io::Result<Looks> {
    /// From 1601, where Windows begins to count, to 1970, in ticks of 100 ns.
    const TICKS_TO_1970: i64 = 116_444_736_000_000_000;
    const TICKS: i64 = 10_000_000;
    let facts = information(file)?;
    let ticks = facts.last_write_time().and_then(|ticks| i64::try_from(ticks).ok());
    let since_1970 = ticks.unwrap_or_default() - TICKS_TO_1970;
    let modified = (since_1970.div_euclid(TICKS), since_1970.rem_euclid(TICKS) * 100);
    let (device, number) = (facts.volume_serial_number(), facts.file_index());
    Ok(Looks { device, number, size: facts.file_size(), modified })
}

/// Makes a folder with those that lead to it.
pub(crate) fn make_folders(path: &Path, _readers: Readers) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Leaves the file that is made to the access list of its folder.
pub(crate) fn keep_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// False: the access list is not looked at.
pub(crate) fn readable_by_others(_file: &Path) -> bool {
    false
}

/// True: whether a file is a program is found out by its start.
pub(crate) fn is_executable(_facts: &Metadata) -> bool {
    true
}

/// Makes the bytes of a file durable.
pub(crate) fn sync(file: &Path) -> io::Result<()> {
    // Only a handle that can write can sync.
    OpenOptions::new().write(true).open(file)?.sync_all()
}

/// As [`sync`], by another handle than that which reads the file, which `to_write` opens. A file
/// that this user may not write is none whose bytes he wrote.
pub(crate) fn sync_by(_file: &File, to_write: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
    match to_write() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// Nothing: what could not be written stays to be written.
pub(crate) fn forget(_file: &File) {}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OPEN_FOLDER).open(folder)?.sync_all()
}

/// As [`sync_folder`], of a folder below an open one.
pub(crate) fn sync_folder_in(root: &Dir, folder: &Path) -> io::Result<()> {
    let mut options = Inside::new();
    root.open_with(folder, options.write(true).custom_flags(OPEN_FOLDER))?.sync_all()
}

/// `FILE_FLAG_BACKUP_SEMANTICS`, without which no folder can be opened.
const OPEN_FOLDER: u32 = 0x0200_0000;

/// Bytes that may still be written to the disk of an open folder, whose path is `path`.
pub(crate) fn free_bytes(_root: &Dir, path: &Path) -> io::Result<u64> {
    let there = path.ancestors().find(|folder| folder.is_dir());
    fs4::available_space(there.ok_or(io::ErrorKind::NotFound)?)
}

/// Nothing that has a file's path waits when it is opened.
pub(crate) fn without_waiting(options: &mut Inside) -> &mut Inside {
    options
}

/// Why a path of text names no file here, beside what is wrong on every system: Windows would
/// take some names for devices or streams, and others for names without their last characters.
pub(crate) fn unusable(path: &Path) -> Option<&'static str> {
    let mut parts = path.components();
    if path.has_root() && !path.is_absolute() {
        return Some("it begins with a separator, but names no drive");
    }
    parts.find_map(|part| match part {
        Component::Normal(name) => name.to_str().and_then(unusable_name),
        Component::Prefix(_) if !path.is_absolute() => Some("it names a drive without its root"),
        _ => None,
    })
}

fn unusable_name(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let port = ["COM", "LPT"].iter().find_map(|port| stem.strip_prefix(port));
    if name.contains(['<', '>', ':', '"', '|', '?', '*']) || name.contains(|c: char| c < ' ') {
        return Some("Windows allows none of `<>:\"|?*` and no control character in a name");
    }
    if name.ends_with([' ', '.']) {
        return Some("Windows drops a space or dot at the end of a name");
    }
    if DEVICES.contains(&&*stem) || port.is_some_and(|number| number.chars().count() == 1) {
        return Some("Windows takes the name for a device");
    }
    None
}

/// The path as the bytes of an SQLite URI, before they are escaped: UTF-8, with `/`.
pub(crate) fn uri_bytes(path: &Path) -> Vec<u8> {
    let text = path.to_string_lossy().replace('\\', "/");
    // A drive's letter would be taken for the start of a relative path.
    let start = if text.starts_with('/') { "" } else { "/" };
    format!("{start}{text}").into_bytes()
}
