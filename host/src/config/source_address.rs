//! The address that connections to partners leave from, as it is written down:
//! `tools/master/SrcAdr.dat` and `[instance] source_address`.
//!
//! The file is as the operators of other products know it, with what their editors make of it:
//!
//! ```text
//! ; any remark
//! [Common]
//! S_Address=192. 0. 2. 10   (the virtual address)
//! ```
//!
//! Names may be in capital or small letters. Blanks around names, values, dots and colons do not
//! count. A line that starts with `;` or `#` is a remark, and so is what follows `;`, `#` or `(`
//! after a value. Lines may end in CR LF, and remarks may be in any encoding that has ASCII in it,
//! such as UTF-8, with or without its mark at the beginning, and Shift_JIS.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{
    fault::{Fault, Position, nearest},
    layout::InstallDir,
};

ferryway_core::words! {
    /// Which address the connections to a partner leave from.
    SourceChoice {
        /// The one that `SrcAdr.dat` or `[instance] source_address` names.
        Virtual = "virtual",
        /// The machine's own: the system chooses.
        Fixed = "fixed",
    }
}

/// A local address, and where it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAddress {
    /// The address.
    pub address: IpAddr,
    /// The file.
    pub file: PathBuf,
    /// The place in the file.
    pub position: Position,
}

impl SourceAddress {
    /// The file and the line, as editors follow it.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.position.line)
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.place())
    }
}

/// What `SrcAdr.dat` of an install directory names: `None` when it is absent or names nothing.
///
/// # Errors
/// Every fault of the file; never empty.
pub fn load(install: &InstallDir) -> Result<Option<SourceAddress>, Vec<Fault>> {
    let file = install.source_address_file();
    match read(&file) {
        Ok(Some(bytes)) => parse(&file, &bytes),
        Ok(None) => Ok(None),
        Err(error) => Err(vec![unreadable(&file, &error)]),
    }
}

/// The bytes of the file, `None` when there is no file.
///
/// # Errors
/// The system's, and `FileTooLarge` for what can be no such file.
pub fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    opened.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0..=LARGEST => Ok(Some(bytes)),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// What the bytes of the file name.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &Path, bytes: &[u8]) -> Result<Option<SourceAddress>, Vec<Fault>> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        let fault = Fault::of_file(file, "is written in UTF-16");
        return Err(vec![fault.hint("save it as UTF-8 or in the system's own encoding")]);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut reading = Reading { file, section: Section::None, found: None, faults: Vec::new() };
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        reading.take(index + 1, &String::from_utf8_lossy(line));
    }
    match reading.faults.is_empty() {
        true => Ok(reading.found.and_then(|(_, named)| named)),
        false => Err(reading.faults),
    }
}

/// The fault that the file cannot be read.
pub fn unreadable(file: &Path, error: &io::Error) -> Fault {
    Fault::of_file(file, format!("cannot be read: {error}"))
        .hint("give it to the user of the service, or remove it")
}

/// An address that a machine can have and connect from.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let shown = text.escape_debug();
    let Ok(address) = text.parse::<IpAddr>() else {
        let padded = |part: &str| part.len() > 1 && part.starts_with('0');
        let numbers: Vec<_> = text.split('.').collect();
        return Err(match numbers.len() == 4 && numbers.into_iter().any(padded) {
            true => format!("`{shown}` has leading zeros; write its numbers without them"),
            false => format!("`{shown}` is no IP address"),
        });
    };
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(format!("`{shown}` is no address that a machine can have"));
    }
    if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return Err(format!("`{shown}` is a link-local address, which reaches one link only"));
    }
    Ok(address)
}

const LARGEST: u64 = 64 * 1024;
const SECTION: &str = "Common";
const KEY: &str = "S_Address";

/// Where in the file the reading is.
enum Section {
    /// Before the first section.
    None,
    Common,
    /// A section that has its fault already: its keys get no second one.
    Unknown,
}

