//! What the server says it can do: the reply to FEAT (RFC 2389 section 3.2).

use ferryway_core::Algorithm;

/// The features that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) size: bool,
    pub(crate) modified: bool,
    /// MLST and MLSD come together (RFC 3659 section 7.8).
    pub(crate) mlst: bool,
    pub(crate) restart: bool,
    pub(crate) utf8: bool,
    /// The algorithms of HASH (draft-bryan-ftpext-hash).
    pub(crate) hash: Vec<Algorithm>,
    /// Ranges for HASH (draft-bryan-ftp-range).
    pub(crate) range: bool,
    pub(crate) xcrc: bool,
    pub(crate) xsha256: bool,
}

impl Features {
    /// What to assume of a server without FEAT: the commands that nearly every server has,
    /// each until it is refused.
    pub(crate) fn unknown() -> Self {
        Self { size: true, modified: true, ..Self::default() }
    }

    /// Reads the lines between the first and the last of the reply.
    pub(crate) fn parse(reply: &str) -> Self {
        let mut features = Self::default();
        for line in reply.lines().filter(|line| line.starts_with([' ', '\t'])) {
            let line = line.trim().to_ascii_uppercase();
            let (name, value) = line.split_once(' ').unwrap_or((&line, ""));
            match name {
                "SIZE" => features.size = true,
                "MDTM" => features.modified = true,
                "MLST" | "MLSD" => features.mlst = true,
                "REST" => features.restart = value.contains("STREAM"),
                "UTF8" => features.utf8 = true,
                "HASH" => features.hash = value.split(';').filter_map(algorithm).collect(),
                "RANG" => features.range = value.contains("STREAM"),
                "XCRC" => features.xcrc = true,
                "XSHA256" => features.xsha256 = true,
                _ => {}
            }
        }
        features
    }

    /// The hashes that the server computes, the strongest first.
    pub(crate) fn checksums(&self) -> Vec<Algorithm> {
        let offered = |algorithm: &Algorithm| match algorithm {
            Algorithm::Sha256 => self.xsha256 || self.hash.contains(algorithm),
            Algorithm::Crc32 => self.xcrc || self.hash.contains(algorithm),
            Algorithm::Blake3 => false,
        };
        [Algorithm::Sha256, Algorithm::Crc32].into_iter().filter(offered).collect()
    }
}

/// The algorithm of a name in the list of HASH; `*` marks the current one.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name.trim().trim_end_matches('*') {
        "SHA-256" => Some(Algorithm::Sha256),
        "CRC32" => Some(Algorithm::Crc32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rich_server() {
        let reply = "211-Features:\r\n MDTM\r\n REST STREAM\r\n SIZE\r\n MLST type*;size*;\r\n \
                     UTF8\r\n HASH CRC32;MD5;SHA-1;SHA-256*\r\n RANG STREAM\r\n XCRC\r\n\
                     211 End";
        let features = Features::parse(reply);
        assert!(features.size && features.modified && features.mlst && features.restart);
        assert!(features.utf8 && features.range && features.xcrc && !features.xsha256);
        assert_eq!(features.checksums(), [Algorithm::Sha256, Algorithm::Crc32]);
    }

    #[test]
    fn a_poor_server() {
        assert_eq!(Features::parse("211 no features"), Features::default());
        assert_eq!(Features::default().checksums(), []);
    }
}
