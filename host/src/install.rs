//! `ferryway init DIR`: makes an install directory.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ferryway_core::InstanceName;

use crate::{
    config::InstallDir,
    platform::{Readers, files},
};

/// Why no install directory was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{} is already an install directory; it is left as it is", path.display())]
    Already {
        /// The directory.
        path: PathBuf,
    },
    /// There is something else.
    #[error("{} is not empty; choose a new directory or clear it first", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot make {}: {source}", path.display())]
    Io {
        /// What could not be made.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Makes the folders of an install directory, a `ferryway.toml` and a `SrcAdr.dat` that work at
/// once and explain themselves, and a sample definition that is not in force. The directory may exist if
/// it is empty. Only the user may read what holds or may hold secrets.
///
/// # Errors
/// When the directory is in use or the system refuses; what was made until then stays.
pub fn init(path: &Path, instance: &InstanceName) -> Result<InstallDir, InitError> {
    let install = InstallDir::new(path).map_err(|source| failed(path, source))?;
    let path = install.path();
    if install.config_file().exists() {
        return Err(InitError::Already { path: path.to_owned() });
    }
    make_folder(path)?;
    // `lost+found` is in every fresh file system.
    let occupied = fs::read_dir(path)
        .and_then(|mut entries| {
            entries.try_fold(false, |found, entry| Ok(found || entry?.file_name() != "lost+found"))
        })
        .map_err(|source| failed(path, source))?;
    if occupied {
        return Err(InitError::NotEmpty { path: path.to_owned() });
    }
    for folder in install.folders() {
        make_folder(&folder)?;
    }
    for folder in ["send", "receive"] {
        make_folder(&path.join("data").join(folder))?;
    }
    make_file(&install.definitions().join("example.toml.sample"), SAMPLE_DEFINITION)?;
    make_file(&install.definitions().join("README"), DEFINITIONS_README)?;
    make_file(&install.source_address_file(), SOURCE_ADDRESS)?;
    // The last step: what has this file is an install directory.
    make_file(&install.config_file(), &CONFIG.replace("INSTANCE", instance.as_str()))?;
    Ok(install)
}

/// What the operator does after [`init`], in words for the terminal.
pub fn next_steps(install: &InstallDir) -> String {
    let shown = install.path().display();
    format!(
        "Made {shown}\n\
         Next:\n  \
           1. name your partners in {}\n  \
           2. copy {} to NAME.toml beside it and adapt it\n  \
           3. ferryway check {shown}\n  \
           4. ferryway run {shown}\n",
        install.config_file().display(),
        install.definitions().join("example.toml.sample").display(),
    )
}

fn make_folder(path: &Path) -> Result<(), InitError> {
    files::make_folders(path, Readers::Group).map_err(|source| failed(path, source))
}

fn make_file(path: &Path, text: &str) -> Result<(), InitError> {
    files::keep_private(OpenOptions::new().write(true).create_new(true))
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> InitError {
    InitError::Io { path: path.to_owned(), source }
}

const CONFIG: &str = r##"# Ferryway: the configuration of this instance.
# `ferryway check` reports every fault of it; docs/configuration.md lists every key.

[instance]
name = "INSTANCE"
# The virtual host name of the cluster, which partners are told. The environment variable
# HOSTNM goes before it; without both, it is the system's own name.
# host_name = "files.example.com"
# The virtual address to connect from. tools/master/SrcAdr.dat goes before it.
# source_address = "192.0.2.10"

# Jobs read and write below these folders only.
[roots]
send = ["data/send"]
receive = ["data/receive"]

[limits]
# Jobs that may move at once, over all partners.
jobs = 64

[history]
keep_days = 90

[log]
# "en" or "ja"
language = "en"

# The door for other Ferryway hosts; docs/socket.md explains it.
# [listen]
# transport = "socket"
# address = "192.0.2.10"
# security = "secret"
# secret = { file = "door.secret" }
#
# [listen.visitors.OSAKA]
# host_name = "osaka.example.com"
# instance = "night"
# may = ["send"]

# One table for each partner. Keys that docs/configuration.md does not list belong to the
# partner's transport.
# [partners.tokyo]
# transport = "ftp"
# sessions = 4
# "fixed": connects from the machine's own address in place of the virtual one.
# source_address = "virtual"
# host = "ftp.example.com"
# user = "alice"
# password = { file = "tokyo.password" }
#
# [partners.tokyo.retry]
# attempts = 10
# first_s = 5
# max_s = 300
"##;

const SAMPLE_DEFINITION: &str = r##"# A transfer definition. A job of it is named PRDY011, PRDY012 and so on.
[[definition]]
id = "PRDY01"
partner = "tokyo"
direction = "send"
# Relative to the first folder of `[roots] send`. Left out, it is given at each submit.
local = "report.csv"
remote = "in/{date}/{name}"
# "atomic": the target appears complete. "direct": bytes go straight to it.
publish = "atomic"
resume = "verified"
"##;

const DEFINITIONS_README: &str = "\
Each file NAME.toml here holds transfer definitions. Other files are not read.
example.toml.sample shows one.
";

const SOURCE_ADDRESS: &str = "\
; The address that connections to partners leave from, such as the cluster's virtual address.
; It is looked at before each connection: a change needs no restart. `ferryway check` says
; whether the file is right. Empty: `[instance] source_address` of ferryway.toml, and without
; that the system's choice.
[Common]
S_Address=
";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Config, Environment, source_address};

    fn load(install: &InstallDir) -> Config {
        let environment = Environment::with_variables::<&str, &str>(7, "node1", []);
        let loaded = Config::load_in(install.path(), environment);
        loaded.unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn a_new_install_directory_works_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let install = init(&dir.path().join("a/pay"), &"pay".parse().unwrap()).unwrap();
        for folder in install.folders() {
            assert!(folder.is_dir(), "{}", folder.display());
        }
        let config = load(&install);
        assert_eq!(config.warnings, []);
        assert_eq!(config.instance.as_str(), "pay");
        assert!(config.definitions.is_empty());
        let mode = fs::metadata(install.config_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert!(next_steps(&install).contains("ferryway check"));
        assert_eq!(source_address::load(&install), Ok(None));
        let file = install.source_address_file();
        let named = fs::read_to_string(&file).unwrap().replace("S_Address=", "S_Address=::1");
        fs::write(file, named).unwrap();
        assert!(source_address::load(&install).unwrap().is_some());
    }

    #[test]
    fn the_samples_work_once_they_are_put_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let install = init(dir.path(), &"pay".parse().unwrap()).unwrap();
        let text = fs::read_to_string(install.config_file()).unwrap();
        let is_setting = |line: &str| line.contains(" = ") || line.starts_with('[');
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(install.config_file(), uncommented).unwrap();
        fs::write(install.path().join("tokyo.password"), "x").unwrap();
        let definitions = install.definitions();
        fs::copy(definitions.join("example.toml.sample"), definitions.join("a.toml")).unwrap();
        let config = load(&install);
        assert_eq!(config.partners.len(), 1);
        assert_eq!(config.definitions.len(), 1);
        assert!(config.source_address.is_some());
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pay: InstanceName = "pay".parse().unwrap();
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        init(dir.path(), &pay).unwrap();
        let again = init(dir.path(), &"other".parse().unwrap());
        assert!(matches!(again, Err(InitError::Already { .. })));
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("x"), "").unwrap();
        assert!(matches!(init(other.path(), &pay), Err(InitError::NotEmpty { .. })));
    }
}
