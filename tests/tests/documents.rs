//! The documents say what is so: links, commands, codes, tables and lists in them are held
//! against the code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use ferryway_core::{
    message::Message,
    status::{AtTakeover, Row, Side, TABLE},
};

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let leads = if anchor.is_empty() {
                target.exists()
            } else {
                fs::read_to_string(&target).is_ok_and(|text| headings(&text).any(|h| h == anchor))
            };
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_command_exists() {
    let tools =
        [("ferryway", variants("host/src/cli.rs")), ("ftprel", variants("ftprel/src/args.rs"))];
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (tool, known) in &tools {
            for word in words_after(&text, tool) {
                let shown = document.display();
                assert!(known.contains(&word), "{shown}: there is no `{tool} {word}`");
            }
        }
    }
}

#[test]
fn the_japanese_readme_has_the_sections_and_commands_of_the_english_one() {
    let [english, japanese] = ["README.md", "README.ja.md"].map(read);
    let blocks = |text: &str| -> Vec<String> {
        text.split("```").skip(1).step_by(2).map(str::to_owned).collect()
    };
    assert_eq!(blocks(&english), blocks(&japanese));
    let shape = |text: &str| {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let levels = headings.map(|line| line.find(' ')).collect::<Vec<_>>();
        (levels, text.matches("\n| ").count())
    };
    assert_eq!(shape(&english), shape(&japanese));
}

#[test]
fn the_operator_is_told_what_to_do_about_every_warning_and_error() {
    let codes = Message::CATALOGUE.iter().map(|entry| entry.code);
    let severe: BTreeSet<_> = codes.filter(|code| !code.ends_with('I')).collect();
    for document in ["docs/operations.md", "docs/operations.ja.md"] {
        let text = read(document);
        let first_cells =
            text.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
        let is_code = |cell: &&str| cell.len() == 5 && cell.ends_with(['W', 'E']);
        assert_eq!(first_cells.filter(is_code).collect::<BTreeSet<_>>(), severe, "{document}");
    }
}

#[test]
fn the_table_of_statuses_is_the_one_of_the_code() {
    let cells = |row: Option<&Row>| match row {
        None => "| | ".to_owned(),
        Some(row) => {
            let at = match row.at_takeover {
                AtTakeover::Nothing => "nothing",
                AtTakeover::Restart => "restart",
                AtTakeover::Settle => "settle",
                AtTakeover::Ask => "ask (0215E)",
            };
            format!("{} | {} | {at}", row.code, row.meaning)
        }
    };
    let of = |side| TABLE.iter().filter(move |row| row.side == side);
    let mut receiver = of(Side::Receiver);
    let lines = of(Side::Sender).map(|row| match receiver.next() {
        Some(other) => format!("| {} | {} |", cells(Some(row)), cells(Some(other))),
        None => format!("| {} | | | |", cells(Some(row))),
    });
    let table: Vec<_> = lines.collect();
    assert!(read("ARCHITECTURE.md").contains(&table.join("\n")), "{}", table.join("\n"));
}

#[test]
fn every_dependency_has_its_reason() {
    let listed = read("docs/dependencies.md");
    let listed: BTreeSet<_> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|name| *name != "crate")
        .map(str::to_owned)
        .collect();
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let mut used = BTreeSet::new();
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let manifest: toml::Table =
            read(&format!("{}/Cargo.toml", member.as_str().unwrap())).parse().unwrap();
        let systems = manifest.get("target").and_then(toml::Value::as_table);
        let systems = systems.into_iter().flat_map(toml::Table::values);
        for table in systems.filter_map(toml::Value::as_table).chain([&manifest]) {
            for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let names = table.get(section).and_then(toml::Value::as_table);
                used.extend(names.into_iter().flat_map(toml::Table::keys).cloned());
            }
        }
    }
    used.retain(|name| workspace["workspace"]["dependencies"][name.as_str()].get("path").is_none());
    assert_eq!(listed, used);
}

#[test]
fn every_key_of_an_ftp_partner_is_explained() {
    let source = read("plugins/ftp/src/config.rs");
    let known = source.split("const KEYS").nth(1).and_then(|rest| rest.split("];").next());
    let known: BTreeSet<_> = known.unwrap().split('"').skip(1).step_by(2).collect();
    let text = read("docs/ftp.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_key_of_a_socket_partner_and_of_its_door_is_explained() {
    let source = read("plugins/socket/src/config.rs");
    let of = |name: &str| -> BTreeSet<String> {
        let after = source.split(&format!("const {name}")).nth(1).unwrap();
        let list = after.split("];").next().unwrap();
        list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let text = read("docs/socket.md");
    let table = text.split("## Keys of a partner").nth(1).and_then(|t| t.split("\n## ").next());
    let rows = table.unwrap().lines();
    let rows = rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let explained: BTreeSet<_> = rows.map(str::to_owned).collect();
    assert_eq!(explained, of("PARTNER_KEYS"));
    assert!(of("DOOR_KEYS").is_subset(&explained));
}

#[test]
fn the_plugin_that_is_shown_is_the_one_that_is_tested() {
    let shown = read("docs/plugins.md").contains(&read("tests/tests/example_plugin/folder.rs"));
    assert!(shown, "docs/plugins.md does not show tests/tests/example_plugin/folder.rs as it is");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file at the root, in `docs` and in `benches`.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "benches"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

/// The anchors of a document's headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The subcommands of a tool, as its `enum Command` has them.
fn variants(source: &str) -> BTreeSet<String> {
    let text = read(source);
    let body = text.split("enum Command {").nth(1).and_then(|rest| rest.split("\n}").next());
    let variant = |line: &str| -> Option<String> {
        let name = line.strip_prefix("    ")?.split(|c: char| !c.is_alphanumeric()).next()?;
        name.starts_with(char::is_uppercase).then(|| name.to_lowercase())
    };
    body.unwrap().lines().filter_map(variant).collect()
}

/// The words that follow a tool's name as its subcommand would.
fn words_after(text: &str, tool: &str) -> BTreeSet<String> {
    let name = format!("{tool} ");
    let parts = text.split(&name).skip(1);
    let words = parts.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
