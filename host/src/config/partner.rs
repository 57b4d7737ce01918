//! A partner of the configuration.

use std::{path::PathBuf, time::Duration};

use ferryway_core::{PartnerName, RemotePath, transport::Transport};

use super::{
    fault::{Fault, Position, listed, nearest},
    keys::RETRY,
    layout::{Environment, InstallDir},
    reader::{Located, Reader},
    secret::{Settings, readable_by_others},
    source_address::SourceChoice,
};

ferryway_core::words! {
    /// Where partial files lie on a partner.
    Staging {
        /// In a folder of each epoch, which a takeover revokes as a whole.
        Folder = "folder",
        /// Beside their targets, under names of their own.
        Beside = "beside",
    }
}

ferryway_core::words! {
    /// What a partner's server does to a renamed file when a dead session's upload to it
    /// closes late.
    LateClose {
        /// What the partner's last probe has shown; nothing is known before it.
        Probe = "probe",
        /// The file keeps what others wrote to it.
        Keeps = "keeps",
        /// The file is cut where the late session stood.
        Truncates = "truncates",
    }
}

/// A remote system: how to reach it and how to treat it. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub struct PartnerConfig {
    /// Its name.
    pub name: PartnerName,
    /// The name of its transport.
    pub transport: String,
    /// How many sessions may be open at once, at least 1.
    pub sessions: usize,
    /// How many jobs may move at once, at least 1.
    pub jobs: usize,
    /// Where its connections leave from.
    pub source_address: SourceChoice,
    /// Where partial files lie.
    pub staging: Staging,
    /// The staging folder: a single name, made beside each target.
    pub staging_folder: RemotePath,
    /// Files below this size in bytes always start fresh.
    pub resume_min_bytes: u64,
    /// What a late close does.
    pub late_close: LateClose,
    /// When a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// What belongs to the transport.
    pub settings: Settings,
    file: PathBuf,
    position: Position,
    transport_position: Position,
}

/// When a failed attempt is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first attempt; then the job is suspended.
    pub attempts: u32,
    /// The delay before the first retry.
    pub first: Duration,
    /// The longest delay, not below `first`.
    pub max: Duration,
    /// What each delay is multiplied by to make the next, at least 1.
    pub factor: f64,
}

impl RetryPolicy {
    /// The delay before retry `number`, counted from 1, without its random part; `None` when
    /// the retries are used up.
    pub fn delay(&self, number: u32) -> Option<Duration> {
        if number > self.attempts {
            return None;
        }
        let steps = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
        // The product may be infinite; the longest delay is the smaller one then.
        let seconds = self.first.as_secs_f64() * self.factor.powi(steps);
        Some(Duration::from_secs_f64(seconds.min(self.max.as_secs_f64())))
    }
}

impl PartnerConfig {
    pub(super) fn read(name: &Located<String>, mut reader: Reader<'_>) -> Option<Self> {
        let document = reader.document;
        let parsed: Option<PartnerName> = name
            .value
            .parse()
            .map_err(|error: ferryway_core::id::InvalidName| {
                let key = format!("partners.{}", name.value.escape_debug());
                reader.findings.fault(document.fault(name.offset, key, error.to_string()));
            })
            .ok();
        let transport = reader.text("transport");
        let sessions = count(reader.integer("sessions"));
        let jobs = count(reader.integer("jobs"));
        let source_address = reader.word("source_address", SourceChoice::from_word);
        let staging = reader.word("staging", Staging::from_word);
        let staging_folder = reader
            .parsed("staging_folder", staging_folder)
            .map_or_else(|| staging_folder(".ferryway").ok(), |folder| Some(folder.value));
        let resume_min_bytes = reader.integer("resume_min_bytes").unsigned_abs();
        let late_close = reader.word("late_close", LateClose::from_word);
        let retry = retry(reader.section("retry", &RETRY));
        let settings = Settings::new(reader.rest(), document);
        let transport = transport?;
        Some(Self {
            name: parsed?,
            transport_position: document.position(transport.offset),
            transport: transport.value,
            sessions,
            jobs,
            source_address: source_address?,
            staging: staging?,
            staging_folder: staging_folder?,
            resume_min_bytes,
            late_close: late_close?,
            retry,
            settings,
            file: document.file.clone(),
            position: document.position(name.offset),
        })
    }

