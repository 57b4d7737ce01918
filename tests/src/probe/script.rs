//! The text of the dialogues.

use std::io;

use super::content::Content;

const SCRIPT: &str = include_str!("dialogues.txt");

/// A dialogue of one or more sessions.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// What it is about.
    pub name: String,
    pub(super) lines: Vec<Line>,
}

/// A line with what it means.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) step: Step,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Disk(Setting),
    /// The session of this letter does something.
    Says(char, Words),
}

/// What happens behind the server's back.
#[derive(Clone, Debug)]
pub(super) enum Setting {
    File(String, Content),
    Folder(String),
    ReadOnly(bool),
}

/// What a session does.
#[derive(Clone, Debug)]
pub(super) enum Words {
    Connects,
    Command(String),
    Together(Vec<String>),
    Upload(String, Content),
    Begins(String, Content),
    GoesOn(Content),
    Ends,
    Download(String),
    BreaksOff(String, usize),
    Waits,
    Gone,
}

impl Dialogue {
    /// Whether it needs a disk that can be made read-only.
    pub fn needs_a_disk(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.step, Step::Disk(Setting::ReadOnly(_))))
    }
}

/// All dialogues, in their order.
///
/// # Errors
/// The text of the dialogues has a line that means nothing.
pub fn dialogues() -> io::Result<Vec<Dialogue>> {
    let mut dialogues: Vec<Dialogue> = Vec::new();
    let lines = SCRIPT.lines().map(str::trim);
    for text in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            dialogues.push(Dialogue { name: name.to_owned(), lines: Vec::new() });
            continue;
        }
        let step = step(text);
        let (Some(dialogue), Some(step)) = (dialogues.last_mut(), step) else {
            return Err(io::Error::other(format!("the dialogues have the line `{text}`")));
        };
        dialogue.lines.push(Line { text: text.to_owned(), step });
    }
    Ok(dialogues)
}

fn step(text: &str) -> Option<Step> {
    let (who, words) = text.split_once(' ')?;
    if who == "disk" {
        return setting(words).map(Step::Disk);
    }
    let mut letters = who.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_uppercase() => {
            Some(Step::Says(letter, self::words(words)?))
        }
        _ => None,
    }
}

fn setting(words: &str) -> Option<Setting> {
    match words.split(' ').collect::<Vec<_>>()[..] {
        ["read-only"] => Some(Setting::ReadOnly(true)),
        ["writable"] => Some(Setting::ReadOnly(false)),
        ["folder", name] => Some(Setting::Folder(name.to_owned())),
        ["file", name, content] => Some(Setting::File(name.to_owned(), Content::parse(content)?)),
        _ => None,
    }
}

fn words(text: &str) -> Option<Words> {
    Some(match text {
        "connects" => Words::Connects,
        "gone" => Words::Gone,
        "..." => Words::Waits,
        "<." => Words::Ends,
        _ => {
            if let Some(content) = text.strip_prefix("<< ") {
                Words::GoesOn(Content::parse(content)?)
            } else if let Some((command, content)) = text.split_once(" << ") {
                Words::Begins(command.to_owned(), Content::parse(content)?)
            } else if let Some((command, content)) = text.split_once(" < ") {
                Words::Upload(command.to_owned(), Content::parse(content)?)
            } else if let Some((command, bytes)) = text.split_once(" >> ") {
                Words::BreaksOff(command.to_owned(), bytes.parse().ok()?)
            } else if let Some(command) = text.strip_suffix(" >") {
                Words::Download(command.to_owned())
            } else if text.contains(" + ") {
                Words::Together(text.split(" + ").map(str::to_owned).collect())
            } else {
                Words::Command(text.to_owned())
            }
        }
    })
}
