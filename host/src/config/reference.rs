//! The documentation of every key, made from the tables that the reader uses.

use super::keys::{Key, Kind, SECTIONS};

/// The text of `docs/configuration.md`: every table and key with type, default and meaning.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    for section in SECTIONS {
        let title = match section.header {
            "" => section.about.trim_end_matches('.').to_owned(),
            header => format!("`{header}`"),
        };
        text.push_str(&format!("\n## {title}\n\n"));
        if !section.header.is_empty() {
            text.push_str(&format!("{}\n\n", section.about));
        }
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in section.keys {
            text.push_str(&row(key));
        }
    }
    text
}

const HEAD: &str = "\
# Configuration

An installation is one directory on the shared disk, made by `ferryway init DIR`. `ferryway.toml`
holds the host's own settings and the partners, each file `definitions/*.toml` one or more
transfer definitions. `ferryway check` reports every fault at once with file, line and key.
Unknown keys are faults. The host reads the files again on SIGHUP: definitions, new partners, the
transports' settings and `source_address` are taken up; a partner's other keys, roots and limits
need a restart; a configuration with a fault is refused as a whole and the old one stays in force.
`tools/master/SrcAdr.dat` is no part of it and is looked at before each connection
([operations.md](operations.md#45-the-source-address)).

This file is made from the tables that the host reads its configuration by; after a change there,
`FERRYWAY_BLESS=1 cargo test -p ferryway-host --test configuration_doc` writes it again.
";

fn row(key: &Key) -> String {
    let code = |text: &str| format!("`{text}`");
    let (kind, default) = match key.kind {
        Kind::Text => ("string".to_owned(), "must be given".to_owned()),
        Kind::OptionalText(otherwise) => ("string".to_owned(), otherwise.to_owned()),
        Kind::Texts => ("list of strings".to_owned(), code("[]")),
        Kind::Integer { min, max: i64::MAX, default } => {
            (format!("whole number from {min}"), code(&default.to_string()))
        }
        Kind::Integer { min, max, default } => {
            (format!("whole number, {min} to {max}"), code(&default.to_string()))
        }
        Kind::Integers { min, max, default } => {
            (format!("list of whole numbers, {min} to {max}"), code(&format!("{default:?}")))
        }
        Kind::Number { min, max, default } => {
            (format!("number, {min} to {max}"), code(&format!("{default:?}")))
        }
        Kind::Word { words, default } => {
            let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            let default = default.map(|word| format!("`\"{word}\"`"));
            (words.join(", "), default.unwrap_or_else(|| "must be given".to_owned()))
        }
        Kind::Table => ("table".to_owned(), String::new()),
        Kind::Tables => ("list of tables".to_owned(), String::new()),
    };
    format!("| `{}` | {kind} | {default} | {} |\n", key.name, key.meaning)
}
