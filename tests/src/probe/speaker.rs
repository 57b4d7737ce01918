//! The sessions of a dialogue, and their answers in short.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use super::{Content, Stage, lasting, script::Words, survey};
use crate::{
    raw_ftp::{RawFtp, Reply},
    wait::holds_within,
};

/// The answer of a server that gives none.
pub(super) const SILENT: &str = "silence";
/// How long an answer may take that is to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long bytes may take from the data connection to the disk.
const ON_DISK: Duration = Duration::from_secs(5);
/// How much is sent at a time where it is waited for. Small enough to arrive in one piece (Linux
/// cuts at half a window), and larger than the buffers in which servers keep small pieces back.
const PIECE: usize = 16 << 10;
/// The features that matter to a client like ours.
const FEATURES: [&str; 9] =
    ["EPRT", "EPSV", "HASH", "MDTM", "MLST", "REST STREAM", "SIZE", "UTF8", "XCRC"];

/// The sessions so far.
pub(super) struct Speakers<'a> {
    stage: &'a Stage<'a>,
    folder: &'a Path,
    name: &'a str,
    sessions: BTreeMap<char, Speaker>,
}

struct Speaker {
    ftp: RawFtp,
    transfer: Option<TcpStream>,
    /// Whether a reply is still to come.
    silent: bool,
    /// What is still to be sent when a late reply lets it.
    unsent: Option<Content>,
}

impl<'a> Speakers<'a> {
    pub(super) fn new(stage: &'a Stage<'a>, folder: &'a Path, name: &'a str) -> Self {
        Self { stage, folder, name, sessions: BTreeMap::new() }
    }

    /// Lets a session do something, and tells the answer. `silent` is how long to wait for
    /// a reply that may never come.
    pub(super) fn perform(
        &mut self,
        who: char,
        words: &Words,
        silent: Option<Duration>,
    ) -> io::Result<String> {
        if matches!(words, Words::Gone) {
            self.sessions.remove(&who);
            return Ok("gone".to_owned());
        }
        if !self.sessions.contains_key(&who) {
            let mut ftp = (self.stage.connect)()?;
            if !matches!(words, Words::Connects) {
                ftp.login(self.stage.user.0, self.stage.user.1)?;
                ftp.command(&format!("CWD {}", self.name))?.expect(250)?;
            }
            self.sessions.insert(who, Speaker { ftp, transfer: None, silent: false, unsent: None });
        }
        let folder = self.folder;
        let (user, password) = self.stage.user;
        let Some(speaker) = self.sessions.get_mut(&who) else {
            return Err(io::Error::other("the session is lost"));
        };
        speaker.ftp.set_reply_limit(silent.unwrap_or(PATIENCE))?;
        let fill = |command: &str| command.replace("{user}", user).replace("{password}", password);
        Ok(match words {
            Words::Connects => "220".to_owned(),
            Words::Command(command) => told(speaker.ftp.command(&fill(command)), command),
            Words::Together(commands) => speaker.say_together(commands),
            Words::Upload(command, content) => speaker.upload(command, content),
            Words::Begins(command, content) => speaker.begin(command, content, folder),
            Words::GoesOn(content) => speaker.send(content.bytes()),
            Words::Ends => speaker.end(),
            Words::Download(command) => speaker.download(command),
            Words::BreaksOff(command, bytes) => speaker.break_off(command, *bytes),
            Words::Waits => speaker.wait(),
            Words::Gone => String::new(),
        })
    }
}

impl Speaker {
    fn say_together(&mut self, commands: &[String]) -> String {
        if self.ftp.say(commands).is_err() {
            return "closed".to_owned();
        }
        let answers: Vec<_> = commands.iter().map(|one| told(self.ftp.reply(), one)).collect();
        answers.join(", ")
    }

    fn upload(&mut self, command: &str, content: &Content) -> String {
        let first = match self.open(command) {
            Ok(first) => first,
            Err(answer) => {
                self.unsent = self.silent.then(|| content.clone());
                return answer;
            }
        };
        format!("{first} {}", self.send_all(content))
    }

    /// What another session does next meets the bytes on disk.
    fn begin(&mut self, command: &str, content: &Content, folder: &Path) -> String {
        let before = bytes_in(folder);
        let first = match self.open(command) {
            Ok(first) => first,
            Err(answer) => return answer,
        };
        let mut there = before;
        for piece in content.bytes().chunks(PIECE) {
            self.send(piece);
            there += piece.len() as u64;
            if !holds_within(ON_DISK, || bytes_in(folder) >= there) {
                return format!("{first}, not on disk");
            }
        }
        first
    }

    fn send(&mut self, bytes: &[u8]) -> String {
        match self.transfer.as_mut().map(|data| data.write_all(bytes)) {
            None => "no transfer".to_owned(),
            Some(Ok(())) => "sent".to_owned(),
            Some(Err(_)) => "closed".to_owned(),
        }
    }

    fn end(&mut self) -> String {
        self.transfer = None;
        told(self.ftp.reply(), "")
    }

