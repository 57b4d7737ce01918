//! Install directories made on the spot, and files to send.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

use crate::config::InstallDir;

/// Makes an install directory in an existing folder, with this configuration, these
/// definitions, and the plugins that were built with this executable.
///
/// # Errors
/// When the system refuses something.
pub(crate) fn furnish(folder: &Path, configuration: &str, definitions: &str) -> io::Result<()> {
    let install = InstallDir::new(folder)?;
    for folder in install.folders() {
        fs::create_dir_all(folder)?;
    }
    write_private(&install.config_file(), configuration)?;
    write_private(&install.definitions().join("all.toml"), definitions)?;
    link_plugins(&install.plugins())
}

/// Writes a file of `size` random bytes that follow from `seed`; durable on `Ok`.
///
/// # Errors
/// When the system refuses, or the file is there already.
pub(crate) fn make_file(path: &Path, size: u64, seed: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut file = File::create_new(path)?;
    let mut chunk = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        random.fill(&mut chunk);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        file.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    // Else the disk would be busy with it when the journal wants to be durable.
    file.sync_all()
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// The host looks for plugins beside its executable; under `cargo test` some lie in `deps`
/// only. Where there are both, the one that was built with the host is loaded and the other
/// one refused, whichever comes first.
fn link_plugins(plugins: &Path) -> io::Result<()> {
    let executable = env::current_exe()?;
    let Some(folder) = executable.parent() else { return Ok(()) };
    let entries = match fs::read_dir(folder.join("deps")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let library = text.strip_prefix(env::consts::DLL_PREFIX);
        if library.is_some_and(|library| library.starts_with("ferryway_"))
            && text.ends_with(env::consts::DLL_SUFFIX)
        {
            symlink(entry.path(), plugins.join(&name))?;
        }
    }
    Ok(())
}
