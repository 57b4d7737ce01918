//! A way through the model, told in words.

use std::fmt::Write;

use super::{
    Death, Setting, State,
    events::Action,
    explore::System,
    journal::{Job, Partial},
    names::{Content, Folder, HOLE, TARGET},
    node::Node,
    server::{Command, Peer, Reply},
};

/// Tells what happens on a way, a numbered sentence a step, and how it is in the end.
pub fn tell(setting: &Setting, way: &[Action]) -> String {
    let mut story = String::new();
    let mut state = setting.first();
    for (number, &action) in (1..).zip(way) {
        let Some(next) = setting.next(&state, action) else { break };
        // Writing to a String cannot fail.
        let _written = writeln!(story, "{number:>3}. {}", sentence(&state, &next, action));
        state = next;
    }
    let _written = writeln!(story, "     In the end {}.", situation(&state));
    story
}

fn sentence(before: &State, after: &State, action: Action) -> String {
    match action {
        Action::Serve(k) => served(before, after, k),
        Action::Step(index) => stepped(before, after, &before.nodes[index]),
        Action::Land(index) => {
            format!(
                "What epoch {} put in line for the journal is durable.",
                before.nodes[index].epoch
            )
        }
        Action::TakeOver(death) => {
            let how = match death {
                Death::Zombie => "is paused and not told of it",
                Death::Closed => "is killed, and its system closes the connection",
                Death::Reset => "is killed, and the connection is reset",
                Death::Silent => "loses its power; the server does not notice",
            };
            format!("Epoch {} {how}. Epoch {} takes over.", before.epoch, after.epoch)
        }
        Action::Lose { arrives: true } => {
            "The owner's connection breaks; what it sent arrives.".into()
        }
        Action::Lose { arrives: false } => {
            "The owner's connection breaks; what it sent is lost.".into()
        }
        Action::Forget(k) => {
            format!("The server gives up its session with epoch {}.", before.sessions[k].epoch)
        }
        Action::Help => "An operator restarts the server and the failed job.".into(),
        Action::Consume => "The consumer takes the target away.".into(),
        Action::Hold(name) => format!("Somebody else opens {name}."),
        Action::Release => "Somebody else closes the file.".into(),
        Action::Sync => "What was renamed is safe on the server's disk.".into(),
        Action::LosePower => "The server loses its power, and the last rename is undone.".into(),
        Action::Cut(k) => {
            format!("The path closes the data connection of epoch {}.", before.sessions[k].epoch)
        }
        Action::ChangeSource => "The source changes.".into(),
    }
}

fn served(before: &State, after: &State, k: usize) -> String {
    let session = &before.sessions[k];
    let whose = match session.peer {
        Peer::Live => format!("epoch {}", session.epoch),
        Peer::Closed | Peer::Silent => format!("epoch {}, which is gone", session.epoch),
    };
    let Some(&command) = session.queue.first() else {
        return format!("The server reads the end of the connection of {whose}.");
    };
    let session = after.sessions.get(k).filter(|after| after.epoch == session.epoch);
    let reply = session.and_then(|session| session.reply.as_ref());
    let answer = reply.map_or(String::new(), |reply| format!(" and {}", answered(reply)));
    format!("The server reads `{}` of {whose}{answer}.", words(command))
}

fn stepped(before: &State, after: &State, node: &Node) -> String {
    let epoch = node.epoch;
    let Some(now) = after.nodes.iter().find(|node| node.epoch == epoch) else {
        return format!("Epoch {epoch} finds that it is the owner no more, and ends.");
    };
    let heard = node.session.and_then(|k| before.sessions[k].reply.as_ref());
    let mut acts: Vec<_> = heard
        .map(|reply| format!("hears that the server {}", answered(reply)))
        .into_iter()
        .collect();
    let jobs = |state: &State, node: &Node| match &node.private {
        Some(journal) => journal.jobs.clone(),
        None => state.journal.jobs.clone(),
    };
    for (number, (old, new)) in (1..).zip(jobs(before, node).iter().zip(&jobs(after, now))) {
        acts.extend(recorded(number, old, new));
    }
    let queue = |state: &State, node: &Node| node.session.map(|k| state.sessions[k].queue.clone());
    let sent = queue(after, now).filter(|queue| Some(queue) != queue_of(before, node).as_ref());
    acts.extend(sent.and_then(|queue| Some(format!("sends `{}`", words(*queue.last()?)))));
    if acts.is_empty() {
        acts.push("goes on".to_owned());
    }
    format!("Epoch {epoch} {}.", acts.join(", "))
}

