//! What `ferryway.toml` says about the host itself.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{InstanceName, message::Language};

use super::{
    fault::Fault,
    keys,
    layout::{Environment, InstallDir},
    listen::ListenConfig,
    reader::Reader,
    roots::LocalRoots,
    source_address::{SourceAddress, address},
};

/// How much may happen at once, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that may move at once, over all partners; at least 1.
    pub jobs: usize,
    /// How long a stop waits for running attempts.
    pub stop_timeout: Duration,
    /// How long the journal may be unreachable before the host fences itself.
    pub journal_unreachable: Duration,
}

/// How long finished jobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Days that a finished job is kept, at least 1.
    pub keep_days: u32,
}

/// The operator's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The language of the messages.
    pub language: Language,
    /// Bytes after which a new file is begun.
    pub file_bytes: u64,
    /// How many older files are kept, at least 1.
    pub files: usize,
}

/// The longest path of a run directory, in bytes: a socket's whole path has 107 at most
/// (`sun_path` of unix(7)), and its file name needs some of them.
const RUN_DIR_LIMIT: usize = 90;

/// The host's own sections. What is `None` has a fault.
pub(super) struct Host {
    pub(super) instance: Option<InstanceName>,
    pub(super) host_name: Option<String>,
    pub(super) source_address: Option<SourceAddress>,
    pub(super) run_dir: Option<PathBuf>,
    pub(super) roots: LocalRoots,
    pub(super) limits: Limits,
    pub(super) history: History,
    pub(super) log: Option<LogSettings>,
    /// `None` within when there is no door.
    pub(super) listen: Option<Option<ListenConfig>>,
}

impl Host {
    pub(super) fn read(
        top: &mut Reader<'_>,
        install: &InstallDir,
        environment: &Environment,
    ) -> Self {
        let mut section = top.section("instance", &keys::INSTANCE);
        let instance = section.parsed("name", str::parse::<InstanceName>).map(|name| name.value);
        let host_name = host_name(&mut section, environment);
        let source_address =
            section.parsed("source_address", address).map(|address| SourceAddress {
                address: address.value,
                file: section.document.file.clone(),
                position: section.document.position(address.offset),
            });
        let run_dir = run_dir(&mut section, instance.as_ref(), install, environment);
        section.finish();
        Self {
            instance,
            host_name,
            source_address,
            run_dir,
            roots: roots(top.section("roots", &keys::ROOTS), install),
            limits: limits(top.section("limits", &keys::LIMITS)),
            history: history(top.section("history", &keys::HISTORY)),
            log: log(top.section("log", &keys::LOG)),
            listen: ListenConfig::read(top),
        }
    }
}

fn host_name(section: &mut Reader<'_>, environment: &Environment) -> Option<String> {
    let configured = section.parsed("host_name", check_host_name);
    let (name, source) = if let Some(name) = environment.variable("HOSTNM") {
        (name.to_string_lossy().into_owned(), "the environment variable HOSTNM")
    } else if let Some(configured) = configured {
        return Some(configured.value);
    } else {
        (environment.system_host_name()?.to_owned(), "the system's host name")
    };
    let checked = check_host_name(&name);
    if let Err(error) = &checked {
        let fault = Fault::of_file(&section.document.file, format!("{source}: {error}"));
        section.findings.fault(fault.hint("set `host_name` in `[instance]`, or HOSTNM"));
    }
    checked.ok()
}

/// A host name as RFC 1123 section 2.1 has it, underscores tolerated, or an address.
fn check_host_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if text.is_empty() || text.len() > 253 || !text.chars().all(allowed) {
        return Err(format!("`{}` is no host name", text.escape_debug()));
    }
    Ok(text.to_owned())
}

fn run_dir(
    section: &mut Reader<'_>,
    instance: Option<&InstanceName>,
    install: &InstallDir,
    environment: &Environment,
) -> Option<PathBuf> {
    let configured = section.text("run_dir");
    let given = configured.as_ref().map(|configured| Path::new(configured.value.as_str()));
    let run_dir = environment.run_dir(given, instance?);
    let refuse = |message: String, hint: &str| {
        match &configured {
            Some(at) => section.fault(at.offset, "run_dir", message, Some(hint.to_owned())),
            None => {
                section.findings.fault(Fault::of_file(&section.document.file, message).hint(hint))
            }
        }
        None
    };
    let shown = run_dir.display();
    if !run_dir.is_absolute() {
        return refuse(format!("the run directory `{shown}` is not absolute"), "begin it with `/`");
    }
    if run_dir.starts_with(install.path()) {
        let message = format!("the run directory `{shown}` lies in the install directory");
        return refuse(message, "choose a folder of this machine, such as /run/ferryway/NAME");
    }
    if run_dir.as_os_str().len() > RUN_DIR_LIMIT {
        let message = format!("the run directory `{shown}` is longer than {RUN_DIR_LIMIT} bytes");
        return refuse(message, "a socket's path must be short: choose a shorter one");
    }
    Some(run_dir)
}

fn roots(mut section: Reader<'_>, install: &InstallDir) -> LocalRoots {
    let mut folders = |key: &str| {
        let mut folders = Vec::new();
        for folder in section.texts(key) {
            if folder.value.is_empty() || folder.value.contains(['\r', '\n', '\0']) {
                let message = format!("`{}` names no folder", folder.value.escape_debug());
                section.fault(folder.offset, key, message, None);
                continue;
            }
            let path = install.path().join(&folder.value);
            if !fs::metadata(&path).is_ok_and(|facts| facts.is_dir()) {
                let message = format!("there is no folder `{}`", path.display());
                let warning = section.document.fault(folder.offset, section.full(key), message);
                let hint = "make or mount it before a job needs it";
                section.findings.warn(warning.hint(hint));
            }
            folders.push(path);
        }
        folders
    };
    let roots = LocalRoots::new(folders("send"), folders("receive"));
    section.finish();
    roots
}

fn limits(mut section: Reader<'_>) -> Limits {
    let limits = Limits {
        jobs: usize::try_from(section.integer("jobs")).unwrap_or(usize::MAX),
        stop_timeout: seconds(section.integer("stop_timeout_s")),
        journal_unreachable: seconds(section.integer("journal_unreachable_s")),
    };
    section.finish();
    limits
}

fn history(mut section: Reader<'_>) -> History {
    let keep_days = u32::try_from(section.integer("keep_days")).unwrap_or(u32::MAX);
    section.finish();
    History { keep_days }
}

fn log(mut section: Reader<'_>) -> Option<LogSettings> {
    let language = section.word("language", Language::from_word);
    let file_bytes = section.integer("file_bytes").unsigned_abs();
    let files = usize::try_from(section.integer("files")).unwrap_or(usize::MAX);
    section.finish();
    Some(LogSettings { language: language?, file_bytes, files })
}

fn seconds(value: i64) -> Duration {
    Duration::from_secs(value.unsigned_abs())
}
