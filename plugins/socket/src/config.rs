//! Settings of partners and doors, from the table of the configuration to types that cannot be
//! wrong.

use std::{fmt, time::Duration};

use ferryway_core::{settings::Keys, transport::ConfigFault};
use serde::Deserialize;

use crate::tls::{Identity, Texts};

/// What a visitor needs to know about its partner.
#[derive(Clone, Debug)]
pub(crate) struct PartnerSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    /// The name in the partner's certificate.
    pub(crate) server_name: String,
    pub(crate) connect_limit: Duration,
    /// For every reply, and for the next byte.
    pub(crate) limit: Duration,
    /// Whether files move compressed, if the partner can.
    pub(crate) packs: bool,
}

/// What a door needs to know about itself.
#[derive(Clone, Debug)]
pub(crate) struct DoorSettings {
    pub(crate) security: Security,
    /// For the next word of a visitor.
    pub(crate) limit: Duration,
}

/// How the ends know each other. There is no default.
#[derive(Clone, Debug)]
pub(crate) enum Security {
    /// Certificates on both sides, and everything encrypted.
    Tls(Box<Identity>),
    /// A secret that both know. Nothing is encrypted; every frame is tagged with it.
    Secret(Secret),
    /// Nothing at all.
    Plain,
}

/// A secret that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

/// The shortest secret. Whoever listens to a handshake can try secrets in peace, so it has to be
/// random and long.
const SECRET_BYTES: usize = 32;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for PartnerSettings {
    /// The partner's address, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compress {
    None,
    Zstd,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Tls,
    Secret,
    Plain,
}

const PARTNER_KEYS: [&str; 11] = [
    "host",
    "port",
    "security",
    "certificate",
    "key",
    "ca",
    "server_name",
    "secret",
    "compress",
    "timeout_s",
    "connect_timeout_s",
];

/// The longest time limit, in seconds.
const LONGEST_S: u64 = 3600;

const DOOR_KEYS: [&str; 6] = ["security", "certificate", "key", "ca", "secret", "timeout_s"];

impl PartnerSettings {
    /// Reads the settings of a partner.
    ///
    /// # Errors
    /// Every fault there is.
    pub(crate) fn parse(table: &toml::Table) -> Result<Self, Vec<ConfigFault>> {
        let mut keys = Keys::new(table, &PARTNER_KEYS);
        let host: Option<String> = keys.required("host", "the partner's host name or address");
        if host.as_deref().is_some_and(str::is_empty) {
            keys.fault("host", "is empty");
        }
        let port = keys.required("port", "the port of the partner's `[listen]` table");
        if port == Some(0) {
            keys.fault("port", "0 is no port");
        }
        let server_name = keys.optional("server_name");
        let security = security(&mut keys);
        if matches!(security, Some(Security::Secret(_) | Security::Plain)) {
            refuse_without(&mut keys, "server_name", "tls");
        }
        let packs = keys.optional("compress") == Some(Compress::Zstd);
        let connect_limit = keys.seconds("connect_timeout_s", 10, LONGEST_S);
        let limit = keys.seconds("timeout_s", 30, LONGEST_S);
        let read = match (host, port, security) {
            (Some(host), Some(port), Some(security)) => Some(Self {
                server_name: server_name.unwrap_or_else(|| host.clone()),
                host,
                port,
                security,
                connect_limit,
                limit,
                packs,
            }),
            _ => None,
        };
        keys.finish(read)
    }
}

impl DoorSettings {
    /// Reads the settings of a door.
    ///
    /// # Errors
    /// Every fault there is.
    pub(crate) fn parse(table: &toml::Table) -> Result<Self, Vec<ConfigFault>> {
        let mut keys = Keys::new(table, &DOOR_KEYS);
        let security = security(&mut keys);
        let limit = keys.seconds("timeout_s", 30, LONGEST_S);
        keys.finish(security.map(|security| Self { security, limit }))
    }
}

/// What is refused as it has an effect with another security only.
fn refuse_without(keys: &mut Keys<'_>, key: &str, security: &str) {
    if keys.has(key) {
        let message = format!("has an effect with security = \"{security}\" only; remove it");
        keys.fault(key, message);
    }
}

