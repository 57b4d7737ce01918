//! The shared disk: a device with a cache that a loss of power empties, and with errors on order.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use super::furnish::make_image;
use crate::{
    process::{ProcessTree, said, system},
    wait::{LIMIT, holds_within},
};

/// What the disk does with what it is told.
const DISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/shared_disk.py");

/// How long the disk may take to do what it is ordered.
const OBEDIENCE: Duration = Duration::from_secs(20);

/// The disk. Dropping it takes it away; nobody may have it by then.
#[derive(Debug)]
pub struct SharedDisk {
    control: PathBuf,
    // The file ends before what it is made of.
    _file: ProcessTree,
    _server: ProcessTree,
}

impl SharedDisk {
    /// Where machines find it: a file below the laboratory's folder. Each write goes to the disk
    /// at once, and so does each sync, as a flush. What holds it open while everything ends is
    /// known by the last part of the name alone, which is this process's id.
    pub fn file(lab: &Path) -> PathBuf {
        lab.join("shared/port").join(format!("disk.{}", process::id()))
    }

    /// Makes the disk with the files of a folder on it. It is mounted for this process and its
    /// children, if those have mounts of their own.
    ///
    /// # Errors
    /// The system refuses, or the disk is not there within a limit.
    pub fn serve(lab: &Path, content: &Path) -> io::Result<Self> {
        let (socket, control) = (lab.join("nbd"), lab.join("disk-orders"));
        let (file, log) = (Self::file(lab), lab.join("disk.log"));
        // In memory: what else uses this machine's disk has no part in it.
        let inside = lab.join("shared");
        fs::create_dir(&inside)?;
        said(system("mount").args(["-t", "tmpfs", "-o", "mode=700", "shared"]).arg(&inside))?;
        let image = inside.join("image");
        make_image(&image, content)?;
        let mut serve = own_processor("nbdkit");
        serve.args(["--foreground", "--unix"]).arg(&socket).arg("python").arg(DISK);
        serve.arg(format!("image={}", image.display()));
        serve.arg(format!("control={}", control.display()));
        let server = ProcessTree::spawn(&serve, &log)?;
        let absent = || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("the shared disk is not there\n{said}"))
        };
        if !holds_within(LIMIT, || socket.exists() && control.exists()) {
            return Err(absent());
        }
        fs::create_dir(inside.join("port"))?;
        let mut mount = own_processor("nbdfuse");
        mount.arg(&file).arg("--unix").arg(&socket);
        let mounted = ProcessTree::spawn(&mount, &log)?;
        match holds_within(LIMIT, || file.exists()) {
            true => Ok(Self { control, _file: mounted, _server: server }),
            false => Err(absent()),
        }
    }

    /// Lets every request fail until [`SharedDisk::mend`].
    ///
    /// # Errors
    /// It does not answer.
    pub fn fail(&self) -> io::Result<()> {
        self.order("fail").map(drop)
    }

    /// Lets it do again what it is told, with power.
    ///
    /// # Errors
    /// It does not answer.
    pub fn mend(&self) -> io::Result<()> {
        self.order("mend").map(drop)
    }

    /// Takes its power away in the middle of its next flush: of what was written since the last
    /// one some is lost, as chance has it. Every request fails until [`SharedDisk::mend`].
    ///
    /// # Errors
    /// Nothing is flushed within a limit, or it does not answer.
    pub fn cut(&self) -> io::Result<()> {
        self.order("cut").map(drop)
    }

    fn order(&self, order: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.control)?;
        stream.set_read_timeout(Some(OBEDIENCE))?;
        writeln!(stream, "{order}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        match answer.trim() {
            "" => Err(io::Error::other(format!("the disk does not answer to {order}"))),
            refused if refused.starts_with("refused") => {
                Err(io::Error::other(format!("the disk: {refused}")))
            }
            answer => Ok(answer.to_owned()),
        }
    }
}

/// A program that does not wait for others: a disk has a processor of its own.
fn own_processor(program: &str) -> Command {
    let mut nice = system("nice");
    nice.args(["-n", "-15", program]);
    nice
}