    fn download(&mut self, command: &str) -> String {
        let first = match self.open(command) {
            Ok(first) => first,
            Err(answer) => return answer,
        };
        let mut bytes = Vec::new();
        if let Some(mut data) = self.transfer.take() {
            // An end by a reset shows in the last reply.
            data.read_to_end(&mut bytes).ok();
        }
        let last = told(self.ftp.reply(), "");
        let shown = match command.split(' ').next() {
            Some("RETR") => Content::shown(&bytes),
            Some(verb) => names(verb, &String::from_utf8_lossy(&bytes)),
            None => String::new(),
        };
        format!("{first} {last} [{shown}]")
    }

    fn break_off(&mut self, command: &str, bytes: usize) -> String {
        let first = match self.open(command) {
            Ok(first) => first,
            Err(answer) => return answer,
        };
        if let Some(mut data) = self.transfer.take() {
            let read = data.read_exact(&mut vec![0; bytes]);
            if read.is_err() || set_socket_linger(&data, Some(Duration::ZERO)).is_err() {
                return format!("{first} closed");
            }
        }
        format!("{first} {}", told(self.ftp.reply(), ""))
    }

    /// The reply that did not come in time before; an upload that waited for it goes on.
    fn wait(&mut self) -> String {
        if !std::mem::take(&mut self.silent) {
            return "nothing".to_owned();
        }
        let first = opening(told(self.ftp.reply(), ""));
        match self.unsent.take() {
            Some(content) if first == "150" => format!("{first} {}", self.send_all(&content)),
            _ => first,
        }
    }

    /// The first reply to a transfer command when it lets the transfer begin; else it is
    /// the error. The data connection is there before the command.
    fn open(&mut self, command: &str) -> Result<String, String> {
        let data = self.ftp.passive().map_err(|error| error.to_string())?;
        let first = opening(told(self.ftp.command(command), ""));
        self.silent = first == SILENT;
        if first == "150" || self.silent {
            self.transfer = Some(data);
        }
        if first == "150" { Ok(first) } else { Err(first) }
    }

    fn send_all(&mut self, content: &Content) -> String {
        if let Some(data) = &mut self.transfer {
            // A server that has enough closes the connection; its reply tells why.
            data.write_all(content.bytes()).ok();
        }
        self.end()
    }
}

/// The size of all files below a folder.
fn bytes_in(folder: &Path) -> u64 {
    let mut bytes = 0;
    survey(folder, "", &mut |_, file| {
        bytes += file.and_then(|file| file.metadata().ok()).map_or(0, |data| data.len());
    });
    bytes
}

/// 125 and 150 depend on which of two connections a server looks at first.
fn opening(answer: String) -> String {
    if answer == "125" { "150".to_owned() } else { answer }
}

/// An answer in short: the code, and what a client reads from the text.
fn told(reply: io::Result<Reply>, command: &str) -> String {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return SILENT.to_owned(),
        Err(_) => return "closed".to_owned(),
    };
    let detail = match (command.split(' ').next(), reply.code) {
        (Some("SIZE"), 213) => reply.text.split(' ').nth(1).unwrap_or_default().to_owned(),
        (Some("FEAT"), 211) => features(&reply.text),
        (Some("MLST"), 250) => facts(&reply.text),
        _ => String::new(),
    };
    format!("{} {detail}", reply.code).trim_end().to_owned()
}

fn features(text: &str) -> String {
    let offered: Vec<_> = text.lines().map(|line| line.trim().to_uppercase()).collect();
    let has = |feature: &&str| offered.iter().any(|line| line.starts_with(*feature));
    FEATURES.into_iter().filter(has).collect::<Vec<_>>().join(", ")
}

/// The kind and the size that MLST tells.
fn facts(text: &str) -> String {
    let text = text.to_lowercase();
    let line = text.lines().find(|line| line.contains("type=")).unwrap_or_default();
    let wanted = |fact: &&str| {
        fact.starts_with("type=") || (fact.starts_with("size=") && !line.contains("type=dir"))
    };
    let mut facts: Vec<_> = line.trim().split(';').filter(wanted).collect();
    facts.sort_unstable();
    facts.join(" ")
}

/// The names of a listing, sorted. MLSD names the folder and its parent as it likes.
fn names(verb: &str, listing: &str) -> String {
    let mut names: Vec<_> = listing.lines().filter_map(|line| name(verb, line)).collect();
    names.sort();
    names.iter().map(|name| lasting(name)).collect::<Vec<_>>().join(", ")
}

fn name(verb: &str, line: &str) -> Option<String> {
    match verb {
        "NLST" => Some(line.to_owned()),
        "MLSD" => {
            let (facts, name) = line.split_once(' ')?;
            let facts = facts.to_lowercase();
            let beside = facts.contains("type=cdir") || facts.contains("type=pdir");
            (!beside).then(|| name.to_owned())
        }
        // Rights, links, owner, group, size, month, day, time.
        _ => Some(line.split_whitespace().nth(8)?.to_owned()),
    }
}
