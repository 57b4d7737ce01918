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
        if self.features.hash.contains(&algorithm) {
            return self.hash(path, algorithm, length, whole).await;
        }
        let command = match algorithm {
            Algorithm::Sha256 if self.features.xsha256 => "XSHA256",
            Algorithm::Crc32 if self.features.xcrc => "XCRC",
            _ => return Err(Failure::Unsupported("the partner does not compute this hash")),
        };
        // Quotes hold a name with spaces together; how to quote a quote is not agreed upon.
        if path.as_str().contains('"') {
            return Err(Failure::Unsupported("the partner cannot hash a name with a quote"));
        }
        let command = match (whole, length) {
            (true, _) => format!("{command} \"{path}\""),
            (false, 0) => return Err(Failure::Unsupported("there is no hash of nothing")),
            (false, _) => format!("{command} \"{path}\" 0 {length}"),
        };
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
            if !self.features.range || length == 0 {
                return Err(Failure::Unsupported("the partner hashes whole files only"));
            }
            let range = format!("RANG 0 {}", length - 1);
            let answer = self.control.ask(&range).await?;
            if !answer.is_intermediate() {
                return Err(Failure::Reply(answer.reply()));
            }
        }
        let command = format!("HASH {path}");
        let answer = self.control.ask_within(&command, self.patience(length)).await?;
        if !whole && !answer.is_done() {
            // The range would cut the next transfer. This range is none.
            self.control.ask("RANG 1 0").await?;
        }
        let answer = answer.done()?;
        let mut fields = answer.body().splitn(4, ' ');
        let (named, hashed) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        if !named.eq_ignore_ascii_case(name) {
            return Err(Failure::Protocol(format!("no {name} in `{}`", answer.text)));
        }
        if !whole && !covers(hashed, length) {
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
