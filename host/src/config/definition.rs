//! A transfer definition of the configuration.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{DefinitionId, Direction, PartnerName, Publish, RemotePath, ResumePolicy};

use super::{
    exit,
    fault::{Fault, Position},
    layout::InstallDir,
    reader::{Located, Named, Reader},
    roots::LocalRoots,
    template::{Place, Template},
};
use crate::journal::record::Exits;

/// A kind of transfer; each job is a run of one.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its id.
    pub id: DefinitionId,
    /// The partner; the configuration has it.
    pub partner: PartnerName,
    /// Which way the bytes go.
    pub direction: Direction,
    /// The local file; given at each submit when it is `None`.
    pub local: Option<Template>,
    /// The file on the partner.
    pub remote: Template,
    /// How the target comes into being.
    pub publish: Publish,
    /// When an interrupted transfer goes on where it stopped.
    pub resume: ResumePolicy,
    /// Waiting jobs with a larger number go first; from -1000 to 1000.
    pub priority: i32,
    /// How long after the publish the target is looked at again; zero: not at all.
    pub settle_delay: Duration,
    /// The user's programs around the transfer.
    pub exits: Exits,
    pub(super) file: PathBuf,
    pub(super) position: Position,
}

impl Definition {
    /// Where the definition stands.
    pub fn place(&self) -> (&Path, Position) {
        (&self.file, self.position)
    }

    /// Reads one definition. `partners` are the names that the configuration has tables for.
    pub(super) fn read(
        mut reader: Reader<'_>,
        install: &InstallDir,
        roots: &LocalRoots,
        partners: &[String],
    ) -> Option<Self> {
        let document = reader.document;
        let id = reader.parsed("id", str::parse::<DefinitionId>);
        let partner = reader.parsed("partner", str::parse::<PartnerName>);
        let direction = reader.word("direction", Direction::from_word);
        let local = reader.parsed("local", str::parse::<Template>);
        let remote = reader.parsed("remote", str::parse::<Template>);
        let publish = reader.word("publish", Publish::from_word);
        let resume = reader.word("resume", ResumePolicy::from_word);
        let priority = i32::try_from(reader.integer("priority")).unwrap_or_default();
        let settle_delay = Duration::from_secs(reader.integer("settle_delay_s").unsigned_abs());
        let exits = exit::read(&mut reader, install);
        if let Some(partner) = &partner {
            reader.check_known("partner", partner, Named::Partner, partners);
        }
        check_remote(&reader, remote.as_ref());
        if let Some(direction) = direction {
            check_local(&reader, local.as_ref(), direction, roots);
            check_source(&reader, local.as_ref(), remote.as_ref(), direction);
        }
        reader.finish();
        let (id, partner) = (id?, partner?);
        Some(Self {
            file: document.file.clone(),
            position: document.position(id.offset),
            id: id.value,
            partner: partner.value,
            direction: direction?,
            local: local.map(|local| local.value),
            remote: remote?.value,
            publish: publish?,
            resume: resume?,
            priority,
            settle_delay,
            exits,
        })
    }

    pub(super) fn fault(&self, position: Position, key: &str, message: String) -> Fault {
        Fault {
            file: self.file.clone(),
            position: Some(position),
            key: format!("definition.{key}"),
            message,
            hint: None,
        }
    }
}

fn check_remote(reader: &Reader<'_>, remote: Option<&Located<Template>>) {
    let Some(remote) = remote else { return };
    if let Err(error) = remote.value.shape().parse::<RemotePath>() {
        reader.fault(remote.offset, "remote", error.to_string(), None);
    }
}

fn check_local(
    reader: &Reader<'_>,
    local: Option<&Located<Template>>,
    direction: Direction,
    roots: &LocalRoots,
) {
    let Some(local) = local else { return };
    if let Err(error) = roots.locate(Path::new(&local.value.shape()), direction) {
        reader.fault(local.offset, "local", error.to_string(), None);
    }
}

/// `{name}` is the source's name, so the source itself cannot be named by it.
fn check_source(
    reader: &Reader<'_>,
    local: Option<&Located<Template>>,
    remote: Option<&Located<Template>>,
    direction: Direction,
) {
    let (key, source) = match direction {
        Direction::Send => ("local", local),
        Direction::Fetch => ("remote", remote),
    };
    if let Some(source) = source.filter(|source| source.value.has(Place::Name)) {
        let message = format!(
            "`{{name}}` is the name of the source, and with `direction = \"{direction}\"` this \
             is the source"
        );
        let hint = "write its name, or use `{date}`, `{job}` or `{run}`".to_owned();
        reader.fault(source.offset, key, message, Some(hint));
    }
}
