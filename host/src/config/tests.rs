mod door;
mod exits;

use std::os::unix::{
    ffi::OsStringExt,
    fs::{PermissionsExt, symlink},
};
use std::sync::Arc;

use ferryway_core::{
    Direction, Publish, ResumePolicy,
    reception::Listener,
    transport::{Capabilities, ConfigFault, Session},
};

use super::{keys::Kind, *};

/// An install directory with these files, one of its folders being `data`.
struct Install(tempfile::TempDir);

const HOST: &str = "[instance]\nname = \"pay\"\n[roots]\nsend = [\"data\"]\n\
                    receive = [\"data\"]\n[partners.tokyo]\ntransport = \"ftp\"\n";
const DEFINITION: &str = "[[definition]]\nid = \"PRDY01\"\npartner = \"tokyo\"\n\
                          direction = \"send\"\nlocal = \"a.csv\"\nremote = \"in/{name}\"\n";

impl Install {
    fn new(host: &str, definitions: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("definitions")).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let install = Self(dir);
        install.write("ferryway.toml", host);
        for (name, text) in definitions {
            install.write(&format!("definitions/{name}"), text);
        }
        install
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn load(&self) -> Result<Config, Vec<Fault>> {
        self.load_with(&[])
    }

    fn load_with(&self, variables: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let variables = variables.iter().copied();
        Config::load_in(self.0.path(), Environment::with_variables(7, "node1", variables))
    }

    /// The faults, one line each, with the directory left out.
    fn faults(&self) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        let faults = self.load().expect_err("the configuration has a fault");
        faults.iter().map(|fault| fault.to_string().replace(&directory, "")).collect()
    }
}

#[track_caller]
fn check_host(extra: &str, expected: &[&str]) {
    let install = Install::new(&format!("{HOST}{extra}"), &[("a.toml", DEFINITION)]);
    assert_eq!(install.faults(), expected, "in {extra:?}");
}

#[track_caller]
fn check_definition(from: &str, to: &str, expected: &[&str]) {
    assert!(DEFINITION.contains(from));
    let install = Install::new(HOST, &[("a.toml", &DEFINITION.replace(from, to))]);
    assert_eq!(install.faults(), expected, "in {to:?}");
}

#[test]
fn a_small_configuration_has_the_documented_defaults() {
    let config = Install::new(HOST, &[("a.toml", DEFINITION)]).load().unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.instance.as_str(), "pay");
    assert_eq!(config.host_name, "node1");
    assert_eq!(config.limits.jobs, 64);
    let partner = &config.partners[&"tokyo".parse().unwrap()];
    assert_eq!((partner.sessions, partner.resume_min_bytes), (4, 8 * 1024 * 1024));
    assert_eq!((partner.staging, partner.late_close), (Staging::Folder, LateClose::Probe));
    assert_eq!(partner.staging_folder.as_str(), ".ferryway");
    let definition = &config.definitions[&"PRDY01".parse().unwrap()];
    assert_eq!(definition.direction, Direction::Send);
    assert_eq!(definition.publish, Publish::Atomic);
    assert_eq!(definition.resume, ResumePolicy::Verified);
    assert_eq!(definition.remote.as_str(), "in/{name}");
}

#[test]
fn every_fault_is_found_at_once_in_the_order_of_files_and_lines() {
    let host = "[instance]\nnmae = \"pay\"\n[limits]\njobs = \"many\"\nkeep_days = 3\n\
                [partners.osaka]\ntransport = 1\n";
    let definition = DEFINITION.replace("send", "sned");
    let install = Install::new(host, &[("a.toml", &definition)]);
    assert_eq!(
        install.faults(),
        [
            "definitions/a.toml:3:11: definition.partner: there is no partner `tokyo`; \
             there are `osaka`",
            "definitions/a.toml:4:13: definition.direction: `sned` is not one of `send`, \
             `fetch`; use `send`",
            "ferryway.toml:1:1: instance.name: is missing",
            "ferryway.toml:2:1: instance.nmae: unknown key; did you mean `name`?",
            "ferryway.toml:4:8: limits.jobs: expected a whole number, found a string",
            "ferryway.toml:5:1: limits.keep_days: unknown key; `keep_days` belongs to `[history]`",
            "ferryway.toml:7:13: partners.osaka.transport: expected a string, found a whole number",
        ]
    );
}

