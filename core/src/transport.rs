//! The contract between the host and a transport.

use std::{fmt, net::IpAddr, sync::Arc, time::SystemTime};

use async_trait::async_trait;

use crate::{
    Algorithm, Digest, PartnerName, RemotePath, TransportError,
    bytes::{Meter, Sink, Source},
    notice::{Notice, Standing},
    reception::{Introduction, Listener},
};

/// The result of an operation on a partner.
pub type Result<T, E = TransportError> = std::result::Result<T, E>;

/// A way to move files to and from partners. One object serves every partner of its kind.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The name that the configuration uses in `transport = "..."`.
    fn name(&self) -> &'static str;

    /// What the transport's code can do with the best of partners.
    fn capabilities(&self) -> Capabilities;

    /// Every fault of a partner's settings; empty when [`connect`](Self::connect) would take
    /// them. Touches no network.
    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault>;

    /// Opens a session that is ready for operations: connected, logged in, in binary mode.
    ///
    /// # Errors
    /// `Config` when the settings are unusable, `SourceAddress` (retryable) when the source
    /// address is not one of this machine's, `Login` when the login is refused, else what the
    /// network or the partner said. Nothing is left open.
    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>>;

    /// The end that receives what other hosts send, where the transport has one.
    fn listener(&self) -> Option<Arc<dyn Listener>>;
}

/// One conversation with a partner; one operation at a time.
///
/// Every operation ends within the time limits of the partner's settings. After an error of
/// kind `Connection`, `Timeout`, `Protocol`, `Tls`, `Closed` or `Panicked` the session is
/// closed and every further operation fails with `Closed`.
#[async_trait]
pub trait Session: Send + 'static {
    /// What this partner offers, as far as it has shown.
    fn capabilities(&self) -> Capabilities;

    /// Looks at one path.
    ///
    /// # Errors
    /// `NotFound` only when the partner can tell absence from denial; `Unavailable` when it
    /// cannot: then [`list`](Self::list) of the folder proves absence.
    async fn stat(&mut self, path: RemotePath) -> Result<Stat>;

    /// The names in a folder, hidden ones included where the partner can show them; `None` is
    /// the folder where the session starts. `Ok` proves that a name not listed, and not
    /// starting with a dot unless [`Capabilities::lists_hidden`], is absent.
    ///
    /// # Errors
    /// `NotFound` or `Unavailable` as for [`stat`](Self::stat).
    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>>;

    /// Pushes the bytes of a file from `offset` on into the sink, and tells how many. `Ok`
    /// means that the partner declared the end of the file; the sink then has all of it.
    ///
    /// # Errors
    /// The sink may have taken any prefix of the bytes.
    async fn fetch(&mut self, download: Download) -> Result<u64>;

    /// Stores the source's bytes at `offset` of a file. At offset 0 the file is created or
    /// emptied first. `Ok` means that the partner confirmed the transfer; it is no proof that it
    /// holds the bytes.
    ///
    /// # Errors
    /// The file may exist with any prefix of the bytes, and a late part of them may still
    /// arrive.
    async fn store(&mut self, upload: Upload) -> Result<Stored>;

    /// Renames a file or a folder within one file system of the partner.
    ///
    /// # Errors
    /// When [`TransportError::outcome_unknown`], the rename may have happened or may still
    /// happen.
    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When [`TransportError::outcome_unknown`], the file may be gone.
    async fn remove(&mut self, path: RemotePath) -> Result<()>;

    /// Makes a folder in an existing one.
    ///
    /// # Errors
    /// `Unavailable` also when the folder exists.
    async fn make_folder(&mut self, path: RemotePath) -> Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// When [`TransportError::outcome_unknown`], the folder may be gone.
    async fn remove_folder(&mut self, path: RemotePath) -> Result<()>;

    /// The partner's hash of the first `length` bytes of a file.
    ///
    /// # Errors
    /// `Unsupported` when [`Capabilities::checksums`] lacks the algorithm, or the partner
    /// cannot hash a part of a file.
    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest>;

    /// Tells the partner about a job of ours, and hears how its own job stands then; `None` for a
    /// notice that is about no job. On `Ok` the partner has durably taken it in; its job may
    /// still be under way, and is asked about by telling the notice again.
    ///
    /// # Errors
    /// `Unsupported` without [`Capabilities::notices`]; else when [`TransportError::outcome_unknown`],
    /// the notice may have been taken in. It may be told again.
    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>>;

    /// Asks the partner for a sign of life.
    ///
    /// # Errors
    /// The session is closed.
    async fn ping(&mut self) -> Result<()>;

    /// Says good-bye. The session is closed whatever the result.
    ///
    /// # Errors
    /// The partner did not answer; nothing depends on it.
    async fn close(&mut self) -> Result<()>;
}

