//! The partner's FTP server: its files, its sessions, and what a command does.

use std::collections::{BTreeMap, HashMap};

use super::{
    LateClose, Lock, ServerKind,
    names::{Content, Folder, HOLE, Name, TARGET},
};

/// The server's disk, and what is known of it for the properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Server {
    /// The staging folders that exist.
    pub folders: Vec<Folder>,
    /// Names of folders at which a file lies.
    pub bars: Vec<Folder>,
    /// Which file a name leads to. An open upload follows its file when that is renamed.
    pub names: BTreeMap<Name, u8>,
    /// What the files hold.
    pub files: Vec<Content>,
    /// A file that somebody else has open, such as a virus scanner.
    pub held: Option<u8>,
    /// What was renamed onto the target, in order.
    pub published: Vec<Content>,
    /// The last rename onto the target, while a loss of power can still undo it.
    pub unsynced: Option<Unsynced>,
}

/// A rename onto the target that is not yet safe on the server's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unsynced {
    from: Name,
    replaced: Option<u8>,
}

/// A control connection with its data connection, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The epoch of its client.
    pub epoch: u8,
    /// What the client has sent and the server has not read yet.
    pub queue: Vec<Command>,
    /// What the server knows of its client.
    pub peer: Peer,
    /// The file that is being uploaded, and where the next chunk goes.
    pub open: Option<(u8, u8)>,
    /// The reply that the client has not read yet.
    pub reply: Option<Reply>,
}

/// What the server knows of a session's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// It is there.
    Live,
    /// The connection was closed. In the middle of an upload that reads as the end of the file.
    Closed,
    /// It is gone, and nothing says so.
    Silent,
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// REST and STOR.
    Store(Name, u8),
    /// A chunk on the data connection.
    Data(u8),
    /// The end of the data connection.
    End,
    /// RNFR and RNTO of a file.
    Rename(Name, Name),
    /// RNFR and RNTO of a folder.
    RenameFolder(Folder, Folder),
    /// MKD, and a look whether the folder is there.
    MakeFolder(Folder),
    /// STOR of an empty file under the name of a folder.
    Bar(Folder),
    /// STOR of an empty file.
    BarName(Name),
    /// LIST of the name's folder: done when that is there and does not have the name.
    LookFree(Name),
    /// LIST of the folder of all epochs.
    ListBase,
    /// SIZE, or LIST where it is about absence.
    Look(Name),
    /// RETR from the first byte.
    Read(Name),
    /// DELE.
    Remove(Name),
}

/// What the server answers. A refusal does not say whether the file is absent, busy or
/// forbidden: servers use one code for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// 150: the upload may begin.
    Opened,
    /// 250, 226 or 257.
    Done,
    /// 550 and its like.
    Refused,
    /// No reply within the client's time limit: the file is locked by another session.
    Held,
    /// What a file holds, or that a listing does not have it.
    Found(Option<Content>),
    /// The staging folders that a listing shows.
    Folders(Vec<Folder>),
}

impl Session {
    pub(super) fn of(epoch: u8) -> Self {
        Self { epoch, queue: Vec::new(), peer: Peer::Live, open: None, reply: None }
    }

    /// Nothing more comes from the client, not even what was on its way.
    pub(super) fn reset(&mut self) {
        *self = Self { peer: Peer::Closed, ..Self::of(self.epoch) };
    }
}

impl Server {
    /// What a name holds.
    pub fn content(&self, name: Name) -> Option<&Content> {
        self.names.get(&name).map(|&file| &self.files[usize::from(file)])
    }

    pub(super) fn create(&mut self, name: Name, content: Content) -> u8 {
        let file = u8::try_from(self.files.len()).unwrap_or(u8::MAX);
        self.files.push(content);
        self.names.insert(name, file);
        file
    }

    fn folder_exists(&self, folder: Folder) -> bool {
        folder == Folder::Inbox || self.folders.contains(&folder)
    }

    /// The power fails, and the rename that was not on disk is undone.
    pub(super) fn undo_publish(&mut self) {
        let Some(Unsynced { from, replaced }) = self.unsynced.take() else { return };
        let Some(file) = self.names.remove(&TARGET) else { return };
        self.names.insert(from, file);
        self.names.extend(replaced.map(|old| (TARGET, old)));
        self.published.pop();
    }

    /// Gives files the numbers that the order of names and sessions says, and forgets files
    /// that nobody can reach: states that differ in nothing else are one.
    pub(super) fn renumber(&mut self, sessions: &mut [Session]) {
        let mut numbers = HashMap::new();
        let mut files = Vec::new();
        let reachable = self.names.values_mut();
        let open = sessions.iter_mut().filter_map(|s| s.open.as_mut().map(|(file, _)| file));
        let replaced = self.unsynced.as_mut().and_then(|u| u.replaced.as_mut());
        for file in reachable.chain(open).chain(&mut self.held).chain(replaced) {
            *file = *numbers.entry(*file).or_insert_with(|| {
                files.push(std::mem::take(&mut self.files[usize::from(*file)]));
                u8::try_from(files.len() - 1).unwrap_or(u8::MAX)
            });
        }
        self.files = files;
        self.folders.sort_unstable();
        self.bars.sort_unstable();
    }
}