struct Reading<'a> {
    file: &'a Path,
    section: Section,
    /// The line of the key and what it names, once it was there.
    found: Option<(usize, Option<SourceAddress>)>,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn take(&mut self, line: usize, text: &str) {
        let indent = text.chars().take_while(|c| c.is_whitespace()).count();
        let at = Position { line, column: indent + 1 };
        let text = text.trim();
        if text.is_empty() || text.starts_with([';', '#']) {
            return;
        }
        match (text.strip_prefix('['), text.split_once('=')) {
            (Some(header), _) => self.enter(at, header),
            (None, Some((key, value))) => self.set(at, key.trim(), value),
            (None, None) => self.fault(
                at,
                "",
                "is neither a section, nor a key with `=`, nor a remark",
                "begin a remark with `;`",
            ),
        }
    }

    fn enter(&mut self, at: Position, header: &str) {
        let name = header.split(']').next().unwrap_or_default().trim();
        if !header.contains(']') {
            self.fault(at, "", "the section's name does not end", "write `[Common]`");
        } else if name.eq_ignore_ascii_case(SECTION) {
            self.section = Section::Common;
            return;
        } else {
            let hint = suggestion(name, SECTION, "the only section is");
            self.fault(at, "", &format!("unknown section `[{}]`", name.escape_debug()), &hint);
        }
        self.section = Section::Unknown;
    }

    fn set(&mut self, at: Position, key: &str, value: &str) {
        match self.section {
            Section::Unknown => return,
            Section::None => {
                let hint = "put `[Common]` on a line above it";
                return self.fault(at, key, "stands before any section", hint);
            }
            Section::Common => {}
        }
        if !key.eq_ignore_ascii_case(KEY) {
            let hint = suggestion(key, KEY, "the only key is");
            return self.fault(at, key, "unknown key", &hint);
        }
        if let Some((first, _)) = self.found {
            let message = format!("is already there, on line {first}");
            return self.fault(at, KEY, &message, "remove one of them");
        }
        let value = without_blanks(value.split([';', '#', '(']).next().unwrap_or_default());
        let named = match value.as_str() {
            "" => None,
            text => match address(text) {
                Ok(address) => {
                    Some(SourceAddress { address, file: self.file.to_owned(), position: at })
                }
                Err(message) => {
                    let hint = "write the virtual address, or nothing for the system's choice";
                    return self.fault(at, KEY, &message, hint);
                }
            },
        };
        self.found = Some((at.line, named));
    }

    fn fault(&mut self, at: Position, key: &str, message: &str, hint: &str) {
        self.faults.push(Fault {
            file: self.file.to_owned(),
            position: Some(at),
            key: key.escape_debug().to_string(),
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        });
    }
}

/// The text without blanks at its ends and beside dots and colons. One between two digits stays:
/// what it stands for is anybody's guess.
fn without_blanks(text: &str) -> String {
    let beside = |text: &str, mark: char| {
        let parts: Vec<_> = text.split(mark).map(str::trim).collect();
        parts.join(&mark.to_string())
    };
    beside(&beside(text, '.'), ':')
}

