//! This machine and who runs the process.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// The user id of the process.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The machine's own name.
pub(crate) fn host_name() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"))
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}

/// Where the run directories of a user's instances lie, whose environment has `variable`.
pub(crate) fn run_folder<'a>(
    user: u32,
    variable: impl FnOnce(&str) -> Option<&'a OsStr>,
) -> PathBuf {
    match variable("XDG_RUNTIME_DIR") {
        _ if user == 0 => PathBuf::from("/run/ferryway"),
        Some(runtime) => Path::new(runtime).join("ferryway"),
        None => env::temp_dir().join(format!("ferryway-{user}")),
    }
}

/// Differs from boot to boot; empty where the system has none, so that the process id decides.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// What a program of the user's gets of the host's own environment. The rest stays here: secrets
/// may be in it.
pub(crate) const INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];
