//! The user's programs around a transfer, as the tables `pre_exit` and `post_exit` of a definition
//! or a reception name them.

use ferryway_core::policy::{OnFailure, OnTakeover};

use super::{
    keys::{POST_EXIT, PRE_EXIT},
    layout::InstallDir,
    reader::Reader,
};
use crate::{
    exits,
    journal::record::{Exit, Exits},
};

/// Reads both tables of `reader`'s. One that is absent or has faults is none.
pub(super) fn read(reader: &mut Reader<'_>, install: &InstallDir) -> Exits {
    Exits { pre: pre(reader, install), post: post(reader, install) }
}

fn pre(reader: &mut Reader<'_>, install: &InstallDir) -> Option<Exit> {
    let mut table = reader.has("pre_exit").then(|| reader.section("pre_exit", &PRE_EXIT))?;
    let exit = either(&mut table, install);
    let retry = codes(&mut table, "retry");
    table.finish();
    Some(Exit { retry, ..exit? })
}

fn post(reader: &mut Reader<'_>, install: &InstallDir) -> Option<Exit> {
    let mut table = reader.has("post_exit").then(|| reader.section("post_exit", &POST_EXIT))?;
    let exit = either(&mut table, install);
    let on_failure = table.word("on_failure", OnFailure::from_word);
    let on_takeover = table.word("on_takeover", OnTakeover::from_word);
    table.finish();
    Some(Exit { on_failure: on_failure?, on_takeover: on_takeover?, ..exit? })
}

/// What both kinds have.
fn either(table: &mut Reader<'_>, install: &InstallDir) -> Option<Exit> {
    let command = table.texts("command");
    let at = command.first().map_or(table.offset(), |program| program.offset);
    let command: Vec<_> = command.into_iter().map(|text| text.value).collect();
    let timeout_s = table.integer("timeout_s").unsigned_abs();
    let success = codes(table, "success");
    match exits::locate(install, &command) {
        Err(unusable) => {
            table.fault(at, "command", unusable.to_string(), None);
            return None;
        }
        Ok(program) => {
            if let Err(unusable) = exits::vet(&program) {
                let fault = table.document.fault(at, table.full("command"), unusable.to_string());
                table.findings.lack(fault);
            }
        }
    }
    Some(Exit {
        command,
        timeout_s,
        success,
        retry: Vec::new(),
        on_failure: OnFailure::Continue,
        on_takeover: OnTakeover::Ask,
    })
}

fn codes(table: &mut Reader<'_>, name: &str) -> Vec<i32> {
    table.integers(name).into_iter().filter_map(|code| code.try_into().ok()).collect()
}
