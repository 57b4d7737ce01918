//! The operator's messages: one catalogue of codes and texts, in English and Japanese.
//!
//! Monitoring products match on the lines, so a code never changes its meaning and its text
//! changes with a release note only.

mod catalogue;

use std::fmt::{self, Write};

pub use catalogue::Message;

crate::words! {
    /// A language that every message is written in.
    Language {
        /// English.
        English = "en",
        /// Japanese.
        Japanese = "ja",
    }
}

/// How much a message concerns the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// All goes on, but somebody should look at it.
    Warning,
    /// Somebody must act.
    Error,
}

/// A line of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Four digits and the letter of the severity.
    pub code: &'static str,
    /// The English text, with its places in braces.
    pub english: &'static str,
    /// The Japanese text, with the same places.
    pub japanese: &'static str,
}

impl Severity {
    /// The letter at the end of a code.
    pub fn letter(self) -> char {
        match self {
            Self::Info => 'I',
            Self::Warning => 'W',
            Self::Error => 'E',
        }
    }
}

impl Entry {
    /// The severity that the code's letter says.
    pub fn severity(&self) -> Severity {
        match self.code.as_bytes().last() {
            Some(b'E') => Severity::Error,
            Some(b'W') => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

impl Message {
    /// Four digits and the letter of the severity.
    pub fn code(&self) -> &'static str {
        self.entry().code
    }

    /// How much the message concerns the operator.
    pub fn severity(&self) -> Severity {
        self.entry().severity()
    }

    /// The line of the operator's log, without its line end: time, subject, code and text.
    /// `time` is `2000/03/01 10:06:18` in the machine's zone, `subject` the definition's id,
    /// or the instance's name for what concerns the whole host. Control characters, which a
    /// partner's reply or a file's name may hold, are escaped: a message is one line always.
    ///
    /// ```
    /// use ferryway_core::message::{Language, Message};
    /// let message = Message::CannotRecover { job: "PRDY014".parse()? };
    /// assert_eq!(
    ///     message.line("2000/03/01 10:06:18", "PRDY01", Language::English),
    ///     "2000/03/01 10:06:18 PRDY01 0215E Job can not recovery!! Job(PRDY014)",
    /// );
    /// # Ok::<(), ferryway_core::id::InvalidName>(())
    /// ```
    pub fn line(
        &self,
        time: impl fmt::Display,
        subject: impl fmt::Display,
        language: Language,
    ) -> String {
        let raw = format!("{time} {subject} {} {}", self.code(), self.text(language));
        let mut line = String::with_capacity(raw.len());
        for character in raw.chars() {
            // Also the separators that some viewers take for a line end.
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                // Writing to a `String` cannot fail.
                let _ok = write!(line, "{}", character.escape_default());
            } else {
                line.push(character);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn places(text: &str) -> BTreeSet<&str> {
        let after = text.split('{').skip(1);
        after.map(|rest| rest.split_once('}').unwrap().0).collect()
    }

    #[test]
    fn codes_are_unique_sorted_and_well_formed() {
        let codes: Vec<_> = Message::CATALOGUE.iter().map(|entry| entry.code).collect();
        for code in &codes {
            let (digits, letter) = code.split_at(4);
            assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{code}");
            assert!(["I", "W", "E"].contains(&letter), "{code}");
        }
        let digits: Vec<_> = codes.iter().map(|code| &code[..4]).collect();
        assert!(digits.is_sorted_by(|a, b| a < b), "{digits:?}");
    }

    #[test]
    fn both_languages_have_the_same_places_and_say_what_to_do() {
        for entry in Message::CATALOGUE {
            assert_eq!(places(entry.english), places(entry.japanese), "{}", entry.code);
            assert!(!entry.japanese.is_ascii(), "{}", entry.code);
            // What the operator must act on says how, after what happened. The one exception
            // has its text from elsewhere.
            if entry.severity() > Severity::Info && entry.code != "0215E" {
                assert!(entry.english.contains(". "), "{}: {}", entry.code, entry.english);
                assert!(entry.japanese.contains('。'), "{}: {}", entry.code, entry.japanese);
            }
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_it_is_about() {
        let message = Message::JobFailed {
            job: "A1".parse().unwrap(),
            reason: "550 a\r\n2000/03/01 10:06:18 A 0203I forged\u{2028}".to_owned(),
        };
        let line = message.line("T", "A", Language::English);
        assert!(line.starts_with("T A 0206E "), "{line}");
        assert!(!line.contains(['\r', '\n', '\u{2028}']), "{line}");
        assert!(line.contains(r"a\r\n2000"), "{line}");
    }

    #[test]
    fn both_languages_fill_their_places() {
        let message = Message::JobAccepted {
            job: "PRDY014".parse().unwrap(),
            partner: "tokyo".parse().unwrap(),
        };
        assert_eq!(message.severity(), Severity::Info);
        assert_eq!(message.text(Language::English), "Job accepted. Job(PRDY014) Partner(tokyo)");
        assert!(message.text(Language::Japanese).contains("(PRDY014)"));
    }
}
