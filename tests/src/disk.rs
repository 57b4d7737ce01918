//! Small disks that fill up, turn read-only, or vanish under a running server.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

use crate::{
    Unavailable,
    process::{said, system},
};

/// EXT4_IOC_SHUTDOWN without a flush of the log, as a power cut is.
const SHUT_DOWN: &str = "import fcntl, os, sys\n\
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, b'\\2\\0\\0\\0')";

/// Bytes at the beginning of an ext4 disk that hold its books, the journal among them.
const BOOKS: u64 = 16 << 20;

/// A file system of a size of our own, mounted in a folder of our own; unmounted
/// when dropped. Mounting needs root.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
    // The file behind a loop device, for a disk that has one.
    image: Option<PathBuf>,
    // Whether this is the node where it was made.
    first: bool,
}

impl SmallDisk {
    /// A disk in memory of `size` bytes. It has room for files of that size in
    /// all, and loses them when it is detached.
    ///
    /// # Errors
    /// This process may not mount.
    pub fn mount(size: u64) -> Result<Self, Unavailable> {
        let disk = Self { folder: folder()?, image: None, first: true };
        let options = format!("size={size},mode=0777");
        run("mount", &["-t", "tmpfs", "-o", &options, "ferryway-test"], &[disk.path()])?;
        Ok(disk)
    }

    /// An ext4 disk of `size` bytes, its own book-keeping included, on a loop
    /// device. It keeps its files when it is detached and attached again.
    ///
    /// # Errors
    /// There are no loop devices or no `mkfs.ext4`, or this process may not mount.
    pub fn mount_ext4(size: u64) -> Result<Self, Unavailable> {
        // Not in the folder: that is covered by the mount.
        let disk = Self::make_ext4(folder()?.keep().join("disk.img"), size, "root_owner")?;
        disk.attach()?;
        Ok(disk)
    }

    /// The same on a disk in memory that has less room: while `below` is full, what is written to
    /// files for the first time is lost, with an error. The file system itself goes on.
    ///
    /// # Errors
    /// Those of [`SmallDisk::mount_ext4`], or `below` has no room for the books.
    pub fn mount_ext4_on(below: &Self, size: u64) -> Result<Self, Unavailable> {
        let image = below.path().join("image/disk.img");
        let options = "root_owner,packed_meta_blocks=1";
        let disk = Self::make_ext4(image.clone(), size, options)?;
        let books = File::options()
            .write(true)
            .open(&image)
            .and_then(|image| Ok(fallocate(image, FallocateFlags::empty(), 0, BOOKS)?));
        books.map_err(|error| Unavailable::new("room for a file system's books", error))?;
        disk.attach()?;
        Ok(disk)
    }

    /// An ext4 disk with its image in a file, whose folder goes with it; not attached yet.
    fn make_ext4(image: PathBuf, size: u64, options: &str) -> Result<Self, Unavailable> {
        let sized = image.parent().map_or(Ok(()), fs::create_dir_all);
        let sized = sized.and_then(|()| File::create(&image)?.set_len(size));
        sized.map_err(|error| Unavailable::new("a disk image", error))?;
        run("mkfs.ext4", &["-q", "-m", "0", "-E", options], &[&image])?;
        Ok(Self { folder: folder()?, image: Some(image), first: true })
    }

    /// Like [`SmallDisk::mount`]; where it cannot be the test is skipped visibly
    /// (`None`), or fails where `CI` is set.
    pub fn mount_or_skip(size: u64) -> Option<Self> {
        Self::mount(size).inspect_err(Unavailable::skip).ok()
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Refuses writes from now on, as a disk with errors does.
    ///
    /// # Errors
    /// A file is open for writing on it, among others.
    pub fn make_read_only(&self) -> Result<(), Unavailable> {
        run("mount", &["-o", "remount,ro"], &[self.path()])
    }

    /// Allows writes again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn make_writable(&self) -> Result<(), Unavailable> {
        run("mount", &["-o", "remount,rw"], &[self.path()])
    }

    /// Takes it away, even from under open files: who looks at its path finds an
    /// empty folder, while open files go on as if nothing had happened.
    ///
    /// # Errors
    /// It is not attached.
    pub fn detach(&self) -> Result<(), Unavailable> {
        run("umount", &["-l"], &[self.path()])
    }

