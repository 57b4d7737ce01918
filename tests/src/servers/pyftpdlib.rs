//! pyftpdlib, driven by a script of ours.

use std::process::Command;

use super::{
    ServerKind,
    pieces::{PASSWORD, Setup, USER, cannot_prepare, servers_folder},
};
use crate::Unavailable;

const SCRIPT: &str = include_str!("../../servers/pyftpdlib_server.py");

pub(super) fn prepare(kind: ServerKind, setup: &Setup<'_>) -> Result<Command, Unavailable> {
    let unpacked = servers_folder().join("pyftpdlib");
    let mut python = Command::new("python3");
    if unpacked.join("python").exists() {
        python = Command::new(unpacked.join("python"));
        python.env("PYTHONPATH", unpacked.join("usr/lib/python3/dist-packages"));
    }
    let check = python.args(["-W", "ignore", "-c", "import pyftpdlib.servers"]).output();
    if !check.is_ok_and(|output| output.status.success()) {
        let why = "python3 cannot import it; run tests/servers/install.sh";
        return Err(Unavailable::new(kind, why));
    }

    let script = setup.write("server.py", SCRIPT).map_err(cannot_prepare(kind))?;
    let extra = setup.write_config("extra.py", &[]).map_err(cannot_prepare(kind))?;
    let mut command = Command::new(python.get_program());
    command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
        .args(["-W", "ignore"])
        .arg(script)
        .arg(setup.address.ip().to_string())
        .arg(setup.address.port().to_string())
        .arg(setup.root)
        .args([USER, PASSWORD])
        .arg(extra)
        .arg(if kind == ServerKind::PyftpdlibLocking { "lock" } else { "no-lock" });
    Ok(command)
}
