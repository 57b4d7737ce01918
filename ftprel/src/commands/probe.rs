//! `ftprel probe`.

use ferryway_core::policy::Publish;
use ferryway_host::{
    control::api::{PartnerProbed, ProbeRequest},
    partner::habits::{Advice, Findings, Folders, Idle, Locking, OpenFile, Restart},
};

use super::Context;
use crate::{
    args::ProbeArgs,
    exit::{Exit, Result},
    render,
};

pub(super) async fn run(args: ProbeArgs, context: &Context) -> Result<Exit> {
    let request = ProbeRequest { folder: args.folder, silent_s: args.silent };
    let probed = context.client.probe_partner(&args.partner, &request).await?;
    if context.json {
        render::print_json(&probed)?;
    } else {
        render::print(&text(&probed))?;
    }
    Ok(Exit::Ok)
}

fn text(PartnerProbed { findings, advice }: &PartnerProbed) -> String {
    let listed = if findings.lists_hidden { "are listed" } else { "are not listed" };
    let mut lines = vec![
        ("Partner", partner(findings)),
        ("Locks", locks(findings.locking).to_owned()),
        ("Open file", open_file(findings.open_file).to_owned()),
        ("Folders", folders(findings.folders).to_owned()),
        ("Rename", rename(findings.replaces).to_owned()),
        ("Restart", restart(findings.restart).to_owned()),
        ("Hashes", hashes(findings)),
        ("Dot names", listed.to_owned()),
    ];
    lines.extend(findings.idle.map(|idle| ("Silence", silence(idle))));
    lines.extend(
        findings.left.iter().map(|path| {
            ("Left", format!("`{}` could not be removed", render::clean(path.as_str())))
        }),
    );
    let seen: String = lines.iter().map(|(what, how)| format!("{what:<11}{how}\n")).collect();
    format!("{seen}\n{}\n\n{}", rows(findings, advice), settings(findings, advice))
}

fn partner(findings: &Findings) -> String {
    match &findings.folder {
        Some(folder) => format!("{}, in `{}`", findings.partner, render::clean(folder.as_str())),
        None => format!("{}, where sessions start", findings.partner),
    }
}

fn locks(locking: Locking) -> &'static str {
    match locking {
        Locking::Refuses => "yes: a file that another session stores is refused",
        Locking::Waits => "yes: a file that another session stores is waited for",
        Locking::Takes => "no: a file that another session stores is taken from both",
        Locking::Unseen => "not to be seen: no file that exists is taken, whoever stores it",
    }
}

fn open_file(open_file: OpenFile) -> &'static str {
    match open_file {
        OpenFile::Follows => "can be renamed, and its upload goes on",
        OpenFile::Loses => "can be renamed, and loses bytes of its upload",
        OpenFile::Refuses => "cannot be renamed",
        OpenFile::Unseen => "shows under its name only when it is complete",
    }
}

fn folders(folders: Folders) -> &'static str {
    match folders {
        Folders::Missing => "cannot be made",
        Folders::Fixed => "can be made, but not renamed",
        Folders::Idle => "can be renamed, but not with an open file in them",
        Folders::Always => "can be renamed, also with an open file in them",
    }
}

fn rename(replaces: Option<bool>) -> &'static str {
    match replaces {
        Some(true) => "replaces a file that exists",
        Some(false) => "onto a file that exists is refused: it is moved aside first",
        None => "is refused",
    }
}

fn restart(restart: Restart) -> &'static str {
    match restart {
        Restart::Keeps => "at any offset; what lies behind the upload's end stays",
        Restart::Truncates => "at any offset; what lies behind the upload's end is cut off",
        Restart::Refuses => "is refused: uploads start at the first byte",
    }
}

fn hashes(findings: &Findings) -> String {
    if findings.checksums.is_empty() {
        return "none: what is there is proved by its size, or by reading it back".to_owned();
    }
    findings.checksums.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn silence(Idle { silent_s, alive }: Idle) -> String {
    match alive {
        true => format!("a session still answers after {silent_s} s"),
        false => format!("a session is closed after {silent_s} s, or before"),
    }
}

fn rows(findings: &Findings, advice: &Advice) -> String {
    if findings.fences {
        return "The partner itself keeps former owners out: docs/socket.md.".into();
    }
    if advice.rows.is_empty() {
        return "With publish = \"direct\" no file that exists is replaced, whatever the row."
            .into();
    }
    let rows = advice.rows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("With publish = \"direct\" it is in the rows {rows} of docs/failover-servers.md.")
}

fn settings(findings: &Findings, advice: &Advice) -> String {
    let why = match advice.publish {
        Publish::Atomic => "",
        Publish::Direct => "  # nothing can be renamed there",
    };
    format!(
        "[partners.{}]\nstaging = \"{}\"\nlate_close = \"{}\"\n\n\
         [[definition]]\npublish = \"{}\"{why}\nresume = \"{}\"\n",
        findings.partner, advice.staging, advice.late_close, advice.publish, advice.resume
    )
}