    /// What the transport finds wrong with its settings, and the secrets that cannot be had
    /// now as warnings: the host may run as another user or under systemd.
    pub(super) fn check(
        &self,
        transport: &dyn Transport,
        install: &InstallDir,
        environment: &Environment,
    ) -> Checked {
        let (table, missing) = self.settings.resolve_what_can_be(install, environment);
        let guessed = |key: &str| missing.iter().any(|(missing, _)| missing == key);
        let faults = transport.check_config(&table).into_iter();
        let faults = faults
            .filter(|fault| !guessed(&fault.key))
            .map(|fault| self.fault(&fault.key, fault.message))
            .collect();
        let warning = |(key, reason): &(String, String)| {
            self.fault(key, format!("cannot be read now: {reason}"))
                .hint("make sure that the host's service can read it")
        };
        Checked { faults, warnings: missing.iter().map(warning).collect() }
    }

    /// The fault that no plugin provides the partner's transport.
    pub fn unknown_transport<'a>(&self, known: impl IntoIterator<Item = &'a str>) -> Fault {
        let known: Vec<_> = known.into_iter().collect();
        let message = format!("no plugin provides the transport `{}`", self.transport);
        let hint = match nearest(&self.transport, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                "no plugin is loaded: `ferryway plugins` says why".to_owned()
            }
            None => format!("there are {}; `ferryway plugins` says more", listed(known)),
        };
        let mut fault = self.fault("transport", message).hint(hint);
        fault.position = Some(self.transport_position);
        fault
    }

    /// Warnings about secrets that others can read.
    pub(super) fn exposed_secrets(
        &self,
        install: &InstallDir,
        environment: &Environment,
    ) -> Vec<Fault> {
        let mut warnings = Vec::new();
        if readable_by_others(&self.file) {
            warnings.extend(self.settings.plain_secrets().into_iter().map(|key| {
                self.fault(&key, "is written in a file that others can read")
                    .hint("`chmod 600` the file, or write `{ file = \"path\" }` instead")
            }));
        }
        for (key, source) in self.settings.sources() {
            let file = source.file(install, environment);
            if let Some(file) = file.filter(|file| readable_by_others(file)) {
                let message = format!("others can read its secret file {}", file.display());
                warnings.push(self.fault(&key, message).hint("`chmod 600` it"));
            }
        }
        warnings
    }

    fn fault(&self, key: &str, message: impl Into<String>) -> Fault {
        Fault {
            file: self.file.clone(),
            position: Some(self.settings.position(key).unwrap_or(self.position)),
            key: format!("partners.{}.{key}", self.name),
            message: message.into(),
            hint: None,
        }
    }
}

/// What a transport finds about a partner.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What keeps the partner from being used.
    pub faults: Vec<Fault>,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
}

fn staging_folder(text: &str) -> Result<RemotePath, String> {
    let folder: RemotePath = text.parse().map_err(|error| format!("{error}"))?;
    if text.contains('/') {
        return Err(format!("`{text}` has a `/`; it is a single name, made beside the target"));
    }
    Ok(folder)
}

fn retry(mut reader: Reader<'_>) -> RetryPolicy {
    let seconds = |value: i64| Duration::from_secs(value.unsigned_abs());
    let attempts = u32::try_from(reader.integer("attempts")).unwrap_or(u32::MAX);
    let first = seconds(reader.integer("first_s"));
    let max = seconds(reader.integer("max_s"));
    let factor = reader.number("factor");
    // Whoever sets only a first delay above the usual maximum means a constant delay.
    let policy = RetryPolicy { attempts, first, max: max.max(first), factor };
    reader.finish();
    policy
}

fn count(value: i64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
