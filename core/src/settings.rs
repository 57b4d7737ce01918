//! Reads the settings of a partner or a door for a transport: value by value, and every fault at
//! once.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::transport::ConfigFault;

/// Takes values out of a table and gathers what is wrong with them.
#[derive(Debug)]
pub struct Keys<'a> {
    table: &'a toml::Table,
    faults: Vec<ConfigFault>,
}

impl<'a> Keys<'a> {
    /// A table, with a fault for each key that is not among the `known`.
    pub fn new(table: &'a toml::Table, known: &[&str]) -> Self {
        let mut keys = Self { table, faults: Vec::new() };
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let message = match nearest(key, known) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known are {}", known.join(", ")),
            };
            keys.fault(key, message);
        }
        keys
    }

    /// Whether the table says anything of a key.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes what is wrong with a key, and what would be right.
    pub fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(ConfigFault { key: key.to_owned(), message: message.into() });
    }

    /// A value; `None` when it is not there, or is of another kind, which is a fault.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.table.get(key)?.clone();
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, error.message());
                None
            }
        }
    }

    /// A value that has to be there; `what` says what it is.
    pub fn required<T: DeserializeOwned>(&mut self, key: &str, what: &str) -> Option<T> {
        if !self.has(key) {
            self.fault(key, format!("missing: {what}"));
        }
        self.optional(key)
    }

    /// A time limit of 1 to `most` seconds.
    pub fn seconds(&mut self, key: &str, default: u64, most: u64) -> Duration {
        let seconds = self.optional(key).unwrap_or(default);
        if !(1..=most).contains(&seconds) {
            self.fault(key, format!("{seconds} is not between 1 and {most} seconds"));
        }
        Duration::from_secs(seconds)
    }

    /// What was read, if nothing is wrong.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<ConfigFault>> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(self.faults),
        }
    }
}

/// The known key that an unknown one may have been meant for.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (strsim::damerau_levenshtein(known, key), *known));
    let (distance, known) = distances.min()?;
    (distance <= known.len() / 3 + 1).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, read: impl FnOnce(&mut Keys<'_>)) -> Vec<String> {
        let table = text.parse().unwrap();
        let mut keys = Keys::new(&table, &["host", "timeout_s"]);
        read(&mut keys);
        let faults = keys.finish(Some(())).err().unwrap_or_default();
        faults.into_iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect()
    }

    #[test]
    fn an_unknown_key_gets_the_nearest_one_or_all() {
        let said = faults("hots = 1\ncolour = 2", |_| ());
        assert_eq!(
            said,
            [
                "colour: unknown key; known are host, timeout_s",
                "hots: unknown key; did you mean `host`?"
            ]
        );
    }

    #[test]
    fn what_is_missing_of_another_kind_or_too_much_is_told_at_once() {
        let said = faults("timeout_s = 61", |keys| {
            assert_eq!(keys.required::<String>("host", "its name"), None);
            assert_eq!(keys.seconds("timeout_s", 30, 60), Duration::from_secs(61));
        });
        assert_eq!(
            said,
            ["host: missing: its name", "timeout_s: 61 is not between 1 and 60 seconds"]
        );
        let said = faults("host = 1", |keys| {
            assert_eq!(keys.optional::<String>("host"), None);
            assert_eq!(keys.seconds("timeout_s", 30, 60), Duration::from_secs(30), "the default");
        });
        assert!(said.len() == 1 && said[0].starts_with("host: "), "{said:?}");
    }

    #[test]
    fn without_a_fault_there_is_what_was_read_or_nothing() {
        let table = toml::Table::new();
        assert_eq!(Keys::new(&table, &[]).finish(Some(7)), Ok(7));
        assert_eq!(Keys::new(&table, &[]).finish(None::<u8>), Err(Vec::new()));
    }
}
