//! A partner of the configuration.

use std::{num::NonZeroU64, str::FromStr, time::Duration};

use ferryway_core::{PartnerName, RemotePath, id::InvalidName};

use super::{
    keys::RETRY,
    reader::{Located, Named, Reader},
    source_address::SourceChoice,
    transport::TransportConfig,
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
    /// Its transport, with the transport's own settings.
    pub transport: TransportConfig,
    /// How many sessions may be open at once, at least 1.
    pub sessions: usize,
    /// How many jobs may move at once, at least 1.
    pub jobs: usize,
    /// How many bytes a second may move, over all of its sessions and both directions.
    pub bytes_per_second: Option<NonZeroU64>,
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
    /// Who is told of its jobs; what its transport can do decides when it is `None`.
    pub notices: Option<Told>,
    /// When a failed attempt is tried again.
    pub retry: RetryPolicy,
}

/// Who is told of the jobs with a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nobody.
    Nobody,
    /// A partner of the configuration, this one or another.
    Partner(PartnerName),
}

impl FromStr for Told {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text {
            "none" => Ok(Self::Nobody),
            name => name.parse().map(Self::Partner),
        }
    }
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
    /// The keys that differ from those of a partner that is open, and that a reload does not
    /// take up.
    pub fn changed_for_next_start(&self, open: &Self) -> Vec<&'static str> {
        let Self { staging_folder, resume_min_bytes, late_close, retry, .. } = self;
        let keys = [
            ("transport", self.transport.name != open.transport.name),
            ("sessions", self.sessions != open.sessions),
            ("jobs", self.jobs != open.jobs),
            ("staging", self.staging != open.staging),
            ("staging_folder", *staging_folder != open.staging_folder),
            ("resume_min_bytes", *resume_min_bytes != open.resume_min_bytes),
            ("late_close", *late_close != open.late_close),
            ("retry", *retry != open.retry),
        ];
        keys.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
    }

    /// Reads one table. `names` are those that the configuration has tables for.
    pub(super) fn read(
        name: &Located<String>,
        mut reader: Reader<'_>,
        names: &[String],
    ) -> Option<Self> {
        let document = reader.document;
        let parsed: Option<PartnerName> = name
            .value
            .parse()
            .map_err(|error: InvalidName| {
                let key = format!("partners.{}", name.value.escape_debug());
                reader.findings.fault(document.fault(name.offset, key, error.to_string()));
            })
            .ok();
        let transport = reader.text("transport");
        let sessions = count(reader.integer("sessions"));
        let jobs = count(reader.integer("jobs"));
        let bytes_per_second = bytes_per_second(&mut reader);
        let source_address = reader.word("source_address", SourceChoice::from_word);
        let staging = reader.word("staging", Staging::from_word);
        let staging_folder = reader
            .parsed("staging_folder", staging_folder)
            .map_or_else(|| staging_folder(".ferryway").ok(), |folder| Some(folder.value));
        let resume_min_bytes = reader.integer("resume_min_bytes").unsigned_abs();
        let late_close = reader.word("late_close", LateClose::from_word);
        let notices = reader.parsed("notices", str::parse::<Told>);
        if let Some(Located { value: Told::Partner(told), offset }) = &notices {
            let told = Located { value: told.clone(), offset: *offset };
            reader.check_known("notices", &told, Named::Partner, names);
        }
        let retry = retry(reader.section("retry", &RETRY));
        let table = format!("partners.{}", name.value);
        let transport = TransportConfig::read(table, name.offset, transport?, reader);
        Some(Self {
            name: parsed?,
            transport,
            sessions,
            jobs,
            bytes_per_second,
            source_address: source_address?,
            staging: staging?,
            staging_folder: staging_folder?,
            resume_min_bytes,
            late_close: late_close?,
            notices: notices.map(|notices| notices.value),
            retry,
        })
    }
}

/// A slower line than this would look like a silent one to partners.
const LEAST_BYTES_PER_SECOND: u64 = 64 * 1024;

fn bytes_per_second(reader: &mut Reader<'_>) -> Option<NonZeroU64> {
    let rate = reader.integer("bytes_per_second").unsigned_abs();
    if (1..LEAST_BYTES_PER_SECOND).contains(&rate) {
        let message = format!("{rate} is below the least limit, {LEAST_BYTES_PER_SECOND}");
        let hint = "write 0 for no limit".to_owned();
        reader.fault(reader.offset(), "bytes_per_second", message, Some(hint));
    }
    NonZeroU64::new(rate)
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
