//! What a table of the configuration says to a transport: whose it is, and the keys that are
//! the transport's own.

use std::path::PathBuf;

use ferryway_core::transport::ConfigFault;
use toml::Table;

use super::{
    fault::{Fault, Position, listed, nearest},
    layout::{Environment, InstallDir},
    reader::{Located, Reader},
    secret::{SecretError, Settings},
};
use crate::platform::files;

/// The transport of a partner or of the door, with its settings. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// The name of the transport.
    pub name: String,
    /// What belongs to the transport.
    pub settings: Settings,
    /// The table's own key.
    table: String,
    file: PathBuf,
    position: Position,
    name_position: Position,
}

/// What a transport finds about its settings.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What keeps them from being used.
    pub faults: Vec<Fault>,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
}

impl TransportConfig {
    /// Takes what the host has left of the table `table`, which starts at the byte `offset`.
    pub(super) fn read(
        table: String,
        offset: usize,
        transport: Located<String>,
        reader: Reader<'_>,
    ) -> Self {
        let document = reader.document;
        Self {
            name_position: document.position(transport.offset),
            name: transport.value,
            settings: Settings::new(reader.rest(), document),
            table,
            file: document.file.clone(),
            position: document.position(offset),
        }
    }

    /// The settings with every secret in its place.
    ///
    /// # Errors
    /// When a secret cannot be had.
    pub(super) fn resolve(
        &self,
        install: &InstallDir,
        environment: &Environment,
    ) -> Result<Table, SecretError> {
        self.settings.resolve(install, environment)
    }

    /// What `check`, the transport's own, finds wrong with its settings, and the secrets that
    /// cannot be had now as warnings: the host may run as another user or under systemd.
    pub(super) fn check(
        &self,
        check: impl FnOnce(&Table) -> Vec<ConfigFault>,
        install: &InstallDir,
        environment: &Environment,
    ) -> Checked {
        let (table, missing) = self.settings.resolve_what_can_be(install, environment);
        let guessed = |key: &str| missing.iter().any(|(missing, _)| missing == key);
        let faults = check(&table).into_iter();
        let faults = faults
            .filter(|fault| !guessed(&fault.key))
            .map(|fault| self.fault(&fault.key, fault.message))
            .collect();
        let warning = |(key, reason): &(String, String)| {
            self.fault(key, format!("cannot be read now: {reason}"))
                .hint("make sure that the host's service can read it")
        };
        Checked { faults, warnings: missing.iter().map(warning).collect() }
    }

    /// The fault that no plugin provides the transport.
    pub fn unknown<'a>(&self, known: impl IntoIterator<Item = &'a str>) -> Fault {
        let known: Vec<_> = known.into_iter().collect();
        let message = format!("no plugin provides the transport `{}`", self.name);
        let hint = match nearest(&self.name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                "no plugin is loaded: `ferryway plugins` says why".to_owned()
            }
            None => format!("there are {}; `ferryway plugins` says more", listed(known)),
        };
        self.fault_of_name(message).hint(hint)
    }

    /// The fault that the transport has no receiving end.
    pub fn without_listener(&self) -> Fault {
        self.fault_of_name(format!("the transport `{}` receives nothing from others", self.name))
            .hint("`socket` does")
    }

    /// Warnings about secrets that others can read.
    pub(super) fn exposed_secrets(
        &self,
        install: &InstallDir,
        environment: &Environment,
    ) -> Vec<Fault> {
        let mut warnings = Vec::new();
        if files::readable_by_others(&self.file) {
            warnings.extend(self.settings.plain_secrets().into_iter().map(|key| {
                self.fault(&key, "is written in a file that others can read")
                    .hint("`chmod 600` the file, or write `{ file = \"path\" }` instead")
            }));
        }
        for (key, source) in self.settings.secret_sources() {
            let file = source.file(install, environment);
            if let Some(file) = file.filter(|file| files::readable_by_others(file)) {
                let message = format!("others can read its secret file {}", file.display());
                warnings.push(self.fault(&key, message).hint("`chmod 600` it"));
            }
        }
        warnings
    }

    fn fault_of_name(&self, message: String) -> Fault {
        let mut fault = self.fault("transport", message);
        fault.position = Some(self.name_position);
        fault
    }

    /// A fault of a key of the table.
    pub fn fault(&self, key: &str, message: impl Into<String>) -> Fault {
        Fault {
            file: self.file.clone(),
            position: Some(self.settings.position(key).unwrap_or(self.position)),
            key: format!("{}.{key}", self.table),
            message: message.into(),
            hint: None,
        }
    }
}
