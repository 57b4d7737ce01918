//! This machine and who runs the process.

use std::{env, ffi::OsStr, path::PathBuf};

/// 0: nothing here depends on the user's number.
pub(crate) fn user() -> u32 {
    0
}

/// The machine's own name, as Windows gives it to every process.
pub(crate) fn host_name() -> Option<String> {
    env::var("COMPUTERNAME").ok().filter(|name| !name.is_empty())
}

/// Where the run directories of the instances lie, for an environment that has `variable`.
pub(crate) fn run_folder<'a>(
    _user: u32,
    variable: impl FnOnce(&str) -> Option<&'a OsStr>,
) -> PathBuf {
    data_folder(variable).join("run")
}

/// Where this machine keeps what is no instance's: `%ProgramData%\Ferryway`. Not in a temporary
/// folder where the variable is missing: a service has another one than an operator.
pub(crate) fn data_folder<T: Into<PathBuf>>(variable: impl FnOnce(&str) -> Option<T>) -> PathBuf {
    variable("ProgramData")
        .map_or_else(|| PathBuf::from(r"C:\ProgramData"), Into::into)
        .join("Ferryway")
}

/// Empty: the process that holds a lock tells by the lock that it is there.
pub(crate) fn boot_id() -> String {
    String::new()
}

/// What a program of the user's gets of the host's own environment. The rest stays here: secrets
/// may be in it. Without some of these no program of Windows starts, or finds what it needs.
pub(crate) const INHERITED: &[&str] = &[
    "PATH",
    "PATHEXT",
    "ComSpec",
    "SystemDrive",
    "SystemRoot",
    "windir",
    "ProgramData",
    "USERNAME",
    "USERPROFILE",
    "TEMP",
    "TMP",
];
