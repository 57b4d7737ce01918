//! The formats of MLST, MLSD and NLST (RFC 3659 sections 7 and 2.3, RFC 959 section 4.1.3).

use std::time::{Duration, SystemTime};

use ferryway_core::transport::{EntryKind, Stat};

/// One entry as MLST and MLSD print it: `type=file;size=3; name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    /// `None` where the server does not tell the type.
    pub(crate) kind: Option<EntryKind>,
    /// The folder itself or the one above, not something in it.
    pub(crate) is_self_or_parent: bool,
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<SystemTime>,
}

impl<'a> Entry<'a> {
    /// Reads one line; `None` when it has no facts and name.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (facts, name) =
            line.trim_start_matches(' ').trim_end_matches(['\r', '\n']).split_once(' ')?;
        let mut entry =
            Self { name, kind: None, is_self_or_parent: false, size: None, modified: None };
        for fact in facts.split(';').filter(|fact| !fact.is_empty()) {
            let (key, value) = fact.split_once('=')?;
            match key.to_ascii_lowercase().as_str() {
                "type" => match value.to_ascii_lowercase().as_str() {
                    "file" => entry.kind = Some(EntryKind::File),
                    "dir" => entry.kind = Some(EntryKind::Folder),
                    "cdir" | "pdir" => {
                        (entry.kind, entry.is_self_or_parent) = (Some(EntryKind::Folder), true);
                    }
                    _ => {}
                },
                "size" => entry.size = value.parse().ok(),
                "modify" => entry.modified = time(value),
                _ => {}
            }
        }
        Some(entry)
    }

    /// What the entry tells about its path, if it tells the type.
    pub(crate) fn stat(&self) -> Option<Stat> {
        let kind = self.kind?;
        let size = self.size.filter(|_| kind == EntryKind::File);
        Some(Stat { kind, size, modified: self.modified })
    }
}

/// The names in a listing of MLSD; `None` when a line makes no sense: what cannot be read may
/// be any name, so the listing would prove nothing.
pub(crate) fn mlsd(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let entry = Entry::parse(line)?;
        if !entry.is_self_or_parent {
            names.extend(bare(entry.name));
        }
    }
    Some(names)
}

/// A listing of NLST.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    /// Whether the folder itself was listed as `.`: then hidden names were listed, too.
    pub(crate) lists_itself: bool,
}

/// The names in a listing of NLST, which may come with the path of their folder.
pub(crate) fn nlst(text: &str) -> Names {
    let lines = || text.lines().filter(|line| !line.is_empty());
    Names {
        names: lines().filter_map(bare).collect(),
        lists_itself: lines().any(|line| last_part(line) == "."),
    }
}

/// A time as MDTM and the fact `modify` have it: `YYYYMMDDHHMMSS[.sss]` in UTC (RFC 3659
/// section 2.3).
pub(crate) fn time(text: &str) -> Option<SystemTime> {
    let digits = text.trim().split('.').next()?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the
/// leap day is their last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

fn bare(line: &str) -> Option<String> {
    let name = last_part(line);
    (!matches!(name, "" | "." | "..")).then(|| name.to_owned())
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let since = time(text)?.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Some(since.as_secs())
    }

    #[test]
    fn times() {
        assert_eq!(seconds("19700101000000"), Some(0));
        assert_eq!(seconds("20000229235959"), Some(951_868_799));
        assert_eq!(seconds("20240301000000.123"), Some(1_709_251_200));
        for bad in ["", "2024", "20241301000000", "2024030100000x", "日日日日日"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_has_facts_and_a_name_with_spaces() {
        let entry = Entry::parse(
            " Type=file;Size=42;Modify=19700101000001;UNIX.mode=0644; 月次 'a b\".csv\r\n",
        )
        .unwrap();
        assert_eq!(entry.name, "月次 'a b\".csv");
        let stat = entry.stat().unwrap();
        assert_eq!((stat.kind, stat.size), (EntryKind::File, Some(42)));
        assert!(Entry::parse("type=file;size=3;").is_none());
        assert!(Entry::parse("drwxr-xr-x 2 ftp ftp 4096 in").is_none());
    }

    #[test]
    fn a_folder_lists_neither_itself_nor_its_parent() {
        let text = "type=cdir; .\r\ntype=pdir; ..\r\ntype=dir; in\r\ntype=file; .hidden\r\n";
        assert_eq!(mlsd(text).unwrap(), ["in", ".hidden"]);
        assert_eq!(mlsd("").unwrap(), [""; 0]);
        assert_eq!(mlsd("type=file; a\r\nsomething else"), None);
    }

    #[test]
    fn names_come_bare_or_with_their_path() {
        let names = nlst("in/a b\r\nin/.b\r\n\r\nc\r\n");
        assert_eq!(
            names,
            Names { names: vec!["a b".into(), ".b".into(), "c".into()], lists_itself: false }
        );
        assert!(nlst("in/.\r\nin/..\r\n").lists_itself);
        assert!(nlst(".\n..\nx").lists_itself);
    }
}
