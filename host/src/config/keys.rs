//! Every key of the configuration: what the reader accepts and what the documentation says
//! come from these tables alone.

use ferryway_core::{
    Direction, Publish, ResumePolicy,
    message::Language,
    policy::{OnFailure, OnTakeover},
};

use super::{
    partner::{LateClose, Staging},
    source_address::SourceChoice,
};

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Section {
    /// The table as a TOML header; empty for the top of a file.
    pub(super) header: &'static str,
    /// What the table is about.
    pub(super) about: &'static str,
    /// Its keys.
    pub(super) keys: &'static [Key],
}

/// A key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it decides.
    pub(super) meaning: &'static str,
}

/// What a key's value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A string that must be there.
    Text,
    /// A string; what happens without it, in words.
    OptionalText(&'static str),
    /// A list of strings, empty by default.
    Texts,
    /// A whole number.
    Integer { min: i64, max: i64, default: i64 },
    /// A list of whole numbers.
    Integers { min: i64, max: i64, default: &'static [i64] },
    /// A number.
    Number { min: f64, max: f64, default: f64 },
    /// One of these words; without a default it must be there.
    Word { words: &'static [&'static str], default: Option<&'static str> },
    /// A table with a section of its own.
    Table,
    /// A list of tables, each with a section of its own.
    Tables,
}

impl Kind {
    /// The type in words, as the reader's faults and the documentation name it.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::OptionalText(_) | Self::Word { .. } => "a string",
            Self::Texts => "a list of strings",
            Self::Integer { .. } => "a whole number",
            Self::Integers { .. } => "a list of whole numbers",
            Self::Number { .. } => "a number",
            Self::Table => "a table",
            Self::Tables => "a list of tables",
        }
    }
}

impl Section {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, kind: Kind, meaning: &'static str) -> Key {
    Key { name, kind, meaning }
}

const fn integer(min: i64, max: i64, default: i64) -> Kind {
    Kind::Integer { min, max, default }
}

const fn exit_codes(default: &'static [i64]) -> Kind {
    Kind::Integers { min: 0, max: 255, default }
}

const MIB: i64 = 1024 * 1024;

/// Every section, in the order of the documentation.
pub(super) const SECTIONS: [&Section; 15] = [
    &TOP,
    &INSTANCE,
    &ROOTS,
    &LIMITS,
    &HISTORY,
    &LOG,
    &LISTEN,
    &VISITOR,
    &PARTNER,
    &RETRY,
    &DEFINITIONS,
    &DEFINITION,
    &PRE_EXIT,
    &POST_EXIT,
    &RECEPTION,
];

pub(super) static TOP: Section = Section {
    header: "",
    about: "The tables of `ferryway.toml`.",
    keys: &[
        key("instance", Kind::Table, "The instance itself."),
        key("roots", Kind::Table, "The folders that jobs may read and write."),
        key("limits", Kind::Table, "How much may happen at once, and how long it may take."),
        key("history", Kind::Table, "How long finished jobs are kept."),
        key("log", Kind::Table, "The operator's log."),
        key(
            "listen",
            Kind::Table,
            "Where this host receives what other hosts send. Without it nobody can come.",
        ),
        key("partners", Kind::Table, "One table for each partner, under its name."),
    ],
};

pub(super) static INSTANCE: Section = Section {
    header: "[instance]",
    about: "The instance that this installation is.",
    keys: &[
        key(
            "name",
            Kind::Text,
            "Name of the instance: up to 32 letters, digits, `-` and `_`. It is part of the staging folder's path on every partner; never change it while jobs are in flight.",
        ),
        key(
            "host_name",
            Kind::OptionalText("the system's host name"),
            "Own host name that partners are told. The environment variable `HOSTNM` goes before it.",
        ),
        key(
            "source_address",
            Kind::OptionalText("the system's choice"),
            "Local IP address to connect from, such as the cluster's virtual address. `tools/master/SrcAdr.dat` goes before it.",
        ),
        key(
            "run_dir",
            Kind::OptionalText(
                "`/run/ferryway/<name>` for root, else `$XDG_RUNTIME_DIR/ferryway/<name>`, else a folder of the user's in the temporary folder; on Windows `%ProgramData%\\Ferryway\\run\\<name>`",
            ),
            "Folder for the control socket, never on the shared disk. The environment variable `FERRYWAY_RUN_DIR` goes before it.",
        ),
    ],
};

