//! Commands on files and folders that need no data connection.

use std::{fs, io, path::PathBuf, sync::PoisonError};

use super::{
    behaviour::RenameOver, listing, reply::Reply, session::Session, shared::Renamed,
    tree::VirtualPath,
};

/// Commands that want a path.
const WITH_PATH: [&str; 13] = [
    "CWD", "XCWD", "SIZE", "MDTM", "MLST", "STAT", "DELE", "RNFR", "RNTO", "MKD", "XMKD", "RMD",
    "XRMD",
];

// The calls here block for a look into the kernel's cache, which a mock can afford.
impl Session {
    pub(super) fn file_command(&mut self, verb: &str, argument: &str) -> Reply {
        let renaming = self.renaming.take();
        match verb {
            "PWD" | "XPWD" => {
                let folder = self.folder.to_string().replace('"', "\"\"");
                return Reply::new(257, format!("\"{folder}\" is the current directory"));
            }
            "CDUP" | "XCUP" => return self.change_folder(".."),
            "MLST" if argument.is_empty() => return self.facts("."),
            _ if !WITH_PATH.contains(&verb) => {
                return Reply::new(500, format!("{verb} not understood."));
            }
            _ if argument.is_empty() => return Reply::new(501, format!("{verb} wants a path.")),
            "CWD" | "XCWD" => return self.change_folder(argument),
            "SIZE" => return self.size(argument),
            "MDTM" => return self.modified(argument),
            "MLST" => return self.facts(argument),
            "STAT" => return self.status(argument),
            _ => {}
        }
        if !self.shared.disk.writable() {
            return Reply::new(550, format!("{argument}: Read-only file system."));
        }
        match verb {
            "DELE" => self.delete(argument),
            "RNFR" => self.rename_from(argument),
            "RNTO" => self.rename_to(renaming, argument),
            "MKD" | "XMKD" => self.make_folder(argument),
            _ => self.remove_folder(argument),
        }
    }

    /// Where a path lies on disk; else the reply that refuses it.
    pub(super) fn place(&self, argument: &str) -> Result<PathBuf, Reply> {
        if !self.shared.disk.readable() {
            return Err(Reply::new(550, format!("{argument}: Input/output error.")));
        }
        let path = self.folder.resolve(argument);
        path.locate(&self.shared.root).map_err(|error| Reply::file_error(argument, &error))
    }

    fn change_folder(&mut self, argument: &str) -> Reply {
        match self.place(argument) {
            Ok(place) if place.is_dir() => {
                self.folder = self.folder.resolve(argument);
                Reply::new(250, "Directory successfully changed.")
            }
            _ => Reply::new(550, "Failed to change directory."),
        }
    }

    /// RFC 3659 section 4.
    fn size(&self, argument: &str) -> Reply {
        if self.ascii && !self.shared.behaviour.size_in_ascii {
            return Reply::new(550, "SIZE not allowed in ASCII mode.");
        }
        match self.look(argument) {
            Ok(metadata) if metadata.is_file() => {
                Reply::new(213, self.size_lie.unwrap_or(metadata.len()).to_string())
            }
            Ok(_) => Reply::new(550, format!("{argument}: not a regular file.")),
            Err(reply) => reply,
        }
    }

    /// RFC 3659 section 3.
    fn modified(&self, argument: &str) -> Reply {
        match self.look(argument) {
            Ok(metadata) => Reply::new(213, listing::timestamp(&metadata)),
            Err(reply) => reply,
        }
    }

    /// RFC 3659 section 7.
    fn facts(&self, argument: &str) -> Reply {
        match self.look(argument) {
            Ok(metadata) => {
                let path = self.folder.resolve(argument);
                let facts = listing::facts(&metadata, None, self.size_lie);
                let lines =
                    vec![format!("Listing {path}"), format!("{facts} {path}"), "End".into()];
                Reply::lines(250, lines)
            }
            Err(reply) => reply,
        }
    }

    fn status(&self, argument: &str) -> Reply {
        match self.look(argument) {
            Ok(metadata) => {
                let name = self.folder.resolve(argument).name().to_owned();
                let line = listing::long_line(&name, &metadata, self.size_lie);
                Reply::lines(213, vec!["Status follows:".into(), line, "End of status".into()])
            }
            Err(reply) => reply,
        }
    }

    fn delete(&self, argument: &str) -> Reply {
        self.change(argument, |place| fs::remove_file(place), Reply::new(250, "Deleted."))
    }

    fn make_folder(&self, argument: &str) -> Reply {
        let shown = self.folder.resolve(argument).to_string().replace('"', "\"\"");
        let made = Reply::new(257, format!("\"{shown}\" created"));
        self.change(argument, |place| fs::create_dir(place), made)
    }

    fn remove_folder(&self, argument: &str) -> Reply {
        self.change(argument, |place| fs::remove_dir(place), Reply::new(250, "Removed."))
    }

    fn rename_from(&mut self, argument: &str) -> Reply {
        match self.look(argument) {
            Ok(_) => {
                self.renaming = Some(self.folder.resolve(argument));
                Reply::new(350, "Ready for RNTO.")
            }
            Err(reply) => reply,
        }
    }

    fn rename_to(&self, from: Option<VirtualPath>, argument: &str) -> Reply {
        let Some(from) = from else {
            return Reply::new(503, "RNFR required first.");
        };
        let behaviour = &self.shared.behaviour;
        let Some(source) = from.locate(&self.shared.root).ok().filter(exists) else {
            return Reply::new(behaviour.rename_refusal, format!("{from}: No such file."));
        };
        let refuses = behaviour.rename_over == RenameOver::Refuses;
        let rename = |target: &PathBuf| {
            // rename(2) would put a file over another, and a folder over an empty one.
            if exists(target) && (refuses || target.is_dir()) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let renamed = Renamed::rename(&source, target)?;
            *self.shared.renamed.lock().unwrap_or_else(PoisonError::into_inner) = Some(renamed);
            let to = self.folder.resolve(argument);
            self.shared.ledger.renamed(from.to_string(), to.to_string());
            Ok(())
        };
        let reply = self.change(argument, rename, Reply::new(250, "Rename successful."));
        if reply.code == 550 { reply.with_code(behaviour.rename_refusal) } else { reply }
    }

    fn change(
        &self,
        argument: &str,
        act: impl FnOnce(&PathBuf) -> io::Result<()>,
        done: Reply,
    ) -> Reply {
        match self.place(argument) {
            Ok(place) => {
                act(&place).map_or_else(|error| Reply::file_error(argument, &error), |()| done)
            }
            Err(reply) => reply,
        }
    }

    pub(super) fn look(&self, argument: &str) -> Result<fs::Metadata, Reply> {
        self.place(argument)?.metadata().map_err(|_| Reply::no_file(argument))
    }
}

fn exists(place: &PathBuf) -> bool {
    fs::symlink_metadata(place).is_ok()
}