fn queue_of(state: &State, node: &Node) -> Option<Vec<Command>> {
    node.session.map(|k| state.sessions[k].queue.clone())
}

fn recorded(number: u8, old: &Job, new: &Job) -> Vec<String> {
    let mut acts = Vec::new();
    if old.partials != new.partials
        && let Some(Partial { name, .. }) = new.partials.last()
    {
        acts.push(format!("records that a partial of job {number} is at {name}"));
    }
    let names = |job: &Job| job.intent.as_ref().map(|intent| intent.names.clone());
    match (names(old), names(new)) {
        (None, Some(names)) => {
            let name = names.first().map(ToString::to_string).unwrap_or_default();
            acts.push(format!("records the intent to publish {name} for job {number}"));
        }
        (Some(old), Some(new)) if old != new => {
            let name = new.last().map(ToString::to_string).unwrap_or_default();
            acts.push(format!("records that the token of job {number} is to be moved to {name}"));
        }
        _ => {}
    }
    if old.delivered != new.delivered {
        acts.push(format!("records that job {number} is done"));
    }
    acts
}

fn words(command: Command) -> String {
    let folder = Folder::path;
    match command {
        Command::Store(name, 0) => format!("STOR {name}"),
        Command::Store(name, at) => format!("REST {at}, STOR {name}"),
        Command::Data(value) => format!("chunk {value}"),
        Command::End => "end of data".to_owned(),
        Command::Rename(from, to) => format!("RNFR {from}, RNTO {to}"),
        Command::RenameFolder(from, to) => format!("RNFR {}, RNTO {}", folder(from), folder(to)),
        Command::MakeFolder(name) => format!("MKD {}", folder(name)),
        Command::Bar(name) => format!("STOR {}, an empty file", folder(name)),
        Command::LookFree(name) => format!("LIST the folder of {name}"),
        Command::BarName(name) => format!("STOR {name}, an empty file"),
        Command::ListBase => format!("LIST {}", super::names::BASE),
        Command::Look(name) => format!("SIZE {name}"),
        Command::Read(name) => format!("RETR {name}"),
        Command::Remove(name) => format!("DELE {name}"),
    }
}

fn answered(reply: &Reply) -> String {
    match reply {
        Reply::Opened => "opens the upload".to_owned(),
        Reply::Done => "says that it is done".to_owned(),
        Reply::Refused => "refuses".to_owned(),
        Reply::Held => "does not answer in time".to_owned(),
        Reply::Found(None) => "does not find it".to_owned(),
        Reply::Found(Some(content)) => format!("finds {}", shown(content)),
        Reply::Folders(folders) => format!("shows {} folders", folders.len()),
    }
}

fn situation(state: &State) -> String {
    let target = match state.server.content(TARGET) {
        None => "there is no target".to_owned(),
        Some(content) => format!("the target holds {}", shown(content)),
    };
    let published = state.server.published.len();
    let done = state.journal.jobs.iter().filter(|job| job.delivered.is_some()).count();
    let jobs = state.journal.jobs.len();
    format!("{target}, {published} renames onto it count, and {done} of {jobs} jobs are done")
}

fn shown(content: &Content) -> String {
    let chunk = |&value: &u8| match value {
        HOLE => "a hole".to_owned(),
        u8::MAX => "the old file".to_owned(),
        value => format!(
            "job {} version {} chunk {}",
            (value - 1) / 16 + 1,
            (value - 1) % 16 / 4,
            (value - 1) % 4
        ),
    };
    match content.as_slice() {
        [] => "nothing".to_owned(),
        chunks => format!("[{}]", chunks.iter().map(chunk).collect::<Vec<_>>().join(", ")),
    }
}