fn security(keys: &mut Keys<'_>) -> Option<Security> {
    let what = "say \"tls\", \"secret\" (a closed network, nothing is encrypted) or \
                \"plain\" (no protection at all)";
    let word = keys.required("security", what)?;
    if word != Word::Tls {
        for key in ["certificate", "key", "ca"] {
            refuse_without(keys, key, "tls");
        }
    }
    if word != Word::Secret {
        refuse_without(keys, "secret", "secret");
    }
    match word {
        Word::Tls => identity(keys).map(|identity| Security::Tls(Box::new(identity))),
        Word::Secret => secret(keys).map(Security::Secret),
        Word::Plain => Some(Security::Plain),
    }
}

fn identity(keys: &mut Keys<'_>) -> Option<Identity> {
    let certificate = keys.required(
        "certificate",
        "our own certificate and those that lead to its authority, as PEM text; \
         { file = \"path\" } reads it from a file",
    );
    let key = keys.required("key", "the key of our certificate, as PEM text");
    let ca = keys.required("ca", "the authorities whose certificates are trusted, as PEM text");
    let texts = Texts { certificate: certificate?, key: key?, ca: ca? };
    match Identity::parse(texts) {
        Ok(identity) => Some(identity),
        Err((key, message)) => {
            keys.fault(key, message);
            None
        }
    }
}

fn secret(keys: &mut Keys<'_>) -> Option<Secret> {
    let secret: String = keys.required("secret", "the text that both ends know")?;
    if secret.len() < SECRET_BYTES {
        let message = format!(
            "is shorter than {SECRET_BYTES} characters; `openssl rand -hex 32` makes a good one"
        );
        keys.fault("secret", message);
        return None;
    }
    Some(Secret(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn faulty_keys<T: fmt::Debug>(parsed: Result<T, Vec<ConfigFault>>) -> Vec<String> {
        let mut keys: Vec<_> = parsed.unwrap_err().into_iter().map(|fault| fault.key).collect();
        keys.sort_unstable();
        keys
    }

    fn partner(text: &str) -> Result<PartnerSettings, Vec<ConfigFault>> {
        PartnerSettings::parse(&text.parse().unwrap())
    }

    fn door(text: &str) -> Result<DoorSettings, Vec<ConfigFault>> {
        DoorSettings::parse(&text.parse().unwrap())
    }

    #[test]
    fn security_has_no_default() {
        assert_eq!(faulty_keys(partner("host = 'h'\nport = 1")), ["security"]);
        assert_eq!(faulty_keys(door("")), ["security"]);
        assert!(partner("host = 'h'\nport = 1\nsecurity = 'plain'").is_ok());
        assert!(door("security = 'plain'").is_ok());
        let keys = ["ca", "certificate", "key"];
        assert_eq!(faulty_keys(door("security = 'tls'")), keys);
    }

    #[test]
    fn keys_of_another_security_are_refused() {
        let text = format!("security = 'plain'\nsecret = '{SECRET}'\nca = 'x'");
        assert_eq!(faulty_keys(door(&text)), ["ca", "secret"]);
    }

    #[test]
    fn a_secret_is_long_and_shows_in_no_output() {
        assert_eq!(faulty_keys(door("security = 'secret'\nsecret = 'short'")), ["secret"]);
        let settings = door(&format!("security = 'secret'\nsecret = '{SECRET}'")).unwrap();
        assert!(!format!("{settings:?}").contains(SECRET));
    }

    #[test]
    fn all_faults_come_at_once_and_an_unknown_key_gets_the_nearest_one() {
        let text = "hots = 'h'\nport = 70000\nsecurity = 'tsl'\ntimeout_s = 0\ncolour = 1";
        let keys = ["colour", "host", "hots", "port", "security", "timeout_s"];
        assert_eq!(faulty_keys(partner(text)), keys);
        let faults = partner(text).unwrap_err();
        let hots = faults.iter().find(|fault| fault.key == "hots").unwrap();
        assert!(hots.message.contains("`host`"), "{hots:?}");
    }
}
