//! The programs that definitions name.

use ferryway_core::policy::{OnFailure, OnTakeover};

use super::*;

#[test]
fn exits_are_read_with_their_defaults_and_vetted() {
    let exits = "[definition.pre_exit]\ncommand = [\"make.sh\", \"-x\"]\nretry = [3, 4]\n\
                 [definition.post_exit]\ncommand = [\"/bin/sh\"]\non_takeover = \"rerun\"\n";
    let install = Install::new(HOST, &[("a.toml", &format!("{DEFINITION}{exits}"))]);
    fs::create_dir(install.0.path().join("exits")).unwrap();
    let lacking = |install: &Install| {
        let config = install.load().unwrap();
        config.lacking.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>()
    };
    let program = install.0.path().join("exits/make.sh");
    let said = |what: &str| vec![format!("`{}` {what}", program.display())];
    let absent = "cannot be looked at: No such file or directory (os error 2)";
    assert_eq!(lacking(&install), said(absent));
    install.write("exits/make.sh", "");
    assert_eq!(lacking(&install), said("is not executable: `chmod +x` makes it so"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(lacking(&install), Vec::<String>::new());
    let config = install.load().unwrap();
    let exits = &config.definitions[&"PRDY01".parse().unwrap()].exits;
    let (pre, post) = (exits.pre.as_ref().unwrap(), exits.post.as_ref().unwrap());
    assert_eq!(pre.command, ["make.sh", "-x"]);
    assert_eq!((pre.timeout_s, &pre.success[..], &pre.retry[..]), (3600, &[0][..], &[3, 4][..]));
    assert_eq!((post.on_failure, post.on_takeover), (OnFailure::Continue, OnTakeover::Rerun));
}

#[test]
fn an_exit_that_cannot_be_meant_is_a_fault() {
    let check = |exit: &str, expected: &[&str]| {
        let definition = format!("{DEFINITION}[definition.post_exit]\n{exit}");
        let install = Install::new(HOST, &[("a.toml", &definition)]);
        assert_eq!(install.faults(), expected, "in {exit:?}");
    };
    check("", &["definitions/a.toml:7:1: definition.post_exit.command: no program is named"]);
    check(
        "command = [\"../a.sh\"]\n",
        &["definitions/a.toml:8:12: definition.post_exit.command: `../a.sh` is not inside of \
           `exits/`: write a name in that folder, or an absolute path"],
    );
    check(
        "command = [\"/bin/sh\"]\nsuccess = [0, 256]\nretry = [1]\n",
        &[
            "definitions/a.toml:9:15: definition.post_exit.success: must be from 0 to 255",
            "definitions/a.toml:10:1: definition.post_exit.retry: unknown key; `retry` belongs to \
             `[partners.NAME]`",
        ],
    );
}
