//! What the set-ups of the several servers share.

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Unavailable;

/// The user of every server that knows users.
pub(super) const USER: &str = "ferry";
/// Its password.
pub(super) const PASSWORD: &str = "landing-stage";
/// The password as crypt(3) gives it.
pub(super) const PASSWORD_CRYPT: &str = "$6$ferryway$wBvh9sdRUUSLM0RJKjnmaLHD3DGxWq1ikDDmjQQwjTmNS2fIMDrCwNA7fmOrCef5Uh4rAoywqxwcqEU0tP2if1";

/// What a server is to be set up for.
pub(super) struct Setup<'a> {
    /// The folder to serve.
    pub(super) root: &'a Path,
    /// A folder of its own for configuration and logs.
    pub(super) state: &'a Path,
    /// Where to listen.
    pub(super) address: SocketAddr,
    /// Lines for the end of its configuration.
    pub(super) extra: &'a [String],
}

impl Setup<'_> {
    /// Writes a file only its owner can read, as servers demand of their secrets,
    /// and returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.state.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// Writes a configuration of `lines` and the extra ones.
    pub(super) fn write_config(&self, name: &str, lines: &[String]) -> io::Result<PathBuf> {
        let mut text = lines.join("\n");
        for line in self.extra {
            text.push('\n');
            text.push_str(line);
        }
        text.push('\n');
        self.write(name, &text)
    }

    /// Makes sure of a certificate and its key; their paths. One that is there
    /// stays, so that a restarted server is the same to its clients.
    pub(super) fn certificate(&self) -> io::Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (certificate_path(self.state), self.state.join("key.pem"));
        if !certificate.exists() {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let issued = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
            self.write("certificate.pem", &issued.cert.pem())?;
            self.write("key.pem", &issued.signing_key.serialize_pem())?;
        }
        Ok((certificate, key))
    }
}

/// Where the certificate of a server is.
pub(super) fn certificate_path(state: &Path) -> PathBuf {
    state.join("certificate.pem")
}

/// Whether this process may act as any user.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The folder with the unpacked servers.
pub(super) fn servers_folder() -> PathBuf {
    match env::var_os("FERRYWAY_FTP_SERVERS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ftp-servers"),
    }
}

/// A program of an unpacked server, or the one of that name in `PATH`. The
/// unpacked ones find the shared libraries that were unpacked with them.
pub(super) fn program(server: &str, file: &str) -> Result<Command, Unavailable> {
    let folder = servers_folder();
    for place in ["usr/sbin", "usr/bin"] {
        let unpacked = folder.join(server).join(place).join(file);
        if unpacked.exists() {
            let mut command = Command::new(unpacked);
            command.env("LD_LIBRARY_PATH", folder.join("lib"));
            return Ok(command);
        }
    }
    // Servers are in folders that are no part of a user's PATH.
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(OsString::from(":/usr/local/sbin:/usr/sbin"));
    let installed = env::split_paths(&path).map(|place| place.join(file)).find(|p| p.exists());
    installed.map(Command::new).ok_or_else(|| {
        let place = folder.display();
        Unavailable::new(file, format!("not in {place} nor in PATH; run tests/servers/install.sh"))
    })
}

/// Names the server in an error of its preparation.
pub(super) fn cannot_prepare(server: impl fmt::Display) -> impl FnOnce(io::Error) -> Unavailable {
    move |error| Unavailable::new(server, format!("its set-up failed: {error}"))
}
