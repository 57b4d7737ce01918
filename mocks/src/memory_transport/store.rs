//! The files of a partner in memory.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use ferryway_core::transport::{EntryKind, Stat};

/// A partner in memory: files and folders; a handle on shared state. Paths are as in
/// [`RemotePath`](ferryway_core::RemotePath); a leading `/` changes nothing.
#[derive(Clone, Default)]
pub struct MemoryPartner(Arc<Mutex<BTreeMap<String, Node>>>);

#[derive(Clone)]
enum Node {
    File(File),
    Folder,
}

/// An open file: it stays the same whatever becomes of its name.
#[derive(Clone)]
pub(super) struct File(Arc<Mutex<Content>>);

struct Content {
    bytes: Vec<u8>,
    modified: SystemTime,
}

/// Why the partner refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Absent,
    NoFolder,
    NotAFile,
    NotAFolder,
    Exists,
    NotEmpty,
    BeyondEnd,
}

impl MemoryPartner {
    /// A partner without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file there, making the folders on the way.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let key = key(path);
        if let Some((folder, _)) = key.rsplit_once('/') {
            self.make_folders(folder);
        }
        self.lock().insert(key, Node::File(File::new(bytes.into())));
    }

    /// Makes a folder, and those on the way.
    pub fn make_folders(&self, path: &str) {
        let mut nodes = self.lock();
        let key = key(path);
        for (at, _) in key.match_indices('/').chain([(key.len(), "")]) {
            nodes.entry(key[..at].to_owned()).or_insert(Node::Folder);
        }
    }

    /// Exchanges the files with those of `other`: the service moves to another disk. Uploads
    /// that are open stay with the disk they were on.
    pub fn swap_disks(&self, other: &Self) {
        let there = std::mem::take(&mut *other.lock());
        let here = std::mem::replace(&mut *self.lock(), there);
        *other.lock() = here;
    }

    /// The bytes of a file; `None` when there is none.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.file(path).ok().map(|file| file.lock().bytes.clone())
    }

    /// The paths of all files, sorted.
    pub fn files(&self) -> Vec<String> {
        let nodes = self.lock();
        let files = nodes.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// The paths of all folders, sorted.
    pub fn folders(&self) -> Vec<String> {
        let nodes = self.lock();
        let folders = nodes.iter().filter(|(_, node)| matches!(node, Node::Folder));
        folders.map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn stat(&self, path: &str) -> Result<Stat, Refusal> {
        match self.lock().get(&key(path)) {
            None => Err(Refusal::Absent),
            Some(Node::Folder) => Ok(Stat { kind: EntryKind::Folder, size: None, modified: None }),
            Some(Node::File(file)) => {
                let content = file.lock();
                let size = Some(content.bytes.len() as u64);
                Ok(Stat { kind: EntryKind::File, size, modified: Some(content.modified) })
            }
        }
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let (nodes, key) = (self.lock(), key(folder));
        match nodes.get(&key) {
            _ if key.is_empty() => {}
            Some(Node::Folder) => {}
            Some(Node::File(_)) => return Err(Refusal::NotAFolder),
            None => return Err(Refusal::Absent),
        }
        let lead = if key.is_empty() { key } else { key + "/" };
        let below = nodes.keys().filter_map(|path| path.strip_prefix(&lead));
        Ok(below.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    /// The file of this path, for reading.
    pub(super) fn file(&self, path: &str) -> Result<File, Refusal> {
        match self.lock().get(&key(path)) {
            None => Err(Refusal::Absent),
            Some(Node::Folder) => Err(Refusal::NotAFile),
            Some(Node::File(file)) => Ok(file.clone()),
        }
    }

    /// The file of this path, for writing at `offset`; it is made when absent and emptied
    /// when `offset` is 0.
    pub(super) fn create(&self, path: &str, offset: u64) -> Result<File, Refusal> {
        let (mut nodes, key) = (self.lock(), key(path));
        has_folder(&nodes, &key)?;
        let file = match nodes.get(&key) {
            Some(Node::Folder) => return Err(Refusal::NotAFile),
            Some(Node::File(file)) => file.clone(),
            None if offset > 0 => return Err(Refusal::BeyondEnd),
            None => {
                let file = File::new(Vec::new());
                nodes.insert(key, Node::File(file.clone()));
                file
            }
        };
        let mut content = file.lock();
        if offset > content.bytes.len() as u64 {
            return Err(Refusal::BeyondEnd);
        }
        if offset == 0 {
            content.bytes.clear();
        }
        drop(content);
        Ok(file)
    }

    pub(super) fn rename(&self, from: &str, to: &str, replaces: bool) -> Result<(), Refusal> {
        let (mut nodes, from, to) = (self.lock(), key(from), key(to));
        has_folder(&nodes, &to)?;
        let moves_folder = match (nodes.get(&from), nodes.get(&to)) {
            (None, _) => return Err(Refusal::Absent),
            (Some(Node::File(_)), Some(Node::File(_))) if replaces => false,
            (Some(_), Some(_)) => return Err(Refusal::Exists),
            (Some(Node::Folder), None) => true,
            (Some(Node::File(_)), None) => false,
        };
        if moves_folder && to.starts_with(&format!("{from}/")) {
            return Err(Refusal::NoFolder);
        }
        let below = format!("{from}/");
        let moved: Vec<String> = nodes
            .keys()
            .filter(|path| **path == from || path.starts_with(&below))
            .cloned()
            .collect();
        for path in moved {
            if let Some(node) = nodes.remove(&path) {
                nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        Ok(())
    }

    pub(super) fn remove(&self, path: &str) -> Result<(), Refusal> {
        let (mut nodes, key) = (self.lock(), key(path));
        match nodes.get(&key) {
            None => Err(Refusal::Absent),
            Some(Node::Folder) => Err(Refusal::NotAFile),
            Some(Node::File(_)) => {
                nodes.remove(&key);
                Ok(())
            }
        }
    }

    pub(super) fn make_folder(&self, path: &str) -> Result<(), Refusal> {
        let (mut nodes, key) = (self.lock(), key(path));
        has_folder(&nodes, &key)?;
        if nodes.contains_key(&key) {
            return Err(Refusal::Exists);
        }
        nodes.insert(key, Node::Folder);
        Ok(())
    }

    pub(super) fn remove_folder(&self, path: &str) -> Result<(), Refusal> {
        if !self.list(path)?.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        self.lock().remove(&key(path));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryPartner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}

impl File {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Content { bytes, modified: SystemTime::now() })))
    }

    /// Writes at `offset`, over what is there.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        let mut content = self.lock();
        // What is in memory has an offset that fits.
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let end = (start + bytes.len()).min(content.bytes.len());
        content.bytes.splice(start..end, bytes.iter().copied());
        content.modified = SystemTime::now();
    }

    /// At most `length` bytes from `offset` on; `None` when `offset` is behind the end.
    pub(super) fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let content = self.lock();
        let rest = content.bytes.get(usize::try_from(offset).ok()?..)?;
        Some(rest[..rest.len().min(length)].to_vec())
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

fn has_folder(nodes: &BTreeMap<String, Node>, key: &str) -> Result<(), Refusal> {
    match key.rsplit_once('/').map(|(folder, _)| nodes.get(folder)) {
        None | Some(Some(Node::Folder)) => Ok(()),
        Some(None | Some(Node::File(_))) => Err(Refusal::NoFolder),
    }
}
