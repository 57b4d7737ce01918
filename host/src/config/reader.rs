//! Reads one table of a file against its section, and finds every fault of it.

use ferryway_core::PartnerName;
use toml::{
    Spanned,
    de::{DeInteger, DeString, DeTable, DeValue},
};

use super::{
    fault::{Document, Findings, listed, nearest},
    keys::{Key, Kind, SECTIONS, Section},
};

/// A value with the byte of the file where it starts.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) offset: usize,
}

/// What a name may be the name of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Partner,
    Visitor,
}

/// A table on its way into typed values. Each key is taken once; what is left over at
/// [`finish`](Self::finish) is a fault.
pub(super) struct Reader<'a> {
    section: &'static Section,
    /// The table's own key, such as `partners.tokyo`; empty for the top.
    path: String,
    table: DeTable<'a>,
    /// Where the table starts, for faults about what is missing.
    offset: usize,
    pub(super) document: &'a Document,
    pub(super) findings: &'a Findings,
}

impl<'a> Reader<'a> {
    /// Parses the text of a file. Syntax errors become faults; what could be understood all
    /// the same is read on.
    pub(super) fn top(
        document: &'a Document,
        section: &'static Section,
        findings: &'a Findings,
    ) -> Self {
        let (table, errors) = DeTable::parse_recoverable(&document.text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            findings.fault(document.fault(offset, "", error.message()));
        }
        let table = table.into_inner();
        Self { section, path: String::new(), table, offset: 0, document, findings }
    }

    /// Text of a key; `None` when it is absent or wrong.
    pub(super) fn text(&mut self, name: &str) -> Option<Located<String>> {
        let (key, value) = self.take(name)?;
        let offset = value.span().start;
        match value.into_inner() {
            DeValue::String(text) => Some(Located { value: text.into_owned(), offset }),
            other => self.wrong_type(key, &other, offset),
        }
    }