/// What the server does next for session `k`; false when there is nothing.
pub(super) fn serve(
    kind: &ServerKind,
    server: &mut Server,
    sessions: &mut [Session],
    k: usize,
) -> bool {
    let Some(&command) = sessions[k].queue.first() else {
        // The end of the connection is the end of the file: stream mode has no other.
        return sessions[k].peer == Peer::Closed && close(kind, server, &mut sessions[k]);
    };
    let busy = |file: u8| {
        let open = |(i, s): (usize, &Session)| i != k && s.open.is_some_and(|(f, _)| f == file);
        let locked = kind.lock != Lock::None && sessions.iter().enumerate().any(open);
        server.held == Some(file) || locked
    };
    let reply = match command {
        Command::Store(name, at) => {
            let file = server.names.get(&name).copied();
            match file {
                Some(file) if busy(file) && kind.lock == Lock::Blocks => return false,
                Some(file) if busy(file) => Some(Reply::Refused),
                None if !server.folder_exists(name.folder) => Some(Reply::Refused),
                _ => {
                    let file = file.unwrap_or_else(|| server.create(name, Vec::new()));
                    if at == 0 {
                        server.files[usize::from(file)].clear();
                    }
                    sessions[k].open = Some((file, at));
                    Some(Reply::Opened)
                }
            }
        }
        Command::BarName(name) if server.names.get(&name).is_some_and(|&file| busy(file)) => {
            Some(Reply::Refused)
        }
        Command::Data(value) => {
            put(kind, server, &mut sessions[k], value);
            None
        }
        Command::End => close(kind, server, &mut sessions[k]).then_some(Reply::Done),
        Command::Rename(from, to) => {
            // vsftpd's lock is about uploads alone.
            let minds = |name: Name| {
                let file = server.names.get(&name);
                kind.lock != Lock::Blocks && file.is_some_and(|&file| busy(file))
            };
            let may = !minds(from) && !minds(to) && server.folder_exists(to.folder);
            let may = may && (kind.replaces || !server.names.contains_key(&to));
            Some(if may && rename(server, from, to) { Reply::Done } else { Reply::Refused })
        }
        Command::RenameFolder(from, to) => {
            let in_use = |(name, &file): (&Name, &u8)| {
                kind.lock == Lock::Refuses && name.folder == from && busy(file)
            };
            let may = !server.names.iter().any(in_use);
            Some(if may && rename_folder(server, from, to) { Reply::Done } else { Reply::Refused })
        }
        Command::Read(name) => match server.names.get(&name) {
            Some(&file) if busy(file) && kind.lock == Lock::Blocks => Some(Reply::Held),
            Some(&file) if busy(file) => Some(Reply::Refused),
            _ => Some(Reply::Found(server.content(name).cloned())),
        },
        Command::Remove(name) => match server.names.get(&name) {
            Some(&file) if !busy(file) || kind.lock == Lock::Blocks => {
                server.names.remove(&name);
                Some(Reply::Done)
            }
            _ => Some(Reply::Refused),
        },
        other => Some(about_folders(kind, server, other)),
    };
    let session = &mut sessions[k];
    session.queue.remove(0);
    if session.peer == Peer::Live && reply.is_some() {
        session.reply = reply;
    }
    true
}

fn about_folders(kind: &ServerKind, server: &mut Server, command: Command) -> Reply {
    match command {
        Command::MakeFolder(folder) if !kind.folders || server.bars.contains(&folder) => {
            Reply::Refused
        }
        Command::MakeFolder(folder) => {
            if !server.folders.contains(&folder) {
                server.folders.push(folder);
            }
            Reply::Done
        }
        Command::Bar(folder) if server.folders.contains(&folder) => Reply::Refused,
        Command::Bar(folder) => {
            if !server.bars.contains(&folder) {
                server.bars.push(folder);
            }
            Reply::Done
        }
        Command::LookFree(name) | Command::BarName(name) if !server.folder_exists(name.folder) => {
            Reply::Refused
        }
        Command::LookFree(name) if server.names.contains_key(&name) => Reply::Refused,
        Command::LookFree(_) => Reply::Done,
        Command::BarName(name) => {
            server.create(name, Vec::new());
            Reply::Done
        }
        Command::ListBase => Reply::Folders(server.folders.clone()),
        Command::Look(name) => Reply::Found(server.content(name).cloned()),
        _ => Reply::Refused,
    }
}

fn put(kind: &ServerKind, server: &mut Server, session: &mut Session, value: u8) {
    let Some((file, at)) = &mut session.open else { return };
    let content = &mut server.files[usize::from(*file)];
    if kind.appends {
        content.push(value);
    } else {
        let at = usize::from(*at);
        content.resize(content.len().max(at + 1), HOLE);
        content[at] = value;
    }
    *at += 1;
}

/// Ends the session's upload; false when there is none.
fn close(kind: &ServerKind, server: &mut Server, session: &mut Session) -> bool {
    let Some((file, at)) = session.open.take() else { return false };
    if kind.late_close == LateClose::Truncates {
        server.files[usize::from(file)].truncate(at.into());
    }
    true
}

fn rename(server: &mut Server, from: Name, to: Name) -> bool {
    let Some(file) = server.names.remove(&from) else { return false };
    let replaced = server.names.insert(to, file);
    if to == TARGET {
        server.published.push(server.files[usize::from(file)].clone());
        server.unsynced = Some(Unsynced { from, replaced });
    }
    true
}

/// Moves a folder with all in it, or the file that lies at its name.
fn rename_folder(server: &mut Server, from: Folder, to: Folder) -> bool {
    if let Some(bar) = server.bars.iter_mut().find(|bar| **bar == from) {
        *bar = to;
        return true;
    }
    let Some(folder) = server.folders.iter_mut().find(|folder| **folder == from) else {
        return false;
    };
    *folder = to;
    let names = std::mem::take(&mut server.names);
    let moved = |name: Name| if name.folder == from { Name { folder: to, ..name } } else { name };
    server.names = names.into_iter().map(|(name, file)| (moved(name), file)).collect();
    true
}

/// A server that notices that a client is gone closes its upload, however late.
pub(super) fn forget(kind: &ServerKind, server: &mut Server, session: &mut Session) {
    close(kind, server, session);
    session.peer = Peer::Closed;
}
