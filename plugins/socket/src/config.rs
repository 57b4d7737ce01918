//! Settings of partners and doors, from the table of the configuration to types that cannot be
//! wrong.

use std::{fmt, time::Duration};

use ferryway_core::transport::ConfigFault;
use serde::{Deserialize, de::DeserializeOwned};

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
        let security = keys.security();
        if matches!(security, Some(Security::Secret(_) | Security::Plain)) {
            keys.refuse_without("server_name", "tls");
        }
        let packs = keys.optional("compress") == Some(Compress::Zstd);
        let connect_limit = keys.seconds("connect_timeout_s", 10);
        let limit = keys.seconds("timeout_s", 30);
        match (host, port, security) {
            (Some(host), Some(port), Some(security)) if keys.faults.is_empty() => Ok(Self {
                server_name: server_name.unwrap_or_else(|| host.clone()),
                host,
                port,
                security,
                connect_limit,
                limit,
                packs,
            }),
            _ => Err(keys.faults),
        }
    }
}

impl DoorSettings {
    /// Reads the settings of a door.
    ///
    /// # Errors
    /// Every fault there is.
    pub(crate) fn parse(table: &toml::Table) -> Result<Self, Vec<ConfigFault>> {
        let mut keys = Keys::new(table, &DOOR_KEYS);
        let security = keys.security();
        let limit = keys.seconds("timeout_s", 30);
        match security {
            Some(security) if keys.faults.is_empty() => Ok(Self { security, limit }),
            _ => Err(keys.faults),
        }
    }
}

/// Takes values out of the table and gathers what is wrong with them.
struct Keys<'a> {
    table: &'a toml::Table,
    faults: Vec<ConfigFault>,
}

impl<'a> Keys<'a> {
    /// The table, with a fault for each key that is not among the known.
    fn new(table: &'a toml::Table, known: &[&str]) -> Self {
        let mut faults = Vec::new();
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let nearest = known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, key), known))
                .min()
                .filter(|(distance, known)| *distance <= known.len() / 3 + 1);
            let message = match nearest {
                Some((_, known)) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known are {}", known.join(", ")),
            };
            faults.push(ConfigFault { key: key.clone(), message });
        }
        Self { table, faults }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(ConfigFault { key: key.to_owned(), message: message.into() });
    }

    fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.table.get(key)?.clone();
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, error.message());
                None
            }
        }
    }

    fn required<T: DeserializeOwned>(&mut self, key: &str, what: &str) -> Option<T> {
        if !self.table.contains_key(key) {
            self.fault(key, format!("missing: {what}"));
        }
        self.optional(key)
    }

    fn refuse_without(&mut self, key: &str, security: &str) {
        if self.table.contains_key(key) {
            let message = format!("has an effect with security = \"{security}\" only; remove it");
            self.fault(key, message);
        }
    }

    fn seconds(&mut self, key: &str, default: u64) -> Duration {
        let seconds = self.optional(key).unwrap_or(default);
        if !(1..=3600).contains(&seconds) {
            self.fault(key, format!("{seconds} is not between 1 and 3600 seconds"));
        }
        Duration::from_secs(seconds)
    }

    fn security(&mut self) -> Option<Security> {
        let what = "say \"tls\", \"secret\" (a closed network, nothing is encrypted) or \
                    \"plain\" (no protection at all)";
        let word = self.required("security", what)?;
        if word != Word::Tls {
            for key in ["certificate", "key", "ca"] {
                self.refuse_without(key, "tls");
            }
        }
        if word != Word::Secret {
            self.refuse_without("secret", "secret");
        }
        match word {
            Word::Tls => self.identity().map(|identity| Security::Tls(Box::new(identity))),
            Word::Secret => self.secret().map(Security::Secret),
            Word::Plain => Some(Security::Plain),
        }
    }

    fn identity(&mut self) -> Option<Identity> {
        let certificate = self.required(
            "certificate",
            "our own certificate and those that lead to its authority, as PEM text; \
             { file = \"path\" } reads it from a file",
        );
        let key = self.required("key", "the key of our certificate, as PEM text");
        let ca = self.required("ca", "the authorities whose certificates are trusted, as PEM text");
        let texts = Texts { certificate: certificate?, key: key?, ca: ca? };
        match Identity::parse(texts) {
            Ok(identity) => Some(identity),
            Err((key, message)) => {
                self.fault(key, message);
                None
            }
        }
    }

    fn secret(&mut self) -> Option<Secret> {
        let secret: String = self.required("secret", "the text that both ends know")?;
        if secret.len() < SECRET_BYTES {
            let message = format!(
                "is shorter than {SECRET_BYTES} characters; `openssl rand -hex 32` makes a good one"
            );
            self.fault("secret", message);
            return None;
        }
        Some(Secret(secret))
    }
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