pub(super) static ROOTS: Section = Section {
    header: "[roots]",
    about: "Jobs read and write below these folders only; a path or a symbolic link that leads out of them is refused. A folder is absolute, or relative to the install directory. A relative path of a definition starts at the first folder.",
    keys: &[
        key("send", Kind::Texts, "Folders whose files may be sent."),
        key("receive", Kind::Texts, "Folders that fetched and received files may go to."),
    ],
};

pub(super) static LIMITS: Section = Section {
    header: "[limits]",
    about: "How much may happen at once, and how long it may take.",
    keys: &[
        key("jobs", integer(1, 10_000, 64), "Jobs that may move at once, over all partners."),
        key(
            "stop_timeout_s",
            integer(1, 3600, 20),
            "Seconds that a stop waits for running attempts before it cuts them.",
        ),
        key(
            "journal_unreachable_s",
            integer(1, 3600, 10),
            "Seconds without the journal after which the host fences itself.",
        ),
    ],
};

pub(super) static HISTORY: Section = Section {
    header: "[history]",
    about: "Finished jobs in the journal.",
    keys: &[key("keep_days", integer(1, 36_500, 90), "Days that a finished job is kept.")],
};

pub(super) static LOG: Section = Section {
    header: "[log]",
    about: "The operator's log, `logs/ferryway.log`.",
    keys: &[
        key(
            "language",
            Kind::Word { words: Language::WORDS, default: Some("en") },
            "Language of the messages.",
        ),
        key(
            "file_bytes",
            integer(4096, 1024 * MIB, 10 * MIB),
            "Bytes after which a new file is begun.",
        ),
        key(
            "files",
            integer(1, 1000, 10),
            "Older files that are kept, `ferryway.log.1` being the newest.",
        ),
    ],
};

pub(super) static LISTEN: Section = Section {
    header: "[listen]",
    about: "The door for other hosts. Every key that is not listed here is the transport's and checked by it; strings may be secrets, as with partners. Visitors are taken up by a reload; everything else at the next start.",
    keys: &[
        key("transport", Kind::Text, "Name of the transport that listens: `socket`."),
        key(
            "address",
            Kind::Text,
            "Local IP address to listen at, such as the cluster's virtual address; `0.0.0.0` or `::` for every one of this machine.",
        ),
        key(
            "port",
            integer(0, 65_535, 7045),
            "Port to listen at; 0 lets the system choose, and 0501I says which.",
        ),
        key(
            "sessions",
            integer(1, 1024, 64),
            "Sessions of visitors that may be open at once; up to 4 are kept for each visitor, where there are as many. Twice as many connections. Each session may hold 4 MiB of memory.",
        ),
        key("visitors", Kind::Table, "One table for each host that may come, under a name."),
    ],
};

pub(super) static VISITOR: Section = Section {
    header: "[listen.visitors.NAME]",
    about: "A host that may come, known by what it says of itself. A reload that changes or removes the table ends what the visitor does here; it may come again as the table then says. The name has up to 32 letters, digits, `-` and `_`; the epochs seen of the visitor are kept under it, so do not change it.",
    keys: &[
        key(
            "host_name",
            Kind::Text,
            "The visitor's own `[instance] host_name`. With certificates, its certificate must be for this name.",
        ),
        key("instance", Kind::Text, "The visitor's `[instance] name`."),
        key(
            "may",
            Kind::Texts,
            "What it may do: `send`, put files below the folders of `[roots] receive` and read them back; `fetch`, read files below those of `[roots] send`.",
        ),
        key(
            "jobs",
            integer(1, 100_000, 1000),
            "Jobs that it may have announced here and that have not ended. More are refused for the moment.",
        ),
    ],
};

