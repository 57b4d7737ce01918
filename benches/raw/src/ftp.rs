//! What files cost by FTP without a journal: the fewest commands that move a file at all, or those that
//! Ferryway needs for each, in its order, or these and what makes a file proved and durable.

use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    path::Path,
    sync::Mutex,
    thread,
};

use crate::{Failure, chunk, copy};

/// Connections, each with a thread: as many as the other clients have.
const SESSIONS: usize = 4;

/// Where files lie before they have their name.
const STAGING: &str = ".ferryway";

/// Which way the files go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Up,
    /// From the server.
    Down,
}

/// What is done for each file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Care {
    /// Its bytes move.
    Least,
    /// It goes up to a partial name, is compared by its size and renamed, or is looked at before and
    /// after it comes down.
    Dialogue,
    /// It is hashed as well, and on our disk in the end, file and name.
    Durable,
}

/// Moves files to or from the folder `remote` of an anonymous server on loopback; `list` has a path
/// on our side in each line.
///
/// # Errors
/// Whatever goes wrong first in each session.
pub(crate) fn run(
    care: Care,
    way: Way,
    port: u16,
    (list, remote): (&str, &str),
) -> Result<(), Failure> {
    if way == Way::Up && care > Care::Least {
        Session::open(port, care)?.make_folder(&format!("{remote}/{STAGING}"))?;
    }
    let list = fs::read_to_string(list)?;
    let files = Mutex::new(list.lines());
    let work = || -> Result<(), Failure> {
        let mut session = Session::open(port, care)?;
        while let Some(local) = files.lock().map_err(|_| "a session broke")?.next() {
            let local = Path::new(local);
            let name = local.file_name().ok_or("a path without a name")?.to_string_lossy();
            let target = format!("{remote}/{name}");
            match (way, care) {
                (Way::Up, Care::Least) => session.store(local, &target)?,
                (Way::Up, _) => {
                    let partial = format!("{remote}/{STAGING}/{name}.part");
                    session.deliver(local, &partial, &target)?;
                }
                (Way::Down, Care::Least) => drop(session.fetch(local, &target)?),
                (Way::Down, Care::Dialogue) => drop(session.take(local, &target)?),
                (Way::Down, Care::Durable) => {
                    let partial = local.with_extension("part");
                    let file = session.take(&partial, &target)?;
                    put_in_place(&file, &partial, local)?;
                }
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS).map(|_| scope.spawn(work)).collect();
        sessions.into_iter().try_for_each(|one| one.join().map_err(|_| "a session broke")?)
    })
}

/// A control connection.
struct Session {
    lines: BufReader<TcpStream>,
    care: Care,
    chunk: Vec<u8>,
}

impl Session {
    fn open(port: u16, care: Care) -> Result<Self, Failure> {
        let control = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        control.set_nodelay(true)?;
        let mut session = Self { lines: BufReader::new(control), care, chunk: chunk() };
        session.reply("220")?;
        session.ask("USER anonymous", "331")?;
        session.ask("PASS raw", "230")?;
        session.ask("TYPE I", "200")?;
        Ok(session)
    }

    /// As Ferryway sends a file: to a partial name, whose size is compared before it is renamed.
    fn deliver(&mut self, local: &Path, partial: &str, target: &str) -> Result<(), Failure> {
        self.store(local, partial)?;
        if self.size(partial)? != fs::metadata(local)?.len() {
            return Err(format!("{partial} has another size").into());
        }
        // In one piece, as Ferryway sends them.
        self.say(&format!("RNFR {partial}\r\nRNTO {target}"))?;
        self.reply("350")?;
        self.reply("250")?;
        Ok(())
    }

    /// As Ferryway fetches a file: compared with what the server shows before and after.
    fn take(&mut self, local: &Path, remote: &str) -> Result<File, Failure> {
        let before = self.look(remote)?;
        let file = self.fetch(local, remote)?;
        if self.look(remote)? != before || file.metadata()?.len() != before.0 {
            return Err(format!("{remote} has another size").into());
        }
        Ok(file)
    }

    fn store(&mut self, local: &Path, remote: &str) -> Result<(), Failure> {
        let file = File::open(local)?;
        let mut data = self.data(&format!("STOR {remote}"))?;
        self.copy(file, &mut data)?;
        data.shutdown(Shutdown::Write)?;
        drop(data);
        self.reply("226")?;
        Ok(())
    }

    fn fetch(&mut self, local: &Path, remote: &str) -> Result<File, Failure> {
        let data = self.data(&format!("RETR {remote}"))?;
        let mut file = File::create(local)?;
        self.copy(data, &mut file)?;
        self.reply("226")?;
        Ok(file)
    }

    fn copy(&mut self, from: impl Read, to: &mut impl Write) -> io::Result<()> {
        let hasher = (self.care == Care::Durable).then(blake3::Hasher::new);
        let mut from = Hashed { from, hasher };
        copy(&mut from, to, &mut self.chunk)?;
        black_box(from.hasher.map(|hasher| hasher.finalize()));
        Ok(())
    }

    /// The data connection for a command that has begun.
    fn data(&mut self, command: &str) -> Result<TcpStream, Failure> {
        let answer = self.ask("EPSV", "229")?;
        let port = answer.rsplit('|').nth(1).ok_or("no port for data")?.parse()?;
        let data = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        self.ask(command, "150")?;
        Ok(data)
    }

    fn size(&mut self, path: &str) -> Result<u64, Failure> {
        self.say(&format!("SIZE {path}"))?;
        self.told_size()
    }

    fn told_size(&mut self) -> Result<u64, Failure> {
        let size = self.reply("213")?;
        Ok(size.get(4..).unwrap_or_default().trim().parse()?)
    }

    /// What tells this version of a file from others.
    fn look(&mut self, path: &str) -> Result<(u64, String), Failure> {
        self.say(&format!("SIZE {path}\r\nMDTM {path}"))?;
        Ok((self.told_size()?, self.reply("213")?))
    }

    /// Makes a folder, unless it is there.
    fn make_folder(&mut self, path: &str) -> Result<(), Failure> {
        self.say(&format!("MKD {path}"))?;
        self.line()?;
        Ok(())
    }

    fn ask(&mut self, command: &str, expected: &str) -> Result<String, Failure> {
        self.say(command)?;
        self.reply(expected)
    }

    fn say(&mut self, command: &str) -> io::Result<()> {
        self.lines.get_mut().write_all(format!("{command}\r\n").as_bytes())
    }

    fn reply(&mut self, expected: &str) -> Result<String, Failure> {
        let line = self.line()?;
        if line.starts_with(expected) { Ok(line) } else { Err(line.into()) }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line)
    }
}

/// As Ferryway does for one file: its bytes and its first name are on the disk before it is renamed.
fn put_in_place(file: &File, partial: &Path, local: &Path) -> Result<(), Failure> {
    let folder = File::open(local.parent().ok_or("a path without a folder")?)?;
    file.sync_all()?;
    folder.sync_all()?;
    fs::rename(partial, local)?;
    Ok(folder.sync_all()?)
}

/// Where bytes come from, which are hashed on the way if that is wanted.
struct Hashed<T> {
    from: T,
    hasher: Option<blake3::Hasher>,
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(chunk)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk[..read]);
        }
        Ok(read)
    }
}
