//! What this host does for the jobs that a visitor announces.

use std::path::PathBuf;

use ferryway_core::{DefinitionId, PartnerName};

use super::{
    InstallDir,
    definition::Definition,
    exit,
    fault::{Fault, Findings, Position},
    reader::{Named, Reader},
};
use crate::journal::record::Exits;

/// What is done for a visitor's jobs of one of its definitions.
#[derive(Clone, Debug)]
pub struct Reception {
    /// The visitor's definition.
    pub id: DefinitionId,
    /// The visitor; the configuration has it.
    pub visitor: PartnerName,
    /// The folder that the visitor knows as `/`, when its bytes come by another way than its
    /// session here.
    pub files: Option<PathBuf>,
    /// The user's programs around the transfer.
    pub exits: Exits,
    file: PathBuf,
    position: Position,
}

impl Reception {
    /// Reads one table. `visitors` are the names that the configuration has tables for.
    pub(super) fn read(
        mut reader: Reader<'_>,
        install: &InstallDir,
        visitors: &[String],
    ) -> Option<Self> {
        let document = reader.document;
        let id = reader.parsed("id", str::parse::<DefinitionId>);
        let visitor = reader.parsed("visitor", str::parse::<PartnerName>);
        if let Some(visitor) = &visitor {
            reader.check_known("visitor", visitor, Named::Visitor, visitors);
        }
        let files = reader.text("files").map(|files| install.path().join(files.value));
        let exits = exit::read(&mut reader, install);
        reader.finish();
        let (id, visitor) = (id?, visitor?.value);
        let (file, position) = (document.file.clone(), document.position(id.offset));
        Some(Self { id: id.value, visitor, files, exits, file, position })
    }
}

/// Faults for tables of one definition of one visitor: which of them counts?
pub(super) fn check_twice(receptions: &[Reception], findings: &Findings) {
    for (index, one) in receptions.iter().enumerate() {
        let same = |other: &&Reception| other.id == one.id && other.visitor == one.visitor;
        if let Some(other) = receptions[..index].iter().find(same) {
            let place = format!("{}:{}", other.file.display(), other.position.line);
            let message =
                format!("jobs {} of {} have a table already, at {place}", one.id, one.visitor);
            findings.fault(one.fault(message));
        }
    }
}

/// Warnings for tables of visitors' definitions whose jobs could be taken for those of one of our
/// own. They never bear the same id: run numbers that would lead to one are passed over.
pub(super) fn check_ids(receptions: &[Reception], definitions: &[Definition], findings: &Findings) {
    for reception in receptions {
        let met = definitions.iter().find(|definition| definition.id.collides_with(&reception.id));
        if let Some(definition) = met {
            let message = format!(
                "jobs of {} of {} are easily taken for those of {}, and run numbers are passed \
                 over where the two would bear one job id",
                reception.id, reception.visitor, definition.id
            );
            findings.warn(reception.fault(message).hint("give one of them another id"));
        }
    }
}

impl Reception {
    fn fault(&self, message: String) -> Fault {
        let (file, position) = (self.file.clone(), Some(self.position));
        Fault { file, position, key: "reception.id".to_owned(), message, hint: None }
    }
}
