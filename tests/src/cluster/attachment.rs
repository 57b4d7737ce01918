//! A machine's way to the shared disk.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Manager, SharedDisk};
use crate::{
    process::{ProcessTree, said, system},
    wait::{LIMIT, holds_within},
};

/// What a mount of the shared folder is like: who opens a file finds what another machine has closed,
/// and locks are known to the machine alone.
const COHERENT: &str = "attr_timeout=0,entry_timeout=0,negative_timeout=0";

/// A way to the disk, which no other machine goes. It is gone when dropped, and so is a machine's
/// hold on the disk.
#[derive(Debug)]
pub(super) enum Attachment {
    /// A loop device over the disk's image, such as `loop7`, which goes with the last machine that
    /// holds it. What one machine has in its cache the others do not see.
    Device(String),
    /// A mount of the shared folder, and the process that serves it, which no fault of the machine
    /// touches.
    Folder(PathBuf, ProcessTree),
}

impl Attachment {
    /// Makes a way for a machine with the folder `home` to the disk in the laboratory's folder.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn make(manager: Manager, lab: &Path, home: &Path) -> io::Result<Self> {
        match manager {
            Manager::Pacemaker => {
                let mut attach = system("losetup");
                attach.args(["--find", "--show", "--direct-io=on"]).arg(SharedDisk::file(lab));
                Ok(Self::Device(said(&mut attach)?.trim_start_matches("/dev/").to_owned()))
            }
            Manager::Keepalived => mount(&shared_folder(lab), home),
        }
    }

    /// Where it is, as the machine is told.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Device(name) => Path::new("/dev").join(name),
            Self::Folder(path, _) => path.clone(),
        }
    }

    /// Leaves it to the machine, which has it open by now: it ends no later.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn leave_to_machine(&self) -> io::Result<()> {
        match self {
            Self::Device(_) => said(system("losetup").arg("--detach").arg(self.path())).map(drop),
            Self::Folder(..) => Ok(()),
        }
    }

    /// Whether the disk's file system is mounted by it, also in a machine that is frozen.
    pub(super) fn is_mounted(&self) -> bool {
        match self {
            Self::Device(name) => Path::new("/sys/fs/ext4").join(name).exists(),
            Self::Folder(path, _) => is_mount(path),
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Self::Folder(path, server) = self {
            server.kill();
            said(system("umount").arg("--lazy").arg(path)).ok();
        }
    }
}

/// The folder that keepalived's machines share, in the laboratory's.
pub(super) fn shared_folder(lab: &Path) -> PathBuf {
    lab.join("shared")
}

fn mount(shared: &Path, home: &Path) -> io::Result<Attachment> {
    let path = home.join("disk");
    fs::create_dir_all(&path)?;
    let mut serve = system("bindfs");
    serve.args(["-f", "--multithreaded", "-o", COHERENT]).arg(shared).arg(&path);
    let server = ProcessTree::spawn(&serve, &home.join("disk.log"))?;
    match holds_within(LIMIT, || is_mount(&path)) {
        true => Ok(Attachment::Folder(path, server)),
        false => Err(io::Error::other(format!("{} is not mounted", path.display()))),
    }
}

fn is_mount(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|facts| facts.dev()).ok();
    path.parent().is_some_and(|parent| device(parent) != device(path))
}
