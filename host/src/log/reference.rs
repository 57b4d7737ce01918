//! The documentation of every message, made from the catalogue.

use ferryway_core::message::{Message, Severity};

/// The text of `docs/messages.md`: every code with its texts in both languages.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    for entry in Message::CATALOGUE {
        let severity = match entry.severity() {
            Severity::Info => "information",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        text.push_str(&format!(
            "| {} | {severity} | {} | {} |\n",
            entry.code, entry.english, entry.japanese
        ));
    }
    text
}

const HEAD: &str = "\
# Messages

Every line of the operator's log, `logs/ferryway.log`, has this form: time, subject, code, text.
The subject is the id of the definition, or the instance's name for what concerns the whole host.

    2000/03/01 10:06:18 PRDY01 0215E Job can not recovery!! Job(PRDY014)

The letter at the end of a code is the severity: `I` nothing to do, `W` somebody should look at it,
`E` somebody must act. A code never changes its meaning. Names in braces stand for what the message
is about. `[log] language` chooses the language.

0215E means that a node ended while the job's post-exit was running, so that nobody knows whether
the exit did its work. Find out, then restart or release the job with `ftprel`.

This file is made from the catalogue; after a change there,
`FERRYWAY_BLESS=1 cargo test -p ferryway-host --test configuration_doc` writes it again.

| code | severity | English | Japanese |
|---|---|---|---|
";
