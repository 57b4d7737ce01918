//! LIST, NLST and MLSD.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    behaviour::{Behaviour, HiddenNames, ListAbsent, ListOptions},
    reply::Reply,
    session::{Ended, Session},
};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Session {
    /// RFC 959 section 4.1.3 and RFC 3659 section 7.
    pub(super) async fn list(&mut self, verb: &str, argument: &str) -> Result<Reply, Ended> {
        let behaviour = &self.shared.behaviour;
        let absent = match verb {
            "MLSD" => ListAbsent::Refuse(behaviour.mlsd_refusal),
            "NLST" => behaviour.nlst.absent,
            _ => behaviour.list_absent,
        };
        match (self.listing(verb, argument), absent) {
            (Ok(text), _) => self.send_listing(text).await,
            (Err(reply), ListAbsent::Refuse(code)) => Ok(reply.with_code(code)),
            (Err(reply), _) if !self.shared.disk.readable() => Ok(reply),
            (Err(_), ListAbsent::Empty) => self.send_listing(String::new()).await,
            (Err(reply), ListAbsent::Late(code)) => {
                let sent = self.send_listing(String::new()).await?;
                Ok(if sent.code == 226 { reply.with_code(code) } else { sent })
            }
        }
    }

    fn listing(&self, verb: &str, argument: &str) -> Result<String, Reply> {
        let request = Request::parse(&self.shared.behaviour, verb, argument);
        let path = request.path;
        let place = self.place(path)?;
        let metadata = place.metadata().map_err(|_| Reply::no_file(path))?;
        if metadata.is_file() {
            return match verb {
                "MLSD" => Err(Reply::new(550, format!("{path}: not a directory."))),
                "NLST" if !self.shared.behaviour.nlst.lists_files => Err(Reply::no_file(path)),
                "NLST" => Ok(format!("{path}\r\n")),
                _ => Ok(long_line(path, &metadata, self.size_lie) + "\r\n"),
            };
        }
        let entries = entries(&place, request.hidden, request.dots);
        let entries = entries.map_err(|error| Reply::file_error(path, &error))?;
        let prefix = match path.trim_end_matches('/') {
            folder if !folder.is_empty() && self.shared.behaviour.nlst.with_folder => {
                format!("{folder}/")
            }
            _ => String::new(),
        };
        let mut text = String::new();
        if verb == "MLSD" {
            text.push_str(&format!("{} .\r\n", facts(&metadata, Some("cdir"), None)));
            text.push_str(&format!("{} ..\r\n", facts(&metadata, Some("pdir"), None)));
        }
        for (name, metadata) in entries {
            text.push_str(&match verb {
                "MLSD" => format!("{} {name}", facts(&metadata, None, self.size_lie)),
                "NLST" => format!("{prefix}{name}"),
                _ => long_line(&name, &metadata, self.size_lie),
            });
            text.push_str("\r\n");
        }
        Ok(text)
    }
}

/// What a listing command asks for.
struct Request<'a> {
    path: &'a str,
    hidden: bool,
    /// Whether `.` and `..` are listed, as `ls -a` does.
    dots: bool,
}

impl<'a> Request<'a> {
    fn parse(behaviour: &Behaviour, verb: &str, argument: &'a str) -> Self {
        let options = match verb {
            "MLSD" => ListOptions::Unknown,
            "NLST" => behaviour.nlst.options,
            _ => behaviour.list_options,
        };
        let (options, path) = match options {
            ListOptions::Alone if argument.contains(' ') => ("", argument),
            ListOptions::LikeLs | ListOptions::Alone => split_options(argument),
            ListOptions::Unknown => ("", argument),
        };
        let unasked = verb == "NLST" && behaviour.nlst.shows_hidden;
        let like_ls = verb != "MLSD" && (unasked || options.contains('a'));
        let (hidden, dots) = match behaviour.hidden_names {
            HiddenNames::Shown => (true, false),
            HiddenNames::WithDashA => (verb == "MLSD" || like_ls, like_ls),
            HiddenNames::Never => (false, false),
        };
        Self { path, hidden, dots }
    }
}

/// The facts of MLST and MLSD, without the name (RFC 3659 section 7.2).
pub(super) fn facts(metadata: &Metadata, kind: Option<&str>, size_lie: Option<u64>) -> String {
    let modify = timestamp(metadata);
    if metadata.is_dir() {
        let kind = kind.unwrap_or("dir");
        return format!("type={kind};modify={modify};perm=cdeflmp;");
    }
    let size = size_lie.unwrap_or(metadata.len());
    format!("type=file;size={size};modify={modify};perm=adfrw;")
}

/// A line as `ls -l` prints it, in UTC.
pub(super) fn long_line(name: &str, metadata: &Metadata, size_lie: Option<u64>) -> String {
    let (rights, links) = if metadata.is_dir() { ("drwxr-xr-x", 2) } else { ("-rw-r--r--", 1) };
    let size = size_lie.unwrap_or(metadata.len());
    let (year, month, day, seconds) = civil(metadata);
    let month = MONTHS[month as usize - 1];
    let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
    let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
    // `ls` tells the time for half a year, then the year.
    let recent = age.is_none_or(|age| age < Duration::from_secs(182 * 86_400));
    let clock = if recent { format!("{hour:02}:{minute:02}") } else { format!(" {year}") };
    format!("{rights} {links:4} ftp      ftp      {size:12} {month} {day:2} {clock} {name}")
}

/// `YYYYMMDDHHMMSS` in UTC (RFC 3659 section 2.3).
pub(super) fn timestamp(metadata: &Metadata) -> String {
    let (year, month, day, seconds) = civil(metadata);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// Year, month, day and second of the day of the last modification, in UTC.
fn civil(metadata: &Metadata) -> (u64, u64, u64, u64) {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let seconds = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    (year, month, day, seconds % 86_400)
}

/// The Gregorian date so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Splits `-la path` as servers that call ls do.
fn split_options(argument: &str) -> (&str, &str) {
    match argument.strip_prefix('-') {
        Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
        None => ("", argument),
    }
}

fn entries(folder: &Path, hidden: bool, dots: bool) -> io::Result<Vec<(String, Metadata)>> {
    let mut entries = Vec::new();
    if dots {
        // The parent may be out of the client's sight: the folder stands for both.
        let itself = folder.metadata()?;
        entries.extend([(".".to_owned(), itself.clone()), ("..".to_owned(), itself)]);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !hidden && name.starts_with('.') {
            continue;
        }
        // A name may be gone since the folder was read.
        if let Ok(metadata) = entry.metadata() {
            entries.push((name, metadata));
        }
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(20_453), (2025, 12, 31));
    }
}
