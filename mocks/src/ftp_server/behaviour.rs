//! What kind of FTP server the mock is.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

/// The traits in which FTP servers differ. [`Default`] is a cooperative server with every
/// command; the presets in this module's neighbour imitate real ones.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The lines of the greeting.
    pub greeting: Vec<String>,
    /// What a second writer of the same file meets.
    pub lock: Lock,
    /// What an upload does with bytes of the file behind its own.
    pub tail: Tail,
    /// What `REST n` with `n` behind the end of the file does.
    pub rest_beyond_end: RestBeyondEnd,
    /// What RNTO onto an existing file does.
    pub rename_over: RenameOver,
    /// What RNTO replies when the rename fails: 550, pure-ftpd's is 451.
    pub rename_refusal: u16,
    /// Whether STOR may replace an existing file; else 550.
    pub allow_overwrite: bool,
    /// Whether REST before STOR, and APPE, are taken for a file that exists; else 451.
    pub allow_store_restart: bool,
    /// Whether APPE writes at the end of the file wherever that is by then (pyftpdlib); else
    /// it goes on from where the end was when it began.
    pub append_follows_end: bool,
    /// Whether REST is taken in TYPE A; else 501.
    pub restart_in_ascii: bool,
    /// Whether SIZE answers in TYPE A; else 550.
    pub size_in_ascii: bool,
    /// The reply to `OPTS UTF8 ON`.
    pub utf8_option: u16,
    /// Which names that start with a dot are listed.
    pub hidden_names: HiddenNames,
    /// The options that LIST takes.
    pub list_options: ListOptions,
    /// What LIST of an absent path replies.
    pub list_absent: ListAbsent,
    /// How NLST differs from LIST.
    pub nlst: NameList,
    /// What MLSD replies to what it cannot list.
    pub mlsd_refusal: u16,
    /// The reply to a download whose data connection the client breaks off: 426, pure-ftpd's
    /// is 150, and nothing comes after it.
    pub download_broken: u16,
    /// Whether names may have a backslash; else STOR, APPE, MKD, RNTO and DELE get 553.
    pub takes_backslashes: bool,
    /// The reply when the disk fails under an upload: 451, pyftpdlib's is 426.
    pub write_failure: u16,
    /// The reply to STOR where no file can be made: 553 or 550.
    pub store_refusal: u16,
    /// The address that PASV tells instead of the true one, as a server behind NAT does.
    pub pasv_address: Option<Ipv4Addr>,
    /// Sessions above this number are turned away with 421.
    pub max_sessions: Option<usize>,
    /// How long a control connection may be quiet before 421; [`Duration::MAX`] is for ever.
    pub idle_timeout: Duration,
    /// How long a data connection may be quiet before 426; until then it keeps its lock, with
    /// [`Duration::MAX`] for ever.
    pub data_timeout: Duration,
    /// Whether a command that comes in one piece with the one ahead of it is lost, as with servers
    /// that insist on taking turns (RFC 959 section 5.4). No preset does so.
    pub loses_early_commands: bool,
    /// Commands that the server does not know, in capitals. FEAT leaves them out.
    pub disabled: BTreeSet<String>,
}

/// What happens to a STOR while another session stores the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Both write (proftpd, pure-ftpd, vsftpd without `lock_upload_files`).
    None,
    /// The second one gets this reply before any data (pyftpdlib with flock).
    Refuse {
        /// The reply's code.
        code: u16,
        /// The reply's text.
        text: String,
    },
    /// The second one gets no reply until the first one ends, then empties the file, even
    /// when its client has left meanwhile (vsftpd's default). RETR waits, too.
    BlockThenTruncate,
    /// Uploads go to `.in.<name>.` and take their name at the end; a second one gets 550
    /// (proftpd's HiddenStores). A restart gets 501 behind an accepted REST; an upload whose
    /// folder has gone by its end gets 550.
    HiddenTemporary,
    /// Every upload has a temporary file of its own, and the last one to end wins
    /// (pure-ftpd's `-0`). A restarted upload writes in place; APPE leaves only the new part.
    /// An upload whose folder has gone by its end gets 226 like any other.
    AtomicTemporary,
}

