//! Dialogues with an FTP server, as data: what is said, what is answered, and what is on
//! disk afterwards.
//!
//! The dialogues in `dialogues.txt` run by one and the same code against a mock server and
//! against the real one that it imitates, and both have to give the same transcript. Texts
//! of replies are left out: codes, names, sizes and files are what a client goes by.
//!
//! ```text
//! [name of the dialogue]      its sessions start in an empty folder of its own
//! disk file NAME CONTENT      puts a file there behind the server's back
//! disk folder NAME            the same with a folder
//! disk read-only              remounts the disk; `disk writable` undoes it
//! A COMMAND                   session A says it and reads the reply
//! A COMMAND + COMMAND         it says both in one piece and reads both replies
//! A STOR x < CONTENT          an upload from the first reply to the last
//! A STOR x << CONTENT         its beginning: so far and no further
//! A << CONTENT                more of it
//! A <.                        its end, and the last reply
//! A RETR x >                  a download or a listing
//! A RETR x >> NUMBER          so many bytes of a download, then an end by a reset
//! A ...                       the reply that did not come before
//! A gone                      closes its connections without a word
//! A connects                  a session that has not logged in
//! ```
//!
//! A session, named by one capital letter, begins where it is first named: logged in, in
//! binary mode. `10a3b` is a content of ten times `a` and three times `b`; `-` is the empty
//! one, and `.` stands for a byte of zero.

mod content;
mod script;
mod speaker;

use std::{fs, io, path::Path, time::Duration};

pub use script::{Dialogue, dialogues};

use crate::{disk::SmallDisk, raw_ftp::RawFtp};
use content::Content;
use script::{Setting, Step};
use speaker::{SILENT, Speakers};

/// How long a server is given before its silence counts as its answer.
const SILENCE: Duration = Duration::from_secs(1);

/// A server to talk to.
pub struct Stage<'a> {
    /// The folder that it serves.
    pub root: &'a Path,
    /// The disk that `root` is, where it is one of its own.
    pub disk: Option<&'a SmallDisk>,
    /// Makes a control connection on which nothing was said.
    pub connect: &'a dyn Fn() -> io::Result<RawFtp>,
    /// Who may log in, and the password.
    pub user: (&'a str, &'a str),
    /// Lets the server write something that was made behind its back.
    pub grant: &'a dyn Fn(&Path) -> io::Result<()>,
}

impl Stage<'_> {
    /// Has a dialogue in a new folder `name`. `expected` is what another server answered:
    /// then its silences are waited for only where that one was silent. All sessions are
    /// closed afterwards; what the server makes of that shows later.
    ///
    /// # Errors
    /// Only what is no answer of the server: the disk, or a session that cannot be made.
    pub fn play(
        &self,
        dialogue: &Dialogue,
        name: &str,
        expected: Option<&[String]>,
    ) -> io::Result<Vec<String>> {
        let folder = self.root.join(name);
        fs::create_dir(&folder)?;
        (self.grant)(&folder)?;
        let mut speakers = Speakers::new(self, &folder, name);
        let mut lines = Vec::new();
        for line in &dialogue.lines {
            // Where nothing is known beforehand, every reply may be missing.
            let may_be_silent = expected.is_none_or(|expected| {
                expected.get(lines.len()).is_some_and(|told| told.ends_with(SILENT))
            });
            let silent = may_be_silent.then_some(SILENCE);
            match &line.step {
                Step::Disk(setting) => self.set(&folder, setting)?,
                Step::Says(who, words) => {
                    let answer = speakers.perform(*who, words, silent)?;
                    lines.push(format!("{}: {answer}", line.text));
                }
            }
        }
        Ok(lines)
    }

    /// What is on disk in the folder of a dialogue, one line a name, sorted.
    pub fn look(&self, name: &str) -> Vec<String> {
        let mut lines = Vec::new();
        survey(&self.root.join(name), "", &mut |path, file| {
            lines.push(match file.map(fs::read) {
                None => format!("= {path}/"),
                Some(Ok(bytes)) => format!("= {path} {}", Content::shown(&bytes)),
                Some(Err(error)) => format!("= {path}: {error}"),
            });
        });
        lines.sort();
        lines
    }

    fn set(&self, folder: &Path, setting: &Setting) -> io::Result<()> {
        let (path, content) = match setting {
            Setting::ReadOnly(wanted) => {
                let disk = self.disk.ok_or_else(|| io::Error::other("no disk of its own"))?;
                let set = if *wanted { disk.make_read_only() } else { disk.make_writable() };
                return set.map_err(io::Error::other);
            }
            Setting::File(name, content) => (folder.join(name), Some(content)),
            Setting::Folder(name) => (folder.join(name), None),
        };
        match content {
            Some(content) => fs::write(&path, content.bytes())?,
            None => fs::create_dir(&path)?,
        }
        (self.grant)(&path)
    }
}

/// Shows every name below a folder, with the file's path for a file.
fn survey(folder: &Path, lead: &str, show: &mut dyn FnMut(String, Option<&Path>)) {
    // A name may go between the look at its folder and the look at itself.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown = format!("{lead}{}", lasting(&name));
        if entry.path().is_dir() {
            show(shown.clone(), None);
            survey(&entry.path(), &format!("{shown}/"), show);
        } else {
            show(shown, Some(&entry.path()));
        }
    }
}

/// A name without the numbers that some servers put into their temporary ones.
fn lasting(name: &str) -> &str {
    if name.starts_with(".pureftpd-upload.") { ".pureftpd-upload" } else { name }
}
