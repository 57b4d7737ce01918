//! The configuration: `ferryway.toml` and `definitions/*.toml` of an install directory.
//!
//! Files are parsed into types that cannot be wrong. One pass finds every fault with its
//! file, line and key; a configuration with a fault is not used at all. A [`Config`] never
//! changes: a reload makes a new one.

mod definition;
mod exit;
mod fault;
mod host;
mod keys;
mod layout;
mod listen;
mod partner;
mod reader;
mod reception;
mod reference;
mod roots;
mod secret;
pub mod source_address;
mod template;
mod transport;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ferryway_core::{
    DefinitionId, Epoch, InstanceName, PartnerName,
    reception::{Door, Introduction, Listener},
    transport::{Partner, Transport},
};

pub use definition::Definition;
pub use fault::{Fault, Position};
pub use host::{History, Limits, LogSettings};
pub use layout::{Environment, InstallDir};
pub use listen::{ListenConfig, May, VisitorConfig};
pub use partner::{LateClose, PartnerConfig, RetryPolicy, Staging, Told};
pub use reception::Reception;
pub use reference::reference;
pub use roots::{LocalFile, LocalRoots, RootError};
pub use secret::{SECRET_LIMIT_BYTES, Secret, SecretError, SecretSource, Settings};
pub use template::{InvalidTemplate, Place, Template, TemplateValues};
pub use transport::{Checked, TransportConfig};

use fault::{Document, Findings, Sorted};
use reader::Reader;
use source_address::SourceAddress;

/// The configuration of an instance. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The install directory.
    pub install: InstallDir,
    /// The instance's name.
    pub instance: InstanceName,
    /// The own host name that partners are told.
    pub host_name: String,
    /// The local address to connect from where `SrcAdr.dat` names none.
    pub source_address: Option<SourceAddress>,
    /// The folder of the control socket, on this machine.
    pub run_dir: PathBuf,
    /// The folders that jobs may read and write.
    pub roots: LocalRoots,
    /// How much may happen at once.
    pub limits: Limits,
    /// How long finished jobs are kept.
    pub history: History,
    /// The operator's log.
    pub log: LogSettings,
    /// The door for other hosts, where there is one.
    pub listen: Option<ListenConfig>,
    /// The partners.
    pub partners: BTreeMap<PartnerName, PartnerConfig>,
    /// The definitions; each one's partner is among the partners.
    pub definitions: BTreeMap<DefinitionId, Definition>,
    /// What is done for the jobs that visitors announce.
    pub receptions: Vec<Reception>,
    /// What the operator should know, though it keeps nothing from working.
    pub warnings: Vec<Fault>,
    /// What the configuration counts on and this machine does not have now. A fault to whoever
    /// checks it; no reason for a host not to start, as at a takeover.
    pub lacking: Vec<Fault>,
    environment: Environment,
}

impl Config {
    /// Reads the configuration of an install directory in this process's environment.
    /// Opens no network connection and writes nothing.
    ///
    /// # Errors
    /// Every fault that one pass finds, in the order of files and lines; never empty.
    pub fn load(install: &Path) -> Result<Self, Vec<Fault>> {
        Self::load_in(install, Environment::of_process())
    }

    /// As [`load`](Self::load), in a given environment.
    ///
    /// # Errors
    /// As there.
    pub fn load_in(install: &Path, environment: Environment) -> Result<Self, Vec<Fault>> {
        let findings = Findings::default();
        let config = Self::read(install, environment, &findings);
        let Sorted { mut faults, warnings, lacking } = findings.sorted();
        match config {
            Some(config) if faults.is_empty() => Ok(Self { warnings, lacking, ..config }),
            _ => {
                if faults.is_empty() {
                    faults.push(Fault::of_file(install, "the configuration cannot be used"));
                }
                Err(faults)
            }
        }
    }

    /// What a partner's transport finds wrong with its settings, and the secrets that cannot
    /// be read now. Touches no network.
    pub fn check_partner(&self, partner: &PartnerConfig, transport: &dyn Transport) -> Checked {
        let check = |settings: &toml::Table| transport.check_config(settings);
        partner.transport.check(check, &self.install, &self.environment)
    }

    /// As [`check_partner`](Self::check_partner), of the door.
    pub fn check_door(&self, door: &ListenConfig, listener: &dyn Listener) -> Checked {
        let check = |settings: &toml::Table| listener.check_config(settings);
        door.transport.check(check, &self.install, &self.environment)
    }

    /// What the door's transport needs to listen, its secrets read now.
    ///
    /// # Errors
    /// When a secret cannot be had.
    pub fn door(&self, listen: &ListenConfig) -> Result<Door, SecretError> {
        let settings = listen.transport.resolve(&self.install, &self.environment)?;
        Ok(Door { address: listen.address, sessions: listen.sessions, settings })
    }

    /// What is done for a visitor's jobs of a definition, where there is something to do.
    pub fn reception(&self, visitor: &PartnerName, id: &DefinitionId) -> Option<&Reception> {
        self.receptions.iter().find(|one| one.visitor == *visitor && one.id == *id)
    }

