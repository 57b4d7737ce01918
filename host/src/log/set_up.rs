//! Tracing, for those who look into the host itself.

use std::{env, io};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, util::SubscriberInitExt};

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
    let filter = filter(env::var(FILTER_VARIABLE).ok().as_deref())?;
    let subscriber = fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            subscriber.with_ansi(colours).finish().try_init()?;
        }
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
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
