//! Faults of the configuration, each with its place.

use std::{
    cell::RefCell,
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// A place in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One thing that is wrong with the configuration, or that the operator should know of it.
///
/// `Display` gives one line, `file:line:column: key: message; hint`, as editors and terminals
/// follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Where in the file; `None` when the fault is about the whole file.
    pub position: Option<Position>,
    /// The key with its tables, such as `limits.jobs`; empty when no key is in question.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault of a whole file.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            key: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same fault with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// What one pass over the configuration finds. Shared by all readers of the pass.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    lacking: RefCell<Vec<Fault>>,
}

/// The same, each kind in the order of files and lines.
#[derive(Debug)]
pub(super) struct Sorted {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
    pub(super) lacking: Vec<Fault>,
}

impl Findings {
    pub(super) fn fault(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn warn(&self, warning: Fault) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Notes what this machine does not have now.
    pub(super) fn lack(&self, fault: Fault) {
        self.lacking.borrow_mut().push(fault);
    }

    pub(super) fn sorted(self) -> Sorted {
        let sorted = |list: RefCell<Vec<Fault>>| {
            let mut list = list.into_inner();
            list.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
            list
        };
        Sorted {
            faults: sorted(self.faults),
            warnings: sorted(self.warnings),
            lacking: sorted(self.lacking),
        }
    }
}

/// A file of the configuration with its text.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

impl Document {
    /// Reads a file; `None`, with a fault, when that fails.
    pub(super) fn read(file: &Path, findings: &Findings) -> Option<Self> {
        match fs::read(file).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other)) {
            Ok(text) => Some(Self { file: file.to_owned(), text }),
            Err(error) => {
                findings.fault(Fault::of_file(file, format!("cannot be read: {error}")));
                None
            }
        }
    }

    /// The place of a byte of the text.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// A fault at a byte of the text.
    pub(super) fn fault(
        &self,
        offset: usize,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Fault {
        Fault {
            file: self.file.clone(),
            position: Some(self.position(offset)),
            key: key.into(),
            message: message.into(),
            hint: None,
        }
    }
}

/// The candidate that `word` may be a slip of, if one is near enough.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const NEAR: f64 = 0.75;
    let likeness =
        |candidate: &str| strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Names in backticks, separated by commas.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_that_editors_follow() {
        let document =
            Document { file: "a.toml".into(), text: "x = 1\n日本 = 2\ny = 3\n".to_owned() };
        let at = document.text.find("= 2").unwrap();
        let fault = document.fault(at, "日本", "is wrong").hint("make it right");
        assert_eq!(fault.to_string(), "a.toml:2:4: 日本: is wrong; make it right");
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(nearest("nmae", ["name", "jobs"]), Some("name"));
        assert_eq!(nearest("zzz", ["name", "jobs"]), None);
    }
}