pub(super) static PARTNER: Section = Section {
    header: "[partners.NAME]",
    about: "A remote system. Its name has up to 32 letters, digits, `-` and `_`. Every key that is not listed here is the transport's and checked by it. A transport's string may be given as a table instead, `{ file = \"path\" }` (relative to the install directory), `{ env = \"NAME\" }` or `{ credential = \"name\" }` (of systemd): it is read when the partner is used, and never printed.",
    keys: &[
        key("transport", Kind::Text, "Name of the transport, as `ferryway plugins` lists it."),
        key(
            "sessions",
            integer(1, 256, 4),
            "Sessions that may be open to the partner at once. By `socket`, where they share a connection, small files use more, as many as the receiving host has room for.",
        ),
        key(
            "jobs",
            integer(1, 10_000, 64),
            "Jobs that may move to and from the partner at once, if `sessions` allows as many.",
        ),
        key(
            "bytes_per_second",
            integer(0, i64::MAX, 0),
            "Bytes a second that may go to and come from the partner, over all of its sessions and both directions, whatever the transport; at least 65536. Counted are the files' own bytes. 0: no limit.",
        ),
        key(
            "source_address",
            Kind::Word { words: SourceChoice::WORDS, default: Some("virtual") },
            "Where the connections to the partner leave from, control and data alike: `virtual`, the address that `tools/master/SrcAdr.dat` or `[instance] source_address` names, if one does; `fixed`, the machine's own, as the system chooses.",
        ),
        key(
            "staging",
            Kind::Word { words: Staging::WORDS, default: Some("folder") },
            "Where partial files lie: `folder`, in a folder of each ownership, which a takeover revokes as a whole; `beside`, next to the target, for servers that cannot make or rename folders.",
        ),
        key(
            "staging_folder",
            Kind::OptionalText("`.ferryway`"),
            "The staging folder, made beside the target: same file system, hidden from readers.",
        ),
        key(
            "resume_min_bytes",
            integer(0, i64::MAX, 8 * MIB),
            "Files below this size in bytes always start fresh after an interruption.",
        ),
        key(
            "late_close",
            Kind::Word { words: LateClose::WORDS, default: Some("probe") },
            "What the partner's server does to a renamed file when a dead session's upload to it closes late: `keeps` its bytes or `truncates` it; `probe`: as the partner's last probe has shown. Unless it keeps them, partial files of an earlier owner are not taken over.",
        ),
        key(
            "notices",
            Kind::OptionalText("the partner itself, where its transport can tell; else nobody"),
            "Who is told of the jobs with this partner, so that a job of its own goes with each of them there: a partner's name, such as the host behind an FTP server, or `none`.",
        ),
        key("retry", Kind::Table, "When a failed attempt is tried again."),
    ],
};

pub(super) static RETRY: Section = Section {
    header: "[partners.NAME.retry]",
    about: "The delay before each retry grows by a factor up to a maximum; a random part keeps jobs from trying all at once.",
    keys: &[
        key(
            "attempts",
            integer(0, 1_000_000, 10),
            "Retries after the first attempt before the job is suspended; 0: none.",
        ),
        key("first_s", integer(1, 86_400, 5), "Seconds before the first retry."),
        key(
            "max_s",
            integer(1, 86_400, 300),
            "The longest delay in seconds, at least `first_s`: a smaller number counts as that.",
        ),
        key(
            "factor",
            Kind::Number { min: 1.0, max: 10.0, default: 2.0 },
            "What each delay is multiplied by to make the next.",
        ),
    ],
};

pub(super) static DEFINITIONS: Section = Section {
    header: "",
    about: "The top of each file `definitions/*.toml`.",
    keys: &[
        key("definition", Kind::Tables, "One `[[definition]]` for each transfer definition."),
        key(
            "reception",
            Kind::Tables,
            "One `[[reception]]` for each definition of a visitor with something to do for its jobs here.",
        ),
    ],
};

pub(super) static RECEPTION: Section = Section {
    header: "[[reception]]",
    about: "What this host does for the jobs that a visitor announces of one of its definitions. Without a table they are received all the same. It counts for jobs that are announced after it.",
    keys: &[
        key("id", Kind::Text, "Id of the visitor's definition."),
        key("visitor", Kind::Text, "Name of the visitor, as in `[listen.visitors.NAME]`."),
        key(
            "files",
            Kind::OptionalText("where the visitor reaches by its own session"),
            "The folder that the FTP server shows as `/` to the visitor, when the bytes come by FTP: absolute, or relative to the install directory. This host then looks at the files itself.",
        ),
        key("pre_exit", Kind::Table, "A program that runs before the file may come."),
        key("post_exit", Kind::Table, "A program that runs after the file is here."),
    ],
};

