//! Which jobs are listed.

use std::str::FromStr;

use ferryway_core::{
    Status,
    status::{Outcome, TABLE},
};

/// A status as an operator names it: its two digits, its words, or an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusFilter(String);

impl StatusFilter {
    /// Whether the status is the one that was named.
    pub(crate) fn fits(&self, status: Status) -> bool {
        let outcome = status.outcome().map(Outcome::as_str);
        self.0 == status.code() || self.0 == status.meaning() || outcome == Some(self.0.as_str())
    }
}

impl FromStr for StatusFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let outcomes = [Outcome::Completed, Outcome::Failed, Outcome::Cancelled];
        let word = text.to_lowercase();
        let known = TABLE.iter().any(|row| row.code == word || row.meaning == word)
            || outcomes.iter().any(|outcome| outcome.as_str() == word);
        if known {
            return Ok(Self(word));
        }
        let mut words: Vec<&str> = TABLE.iter().map(|row| row.meaning).collect();
        words.extend(outcomes.map(Outcome::as_str));
        words.sort_unstable();
        words.dedup();
        Err(format!("a status is 00 to 09 or one of: {}", words.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_goes_by_digits_words_and_outcome() {
        let fits = |text: &str, status| text.parse::<StatusFilter>().unwrap().fits(status);
        assert!(fits("05", Status::Suspended));
        assert!(fits("Suspended", Status::Suspended));
        assert!(fits("failed", Status::Idle(Outcome::Failed)));
        assert!(fits("00", Status::ReceiverIdle(Outcome::Failed)));
        assert!(!fits("completed", Status::Idle(Outcome::Failed)));
        assert!("5".parse::<StatusFilter>().is_err());
    }
}
