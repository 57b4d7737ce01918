//! proftpd, which runs as whoever starts it with a password file of its own.

use std::{io, path::Path, process::Command};

use super::{
    ServerKind,
    pieces::{PASSWORD_CRYPT, Setup, USER, cannot_prepare, program},
};
use crate::Unavailable;

pub(super) fn prepare(kind: ServerKind, setup: &Setup<'_>) -> Result<Command, Unavailable> {
    let mut command = program("proftpd", "proftpd")?;
    // Modules lie beside the program, in usr/lib/proftpd of its usr/sbin.
    let usr = Path::new(command.get_program()).ancestors().nth(2).unwrap_or(Path::new("/usr"));
    let modules = usr.join("lib/proftpd");
    let lines = config(kind, setup, &modules).map_err(cannot_prepare(kind))?;
    let config = setup.write_config("proftpd.conf", &lines).map_err(cannot_prepare(kind))?;
    command.args(["--nodaemon", "--quiet", "--config"]).arg(config);
    Ok(command)
}

fn config(kind: ServerKind, setup: &Setup<'_>, modules: &Path) -> io::Result<Vec<String>> {
    let state = setup.state.display();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let root = setup.root.display();
    let passwords = setup
        .write("passwd", &format!("{USER}:{PASSWORD_CRYPT}:{user}:{group}::{root}:/bin/false\n"))?;
    let mut lines: Vec<String> = [
        "ServerName \"Ferryway test\"",
        "ServerType standalone",
        "UseIPv6 off",
        "SocketBindTight on",
        "UseReverseDNS off",
        "AuthPAM off",
        "AuthOrder mod_auth_file.c",
        "RequireValidShell off",
        "RootLogin on",
        "WtmpLog off",
        "TransferLog none",
        "DelayEngine off",
        "ControlsEngine off",
        "MaxInstances none",
        "Umask 022",
    ]
    .map(str::to_owned)
    .into();
    lines.extend([
        // It insists on names, and changes to them whatever it was started as.
        format!("User {}", own_name("-un")?),
        format!("Group {}", own_name("-gn")?),
        format!("DefaultAddress {}", setup.address.ip()),
        format!("Port {}", setup.address.port()),
        format!("AuthUserFile {}", passwords.display()),
        format!("PidFile {state}/proftpd.pid"),
        format!("ScoreboardFile {state}/scoreboard"),
        format!("SystemLog {state}/proftpd.log"),
        format!("ModulePath {}", modules.display()),
    ]);
    if modules.join("mod_digest.so").exists() {
        lines.push("LoadModule mod_digest.c".to_owned());
    }
    if kind != ServerKind::ProftpdDefaults {
        lines.extend(["AllowOverwrite on", "AllowRetrieveRestart on"].map(str::to_owned));
        // proftpd refuses restarts together with hidden stores.
        lines.push(match kind {
            ServerKind::ProftpdHiddenStores => "HiddenStores on".to_owned(),
            _ => "AllowStoreRestart on".to_owned(),
        });
    }
    if kind == ServerKind::ProftpdTls {
        lines.extend(tls(setup)?);
    }
    Ok(lines)
}

fn tls(setup: &Setup<'_>) -> io::Result<[String; 6]> {
    let (certificate, key) = setup.certificate()?;
    Ok([
        "LoadModule mod_tls.c".to_owned(),
        "TLSEngine on".to_owned(),
        "TLSRequired on".to_owned(),
        format!("TLSLog {}/tls.log", setup.state.display()),
        format!("TLSECCertificateFile {}", certificate.display()),
        format!("TLSECCertificateKeyFile {}", key.display()),
    ])
}

/// The name of the user or group this process runs as.
fn own_name(option: &str) -> io::Result<String> {
    let output = Command::new("id").arg(option).output()?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(name);
    }
    Err(io::Error::other(format!("id {option} ended with {}", output.status)))
}
