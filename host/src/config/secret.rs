//! A transport's settings, and the secrets that they name instead of holding.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    fault::{Document, Position},
    layout::{Environment, InstallDir},
};

/// The longest secret that is read, in bytes.
pub const SECRET_LIMIT_BYTES: u64 = 64 * 1024;

/// A text that is never printed: `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `{ file = "path" }`: the file's text without a last line end. A relative path starts
    /// at the install directory.
    File(PathBuf),
    /// `{ env = "NAME" }`: a variable of the host's environment.
    Variable(String),
    /// `{ credential = "name" }`: a credential of the service, as systemd's
    /// `LoadCredential=` provides it in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Why a secret cannot be had. Names its source, never its text.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {place}: {reason}")]
pub struct SecretError {
    key: String,
    place: String,
    reason: String,
}

impl SecretSource {
    /// The source that a value names: a table with one of the keys `file`, `env` and
    /// `credential`, and no other.
    pub fn of(value: &Value) -> Option<Self> {
        let table = value.as_table().filter(|table| table.len() == 1)?;
        let (key, text) = table.iter().next()?;
        let text = text.as_str()?.to_owned();
        match key.as_str() {
            "file" => Some(Self::File(text.into())),
            "env" => Some(Self::Variable(text)),
            "credential" => Some(Self::Credential(text)),
            _ => None,
        }
    }

    /// The file that holds the secret, where it is one.
    pub fn file(&self, install: &InstallDir, environment: &Environment) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(install.path().join(path)),
            Self::Variable(_) => None,
            Self::Credential(name) => {
                Some(Path::new(environment.variable("CREDENTIALS_DIRECTORY")?).join(name))
            }
        }
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// The reason, in words that do not hold the secret.
    pub fn read(&self, install: &InstallDir, environment: &Environment) -> Result<Secret, String> {
        if let Self::Variable(name) = self {
            let value = environment.variable(name).ok_or("the variable is not set")?;
            let text = value.to_str().ok_or("the variable is not UTF-8")?;
            return Ok(Secret(text.to_owned()));
        }
        if matches!(self, Self::Credential(name) if name.contains('/') || name == "..") {
            return Err("a credential's name has no `/`".to_owned());
        }
        let file = self
            .file(install, environment)
            .ok_or("CREDENTIALS_DIRECTORY is not set: the host does not run under systemd")?;
        read_limited(&file).map(Secret).map_err(|error| error.to_string())
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "secret file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

/// The keys of a partner that belong to its transport, secrets not yet read. `Debug` prints
/// the keys only.
#[derive(Clone, Default)]
pub struct Settings {
    table: Table,
    positions: BTreeMap<String, Position>,
}

impl Settings {
    pub(super) fn new(table: DeTable<'_>, document: &Document) -> Self {
        let mut positions = BTreeMap::new();
        let table = owned(table, "", document, &mut positions);
        Self { table, positions }
    }

    /// The names of the settings at the top.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(String::as_str)
    }

    /// The settings with every secret in its place, for a transport.
    ///
    /// # Errors
    /// When a secret cannot be had; says which, of what source, and why.
    pub fn resolve(
        &self,
        install: &InstallDir,
        environment: &Environment,
    ) -> Result<Table, SecretError> {
        let mut table = self.table.clone();
        for (key, source) in self.sources() {
            let secret = source.read(install, environment).map_err(|reason| SecretError {
                key: key.clone(),
                place: source.to_string(),
                reason,
            })?;
            replace(&mut table, &key, secret.expose());
        }
        Ok(table)
    }

    /// As [`resolve`](Self::resolve), with a text of stars for what cannot be had, and the
    /// keys and reasons of those.
    pub(super) fn resolve_what_can_be(
        &self,
        install: &InstallDir,
        environment: &Environment,
    ) -> (Table, Vec<(String, String)>) {
        let mut table = self.table.clone();
        let mut missing = Vec::new();
        for (key, source) in self.sources() {
            let text = source.read(install, environment).unwrap_or_else(|reason| {
                missing.push((key.clone(), format!("{source}: {reason}")));
                Secret("***".to_owned())
            });
            replace(&mut table, &key, text.expose());
        }
        (table, missing)
    }

    /// The keys, dotted, whose value names a secret.
    pub(super) fn sources(&self) -> Vec<(String, SecretSource)> {
        let mut sources = Vec::new();
        walk(&self.table, "", &mut |key, value| {
            let source = SecretSource::of(value);
            sources.extend(source.map(|source| (key.to_owned(), source)));
        });
        sources
    }

    /// Those whose value is to be kept from others: a certificate is for everybody.
    pub(super) fn secret_sources(&self) -> Vec<(String, SecretSource)> {
        const OPEN: [&str; 2] = ["certificate", "ca"];
        let mut sources = self.sources();
        sources.retain(|(key, _)| !OPEN.contains(&key.as_str()));
        sources
    }

    /// The keys, dotted, that hold a secret as plain text, told by their names.
    pub(super) fn plain_secrets(&self) -> Vec<String> {
        const NAMES: [&str; 5] = ["password", "passphrase", "secret", "token", "key"];
        let mut keys = Vec::new();
        walk(&self.table, "", &mut |key, value| {
            if value.is_str() && NAMES.iter().any(|name| key.ends_with(name)) {
                keys.push(key.to_owned());
            }
        });
        keys
    }

    /// Where a key stands in the file, or the nearest table around it.
    pub(super) fn position(&self, key: &str) -> Option<Position> {
        let mut key = key;
        loop {
            if let Some(position) = self.positions.get(key) {
                return Some(*position);
            }
            key = key.rsplit_once('.')?.0;
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

fn read_limited(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(file)?.take(SECRET_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_LIMIT_BYTES {
        return Err(io::Error::other(format!("it is larger than {SECRET_LIMIT_BYTES} bytes")));
    }
    let end = text
        .strip_suffix('\n')
        .map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(end);
    Ok(text)
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Visits every value that is no table of settings.
fn walk(table: &Table, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (key, value) in table {
        let key = dotted(path, key);
        match value {
            Value::Table(inside) if SecretSource::of(value).is_none() => walk(inside, &key, visit),
            value => visit(&key, value),
        }
    }
}

fn replace(table: &mut Table, key: &str, text: &str) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), Value::String(text.to_owned()))),
        Some((first, rest)) => {
            if let Some(Value::Table(inside)) = table.get_mut(first) {
                replace(inside, rest, text);
            }
        }
    }
}

fn owned(
    table: DeTable<'_>,
    path: &str,
    document: &Document,
    positions: &mut BTreeMap<String, Position>,
) -> Table {
    let mut result = Table::new();
    for (key, value) in table {
        let full = dotted(path, key.get_ref());
        positions.insert(full.clone(), document.position(key.span().start));
        let value = owned_value(value.into_inner(), &full, document, positions);
        result.insert(key.into_inner().into_owned(), value);
    }
    result
}

fn owned_value(
    value: DeValue<'_>,
    path: &str,
    document: &Document,
    positions: &mut BTreeMap<String, Position>,
) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        // A number too large for TOML's own range stays as its digits: the transport
        // expects a number and refuses the text.
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map_or_else(|_| Value::String(digits.to_string()), Value::Integer),
        DeValue::Float(digits) => {
            digits.as_str().parse().map_or_else(|_| Value::String(digits.to_string()), Value::Float)
        }
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::Datetime(value),
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| owned_value(item.into_inner(), path, document, positions))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(owned(table, path, document, positions)),
    }
}
