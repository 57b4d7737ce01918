//! The programs that the cluster files are looked over with.

use std::{env, path::Path, process::Command, sync::OnceLock};

use crate::Unavailable;

/// Sees to it that what `tests/agent/install.sh` lists is installed: where the environment
/// variable `CI` is set by installing it, elsewhere nothing is installed without a word.
///
/// # Errors
/// What is missing, or why it cannot be installed.
pub fn ready() -> Result<(), Unavailable> {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    let ready = READY.get_or_init(|| installed_by("agent/install.sh"));
    ready.clone().map_err(|why| Unavailable::new("what cluster files are looked over with", why))
}

/// Sees to it that what an installer below `tests/` lists is installed: where the environment
/// variable `CI` is set by running it, elsewhere nothing is installed without a word.
///
/// # Errors
/// What is missing, or why it cannot be installed.
pub fn installed_by(installer: &str) -> Result<(), String> {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(installer));
    if env::var_os("CI").is_none() {
        command.arg("--look");
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}