fn suggestion(word: &str, right: &str, otherwise: &str) -> String {
    match nearest(word, [right]) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{otherwise} `{right}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(bytes: &[u8]) -> Option<String> {
        let named = parse(Path::new("SrcAdr.dat"), bytes);
        named.unwrap_or_else(|faults| panic!("{faults:?}")).map(|named| named.address.to_string())
    }

    #[track_caller]
    fn refused(text: &str, expected: &[&str]) {
        let faults = parse(Path::new("SrcAdr.dat"), text.as_bytes()).expect_err(text);
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, expected, "in {text:?}");
    }

    #[test]
    fn the_address_is_found_whatever_editors_make_of_the_file() {
        let four = Some("192.0.2.10".to_owned());
        for text in [
            "[Common]\nS_Address=192.0.2.10\n",
            "[Common]\r\nS_Address=192. 0. 2. 10\r\n",
            "\u{feff}[Common]\nS_Address=192.0.2.10",
            "; remark\n# remark\n\n [ COMMON ] ; remark\n\ts_address = 192 . 0.2 .10 ; remark\n",
            "[Common]\nS_Address=192. 0. 2. 10(仮想アドレスをセット)\n",
            "[Common]\n;S_Address=192.0.2.99\nS_Address=::ffff:192.0.2.10\n",
        ] {
            assert_eq!(named(text.as_bytes()), four, "{text:?}");
        }
        let six = b"[Common]\nS_Address = 2001:db8:: 10 # six";
        assert_eq!(named(six), Some("2001:db8::10".to_owned()));
    }

    #[test]
    fn remarks_in_shift_jis_do_no_harm() {
        // The second byte of some characters is a backslash or a bracket.
        let mut bytes = b"; \x89\xbc\x91z\x83A\x83h\x83\x8c\x83X \x95\x5c \x83[\r\n".to_vec();
        bytes.extend(b"[Common]\r\nS_Address=192. 0. 2. 10(\x89\xbc\x91z)\r\n");
        assert_eq!(named(&bytes), Some("192.0.2.10".to_owned()));
    }

    #[test]
    fn a_file_that_names_nothing_leaves_the_choice_to_the_system() {
        for text in ["", "\u{feff}", "[Common]\n", "[Common]\nS_Address=\n", "; remark\r\n\r\n"] {
            assert_eq!(named(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(named(b"[Common]\nS_Address= ; not yet\n"), None);
    }

    #[test]
    fn faults_name_their_line_and_the_nearest_name() {
        refused(
            "[Comon]\nS_Address=192.0.2.10\n",
            &["SrcAdr.dat:1:1: unknown section `[Comon]`; did you mean `Common`?"],
        );
        refused(
            "[Other]\n[Common]\n  S_Adress=192.0.2.10\nPort=1\n",
            &[
                "SrcAdr.dat:1:1: unknown section `[Other]`; the only section is `Common`",
                "SrcAdr.dat:3:3: S_Adress: unknown key; did you mean `S_Address`?",
                "SrcAdr.dat:4:1: Port: unknown key; the only key is `S_Address`",
            ],
        );
        refused(
            "S_Address=192.0.2.10\n",
            &["SrcAdr.dat:1:1: S_Address: stands before any section; put `[Common]` on a line \
               above it"],
        );
        refused(
            "[Common]\nS_Address=192.0.2.10\nS_Address=\n",
            &["SrcAdr.dat:3:1: S_Address: is already there, on line 2; remove one of them"],
        );
        refused(
            "[Common\n-----\n",
            &[
                "SrcAdr.dat:1:1: the section's name does not end; write `[Common]`",
                "SrcAdr.dat:2:1: is neither a section, nor a key with `=`, nor a remark; begin a \
                 remark with `;`",
            ],
        );
    }

    #[test]
    fn only_an_address_that_a_machine_can_have_is_taken() {
        for (value, what) in [
            ("192.0.2.1 0", "`192.0.2.1 0` is no IP address"),
            ("192.0.2.256", "`192.0.2.256` is no IP address"),
            ("192.000.002.010", "`192.000.002.010` has leading zeros"),
            ("files.example.com", "`files.example.com` is no IP address"),
            ("0.0.0.0", "`0.0.0.0` is no address that a machine can have"),
            ("255.255.255.255", "is no address that a machine can have"),
            ("ff02::1", "`ff02::1` is no address that a machine can have"),
            ("fe80::1", "`fe80::1` is a link-local address"),
        ] {
            let text = format!("[Common]\nS_Address={value}\n");
            let faults = parse(Path::new("SrcAdr.dat"), text.as_bytes()).unwrap_err();
            let said = faults[0].to_string();
            assert!(
                said.starts_with("SrcAdr.dat:2:1: S_Address: ") && said.contains(what),
                "{said}"
            );
        }
        let faults = parse(Path::new("SrcAdr.dat"), b"\xff\xfe[\0C\0").unwrap_err();
        assert!(faults[0].to_string().contains("UTF-16"), "{faults:?}");
    }

    #[test]
    fn a_file_is_read_when_it_is_there_and_when_it_can_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let install = InstallDir::new(dir.path()).unwrap();
        assert_eq!(load(&install), Ok(None));
        std::fs::create_dir_all(install.master()).unwrap();
        let file = install.source_address_file();
        std::fs::write(&file, "\r\n[Common]\r\nS_Address=::1\r\n").unwrap();
        let named = load(&install).unwrap().unwrap();
        assert_eq!(named.to_string(), format!("::1 ({}:3)", file.display()));
        std::fs::write(&file, vec![b'\n'; 100_000]).unwrap();
        assert!(load(&install).unwrap_err()[0].message.starts_with("cannot be read"));
    }
}
