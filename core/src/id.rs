//! Names of instances, partners, definitions and jobs: short, printable, safe in a path.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is no valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// What the text was to name.
        what: &'static str,
    },
    /// The text has more characters than the name may have.
    #[error("{what} `{text}` has {length} characters; at most {limit} are allowed")]
    TooLong {
        /// What the text was to name.
        what: &'static str,
        /// The text as given.
        text: String,
        /// Its length in characters.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// The text has a character that the name may not have.
    #[error("{what} `{}` has the character {character:?}; allowed are {allowed}", text.escape_debug())]
    Character {
        /// What the text was to name.
        what: &'static str,
        /// The text as given.
        text: String,
        /// The first character that is not allowed.
        character: char,
        /// The allowed characters, in words.
        allowed: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $allowed:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest text allowed, in characters.
            pub const LIMIT: usize = $limit;

            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check($what, text, $limit, $allowed, $test)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// Name of an instance; it is part of the staging folder's path on every partner.
    InstanceName, "instance name", 32, "letters, digits, `-` and `_`",
    |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

name! {
    /// Name of a partner, as the configuration gives it.
    PartnerName, "partner name", 32, "letters, digits, `-` and `_`",
    |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

name! {
    /// Id of a transfer definition, such as `PRDY01`.
    DefinitionId, "definition id", 6, "capital letters and digits",
    |c: char| c.is_ascii_uppercase() || c.is_ascii_digit()
}

name! {
    /// Id of a job: its definition's id followed by its run number, such as `PRDY014` for
    /// run 4 of `PRDY01`.
    JobId, "job id", 26, "capital letters and digits",
    |c: char| c.is_ascii_uppercase() || c.is_ascii_digit()
}

impl JobId {
    /// The id of one run of a definition.
    pub fn new(definition: &DefinitionId, run: RunNumber) -> Self {
        Self(format!("{definition}{run}"))
    }

    /// Which run of a definition would bear this id; `None` when none would.
    pub fn run_of(&self, definition: &DefinitionId) -> Option<RunNumber> {
        let number = self.0.strip_prefix(definition.as_str())?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let run = number.parse().ok().filter(|_| is_number && !number.starts_with('0'))?;
        Some(RunNumber(run))
    }
}

impl DefinitionId {
    /// Whether a run of `self` and a run of `other` could bear the same job id, as `A` and
    /// `A1` do in `A11`. Such a pair of definitions is refused by the configuration.
    pub fn collides_with(&self, other: &Self) -> bool {
        let (short, long) =
            if self.0.len() < other.0.len() { (self, other) } else { (other, self) };
        long.0.strip_prefix(&short.0).is_some_and(|rest| {
            // A run number has no leading zero, so `A` and `A01` never meet.
            rest.starts_with(|c: char| ('1'..='9').contains(&c))
                && rest.bytes().all(|b| b.is_ascii_digit())
        })
    }
}

/// Number of a run of a definition, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunNumber(pub u64);

impl fmt::Display for RunNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check(
    what: &'static str,
    text: &str,
    limit: usize,
    allowed: &'static str,
    test: impl Fn(char) -> bool,
) -> Result<(), InvalidName> {
    let length = text.chars().count();
    if length == 0 {
        return Err(InvalidName::Empty { what });
    }
    if length > limit {
        return Err(InvalidName::TooLong { what, text: text.to_owned(), length, limit });
    }
    match text.chars().find(|&c| !test(c)) {
        Some(character) => {
            Err(InvalidName::Character { what, text: text.to_owned(), character, allowed })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_after_its_definition_and_run() {
        let definition: DefinitionId = "PRDY01".parse().unwrap();
        assert_eq!(JobId::new(&definition, RunNumber(4)).as_str(), "PRDY014");
    }

    #[test]
    fn an_id_tells_which_run_it_is_of_each_definition() {
        let id: JobId = "PRDY017".parse().unwrap();
        let run_of = |definition: &str| id.run_of(&definition.parse().unwrap());
        assert_eq!(run_of("PRDY01"), Some(RunNumber(7)));
        assert_eq!(run_of("PRDY0"), Some(RunNumber(17)));
        for none in ["PRDY", "PRDY1", "PRD", "X"] {
            assert_eq!(run_of(none), None, "{none}");
        }
    }

    #[test]
    fn names_refuse_what_would_break_a_path_or_a_command() {
        for text in ["", "TOOLONG", "prdy01", "A B", "A/B", "A\r\nB", "日本"] {
            assert!(text.parse::<DefinitionId>().is_err(), "{text:?}");
        }
        for text in ["", "..", "a/b", "a\0", &"x".repeat(33)] {
            assert!(text.parse::<InstanceName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn definitions_that_share_a_job_id_collide() {
        let id = |text: &str| text.parse::<DefinitionId>().unwrap();
        assert!(id("A").collides_with(&id("A1")));
        assert!(id("PRDY12").collides_with(&id("PRDY")));
        assert!(!id("PRDY").collides_with(&id("PRDY01")));
        assert!(!id("A").collides_with(&id("AB1")));
    }
}