    /// Brings a detached ext4 disk back.
    ///
    /// # Errors
    /// It has no image, or the system refuses.
    pub fn attach(&self) -> Result<(), Unavailable> {
        let image = self.image.as_ref();
        let image =
            image.ok_or_else(|| Unavailable::new("a detached disk", "it was in memory only"))?;
        if self.first {
            return run("mount", &["-o", "loop"], &[image, self.path()]);
        }
        // `mount` by itself finds the first node's loop device, and with it the broken file
        // system that open files keep there.
        let device = answer(system("losetup").args(["--find", "--show"]).arg(image))?;
        let mounted = run("mount", &[&device], &[self.path()]);
        // The device goes when nothing is mounted on it any more.
        run("losetup", &["--detach", &device], &[])?;
        mounted
    }

    /// Lets an ext4 disk fail at once, under the files that are open on it: every access is an
    /// error from now on, and what was not durable is lost. [`SmallDisk::elsewhere`] shows what
    /// is left.
    ///
    /// # Errors
    /// It is none of ext4, or the system refuses.
    pub fn break_down(&self) -> Result<(), Unavailable> {
        shut_down(self.path()).map_err(|error| Unavailable::new("a disk that breaks down", error))
    }

    /// The place of the same ext4 disk on another node, where it is not attached yet. It is to be
    /// attached there after it was detached or has broken down here.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn elsewhere(&self) -> Result<Self, Unavailable> {
        Ok(Self { folder: folder()?, image: self.image.clone(), first: false })
    }

    fn is_attached(&self) -> bool {
        // The device number differs from the parent's where something is mounted.
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| path.metadata().map(|data| data.dev()).ok();
        self.path().parent().is_some_and(|parent| device(parent) != device(self.path()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.is_attached() {
            // What cannot be unmounted is left to the operating system.
            self.detach().ok();
        }
        if let Some(folder) = self.image.as_deref().and_then(Path::parent) {
            // Whichever node goes first: what is mounted keeps the bytes of the image.
            fs::remove_dir_all(folder).ok();
        }
    }
}

/// Ends the ext4 file system at `path` as a loss of power does: every access is an error from now
/// on, and what was not durable is lost.
///
/// # Errors
/// It is none of ext4, or the system refuses.
pub fn shut_down(path: &Path) -> io::Result<()> {
    said(system("python3").args(["-c", SHUT_DOWN]).arg(path)).map(drop)
}

fn folder() -> Result<TempDir, Unavailable> {
    let folder = tempfile::Builder::new().prefix("ferryway-disk-").tempdir();
    folder.map_err(|error| Unavailable::new("a folder to mount on", error))
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> Result<(), Unavailable> {
    answer(system(program).args(arguments).args(paths)).map(drop)
}

fn answer(command: &mut Command) -> Result<String, Unavailable> {
    said(command).map_err(|error| Unavailable::new("a disk of the test's own", error))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_small_disk_fills_up_turns_read_only_and_goes_with_its_owner() {
        let Some(disk) = SmallDisk::mount_or_skip(1 << 20) else { return };
        let path = disk.path().join("file");
        let full = fs::write(&path, vec![1; 2 << 20]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        disk.make_read_only().unwrap();
        let refused = fs::write(&path, b"x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
        disk.make_writable().unwrap();
        fs::write(&path, b"x").unwrap();

        let folder = disk.path().to_owned();
        drop(disk);
        assert!(!folder.exists());
    }

    #[test]
    fn a_disk_that_breaks_down_fails_open_files_and_keeps_what_was_durable() {
        let disk = match SmallDisk::mount_ext4(8 << 20) {
            Ok(disk) => disk,
            Err(reason) => return reason.skip(),
        };
        let path = disk.path().join("file");
        fs::write(&path, b"kept").unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        disk.break_down().unwrap();
        assert!(fs::write(disk.path().join("other"), b"x").is_err());
        disk.detach().unwrap();
        let elsewhere = disk.elsewhere().unwrap();
        elsewhere.attach().unwrap();
        assert_eq!(fs::read(elsewhere.path().join("file")).unwrap(), b"kept");
    }

    #[test]
    fn an_ext4_disk_comes_back_with_its_files() {
        let disk = match SmallDisk::mount_ext4(8 << 20) {
            Ok(disk) => disk,
            Err(reason) => return reason.skip(),
        };
        let path = disk.path().join("file");
        fs::write(&path, b"kept").unwrap();
        disk.detach().unwrap();
        assert!(!path.exists());
        disk.attach().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"kept");
    }
}
