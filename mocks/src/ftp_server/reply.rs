//! Replies of the control connection (RFC 959 section 4.2).

/// A reply: its code and one or more lines.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl Reply {
    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// A reply of several lines; at least one.
    pub(super) fn lines(code: u16, lines: Vec<String>) -> Self {
        Self { code, lines }
    }

    /// 550: what RFC 959 has for every trouble with a path.
    pub(super) fn no_file(path: &str) -> Self {
        Self::new(550, format!("{path}: No such file or directory."))
    }

    /// The reply to a local error on a path; always 550, as servers do.
    pub(super) fn file_error(path: &str, error: &std::io::Error) -> Self {
        Self::new(550, format!("{path}: {error}."))
    }

    /// The reply to a transfer behind a REST that goes too far.
    pub(super) fn beyond_end() -> Self {
        Self::new(554, "Restart offset reaches beyond end of file.")
    }

    /// The same text with another code.
    pub(super) fn with_code(self, code: u16) -> Self {
        Self { code, ..self }
    }

    /// The bytes on the wire. Lines between the first and the last start with a space, which
    /// is what FEAT and MLST want (RFC 2389 section 3.2, RFC 3659 section 7.2).
    pub(super) fn wire(&self) -> String {
        let last = self.lines.len().saturating_sub(1);
        let mut wire = String::new();
        for (at, line) in self.lines.iter().enumerate() {
            let lead = match at {
                _ if at == last => format!("{} ", self.code),
                0 => format!("{}-", self.code),
                _ => " ".to_owned(),
            };
            wire.push_str(&lead);
            wire.push_str(line);
            wire.push_str("\r\n");
        }
        wire
    }
}