#[test]
fn values_out_of_range_and_of_the_wrong_kind_are_named() {
    check_host(
        "sessions = 0\n[partners.tokyo.retry]\nfactor = 0.5\nattempts = -1\n[log]\n\
         language = \"jp\"\nfiles = 2.5\n",
        &[
            "ferryway.toml:8:12: partners.tokyo.sessions: must be from 1 to 256",
            "ferryway.toml:10:10: partners.tokyo.retry.factor: must be from 1 to 10",
            "ferryway.toml:11:12: partners.tokyo.retry.attempts: must be from 0 to 1000000",
            "ferryway.toml:13:12: log.language: `jp` is not one of `en`, `ja`",
            "ferryway.toml:14:9: log.files: expected a whole number, found a number",
        ],
    );
}

#[test]
fn syntax_errors_have_a_line() {
    let faults = Install::new(&format!("{HOST}x = \n"), &[]).faults();
    assert!(faults[0].starts_with("ferryway.toml:8:"), "{faults:?}");
}

#[test]
fn a_folder_without_a_configuration_is_no_install_directory() {
    let empty = tempfile::tempdir().unwrap();
    let faults = Config::load(empty.path()).unwrap_err();
    assert!(faults[0].to_string().contains("`ferryway init"), "{faults:?}");
}

#[test]
fn names_that_are_too_long_or_would_break_a_command_are_refused() {
    check_definition(
        "PRDY01",
        "PRDY001",
        &["definitions/a.toml:2:6: definition.id: definition id `PRDY001` has 7 characters; at \
           most 6 are allowed"],
    );
    check_definition(
        "in/{name}",
        r"in/a\r\nDELE b",
        &[
            r"definitions/a.toml:6:10: definition.remote: `in/a\r\nDELE b`: CR, LF and NUL are not allowed",
        ],
    );
    check_definition(
        "a.csv",
        r"a\u0000.csv",
        &[r"definitions/a.toml:5:9: definition.local: `a\0.csv`: CR, LF and NUL are not allowed"],
    );
    check_definition(
        "in/{name}",
        "../{name}",
        &["definitions/a.toml:6:10: definition.remote: remote path `../x`: empty, `.` and `..` \
           parts are not allowed"],
    );
    check_host(
        "[partners.\"a\\nb\"]\ntransport = \"ftp\"\n",
        &[
            r"ferryway.toml:8:11: partners.a\nb: partner name `a\nb` has the character '\n'; allowed are letters, digits, `-` and `_`",
        ],
    );
}

#[test]
fn a_missing_partner_is_told_with_the_nearest() {
    check_definition(
        "tokyo",
        "tokio",
        &["definitions/a.toml:3:11: definition.partner: there is no partner \
           `tokio`; did you mean `tokyo`?"],
    );
}

#[test]
fn local_paths_outside_of_the_roots_are_refused() {
    let install = Install::new(HOST, &[("a.toml", &DEFINITION.replace("a.csv", "/etc/passwd"))]);
    let data = install.0.path().join("data");
    let faults = install.load().unwrap_err();
    assert!(faults[0].message.contains("outside of the folders that `roots.send` allows"));
    assert!(faults[0].message.contains(data.to_str().unwrap()), "{faults:?}");
    check_definition(
        "a.csv",
        "x/../../ferryway.toml",
        &["definitions/a.toml:5:9: definition.local: local path `x/../../ferryway.toml`: `.` \
           and `..` parts are not allowed"],
    );
}

