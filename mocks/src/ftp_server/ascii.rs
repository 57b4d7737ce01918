//! TYPE A: line ends are CR LF on the wire and LF on disk (RFC 959 section 3.1.1.1).

/// Translates from the wire; a CR at the end of a chunk waits for the next one.
#[derive(Debug, Default)]
pub(super) struct FromWire {
    carry: bool,
}

impl FromWire {
    pub(super) fn translate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            if std::mem::take(&mut self.carry) && byte != b'\n' {
                out.push(b'\r');
            }
            match byte {
                b'\r' => self.carry = true,
                byte => out.push(byte),
            }
        }
        out
    }

    /// What still waits at the end of the data.
    pub(super) fn rest(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.carry) { b"\r" } else { b"" }
    }
}

/// Translates to the wire.
pub(super) fn to_wire(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for &byte in bytes {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_survive_any_split() {
        for at in 0..=7 {
            let (left, right) = b"a\r\nb\rc\r".split_at(at);
            let mut from = FromWire::default();
            let mut out = from.translate(left);
            out.extend(from.translate(right));
            out.extend(from.rest());
            assert_eq!(out, b"a\nb\rc\r", "split at {at}");
        }
        assert_eq!(to_wire(b"a\nb"), b"a\r\nb");
    }
}