pub(super) static DEFINITION: Section = Section {
    header: "[[definition]]",
    about: "A transfer definition. In `local` and `remote`, `{name}` stands for the source's file name, `{job}` for the job's id, `{run}` for its run number and `{date}` for the day as YYYYMMDD; `{{` and `}}` for a brace.",
    keys: &[
        key(
            "id",
            Kind::Text,
            "Id: up to 6 capital letters and digits. A job's id is this one and the run number.",
        ),
        key("partner", Kind::Text, "Name of the partner."),
        key(
            "direction",
            Kind::Word { words: Direction::WORDS, default: None },
            "`send` to the partner or `fetch` from it.",
        ),
        key(
            "local",
            Kind::OptionalText("given at each submit"),
            "The local file: inside a folder of `[roots]`, or relative to the first one.",
        ),
        key("remote", Kind::Text, "The file on the partner."),
        key(
            "publish",
            Kind::Word { words: Publish::WORDS, default: Some("atomic") },
            "`atomic`: the target appears complete, by a rename. `direct`: bytes go straight to the target, for partners that watch for one name; readers can see it half-written.",
        ),
        key(
            "resume",
            Kind::Word { words: ResumePolicy::WORDS, default: Some("verified") },
            "After an interruption: `verified` goes on where it stopped once the bytes there are proved; `size` trusts their number; `never` starts fresh.",
        ),
        key("priority", integer(-1000, 1000, 0), "Waiting jobs with a larger number go first."),
        key(
            "settle_delay_s",
            integer(0, 3600, 0),
            "Seconds after the publish when it is looked at once more whether it has lasted, before the job is done, for partners that may lose power. The job holds no session meanwhile. 0: not looked at again.",
        ),
        key("pre_exit", Kind::Table, "A program that runs before the file is looked at."),
        key("post_exit", Kind::Table, "A program that runs after the file is delivered."),
    ],
};

const COMMAND: Key = key(
    "command",
    Kind::Texts,
    "The program and its arguments; it must be given. The program is a name inside of `exits/`, or an absolute path. No shell is between.",
);

const TIMEOUT: Key = key(
    "timeout_s",
    integer(1, 86_400, 3600),
    "Seconds after which the program and all that it started are ended by force, which is a failure.",
);

const SUCCESS: Key = key("success", exit_codes(&[0]), "Exit codes that mean success.");

pub(super) static PRE_EXIT: Section = Section {
    header: "[definition.pre_exit]",
    about: "A program that runs once for each job before its file is looked at; without its success no byte moves. `[reception.pre_exit]` has the same keys. [exits.md](exits.md) says what it finds and what it has to expect.",
    keys: &[
        COMMAND,
        TIMEOUT,
        SUCCESS,
        key(
            "retry",
            exit_codes(&[75]),
            "Exit codes that mean: not yet. The job is tried again as after any failed try, and the program runs again. Every other code fails the job.",
        ),
    ],
};

pub(super) static POST_EXIT: Section = Section {
    header: "[definition.post_exit]",
    about: "A program that runs for each job after its file is delivered. `[reception.post_exit]` has the same keys. [exits.md](exits.md) says what it finds and what it has to expect.",
    keys: &[
        COMMAND,
        TIMEOUT,
        SUCCESS,
        key(
            "on_failure",
            Kind::Word { words: OnFailure::WORDS, default: Some("continue") },
            "When it failed: `continue` ends the job as delivered, with the failure on its record; `ask` lets the job wait for `ftprel restart`.",
        ),
        key(
            "on_takeover",
            Kind::Word { words: OnTakeover::WORDS, default: Some("ask") },
            "When a node ended while the program was running, so that nobody knows whether it did its work: `ask` logs 0215E and waits for `ftprel restart`; `rerun` runs it again; `skip` takes it for done.",
        ),
    ],
};
