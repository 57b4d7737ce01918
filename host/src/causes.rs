//! An error with all its causes, for people.

use std::error::Error;

/// The error and its causes in one line. A cause that the text before it shows already, as
/// transparent errors do, is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}: {source}")]
    struct Shown {
        what: &'static str,
        source: io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the job failed")]
    struct Hidden(#[source] Shown);

    #[test]
    fn each_cause_is_said_once() {
        let cause = Shown { what: "cannot open", source: io::Error::other("no such file") };
        assert_eq!(chain(&Hidden(cause)), "the job failed: cannot open: no such file");
    }
}
