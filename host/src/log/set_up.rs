//! Tracing, for those who look into the host itself.

use std::{env, io};
#[cfg(windows)]
use std::{path::Path, sync::Mutex};

use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt::{self, MakeWriter},
    util::SubscriberInitExt,
};

#[cfg(windows)]
use ferryway_core::message::Language;

#[cfg(windows)]
use super::file::LogFile;
#[cfg(windows)]
use crate::config::LogSettings;

/// The environment variable that says which events are shown, such as
/// `info,ferryway_host::journal=debug`.
pub const FILTER_VARIABLE: &str = "FERRYWAY_LOG";

ferryway_core::words! {
    /// How tracing events are written.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object for each event.
        Json = "json",
    }
}

/// Why tracing could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The filter is no filter.
    #[error(
        "{FILTER_VARIABLE}=`{filter}` is no filter: {source}; an example is `info,ferryway_host=debug`"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The process has tracing already.
    #[error("tracing is set up already")]
    Already(#[from] tracing_subscriber::util::TryInitError),
}

/// Writes the tracing events of this process to the standard error output, from `info` on
/// unless [`FILTER_VARIABLE`] says otherwise. Colours only on a terminal.
///
/// # Errors
/// When the filter is wrong or the process has tracing already.
pub fn set_up(format: LogFormat) -> Result<(), SetUpError> {
    begin(format, io::stderr, io::IsTerminal::is_terminal(&io::stderr()))
}

/// As [`set_up`], to a file in a folder, for a process that has no standard error output. The
/// file and its predecessors are bounded in size; what cannot be written is lost.
///
/// # Errors
/// As there.
#[cfg(windows)]
pub(crate) fn set_up_file(format: LogFormat, folder: &Path, name: &str) -> Result<(), SetUpError> {
    begin(format, Mutex::new(Events(LogFile::named(folder, name))), false)
}

fn begin<W>(format: LogFormat, writer: W, colours: bool) -> Result<(), SetUpError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter(env::var(FILTER_VARIABLE).ok().as_deref())?;
    let subscriber = fmt::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => subscriber.with_ansi(colours).finish().try_init()?,
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// Writes events, each of which comes in one piece, to files.
#[cfg(windows)]
struct Events(LogFile);

/// How much of events is kept: no configuration has been read when they begin.
#[cfg(windows)]
const EVENTS: LogSettings =
    LogSettings { language: Language::English, file_bytes: 4 << 20, files: 2 };

#[cfg(windows)]
impl io::Write for Events {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(event).trim_end().to_owned();
        self.0.append(&[line], EVENTS).map_err(|unwritten| unwritten.error)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn filter(given: Option<&str>) -> Result<EnvFilter, SetUpError> {
    let filter = given.filter(|filter| !filter.is_empty()).unwrap_or("info");
    EnvFilter::try_new(filter)
        .map_err(|source| SetUpError::Filter { filter: filter.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_told_and_none_is_info() {
        assert_eq!(filter(None).unwrap().to_string(), "info");
        assert_eq!(filter(Some("")).unwrap().to_string(), "info");
        let error = filter(Some("info=x=y")).unwrap_err().to_string();
        assert!(error.starts_with("FERRYWAY_LOG=`info=x=y` is no filter"), "{error}");
    }
}