#[test]
fn the_source_is_not_named_by_its_own_name() {
    check_definition(
        "a.csv",
        "{name}",
        &["definitions/a.toml:5:9: definition.local: `{name}` is the name of the source, and \
           with `direction = \"send\"` this is the source; write its name, or use `{date}`, \
           `{job}` or `{run}`"],
    );
}

#[test]
fn ids_whose_jobs_could_be_confused_are_refused_with_both_places() {
    let other = DEFINITION.replace("PRDY01", "PRDY");
    let third = DEFINITION.replace("PRDY01", "PRDY12");
    let install =
        Install::new(HOST, &[("a.toml", DEFINITION), ("b.toml", &other), ("c.toml", &third)]);
    let faults = install.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("definitions/c.toml:2:6: definition.id: jobs of PRDY12 and of PRDY,")
    );
    assert!(faults[0].contains("definitions/b.toml:2"));
    let install = Install::new(HOST, &[("a.toml", DEFINITION), ("b.toml", DEFINITION)]);
    assert!(install.faults()[0].contains("PRDY01 is already there, at definitions/a.toml:2"));
}

#[test]
fn the_own_host_name_is_the_environments_then_the_files_then_the_systems() {
    let host = HOST.replace("\"pay\"", "\"pay\"\nhost_name = \"virtual\"");
    let install = Install::new(&host, &[]);
    assert_eq!(install.load().unwrap().host_name, "virtual");
    assert_eq!(install.load_with(&[("HOSTNM", "given")]).unwrap().host_name, "given");
    assert!(install.load_with(&[("HOSTNM", "a\r\nb")]).is_err());
}

#[test]
fn the_run_directory_may_not_lie_on_the_shared_disk() {
    let install = Install::new(HOST, &[]);
    let inside = install.0.path().join("run");
    let faults = install.load_with(&[("FERRYWAY_RUN_DIR", inside.to_str().unwrap())]).unwrap_err();
    assert!(faults[0].message.contains("lies in the install directory"), "{faults:?}");
    let long = format!("/{}", "x".repeat(100));
    assert!(install.load_with(&[("FERRYWAY_RUN_DIR", &long)]).is_err());
}

#[test]
fn secrets_come_from_files_variables_and_credentials_and_are_not_printed() {
    let host = format!(
        "{HOST}host = \"h\"\npassword = {{ file = \"secret\" }}\nuser = {{ env = \"WHO\" }}\n\
         tls.key = {{ credential = \"key\" }}\n"
    );
    let install = Install::new(&host, &[]);
    install.write("secret", "hunter2\n");
    install.write("key", "k3y");
    let variables =
        [("WHO", "alice"), ("CREDENTIALS_DIRECTORY", install.0.path().to_str().unwrap())];
    let config = install.load_with(&variables).unwrap();
    assert_eq!(config.warnings, []);
    let partner = &config.partners[&"tokyo".parse().unwrap()];
    let settings = config.connection(partner, ferryway_core::Epoch::FIRST).unwrap().settings;
    assert_eq!(settings["password"].as_str(), Some("hunter2"));
    assert_eq!(settings["user"].as_str(), Some("alice"));
    assert_eq!(settings["tls"]["key"].as_str(), Some("k3y"));
    let printed = format!("{config:?}");
    assert!(printed.contains("password") && !printed.contains("hunter2"), "{printed}");
    assert!(!printed.contains("alice"), "{printed}");

    let config = install.load().unwrap();
    let partner = &config.partners[&"tokyo".parse().unwrap()];
    let error = config.connection(partner, ferryway_core::Epoch::FIRST).unwrap_err().to_string();
    assert_eq!(
        error,
        "`tls.key`: credential key: CREDENTIALS_DIRECTORY is not set: the host \
                       does not run under systemd"
    );
}

