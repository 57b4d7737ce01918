//! pure-ftpd, which runs only as root and serves as an unprivileged user.

use std::{io, os::unix::fs::chown, path::Path, process::Command};

use super::{
    ServerKind,
    pieces::{PASSWORD_CRYPT, Setup, USER, cannot_prepare, is_root, program},
};
use crate::Unavailable;

/// The user and group of `nobody`; pure-ftpd refuses to serve as root.
const NOBODY: u32 = 65_534;

pub(super) fn prepare(kind: ServerKind, setup: &Setup<'_>) -> Result<Command, Unavailable> {
    if !is_root() {
        return Err(Unavailable::new(kind, "it runs only as root"));
    }
    let mut command = program("pure-ftpd", "pure-ftpd")?;
    let users = user_base(setup, program("pure-ftpd", "pure-pw")?).map_err(cannot_prepare(kind))?;
    grant(setup.root).map_err(cannot_prepare(kind))?;
    command
        .arg("--login")
        .arg(format!("puredb:{users}"))
        .arg("--bind")
        .arg(format!("{},{}", setup.address.ip(), setup.address.port()))
        .arg("--pidfile")
        .arg(setup.state.join("pure-ftpd.pid"))
        .args(["--noanonymous", "--dontresolve", "--ipv4only", "--verboselog"])
        .args(["--chrooteveryone", "--maxclientsnumber", "500", "--maxclientsperip", "500"]);
    if kind == ServerKind::PureFtpdAtomic {
        command.arg("--notruncate");
    }
    command.args(setup.extra);
    Ok(command)
}

/// Gives `path` to the user the server acts as.
pub(super) fn grant(path: &Path) -> io::Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))
}

/// Makes a user base with the one user; its path.
///
/// The password comes as a crypt(3) hash: pure-pw itself would make one that
/// takes seconds to check at each login.
fn user_base(setup: &Setup<'_>, mut tool: Command) -> io::Result<String> {
    let root = setup.root.display();
    let line = format!("{USER}:{PASSWORD_CRYPT}:{NOBODY}:{NOBODY}::{root}/./::::::::::::\n");
    let users = setup.write("users", &line)?;
    let base = setup.state.join("users.pdb");
    let output = tool.arg("mkdb").arg(&base).arg("-f").arg(users).output()?;
    if output.status.success() {
        return Ok(base.display().to_string());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("pure-pw ended with {}: {said}", output.status)))
}
