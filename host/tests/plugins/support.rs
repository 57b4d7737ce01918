//! Libraries to load, and folders to load them from.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use ferryway_core::plugin::SECTION;
use ferryway_host::loader::{Loader, Plugins, Refusal};
use object::{Object, ObjectSection};
use tempfile::TempDir;

use crate::log::Log;

/// Where in a declaration its parts begin, and how long they are.
pub(crate) const MAGIC: (usize, usize) = (0, 16);
pub(crate) const RUSTC: (usize, usize) = (16, 80);
pub(crate) const CORE: (usize, usize) = (96, 32);
pub(crate) const BUILD: (usize, usize) = (128, 128);
pub(crate) const NAME: (usize, usize) = (256, 32);
pub(crate) const IDENTITY: (usize, usize) = (320, 16);

/// Loads what is in the folder, with the log watched.
pub(crate) fn load(folder: &Path) -> Plugins {
    Log::watch();
    Loader::new(folder.to_owned(), None).load()
}

/// The reason why the library, alone in a folder, is refused.
pub(crate) fn refusal(library: &Path) -> Refusal {
    let folder = TempDir::new().unwrap();
    fs::copy(library, folder.path().join(file_name("candidate"))).unwrap();
    only_refusal(folder.path())
}

/// The reason why the only library in the folder is refused.
pub(crate) fn only_refusal(folder: &Path) -> Refusal {
    let plugins = load(folder);
    assert!(plugins.loaded.is_empty(), "{plugins:?}");
    assert_eq!(plugins.refused.len(), 1, "{plugins:?}");
    plugins.refused[0].refusal.clone()
}

/// A library that cargo built beside this test, because the host's tests depend on it.
pub(crate) fn built(name: &str) -> PathBuf {
    env::current_exe().unwrap().with_file_name(file_name(name))
}

pub(crate) fn file_name(name: &str) -> String {
    format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// The bytes of a library's declaration.
pub(crate) fn declaration(library: &Path) -> Vec<u8> {
    let content = fs::read(library).unwrap();
    let file = object::File::parse(&*content).unwrap();
    file.section_by_name(SECTION).expect("a declaration").data().unwrap().to_vec()
}

/// One part of a declaration.
pub(crate) fn part(declaration: &[u8], (start, length): (usize, usize)) -> &[u8] {
    &declaration[start..start + length]
}

/// Replaces one part of a declaration by a text.
pub(crate) fn replace(declaration: &mut [u8], (start, length): (usize, usize), text: &str) {
    let part = &mut declaration[start..start + length];
    part.fill(0);
    part[..text.len()].copy_from_slice(text.as_bytes());
}

/// Compiles a library without an entry point. `None` where there is no compiler.
pub(crate) fn impostor(
    folder: &Path,
    declaration: Option<&[u8]>,
    unlinked: bool,
) -> Option<PathBuf> {
    let library = folder.join(file_name("impostor"));
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort"]);
    rustc.args(["--check-cfg=cfg(declared, unlinked)", "-o"]).arg(&library);
    rustc.arg(fixture("impostor.rs"));
    if let Some(declaration) = declaration {
        let file = folder.join("declaration");
        fs::write(&file, declaration).unwrap();
        rustc.args(["--cfg", "declared"]).env("IMPOSTOR_DECLARATION", file);
    }
    if unlinked {
        rustc.args(["--cfg", "unlinked"]);
    }
    succeeds(rustc).map(|_| library)
}

/// A file of the fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// The output of a compiler. Where it cannot run, the test is skipped visibly, and fails in
/// continuous integration.
pub(crate) fn succeeds(mut command: Command) -> Option<Vec<u8>> {
    let why = match command.output() {
        Ok(output) if output.status.success() => return Some(output.stdout),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(env::var_os("CI").is_none(), "{command:?} failed: {why}");
    eprintln!("SKIPPED: {command:?} failed: {why}");
    None
}
