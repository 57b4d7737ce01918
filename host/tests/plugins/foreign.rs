//! Plugins that cargo built against another `ferryway-core`: what a user gets who builds a
//! plugin apart from the host.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use ferryway_core::plugin::Mismatch;
use ferryway_host::loader::Refusal;

use crate::support::{IDENTITY, declaration, fixture, part, refusal, succeeds};

#[test]
fn a_plugin_of_another_core_version_is_refused() {
    let library = build("version", |tree| {
        tree.edit_toml("core/Cargo.toml", |manifest| {
            manifest["package"]["version"] = "99.0.0".into();
        });
    });
    let Some(mismatch) = library.as_deref().map(mismatch) else { return };
    assert_eq!(mismatch.what, "the version of ferryway-core");
    assert_eq!(mismatch.plugin, "99.0.0");
    assert_eq!(mismatch.host, env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_plugin_of_another_core_source_is_refused() {
    let Some(mismatch) = with_other_source().as_deref().map(mismatch) else { return };
    assert_eq!(mismatch.what, "the build");
    let source = |build: &str| {
        build.split(' ').find(|part| part.starts_with("source=")).map(ToOwned::to_owned)
    };
    assert!(source(&mismatch.host).is_some(), "{mismatch}");
    assert_ne!(source(&mismatch.host), source(&mismatch.plugin));
}

/// No text of the declaration tells the features of tokio: only the compiler's identity does.
#[test]
fn a_plugin_with_other_features_of_tokio_is_refused() {
    let library = build("feature", |tree| {
        tree.edit_toml("Cargo.toml", |manifest| {
            let features = &mut manifest["workspace"]["dependencies"]["tokio"]["features"];
            features.as_array_mut().unwrap().push("test-util".into());
        });
    });
    let (Some(library), Some(other)) = (library, with_other_source()) else { return };
    assert_eq!(mismatch(&library).what, "a dependency or feature below ferryway-core");

    // It is the feature that the identity tells: with tokio as it is, and built in the same
    // manner, the identity is another one.
    let [library, other] = [library, other].map(|library| declaration(&library));
    assert_ne!(part(&library, IDENTITY), part(&other, IDENTITY));
}

/// Its identity is that of an unchanged core: the compiler does not look at sources for it.
fn with_other_source() -> Option<PathBuf> {
    build("source", |tree| {
        tree.files.get_mut(Path::new("core/src/lib.rs")).unwrap().extend(b"// Changed.\n");
    })
}

fn mismatch(library: &Path) -> Mismatch {
    match refusal(library) {
        Refusal::Mismatch(mismatch) => mismatch,
        other => panic!("refused, but because {other}"),
    }
}

/// Builds a plugin in a changed copy of the workspace. `None` where cargo cannot build.
///
/// Each change has a target directory of its own, which stays for the next run: cargo's hash of a
/// package covers versions and features, but not sources, and would take the one for the other.
fn build(label: &str, change: impl FnOnce(&mut Tree)) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign-plugins");
    fs::create_dir_all(&place).unwrap();
    // Test processes may run side by side.
    let lock = File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();

    let package = format!("foreign-{label}");
    let mut tree = Tree::of_core_and_a_plugin(&package);
    change(&mut tree);
    tree.write(&place.join(label));

    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(place.join(label)).args(["build", "--offline", "--package", &package]);
    cargo.args(["--message-format=json", "--profile"]);
    // The declaration tells debug and release apart; only what was changed shall differ.
    cargo.arg(if cfg!(debug_assertions) { "dev" } else { "release" });
    cargo
        .env("CARGO_TARGET_DIR", place.join("targets").join(label))
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    let messages = String::from_utf8(succeeds(cargo)?).unwrap();
    Some(library(&messages, &package).expect("cargo tells where the library is"))
}

/// Finds the library of the package in cargo's messages.
fn library(messages: &str, package: &str) -> Option<PathBuf> {
    messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|message| message["target"]["name"] == package.replace('-', "_"))
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.to_string_lossy().ends_with(env::consts::DLL_SUFFIX))
}

/// The files of a workspace, by their paths in it.
struct Tree {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Tree {
    /// `ferryway-core` and a plugin, with the manifest and lock file of our own workspace.
    fn of_core_and_a_plugin(package: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut tree = Self { files: BTreeMap::new() };
        tree.add(&root.join("core"), Path::new("core"));
        tree.add(&fixture("stillborn"), Path::new("plugin"));
        for file in ["Cargo.toml", "Cargo.lock"] {
            tree.add(&root.join(file), Path::new(file));
        }
        tree.edit_toml("Cargo.toml", |manifest| {
            let workspace = manifest["workspace"].as_table_mut().unwrap();
            workspace.insert("members".into(), vec!["core", "plugin"].into());
            workspace.remove("default-members");
            // Optimized dependencies cost time and change nothing here.
            manifest.as_table_mut().unwrap().remove("profile");
        });
        // The name of the library is the package's, and must differ in a shared target directory.
        tree.edit_toml("plugin/Cargo.toml", |manifest| {
            manifest["package"]["name"] = package.into();
        });
        tree
    }

    fn add(&mut self, from: &Path, to: &Path) {
        if from.is_dir() {
            for entry in fs::read_dir(from).unwrap() {
                let name = entry.unwrap().file_name();
                self.add(&from.join(&name), &to.join(&name));
            }
        } else {
            self.files.insert(to.to_owned(), fs::read(from).unwrap());
        }
    }

    fn edit_toml(&mut self, path: &str, edit: impl FnOnce(&mut toml::Value)) {
        let file = self.files.get_mut(Path::new(path)).unwrap();
        let table: toml::Table = str::from_utf8(file).unwrap().parse().unwrap();
        let mut value = toml::Value::Table(table);
        edit(&mut value);
        *file = toml::to_string(&value).unwrap().into_bytes();
    }

    /// Makes `root` hold exactly these files, and touches none when it does already, because
    /// cargo builds again what is newer than its output.
    fn write(&self, root: &Path) {
        let mut present = Self { files: BTreeMap::new() };
        if root.is_dir() {
            present.add(root, Path::new(""));
        }
        // Cargo drops from the lock file what the copy does not need.
        let lock = Path::new("Cargo.lock");
        let files = |tree: &Self| {
            let mut files = tree.files.clone();
            files.remove(lock);
            files
        };
        let mut wanted = files(self);
        wanted.insert("Cargo.lock.origin".into(), self.files[lock].clone());
        if files(&present) == wanted {
            return;
        }
        if root.is_dir() {
            fs::remove_dir_all(root).unwrap();
        }
        wanted.insert(lock.to_owned(), self.files[lock].clone());
        for (path, content) in wanted {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}