/// What an upload does with bytes of the file behind its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// They stay.
    Stays,
    /// A restart cuts the file off at its offset before its first byte (pure-ftpd).
    CutAtRestart,
    /// The file ends where the upload ends, also when its session is cut. No measured server
    /// does so; it is the worst that a late session could do to a file that has gone on
    /// growing.
    CutAtEnd,
}

/// What `REST n` does with `n` behind the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestBeyondEnd {
    /// The gap is filled with zeros (vsftpd).
    Hole,
    /// The bytes of an upload land at the end of the file, a download gets 554 (pure-ftpd).
    Clamp,
    /// The transfer is refused with 554 (proftpd, pyftpdlib).
    Refuse,
}

/// What RNTO onto an existing file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameOver {
    /// It replaces the file in one step.
    Replaces,
    /// It gets 550 and both files stay.
    Refuses,
}

/// Which names that start with a dot are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenNames {
    /// All, by every listing command.
    Shown,
    /// All, by MLSD and by `LIST -a` and `NLST -a`, `.` and `..` among them; not without the
    /// option.
    WithDashA,
    /// None, whatever the client asks.
    Never,
}

/// Which options a listing command takes, such as `-a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOptions {
    /// Alone and before a path.
    LikeLs,
    /// Alone; before a path they belong to its name.
    Alone,
    /// None: they are a name.
    Unknown,
}

/// What LIST or NLST of an absent path replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAbsent {
    /// 226 after an empty listing (vsftpd).
    Empty,
    /// This code, before any data.
    Refuse(u16),
    /// This code, after an empty listing (proftpd).
    Late(u16),
}

/// How NLST differs from LIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameList {
    /// The options that it takes.
    pub options: ListOptions,
    /// What it replies to an absent path.
    pub absent: ListAbsent,
    /// Whether it puts `folder/` before each name of another folder than the session's.
    pub with_folder: bool,
    /// Whether it shows hidden names unasked (pure-ftpd).
    pub shows_hidden: bool,
    /// Whether it lists a file; else 550.
    pub lists_files: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            greeting: vec!["Mock FTP server ready.".to_owned()],
            lock: Lock::None,
            tail: Tail::Stays,
            rest_beyond_end: RestBeyondEnd::Refuse,
            rename_over: RenameOver::Replaces,
            rename_refusal: 550,
            allow_overwrite: true,
            allow_store_restart: true,
            append_follows_end: false,
            restart_in_ascii: false,
            size_in_ascii: false,
            utf8_option: 200,
            hidden_names: HiddenNames::Shown,
            list_options: ListOptions::LikeLs,
            list_absent: ListAbsent::Refuse(550),
            nlst: NameList::default(),
            mlsd_refusal: 550,
            download_broken: 426,
            takes_backslashes: true,
            write_failure: 451,
            store_refusal: 550,
            pasv_address: None,
            max_sessions: None,
            idle_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(300),
            loses_early_commands: false,
            disabled: BTreeSet::new(),
        }
    }
}

impl Default for NameList {
    fn default() -> Self {
        Self {
            options: ListOptions::LikeLs,
            absent: ListAbsent::Refuse(550),
            with_folder: false,
            shows_hidden: false,
            lists_files: true,
        }
    }
}

impl Behaviour {
    /// The same server without these commands: it answers 500 to them. `REST`, `SIZE`,
    /// `MLSD`, `MLST`, `EPSV`, `HASH` and `XCRC` are worth switching off. `UTF8` is a line of
    /// FEAT only.
    #[must_use]
    pub fn without(mut self, commands: &[&str]) -> Self {
        self.disabled.extend(commands.iter().map(|command| command.to_ascii_uppercase()));
        self
    }

    /// The same server with this lock.
    #[must_use]
    pub fn with_lock(mut self, lock: Lock) -> Self {
        self.lock = lock;
        self
    }

    pub(super) fn knows(&self, command: &str) -> bool {
        !self.disabled.contains(command)
    }
}

impl Lock {
    /// The refusal of pyftpdlib when its file system layer locks with flock.
    pub fn refuse() -> Self {
        Self::Refuse { code: 550, text: "Resource temporarily unavailable.".to_owned() }
    }
}
