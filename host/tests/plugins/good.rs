//! What the loader loads, and in which order.

use std::{fs, os::unix::fs::symlink, sync::Arc};

use ferryway_core::transport::{Rename, Resume, Transport};
use ferryway_host::loader::{Loader, Plugins, plugins_report};
use tempfile::TempDir;

use crate::{
    log::Log,
    support::{built, file_name, load},
};

fn load_from_beside_the_executable(package: &str, name: &str) -> Arc<dyn Transport> {
    Log::watch();
    let install_dir = TempDir::new().unwrap();
    let plugins = Loader::of_installation(install_dir.path()).load();
    let plugin = plugins.loaded.iter().find(|plugin| plugin.name == package);
    let plugin = plugin.unwrap_or_else(|| panic!("not loaded:\n{}", plugins_report(&plugins)));
    assert_eq!(plugin.version, env!("CARGO_PKG_VERSION"));
    assert!(plugins_report(&plugins).to_string().contains(&format!("{name}  {package} ")));
    assert!(plugins.transport("carrier-pigeon").is_none());
    plugins.transport(name).expect("a transport of this name")
}

#[test]
fn the_ftp_plugin_loads() {
    let capabilities = load_from_beside_the_executable("ferryway-ftp", "ftp").capabilities();
    assert_eq!(capabilities.resume, Resume::AtOffset);
    assert_ne!(capabilities.rename, Rename::Unsupported);
}

#[test]
fn the_socket_plugin_loads() {
    let transport = load_from_beside_the_executable("ferryway-socket", "socket");
    assert!(!transport.check_config(&toml::Table::new()).is_empty(), "no address is no fault");
}

#[test]
fn without_any_plugin_the_report_says_where_they_were_looked_for() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let missing = one.path().join("plugins");
    let plugins = Loader::new(missing.clone(), Some(two.path().to_owned())).load();
    assert!(plugins.loaded.is_empty() && plugins.refused.is_empty(), "{plugins:?}");
    let report = plugins_report(&plugins).to_string();
    let (first, second) = (report.find(missing.to_str().unwrap()), two.path().to_str().unwrap());
    assert!(first.unwrap() < report.find(second).unwrap(), "{report}");
}

#[test]
fn the_first_file_of_a_name_wins_and_the_folder_of_plugins_comes_before_the_executables() {
    let (plugins, beside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [b, a] = ["b", "a"].map(|name| plugins.path().join(file_name(name)));
    let twin = beside.path().join(file_name("ferryway_twin"));
    for copy in [&a, &b, &twin] {
        fs::copy(built("unruly_transport"), copy).unwrap();
    }
    // Beside the executable lie libraries of all kinds: only the product's names count there.
    fs::copy(built("unruly_transport"), beside.path().join(file_name("other"))).unwrap();
    // In neither folder is a file without the platform's suffix a candidate.
    fs::write(plugins.path().join("README"), "no library").unwrap();

    Log::watch();
    let loaded = Loader::new(plugins.path().to_owned(), Some(beside.path().to_owned())).load();
    assert!(loaded.refused.is_empty(), "{loaded:?}");
    assert_eq!(loaded.loaded.iter().map(|plugin| &plugin.path).collect::<Vec<_>>(), [&a]);
    let shadowed: Vec<_> = loaded.shadowed.iter().map(|other| (&other.path, &other.by)).collect();
    assert_eq!(shadowed, [(&b, &a), (&twin, &a)]);
    let report = plugins_report(&loaded).to_string();
    assert!(report.contains(&format!("{} was found first", a.display())), "{report}");
}

#[test]
fn one_folder_given_twice_counts_once() {
    let folder = TempDir::new().unwrap();
    fs::copy(built("unruly_transport"), folder.path().join(file_name("ferryway_one"))).unwrap();
    Log::watch();
    let plugins = Loader::new(folder.path().to_owned(), Some(folder.path().join("."))).load();
    assert_eq!((plugins.loaded.len(), plugins.shadowed.len()), (1, 0), "{plugins:?}");
}

#[test]
fn a_refused_file_stops_no_other_and_the_report_tells_both() {
    let plugins = one_loaded_and_one_refused();
    assert_eq!((plugins.loaded.len(), plugins.refused.len()), (1, 1), "{plugins:?}");
    let report = plugins_report(&plugins);

    let text = report.to_string();
    for expected in [
        "unruly  unruly-transport 0.7.0  ",
        "resume: yes; rename: refuses existing; size: yes; folders: no; lists hidden: yes; \
         checksums: SHA-256 CRC32; epoch fencing: no; notices: no",
        "\n    it is not a shared library: ",
        "\n    to do: copy the library again, or remove the file",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }

    let json = serde_json::to_value(&report).unwrap();
    let loaded = &json["loaded"][0];
    assert_eq!(loaded["transport"], "unruly");
    assert_eq!(loaded["version"], "0.7.0");
    assert_eq!(loaded["capabilities"]["rename"], "refuses existing");
    assert_eq!(loaded["capabilities"]["checksums"], serde_json::json!(["SHA-256", "CRC32"]));
    assert_eq!(json["refused"][0]["code"], "not-a-library");
}

fn one_loaded_and_one_refused() -> Plugins {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(file_name("a")), "no library").unwrap();
    symlink(built("unruly_transport"), folder.path().join(file_name("b"))).unwrap();
    load(folder.path())
}