/// What a transport needs to reach a partner.
#[derive(Clone)]
pub struct Partner {
    /// The partner's name, for messages.
    pub name: PartnerName,
    /// The transport's own settings, secrets included.
    pub settings: toml::Table,
    /// The local address to connect from, for control and data.
    pub source_address: Option<IpAddr>,
    /// What to say of ourselves to a partner that asks.
    pub ours: Introduction,
}

impl fmt::Debug for Partner {
    /// Prints the keys of the settings and no value: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partner")
            .field("name", &self.name)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .field("source_address", &self.source_address)
            .field("ours", &self.ours)
            .finish()
    }
}

/// A fault in the settings of a partner or a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The key in question.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// What to store, and where.
#[derive(Debug)]
pub struct Upload {
    /// The file on the partner.
    pub path: RemotePath,
    /// Where in the file the source's first byte goes.
    pub offset: u64,
    /// How many bytes the source is expected to give, for sizing buffers.
    pub length: u64,
    /// The bytes from `offset` on.
    pub source: Source,
    /// Counts what was handed to the network.
    pub meter: Arc<Meter>,
}

/// What became of an [`Upload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// How many bytes the source gave.
    pub bytes: u64,
    /// The size of the file as the partner showed it after the transfer. Where it did not, or was
    /// not asked, a [`stat`](Session::stat) tells more.
    pub size: Option<u64>,
    /// The partner's hash of the whole file after the transfer, where it tells that unasked; else
    /// a [`checksum`](Session::checksum) tells more.
    pub digest: Option<Digest>,
}

/// What to fetch, and where to put it.
#[derive(Debug)]
pub struct Download {
    /// The file on the partner.
    pub path: RemotePath,
    /// The first byte wanted.
    pub offset: u64,
    /// Takes the bytes.
    pub sink: Sink,
    /// Counts what the sink has taken.
    pub meter: Arc<Meter>,
}

/// What a partner tells about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// File or folder.
    pub kind: EntryKind,
    /// Size of a file in bytes, where the partner tells it.
    pub size: Option<u64>,
    /// Time of the last modification, where the partner tells it.
    pub modified: Option<SystemTime>,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// What a transport, or one partner, can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether a transfer can start at an offset.
    pub resume: Resume,
    /// What a rename onto an existing file does.
    pub rename: Rename,
    /// Whether a file's size can be asked.
    pub size: bool,
    /// Whether folders can be made.
    pub folders: bool,
    /// Whether [`Session::list`] shows names that start with a dot.
    pub lists_hidden: bool,
    /// The hashes that the partner computes, the strongest first.
    pub checksums: Vec<Algorithm>,
    /// Whether the partner itself refuses an older epoch.
    pub epoch_fencing: bool,
    /// Whether the partner can be told about jobs.
    pub notices: bool,
    /// How many sessions of ours the partner has room for, where they share a connection: small
    /// files may then use more of them than are configured. 0 where each is a connection.
    pub rooms: usize,
}

/// Whether a transfer can start at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// At any offset up to the file's end.
    AtOffset,
    /// Only from the start.
    Unsupported,
}

/// What a rename onto an existing file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// It replaces the file in one step.
    Replaces,
    /// It fails and leaves both files as they are.
    RefusesExisting,
    /// The partner decides; only a try can tell.
    Unknown,
    /// There is no rename.
    Unsupported,
}
