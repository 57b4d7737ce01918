//! Contents of files, written shortly.

/// Runs of equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content(Vec<u8>);

impl Content {
    /// The content that `text` writes, such as `10a3b`; `None` when it writes none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut rest = if text == "-" { "" } else { text };
        while !rest.is_empty() {
            let at = rest.find(|c: char| !c.is_ascii_digit())?;
            let byte = *rest.as_bytes().get(at)?;
            bytes.resize(bytes.len() + rest[..at].parse::<usize>().ok()?, value(byte));
            rest = rest.get(at + 1..)?;
        }
        Some(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How `bytes` are written.
    pub(super) fn shown(bytes: &[u8]) -> String {
        let runs = bytes.chunk_by(|a, b| a == b);
        let text: String = runs.map(|run| format!("{}{}", run.len(), letter(run[0]))).collect();
        if text.is_empty() { "-".to_owned() } else { text }
    }
}

fn value(letter: u8) -> u8 {
    if letter == b'.' { 0 } else { letter }
}

fn letter(value: u8) -> char {
    match value {
        0 => '.',
        b'\n' => '/',
        value if value.is_ascii_graphic() => char::from(value),
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_read_as_they_are_written() {
        for text in ["-", "3a", "10a3b", "2a7.1b"] {
            let content = Content::parse(text).unwrap();
            assert_eq!(Content::shown(content.bytes()), text);
        }
        assert_eq!(Content::parse("2a1b").unwrap().bytes(), b"aab");
        assert!(Content::parse("12").is_none() && Content::parse("ab").is_none());
    }
}