#[test]
fn a_password_that_others_can_read_is_warned_of() {
    let install = Install::new(&format!("{HOST}password = \"hunter2\"\n"), &[]);
    assert_eq!(install.load().unwrap().warnings, []);
    let file = install.0.path().join("ferryway.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = install.load().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key, "partners.tokyo.password");
    assert!(!warnings[0].to_string().contains("hunter2"));
}

#[test]
fn a_root_that_is_not_there_is_warned_of() {
    let install = Install::new(&HOST.replace("[\"data\"]", "[\"data\", \"gone\"]"), &[]);
    let warnings = install.load().unwrap().warnings;
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].message.ends_with("gone`"), "{warnings:?}");
}

/// Refuses every `port`, and a `password` that is not the right one.
struct Picky;

#[ferryway_core::async_trait]
impl Transport for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn capabilities(&self) -> Capabilities {
        unreachable!("checking the settings asks for no capability")
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        let refused = |key: &&str| match settings.get(*key).and_then(toml::Value::as_str) {
            Some(text) => text != "hunter2",
            None => settings.contains_key(*key),
        };
        let fault = |key: &str| ConfigFault { key: key.to_owned(), message: "is wrong".to_owned() };
        ["port", "password"].iter().filter(|key| refused(key)).map(|key| fault(key)).collect()
    }

    async fn connect(&self, _: Partner) -> Result<Box<dyn Session>, ferryway_core::TransportError> {
        unreachable!("checking the settings connects to nobody")
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        None
    }
}

#[test]
fn a_transports_faults_get_the_line_of_their_key() {
    let host = format!("{HOST}port = 99999\npassword = {{ env = \"PW\" }}\n");
    let install = Install::new(&host, &[]);
    let check = |variables: &[(&str, &str)]| {
        let config = install.load_with(variables).unwrap();
        config.check_partner(&config.partners[&"tokyo".parse().unwrap()], &Picky)
    };
    let checked = check(&[("PW", "hunter2")]);
    assert_eq!(checked.warnings, []);
    assert_eq!(checked.faults.len(), 1);
    assert_eq!(checked.faults[0].key, "partners.tokyo.port");
    assert_eq!(checked.faults[0].position, Some(Position { line: 8, column: 1 }));

    // A secret that only the service can read is no fault of the configuration.
    let checked = check(&[]);
    assert_eq!(checked.faults.len(), 1);
    assert_eq!(checked.warnings[0].key, "partners.tokyo.password");
    assert!(
        checked.warnings[0].message.contains("environment variable PW: the variable is not set")
    );
}

#[test]
fn a_transport_that_no_plugin_provides_is_told_with_the_nearest() {
    let config = Install::new(HOST, &[]).load().unwrap();
    let partner = config.partners.values().next().unwrap();
    let fault = partner.transport.unknown(["ftps", "socket"]);
    assert_eq!(fault.hint.as_deref(), Some("did you mean `ftps`?"));
    assert_eq!(fault.position, Some(Position { line: 7, column: 13 }));
}

#[test]
fn retries_grow_up_to_the_longest_delay_and_end() {
    let seconds = std::time::Duration::from_secs;
    let retry = RetryPolicy { attempts: 5000, first: seconds(5), max: seconds(300), factor: 2.0 };
    assert_eq!(retry.delay(1), Some(seconds(5)));
    assert_eq!(retry.delay(3), Some(seconds(20)));
    assert_eq!(retry.delay(5000), Some(seconds(300)));
    assert_eq!(retry.delay(5001), None);
}

