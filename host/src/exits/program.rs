//! Where an exit's program is, and whether it can be started.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use tokio::process::Command;

use crate::{config::InstallDir, journal::record::Exit, platform::files};

/// Why a program cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The command is empty.
    #[error("no program is named")]
    Unnamed,
    /// A relative name leads out of the folder of the exits.
    #[error("`{0}` is not inside of `exits/`: write a name in that folder, or an absolute path")]
    Outside(String),
    /// The system does not show it.
    #[error("`{path}` cannot be looked at: {source}")]
    Absent {
        /// The program.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It is a folder or something else.
    #[error("`{0}` is no file")]
    NoFile(String),
    /// Nobody may execute it.
    #[error("`{0}` is not executable: `chmod +x` makes it so")]
    NotExecutable(String),
}

/// The path of a command's program, by its text alone.
///
/// # Errors
/// `Unnamed`, `Outside`.
pub(crate) fn locate(install: &InstallDir, command: &[String]) -> Result<PathBuf, Unusable> {
    let Some(name) = command.first().filter(|name| !name.is_empty()) else {
        return Err(Unusable::Unnamed);
    };
    let path = Path::new(name);
    let plain = |part| matches!(part, Component::Normal(_));
    match path.is_absolute() {
        true => Ok(path.to_owned()),
        false if path.components().all(plain) => Ok(install.exits().join(path)),
        false => Err(Unusable::Outside(name.clone())),
    }
}

/// Whether this machine could start a program now.
///
/// # Errors
/// `Absent`, `NoFile`, `NotExecutable`.
pub(crate) fn vet(program: &Path) -> Result<(), Unusable> {
    let path = || program.display().to_string();
    let facts = fs::metadata(program);
    let facts = facts.map_err(|source| Unusable::Absent { path: path(), source })?;
    if !facts.is_file() {
        return Err(Unusable::NoFile(path()));
    }
    if !files::is_executable(&facts) {
        return Err(Unusable::NotExecutable(path()));
    }
    Ok(())
}

/// The command of an exit, with an empty environment, in the install directory.
///
/// # Errors
/// As [`locate`].
pub(super) fn command(install: &InstallDir, exit: &Exit) -> Result<Command, Unusable> {
    let mut command = Command::new(locate(install, &exit.command)?);
    command.args(&exit.command[1..]).env_clear().current_dir(install.path());
    Ok(command)
}