    /// What a partner's transport needs to connect in an ownership, its secrets read now. The
    /// source address is left open: it is looked up for each connection.
    ///
    /// # Errors
    /// When a secret cannot be had.
    pub fn connection(
        &self,
        partner: &PartnerConfig,
        epoch: Epoch,
    ) -> Result<Partner, SecretError> {
        let settings = partner.transport.resolve(&self.install, &self.environment)?;
        let (host, instance) = (self.host_name.clone(), self.instance.clone());
        let ours = Introduction { host, instance, epoch };
        Ok(Partner { name: partner.name.clone(), settings, source_address: None, ours })
    }

    fn read(install: &Path, environment: Environment, findings: &Findings) -> Option<Self> {
        let install = InstallDir::new(install)
            .map_err(|error| findings.fault(Fault::of_file(install, error.to_string())))
            .ok()?;
        let file = install.config_file();
        if !file.exists() {
            let message = "there is no such file: this is no install directory";
            let hint = format!("`ferryway init {}` makes one", install.path().display());
            findings.fault(Fault::of_file(&file, message).hint(hint));
            return None;
        }
        let document = Document::read(&file, findings)?;
        let mut top = Reader::top(&document, &keys::TOP, findings);
        let host = host::Host::read(&mut top, &install, &environment);
        let (names, partners) = read_partners(&mut top);
        top.finish();
        let door = host.listen.iter().flatten().map(|listen| &listen.transport);
        for owned in partners.values().map(|partner| &partner.transport).chain(door) {
            let exposed = owned.exposed_secrets(&install, &environment);
            exposed.into_iter().for_each(|warning| findings.warn(warning));
        }
        let visitors = host.listen.iter().flatten().flat_map(|listen| listen.visitors.keys());
        let visitors: Vec<_> = visitors.map(ToString::to_string).collect();
        let known = Known { install: &install, roots: &host.roots, partners: &names, visitors };
        let (definitions, receptions) = read_definitions(&known, findings);
        check_ids(&definitions, findings);
        reception::check_twice(&receptions, findings);
        reception::check_ids(&receptions, &definitions, findings);
        let definitions = definitions.into_iter().map(|d| (d.id.clone(), d)).collect();
        Some(Self {
            install,
            instance: host.instance?,
            host_name: host.host_name?,
            source_address: host.source_address,
            run_dir: host.run_dir?,
            roots: host.roots,
            limits: host.limits,
            history: host.history,
            log: host.log?,
            listen: host.listen?,
            partners,
            definitions,
            receptions,
            warnings: Vec::new(),
            lacking: Vec::new(),
            environment,
        })
    }
}

/// The names of all partners, and those that can be used. A definition of a partner that has
/// faults of its own gets no second fault for it.
fn read_partners(top: &mut Reader<'_>) -> (Vec<String>, BTreeMap<PartnerName, PartnerConfig>) {
    let tables = top.named("partners", &keys::PARTNER);
    let names: Vec<_> = tables.iter().map(|(name, _)| name.value.clone()).collect();
    let partners = tables
        .into_iter()
        .filter_map(|(name, reader)| PartnerConfig::read(&name, reader, &names))
        .map(|partner| (partner.name.clone(), partner))
        .collect();
    (names, partners)
}

/// What definitions may refer to.
struct Known<'a> {
    install: &'a InstallDir,
    roots: &'a LocalRoots,
    partners: &'a [String],
    visitors: Vec<String>,
}

fn read_definitions(known: &Known<'_>, findings: &Findings) -> (Vec<Definition>, Vec<Reception>) {
    let (mut definitions, mut receptions) = (Vec::new(), Vec::new());
    for file in definition_files(&known.install.definitions(), findings) {
        let Some(document) = Document::read(&file, findings) else { continue };
        let mut top = Reader::top(&document, &keys::DEFINITIONS, findings);
        let tables = top.each("definition", &keys::DEFINITION).into_iter();
        definitions.extend(tables.filter_map(|table| {
            Definition::read(table, known.install, known.roots, known.partners)
        }));
        let tables = top.each("reception", &keys::RECEPTION).into_iter();
        receptions.extend(
            tables.filter_map(|table| Reception::read(table, known.install, &known.visitors)),
        );
        top.finish();
    }
    (definitions, receptions)
}

/// The files `*.toml` of a folder in the order of their names, hidden ones left out: editors
/// leave such behind.
fn definition_files(folder: &Path, findings: &Findings) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => {
            findings.fault(Fault::of_file(folder, format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let shown = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    };
    let mut files: Vec<_> = entries.into_iter().map(|e| e.path()).filter(shown).collect();
    files.sort();
    files
}

/// Faults for definitions whose jobs could not be told apart.
fn check_ids(definitions: &[Definition], findings: &Findings) {
    for (index, definition) in definitions.iter().enumerate() {
        for other in &definitions[..index] {
            if let Some(fault) = clash(definition, other) {
                findings.fault(fault);
            }
        }
    }
}

fn clash(definition: &Definition, other: &Definition) -> Option<Fault> {
    let (file, position) = other.place();
    let place = format!("{}:{}", file.display(), position.line);
    let (id, other) = (&definition.id, &other.id);
    let message = if id == other {
        format!("definition {id} is already there, at {place}")
    } else if id.collides_with(other) {
        format!("jobs of {id} and of {other}, at {place}, could bear the same job id")
    } else {
        return None;
    };
    Some(definition.fault(definition.position, "id", message).hint("give one of them another id"))
}

#[cfg(test)]
mod tests;
