//! Hashes that the partner computes: HASH (draft-bryan-ftpext-hash), XSHA256 and XCRC.

use std::time::Duration;

use ferryway_core::{Algorithm, Digest, RemotePath};

use crate::{classify::Failure, connect::Wire};

/// The slowest partner to wait for, in bytes hashed a second.
const SLOWEST: u64 = 16 * 1024 * 1024;

impl Wire {
    /// The partner's hash of the first `length` bytes of a file.
    pub(crate) async fn checksum(
        &mut self,
        path: &RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest, Failure> {
        let whole = self.stat(path).await?.size == Some(length);
        let features = &self.features;
        let command = match algorithm {
            Algorithm::Sha256 if features.xsha256 => Some("XSHA256"),
            Algorithm::Crc32 if features.xcrc => Some("XCRC"),
            _ => None,
        };
        if length == 0 && !whole {
            return Err(Failure::Unsupported("there is no range without a byte"));
        }
        let (has_hash, ranges) = (features.hash.contains(&algorithm), features.range);
        match command {
            _ if has_hash && whole => match self.hash(path, algorithm, length, true).await {
                Err(Failure::Unsupported(_)) if ranges => {
                    self.hash(path, algorithm, length, false).await
                }
                hashed => hashed,
            },
            // One command with its range is better than a range that a server may keep for the
            // next transfer.
            Some(command) => self.hash_by_extra(command, path, algorithm, length, whole).await,
            None if has_hash && ranges => self.hash(path, algorithm, length, whole).await,
            None if has_hash => Err(Failure::Unsupported("the partner hashes whole files only")),
            None => Err(Failure::Unsupported("the partner does not compute this hash")),
        }
    }

    /// `XCRC "name" 0 50`, where the end does not count, as proftpd's mod_digest has it.
    async fn hash_by_extra(
        &mut self,
        command: &str,
        path: &RemotePath,
        algorithm: Algorithm,
        length: u64,
        whole: bool,
    ) -> Result<Digest, Failure> {
        // Quotes hold a name with spaces together; how to quote a quote is not agreed upon.
        if path.as_str().contains('"') {
            return Err(Failure::Unsupported("the partner cannot hash a name with a quote"));
        }
        let mut command = format!("{command} \"{path}\"");
        if !whole {
            command += &format!(" 0 {length}");
        }
        let answer = self.control.ask_within(&command, self.patience(length)).await?.done()?;
        value(algorithm, answer.body(), &answer.text)
    }

    /// `213 SHA-256 0-49 6169... name`: the range tells what was hashed.
    async fn hash(
        &mut self,
        path: &RemotePath,
        algorithm: Algorithm,
        length: u64,
        whole: bool,
    ) -> Result<Digest, Failure> {
        let name = match algorithm {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Crc32 => "CRC32",
            Algorithm::Blake3 => "BLAKE3",
        };
        self.control.ask(&format!("OPTS HASH {name}")).await?.done()?;
        if !whole {
            let range = format!("RANG 0 {}", length - 1);
            let answer = self.control.ask(&range).await?;
            if !answer.is_intermediate() {
                return Err(Failure::Reply(answer.reply()));
            }
        }
        let command = format!("HASH {path}");
        let answer = self.control.ask_within(&command, self.patience(length)).await?;
        if !whole {
            // proftpd hashes the whole file all the same, and would cut the next download to
            // the range. This one is none.
            self.control.ask("RANG 1 0").await?;
        }
        let answer = answer.done()?;
        let mut fields = answer.body().splitn(4, ' ');
        let (named, hashed) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        if !named.eq_ignore_ascii_case(name) {
            return Err(Failure::Protocol(format!("no {name} in `{}`", answer.text)));
        }
        if !covers(hashed, length) {
            if whole {
                // An upload of a session that is not quite dead still makes it longer.
                return Err(Failure::Unsupported("the file has grown beside the hash"));
            }
            self.features.range = false;
            return Err(Failure::Unsupported("the partner hashes whole files only"));
        }
        value(algorithm, fields.next().unwrap_or(""), &answer.text)
    }

    fn patience(&self, length: u64) -> Duration {
        self.control.limits().step + Duration::from_secs(length / SLOWEST)
    }
}

/// Whether a range such as `0-49` is the first `length` bytes. Servers differ in whether the
/// end counts; a hash of one byte too many or too few would not match anyway.
fn covers(range: &str, length: u64) -> bool {
    let Some(("0", end)) = range.split_once('-') else { return false };
    end.parse().is_ok_and(|end: u64| end == length || end + 1 == length)
}

fn value(algorithm: Algorithm, digits: &str, text: &str) -> Result<Digest, Failure> {
    Digest::from_hex(algorithm, digits)
        .ok_or_else(|| Failure::Protocol(format!("no {algorithm} value in `{text}`")))
}
