//! Files and folders: modes, inodes, durable names.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

use cap_std::fs::{Dir, OpenOptions as Inside, OpenOptionsExt as _};

use crate::platform::{Looks, Readers};

/// What the system tells of an open file.
pub(crate) fn looks(file: &File) -> io::Result<Looks> {
    let facts = file.metadata()?;
    let modified = (facts.mtime(), facts.mtime_nsec());
    Ok(Looks { device: facts.dev(), number: facts.ino(), size: facts.len(), modified })
}

/// Makes a folder with those that lead to it.
pub(crate) fn make_folders(path: &Path, readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o700,
        Readers::Group => 0o750,
    };
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Lets the owner alone read and write the file that is made.
pub(crate) fn keep_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Whether others than the file's owner may read it. False where that cannot be told.
pub(crate) fn readable_by_others(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0)
}

/// Whether somebody may run the file as a program.
pub(crate) fn is_executable(facts: &Metadata) -> bool {
    facts.permissions().mode() & 0o111 != 0
}

/// Makes the bytes of a file durable.
pub(crate) fn sync(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()
}

/// As [`sync`], by an open handle of the file, or where that is not enough by another one, which
/// `to_write` opens.
pub(crate) fn sync_by(file: &File, _to_write: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
    file.sync_all()
}

/// Lets what is read next of a synced file come from the disk, as far as the system can.
pub(crate) fn forget(file: &File) {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).ok();
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// As [`sync_folder`], of a folder below an open one.
pub(crate) fn sync_folder_in(root: &Dir, folder: &Path) -> io::Result<()> {
    root.open(folder)?.sync_all()
}

/// Bytes that may still be written to the disk of an open folder, whose path is `path`.
pub(crate) fn free_bytes(root: &Dir, _path: &Path) -> io::Result<u64> {
    let facts = rustix::fs::fstatvfs(root)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Keeps an open from waiting: that of a pipe would wait for its other end.
pub(crate) fn without_waiting(options: &mut Inside) -> &mut Inside {
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
}

/// Why a path of text names no file here, beside what is wrong on every system.
pub(crate) fn unusable(_path: &Path) -> Option<&'static str> {
    None
}

/// The path as the bytes of an SQLite URI, before they are escaped.
pub(crate) fn uri_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}
