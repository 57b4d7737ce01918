//! HASH and RANG (draft-bryan-ftp-hash, draft-bryan-ftp-range), and XCRC.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use sha2::{Digest, Sha256};

use super::{reply::Reply, session::Session};

/// What HASH is to compute next.
#[derive(Clone, Debug, Default)]
pub(super) struct HashChoice {
    crc32: bool,
    /// First and last byte, as RANG counts them.
    range: Option<(u64, u64)>,
}

impl HashChoice {
    /// The line in FEAT; a star marks the choice.
    pub(super) fn feature(&self) -> String {
        let name = if self.crc32 { "HASH SHA-256;CRC32*" } else { "HASH SHA-256*;CRC32" };
        name.to_owned()
    }

    pub(super) fn choose(&mut self, name: &str) -> Reply {
        match name.to_ascii_uppercase().as_str() {
            "" => {}
            "SHA-256" => self.crc32 = false,
            "CRC32" => self.crc32 = true,
            _ => return Reply::new(501, "Unknown algorithm."),
        }
        Reply::new(200, if self.crc32 { "CRC32" } else { "SHA-256" })
    }
}

impl Session {
    /// `RANG 0 99` means the first 100 bytes; `RANG 1 0` takes the range away.
    pub(super) fn set_range(&mut self, argument: &str) -> Reply {
        let numbers: Vec<u64> = argument.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [1, 0] => self.hash.range = None,
            [first, last] if first <= last => self.hash.range = Some((first, last)),
            _ => return Reply::new(501, "RANG wants a first and a last byte."),
        }
        Reply::new(350, "Range set.")
    }

    /// `213 SHA-256 0-99 <digits> <path>`.
    pub(super) async fn hash_file(&mut self, argument: &str) -> Reply {
        let (crc32, range) = (self.hash.crc32, self.hash.range.take());
        let (place, size) = match self.hashable(argument) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let (start, length) = match range {
            Some((first, last)) if last < size => (first, last - first + 1),
            Some(_) => return Reply::new(501, "The range ends behind the file."),
            None => (0, size),
        };
        match digits(place, start, length, crc32).await {
            Ok(digits) => {
                let name = if crc32 { "CRC32" } else { "SHA-256" };
                let last = (start + length).saturating_sub(1);
                Reply::new(213, format!("{name} {start}-{last} {digits} {argument}"))
            }
            Err(error) => Reply::file_error(argument, &error),
        }
    }

    /// `XCRC "path" [start end]`, the byte at `end` not included, as proftpd's mod_digest has
    /// it; the quotes are needed when the path has spaces.
    pub(super) async fn crc(&mut self, argument: &str) -> Reply {
        let (path, range) = match parse_crc(argument) {
            Some(parsed) => parsed,
            None => return Reply::new(501, "XCRC wants a path, a start and an end."),
        };
        let (place, size) = match self.hashable(path) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let (start, end) = range.unwrap_or((0, size));
        if start > end || end > size {
            return Reply::new(501, "The range ends behind the file.");
        }
        match digits(place, start, end - start, true).await {
            Ok(digits) => Reply::new(250, digits.to_ascii_uppercase()),
            Err(error) => Reply::file_error(path, &error),
        }
    }

    fn hashable(&self, argument: &str) -> Result<(PathBuf, u64), Reply> {
        let metadata = self.look(argument)?;
        if !metadata.is_file() {
            return Err(Reply::new(553, format!("{argument}: not a regular file.")));
        }
        Ok((self.place(argument)?, metadata.len()))
    }
}

type CrcArguments<'a> = (&'a str, Option<(u64, u64)>);

fn parse_crc(argument: &str) -> Option<CrcArguments<'_>> {
    let numbers = |words: &str| -> Option<(u64, u64)> {
        let (start, end) = words.trim().split_once(' ')?;
        Some((start.parse().ok()?, end.parse().ok()?))
    };
    if let Some(quoted) = argument.strip_prefix('"') {
        let (path, rest) = quoted.rsplit_once('"')?;
        return match rest.trim() {
            "" => Some((path, None)),
            words => numbers(words).map(|range| (path, Some(range))),
        };
    }
    let mut words = argument.rsplitn(3, ' ');
    if let (Some(end), Some(start), Some(path)) = (words.next(), words.next(), words.next())
        && let (Ok(start), Ok(end)) = (start.parse(), end.parse())
    {
        return Some((path, Some((start, end))));
    }
    Some((argument, None))
}

async fn digits(place: PathBuf, start: u64, length: u64, crc32: bool) -> io::Result<String> {
    let hash = move || {
        let mut file = File::open(place)?;
        file.seek(SeekFrom::Start(start))?;
        let mut part = file.take(length);
        let (mut crc, mut sha) = (crc32fast::Hasher::new(), Sha256::new());
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match part.read(&mut chunk)? {
                0 => break,
                read if crc32 => crc.update(&chunk[..read]),
                read => sha.update(&chunk[..read]),
            }
        }
        Ok(if crc32 {
            format!("{:08x}", crc.finalize())
        } else {
            sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        })
    };
    tokio::task::spawn_blocking(hash).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xcrc_arguments() {
        assert_eq!(parse_crc("a b.csv"), Some(("a b.csv", None)));
        assert_eq!(parse_crc("a.csv 0 10"), Some(("a.csv", Some((0, 10)))));
        assert_eq!(parse_crc("\"a 1 2\" 0 10"), Some(("a 1 2", Some((0, 10)))));
        assert_eq!(parse_crc("\"a 1 2\""), Some(("a 1 2", None)));
        assert_eq!(parse_crc("\"a\" x"), None);
    }
}