    /// The value that a text stands for. A text that `parse` refuses is a fault.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        let text = self.text(name)?;
        match parse(&text.value) {
            Ok(value) => Some(Located { value, offset: text.offset }),
            Err(error) => {
                self.fault(text.offset, name, error.to_string(), None);
                None
            }
        }
    }

    /// The texts of a list; empty when it is absent.
    pub(super) fn texts(&mut self, name: &str) -> Vec<Located<String>> {
        let Some((key, value)) = self.take(name) else { return Vec::new() };
        let offset = value.span().start;
        let DeValue::Array(array) = value.into_inner() else {
            self.fault(offset, name, format!("expected {}", key.kind.expected()), None);
            return Vec::new();
        };
        let items: Vec<_> = array.into_iter().collect();
        items
            .into_iter()
            .filter_map(|item| {
                let offset = item.span().start;
                match item.into_inner() {
                    DeValue::String(text) => Some(Located { value: text.into_owned(), offset }),
                    other => self.wrong_type(key, &other, offset),
                }
            })
            .collect()
    }

    /// A whole number, the default when it is absent or wrong.
    pub(super) fn integer(&mut self, name: &str) -> i64 {
        let Some(Key { kind: Kind::Integer { min, max, default }, .. }) = self.section.key(name)
        else {
            debug_assert!(false, "`{name}` is no whole number of {}", self.section.header);
            return 0;
        };
        let Some((key, value)) = self.take(name) else { return *default };
        let offset = value.span().start;
        let number = match value.into_inner() {
            DeValue::Integer(digits) => whole(&digits, *min, *max),
            other => return self.wrong_type(key, &other, offset).unwrap_or(*default),
        };
        number.unwrap_or_else(|| {
            self.fault(offset, name, format!("must be from {min} to {max}"), None);
            *default
        })
    }

    /// The whole numbers of a list, the default when it is absent or wrong.
    pub(super) fn integers(&mut self, name: &str) -> Vec<i64> {
        let Some(Key { kind: Kind::Integers { min, max, default }, .. }) = self.section.key(name)
        else {
            debug_assert!(false, "`{name}` is no list of numbers of {}", self.section.header);
            return Vec::new();
        };
        let Some((key, value)) = self.take(name) else { return default.to_vec() };
        let offset = value.span().start;
        let items = match value.into_inner() {
            DeValue::Array(items) => items,
            other => {
                return self.wrong_type(key, &other, offset).unwrap_or_else(|| default.to_vec());
            }
        };
        let mut numbers = Vec::with_capacity(items.len());
        for item in items {
            let offset = item.span().start;
            match item.into_inner() {
                DeValue::Integer(digits) => match whole(&digits, *min, *max) {
                    Some(number) => numbers.push(number),
                    None => self.fault(offset, name, format!("must be from {min} to {max}"), None),
                },
                other => drop(self.wrong_type::<()>(key, &other, offset)),
            }
        }
        numbers
    }

    /// A number, the default when it is absent or wrong.
    pub(super) fn number(&mut self, name: &str) -> f64 {
        let Some(Key { kind: Kind::Number { min, max, default }, .. }) = self.section.key(name)
        else {
            debug_assert!(false, "`{name}` is no number of {}", self.section.header);
            return 0.0;
        };
        let Some((key, value)) = self.take(name) else { return *default };
        let offset = value.span().start;
        let number = match value.into_inner() {
            DeValue::Float(digits) => digits.as_str().parse().ok(),
            DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().parse().ok(),
            other => return self.wrong_type(key, &other, offset).unwrap_or(*default),
        };
        number.filter(|number| (min..=max).contains(&number)).unwrap_or_else(|| {
            self.fault(offset, name, format!("must be from {min} to {max}"), None);
            *default
        })
    }

    /// The value of a word; the default's when it is absent or wrong, `None` without one.
    pub(super) fn word<T>(&mut self, name: &str, value: impl Fn(&str) -> Option<T>) -> Option<T> {
        let Some(Key { kind: Kind::Word { words, default }, .. }) = self.section.key(name) else {
            debug_assert!(false, "`{name}` is no word of {}", self.section.header);
            return None;
        };
        let otherwise = default.and_then(&value);
        let Some(text) = self.text(name) else { return otherwise };
        value(&text.value).or_else(|| {
            let message = format!(
                "`{}` is not one of {}",
                text.value.escape_debug(),
                listed(words.iter().copied())
            );
            let hint = nearest(&text.value, words.iter().copied());
            self.fault(text.offset, name, message, hint.map(|word| format!("use `{word}`")));
            otherwise
        })
    }

    /// Whether a key is there, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Where the table starts.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The reader of a table inside; an empty one when it is absent.
    pub(super) fn section(&mut self, name: &str, section: &'static Section) -> Self {
        let offset = self.offset;
        let (table, offset) = match self.take(name) {
            None => (DeTable::new(), offset),
            Some((key, value)) => {
                let offset = value.span().start;
                match value.into_inner() {
                    DeValue::Table(table) => (table, offset),
                    other => (self.wrong_type(key, &other, offset).unwrap_or_default(), offset),
                }
            }
        };
        self.inside(name, table, offset, section)
    }

    /// The readers of the tables in a table, with their names.
    pub(super) fn named(
        &mut self,
        name: &str,
        section: &'static Section,
    ) -> Vec<(Located<String>, Self)> {
        let Some((key, value)) = self.take(name) else { return Vec::new() };
        let offset = value.span().start;
        let tables = match value.into_inner() {
            DeValue::Table(tables) => tables,
            other => self.wrong_type(key, &other, offset).unwrap_or_default(),
        };
        let mut readers = Vec::new();
        for (inner, value) in tables {
            let located = Located { offset: inner.span().start, value: inner.into_inner().into() };
            let path = format!("{name}.{}", located.value);
            match value.into_inner() {
                DeValue::Table(table) => {
                    let reader = self.inside(&path, table, located.offset, section);
                    readers.push((located, reader));
                }
                other => {
                    let message = format!("expected a table, found {}", found(&other));
                    self.fault(located.offset, &path, message, None);
                }
            }
        }
        readers
    }

    /// The readers of the tables in a list.
    pub(super) fn each(&mut self, name: &str, section: &'static Section) -> Vec<Self> {
        let Some((key, value)) = self.take(name) else { return Vec::new() };
        let offset = value.span().start;
        let items = match value.into_inner() {
            DeValue::Array(items) => items,
            other => self.wrong_type(key, &other, offset).unwrap_or_default(),
        };
        let mut readers = Vec::new();
        for item in items {
            let offset = item.span().start;
            match item.into_inner() {
                DeValue::Table(table) => readers.push(self.inside(name, table, offset, section)),
                other => drop(self.wrong_type::<()>(key, &other, offset)),
            }
        }
        readers
    }

    /// Records what is wrong with a key of this table.
    pub(super) fn fault(
        &self,
        offset: usize,
        name: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let mut fault = self.document.fault(offset, self.full(name), message);
        fault.hint = hint;
        self.findings.fault(fault);
    }

    /// Checks that the name under `key` is among those that have a table.
    pub(super) fn check_known(
        &self,
        key: &str,
        name: &Located<PartnerName>,
        kind: Named,
        known: &[String],
    ) {
        let Located { value: name, offset } = name;
        if known.iter().any(|known| known == name.as_str()) {
            return;
        }
        let names = || known.iter().map(String::as_str);
        let (what, table) = match kind {
            Named::Partner => ("partner", "partners"),
            Named::Visitor => ("visitor", "listen.visitors"),
        };
        let hint = match nearest(name.as_str(), names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("write `[{table}.{name}]` in ferryway.toml"),
            None => format!("there are {}", listed(names())),
        };
        self.fault(*offset, key, format!("there is no {what} `{name}`"), Some(hint));
    }

    /// A key with the tables it is in.
    pub(super) fn full(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// Ends the reading: every key that is left is unknown.
    pub(super) fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.table) {
            self.unknown(&key);
        }
    }

    /// Ends the reading: the keys that are left are for somebody else.
    pub(super) fn rest(self) -> DeTable<'a> {
        self.table
    }

    /// Takes a key's value out of the table. An absent one that must be there is a fault.
    fn take(&mut self, name: &str) -> Option<(&'static Key, Spanned<DeValue<'a>>)> {
        let Some(key) = self.section.key(name) else {
            debug_assert!(false, "`{name}` is not among the keys of {}", self.section.header);
            return None;
        };
        let value = self.table.remove(name);
        if value.is_none() && matches!(key.kind, Kind::Text | Kind::Word { default: None, .. }) {
            self.fault(self.offset, name, "is missing", None);
        }
        value.map(|value| (key, value))
    }

    fn inside(
        &self,
        name: &str,
        table: DeTable<'a>,
        offset: usize,
        section: &'static Section,
    ) -> Self {
        let (document, findings) = (self.document, self.findings);
        Self { section, path: self.full(name), table, offset, document, findings }
    }

    fn wrong_type<T>(&self, key: &Key, found_value: &DeValue<'_>, offset: usize) -> Option<T> {
        let message = format!("expected {}, found {}", key.kind.expected(), found(found_value));
        self.fault(offset, key.name, message, None);
        None
    }

    fn unknown(&self, key: &Spanned<DeString<'_>>) {
        let name = key.get_ref().as_ref();
        let hint = match nearest(name, self.section.names()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => elsewhere(name)
                .or_else(|| Some(format!("the keys here are {}", listed(self.section.names())))),
        };
        self.fault(key.span().start, &name.escape_debug().to_string(), "unknown key", hint);
    }
}

fn whole(digits: &DeInteger<'_>, min: i64, max: i64) -> Option<i64> {
    let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok()?;
    (min..=max).contains(&number).then_some(number)
}

/// Where a key would belong that is right, but in the wrong table.
fn elsewhere(name: &str) -> Option<String> {
    let home = SECTIONS.iter().find(|section| section.key(name).is_some())?;
    match home.header {
        "" => Some(format!("`{name}` is a table of its own, at the top of a file")),
        header => Some(format!("`{name}` belongs to `{header}`")),
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
