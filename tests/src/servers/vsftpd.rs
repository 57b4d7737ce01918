//! vsftpd, which runs as whoever starts it and serves anonymous users only.

use std::{fs, io, process::Command};

use super::{
    ServerKind,
    pieces::{Setup, cannot_prepare, program},
};
use crate::Unavailable;

pub(super) fn prepare(kind: ServerKind, setup: &Setup<'_>) -> Result<Command, Unavailable> {
    let mut command = program("vsftpd", "vsftpd")?;
    let lines = config(kind, setup).map_err(cannot_prepare(kind))?;
    command.arg(setup.write_config("vsftpd.conf", &lines).map_err(cannot_prepare(kind))?);
    Ok(command)
}

fn config(kind: ServerKind, setup: &Setup<'_>) -> io::Result<Vec<String>> {
    let empty = setup.state.join("empty");
    fs::create_dir_all(&empty)?;
    let mut lines: Vec<String> = [
        "listen=YES",
        "background=NO",
        "run_as_launching_user=YES",
        // Any user will do, but it must exist.
        "ftp_username=nobody",
        "anonymous_enable=YES",
        "local_enable=NO",
        "write_enable=YES",
        "anon_upload_enable=YES",
        "anon_mkdir_write_enable=YES",
        "anon_other_write_enable=YES",
        "anon_world_readable_only=NO",
        "anon_umask=022",
        "allow_writeable_chroot=YES",
        // The sandbox needs rights of its own and kills sessions on newer kernels.
        "seccomp_sandbox=NO",
        "mdtm_write=YES",
        "log_ftp_protocol=YES",
        "xferlog_enable=YES",
    ]
    .map(str::to_owned)
    .into();
    lines.extend([
        format!("listen_address={}", setup.address.ip()),
        format!("listen_port={}", setup.address.port()),
        format!("anon_root={}", setup.root.display()),
        format!("secure_chroot_dir={}", empty.display()),
        format!("vsftpd_log_file={}", setup.state.join("vsftpd.log").display()),
    ]);
    match kind {
        ServerKind::VsftpdNoLock => lines.push("lock_upload_files=NO".to_owned()),
        ServerKind::VsftpdTls(reuse) => lines.extend(tls(reuse, setup)?),
        _ => {}
    }
    Ok(lines)
}

fn tls(require_reuse: bool, setup: &Setup<'_>) -> io::Result<[String; 8]> {
    let (certificate, key) = setup.certificate()?;
    Ok([
        "ssl_enable=YES".to_owned(),
        "allow_anon_ssl=YES".to_owned(),
        "force_anon_logins_ssl=YES".to_owned(),
        "force_anon_data_ssl=YES".to_owned(),
        // The default list has RSA only.
        "ssl_ciphers=HIGH".to_owned(),
        format!("rsa_cert_file={}", certificate.display()),
        format!("rsa_private_key_file={}", key.display()),
        format!("require_ssl_reuse={}", if require_reuse { "YES" } else { "NO" }),
    ])
}