/// Every key of every table, as a file would have it, is taken by the reader; and what the
/// reader takes is in the tables, as it asserts itself in this build.
#[test]
fn every_documented_key_is_accepted() {
    let special = |name: &str| match name {
        "name" => Some("\"pay\""),
        "host_name" => Some("\"h\""),
        "source_address" | "address" => Some("\"::1\""),
        "instance" => Some("\"night\""),
        "run_dir" => Some("\"/run/x\""),
        "transport" => Some("\"ftp\""),
        "staging_folder" => Some("\".f\""),
        "id" => Some("\"A\""),
        "partner" | "visitor" => Some("\"NAME\""),
        "notices" => Some("\"none\""),
        "files" => Some("\"/srv/ftp\""),
        "local" | "remote" => Some("\"a\""),
        _ => None,
    };
    let body = |section: &keys::Section| {
        let line = |key: &keys::Key| {
            let value = match key.kind {
                Kind::Table | Kind::Tables => return String::new(),
                Kind::Texts if key.name == "may" => "[\"send\", \"fetch\"]".to_owned(),
                Kind::Texts => "[\"data\"]".to_owned(),
                Kind::Integer { max, .. } => max.to_string(),
                Kind::Integers { max, .. } => format!("[{max}]"),
                Kind::Number { max, .. } => max.to_string(),
                Kind::Word { words, .. } => format!("{:?}", words[0]),
                Kind::Text | Kind::OptionalText(_) => special(key.name).unwrap().to_owned(),
            };
            format!("{} = {value}\n", key.name)
        };
        format!("{}\n{}", section.header, section.keys.iter().map(line).collect::<String>())
    };
    let (host, definitions) = keys::SECTIONS.split_at(10);
    let host: String = host.iter().map(|section| body(section)).collect();
    let definitions: String = definitions.iter().map(|section| body(section)).collect();
    let config = Install::new(&host, &[("a.toml", &definitions)]).load().unwrap();
    let partner = config.partners.values().next().unwrap();
    assert_eq!(
        partner.transport.settings.keys().count(),
        0,
        "a key of the host went to the transport"
    );
}

#[test]
fn files_are_reached_through_their_root_only() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/a"), "abc").unwrap();
    symlink("a", root.join("sub/inside")).unwrap();
    symlink(outside.path(), root.join("way-out")).unwrap();
    let roots = LocalRoots::new(vec![root.clone()], vec![]);
    let resolve = |path: &str| roots.resolve(Path::new(path), Direction::Send);

    for path in ["sub/a", "sub/inside", root.join("sub/a").to_str().unwrap()] {
        let file = resolve(path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3, "{path}");
        assert!(file.open_read().is_ok(), "{path}");
    }
    let escape = resolve("way-out/secret").unwrap();
    assert!(matches!(escape.open_read(), Err(RootError::Escapes { .. })));
    assert!(matches!(escape.create_new(), Err(RootError::Escapes { .. })));
    assert!(matches!(resolve("/etc/passwd"), Err(RootError::Outside { .. })));
    assert!(matches!(resolve("sub").unwrap().open_read(), Err(RootError::Unusable { .. })));
    for path in ["", "a/", "../root/sub/a", "sub/../sub/a", "a\r\nb", "a\0"] {
        assert!(matches!(resolve(path), Err(RootError::Unusable { .. })), "{path:?}");
    }
    let odd = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    assert!(
        roots.resolve(Path::new(&odd), Direction::Send).unwrap_err().to_string().contains("UTF-8")
    );
    let nowhere = roots.resolve(Path::new("a"), Direction::Fetch).unwrap_err().to_string();
    assert!(nowhere.contains("`roots.receive` allows: none"), "{nowhere}");
}

#[test]
fn a_received_file_is_made_beside_its_target_and_renamed_onto_it() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let roots = LocalRoots::new(vec![], vec![dir.path().to_owned()]);
    let target = roots.resolve(Path::new("in/b"), Direction::Fetch).unwrap();
    target.create_folders().unwrap();
    let partial = target.sibling(".b.part").unwrap();
    partial.create_new().unwrap().write_all(b"bytes").unwrap();
    assert_eq!(partial.create_new().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    partial.rename_to(&target).unwrap();
    target.sync_folder().unwrap();
    assert_eq!(fs::read(dir.path().join("in/b")).unwrap(), b"bytes");
    target.remove().unwrap();
    assert_eq!(target.metadata().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert!(target.sibling("../x").is_err());
}
