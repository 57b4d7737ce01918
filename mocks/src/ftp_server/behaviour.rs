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
    /// What the end of an upload does with bytes behind its last one.
    pub late_close: LateClose,
    /// What `REST n` with `n` behind the end of the file does.
    pub rest_beyond_end: RestBeyondEnd,
    /// What RNTO onto an existing file does.
    pub rename_over: RenameOver,
    /// What RNTO replies when the file of RNFR has gone since.
    pub rename_vanished: u16,
    /// Whether STOR may replace an existing file; else 550.
    pub allow_overwrite: bool,
    /// Whether REST before STOR, and APPE, are taken; else 451.
    pub allow_store_restart: bool,
    /// Whether SIZE answers in TYPE A; else 550.
    pub size_in_ascii: bool,
    /// Which names that start with a dot are listed.
    pub hidden_names: HiddenNames,
    /// What LIST and NLST of an absent path reply.
    pub list_absent: ListAbsent,
    /// Whether `NLST folder` puts `folder/` before each name (vsftpd).
    pub nlst_with_folder: bool,
    /// The reply when the disk fails under an upload: 451, pyftpdlib's is 426.
    pub write_failure: u16,
    /// The reply to STOR on a read-only or vanished disk: 553 or 550.
    pub store_refusal: u16,
    /// The address that PASV tells instead of the true one, as a server behind NAT does.
    pub pasv_address: Option<Ipv4Addr>,
    /// Sessions above this number are turned away with 421.
    pub max_sessions: Option<usize>,
    /// How long a control connection may be quiet before 421.
    pub idle_timeout: Duration,
    /// How long a data connection may be quiet before 426; until then it keeps its lock.
    pub data_timeout: Duration,
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
    /// (proftpd's HiddenStores). Restarted uploads get 501 behind an accepted REST, APPE 550.
    HiddenTemporary,
    /// Every upload has a temporary file of its own, and the last one to end wins
    /// (pure-ftpd's `-0`). A restarted upload writes in place; APPE leaves only the new part.
    AtomicTemporary,
}

/// What the end of an upload does with the bytes behind its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateClose {
    /// They stay.
    Keeps,
    /// The file ends where the upload ends, also when its session is cut (pure-ftpd).
    Truncates,
}

/// What `REST n` does with `n` behind the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestBeyondEnd {
    /// The gap is filled with zeros (vsftpd).
    Hole,
    /// The bytes land at the end of the file (pure-ftpd).
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
    /// All, by MLSD and by `LIST -a` and `NLST -a`; not without the option.
    WithDashA,
    /// None, whatever the client asks.
    Never,
}

/// What LIST and NLST of an absent path reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAbsent {
    /// 226 after an empty listing (vsftpd, pure-ftpd).
    Empty,
    /// This code, before any data.
    Refuse(u16),
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            greeting: vec!["Mock FTP server ready.".to_owned()],
            lock: Lock::None,
            late_close: LateClose::Keeps,
            rest_beyond_end: RestBeyondEnd::Refuse,
            rename_over: RenameOver::Replaces,
            rename_vanished: 550,
            allow_overwrite: true,
            allow_store_restart: true,
            size_in_ascii: false,
            hidden_names: HiddenNames::Shown,
            list_absent: ListAbsent::Refuse(550),
            nlst_with_folder: false,
            write_failure: 451,
            store_refusal: 550,
            pasv_address: None,
            max_sessions: None,
            idle_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(300),
            disabled: BTreeSet::new(),
        }
    }
}

impl Behaviour {
    /// The same server without these commands: it answers 500 to them. `REST`, `SIZE`,
    /// `MLSD`, `MLST`, `EPSV`, `HASH` and `XCRC` are worth switching off.
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
