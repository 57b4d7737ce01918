//! A partner's settings, from the table of the configuration to types that cannot be wrong.

use std::{fmt, path::PathBuf, time::Duration};

use ferryway_core::{settings::Keys, transport::ConfigFault};
use serde::Deserialize;

use crate::tls::{TlsSettings, Version};

/// What a session needs to know about its partner.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Password,
    /// `None` is plain FTP.
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) mode: Mode,
    pub(crate) passive_address: PassiveAddress,
    /// Whether commands may leave early; `None` where the greeting decides.
    pub(crate) early_commands: Option<bool>,
    pub(crate) limits: Limits,
}

/// The time limits of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To make one connection.
    pub(crate) connect: Duration,
    /// For a reply, and for the next byte of a transfer.
    pub(crate) step: Duration,
}

/// Who opens the data connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// We do (EPSV, PASV).
    #[default]
    Passive,
    /// The partner does (EPRT, PORT).
    Active,
}

/// Which address a passive data connection goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PassiveAddress {
    /// The one of the control connection: right behind address translation, and a hostile
    /// reply cannot point us elsewhere.
    #[default]
    Control,
    /// The one that the reply to PASV names.
    Reply,
}

/// A secret that no output shows.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Settings {
    /// The partner's address, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Security {
    Off,
    Explicit,
}

/// The longest time limit, in seconds.
const LONGEST_S: u64 = 86_400;

const KEYS: [&str; 15] = [
    "host",
    "port",
    "user",
    "password",
    "tls",
    "tls_ca_file",
    "tls_verify",
    "tls_server_name",
    "tls_max",
    "mode",
    "passive_address",
    "early_commands",
    "timeout_s",
    "connect_timeout_s",
    "encoding",
];

impl Settings {
    /// Reads the settings of a partner.
    ///
    /// # Errors
    /// Every fault there is.
    pub(crate) fn parse(table: &toml::Table) -> Result<Self, Vec<ConfigFault>> {
        let mut keys = Keys::new(table, &KEYS);
        let host: Option<String> = keys.required("host", "the partner's host name or address");
        let user: Option<String> = keys.required("user", "the user to log in as");
        let password: Option<Password> = keys.required("password", "the user's password");
        refuse_line_ends(&mut keys, "host", host.as_deref());
        refuse_line_ends(&mut keys, "user", user.as_deref());
        refuse_line_ends(&mut keys, "password", password.as_ref().map(|secret| secret.0.as_str()));
        let port = keys.optional("port").unwrap_or(21);
        if port == 0 {
            keys.fault("port", "0 is no port; FTP servers listen on 21");
        }
        if keys.optional("encoding").is_some_and(|name: String| name != "utf-8") {
            keys.fault("encoding", "only \"utf-8\" is supported");
        }
        let tls = tls(&mut keys);
        let mode = keys.optional("mode").unwrap_or_default();
        let passive_address = keys.optional("passive_address").unwrap_or_default();
        let early_commands = keys.optional("early_commands");
        let limits = Limits {
            connect: keys.seconds("connect_timeout_s", 10, LONGEST_S),
            step: keys.seconds("timeout_s", 30, LONGEST_S),
        };
        let read = match (host, user, password) {
            (Some(host), Some(user), Some(password)) => Some(Self {
                host,
                port,
                user,
                password,
                tls,
                mode,
                passive_address,
                early_commands,
                limits,
            }),
            _ => None,
        };
        keys.finish(read)
    }
}

/// A line end would smuggle a second command into the control connection.
fn refuse_line_ends(keys: &mut Keys<'_>, key: &str, text: Option<&str>) {
    match text {
        Some("") if key != "password" => keys.fault(key, "is empty"),
        Some(text) if text.contains(['\r', '\n', '\0']) => {
            keys.fault(key, "CR, LF and NUL are not allowed");
        }
        _ => {}
    }
}

fn tls(keys: &mut Keys<'_>) -> Option<TlsSettings> {
    let security = keys.required("tls", "say \"explicit\" (FTPS) or \"off\"");
    let ca_file: Option<PathBuf> = keys.optional("tls_ca_file");
    let verify = keys.optional("tls_verify").unwrap_or(true);
    let server_name: Option<String> = keys.optional("tls_server_name");
    let max = keys.optional::<Version>("tls_max").unwrap_or_default();
    match security? {
        Security::Off => {
            for key in ["tls_ca_file", "tls_verify", "tls_server_name", "tls_max"] {
                if keys.has(key) {
                    keys.fault(key, "has no effect with tls = \"off\"; remove it");
                }
            }
            None
        }
        Security::Explicit => {
            if verify && ca_file.is_none() {
                keys.fault(
                    "tls_ca_file",
                    "missing: the PEM file with the certificates to trust \
                     (tls_verify = false trusts any partner)",
                );
            }
            if !verify && ca_file.is_some() {
                keys.fault("tls_ca_file", "has no effect with tls_verify = false; remove it");
            }
            Some(TlsSettings { ca_file, server_name, max })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, Vec<ConfigFault>> {
        Settings::parse(&text.parse().unwrap())
    }

    fn faulty_keys(text: &str) -> Vec<String> {
        parse(text).unwrap_err().into_iter().map(|fault| fault.key).collect()
    }

    const LEAST: &str = "host = 'h'\nuser = 'u'\npassword = 'secret'\n";

    #[test]
    fn the_least_settings_take_the_defaults() {
        let settings = parse(&format!("{LEAST}tls = 'off'")).unwrap();
        assert_eq!((settings.port, settings.mode), (21, Mode::Passive));
        assert_eq!(settings.passive_address, PassiveAddress::Control);
        assert_eq!(settings.limits.step, Duration::from_secs(30));
        assert!(settings.tls.is_none());
        assert_eq!(settings.early_commands, None);
    }

    #[test]
    fn a_password_shows_in_no_output() {
        let settings = parse(&format!("{LEAST}tls = 'off'")).unwrap();
        assert!(!format!("{settings:?} {settings}").contains("secret"));
    }

    #[test]
    fn security_has_no_default() {
        assert_eq!(faulty_keys(LEAST), ["tls"]);
        assert_eq!(faulty_keys(&format!("{LEAST}tls = 'explicit'")), ["tls_ca_file"]);
        assert!(parse(&format!("{LEAST}tls = 'explicit'\ntls_verify = false")).is_ok());
        assert_eq!(faulty_keys(&format!("{LEAST}tls = 'off'\ntls_max = '1.2'")), ["tls_max"]);
    }

    #[test]
    fn all_faults_come_at_once_with_their_keys() {
        let text = "hots = 'h'\nport = 70000\nuser = \"u\\r\\nDELE x\"\ntls = 'of'\nmode = 1\n\
                    passive_address = 'x'\nearly_commands = 'yes'\ntimeout_s = 0\nencoding = 'sjis'";
        let mut keys = faulty_keys(text);
        keys.sort_unstable();
        let mut expected = [
            "hots",
            "host",
            "port",
            "user",
            "password",
            "tls",
            "mode",
            "passive_address",
            "early_commands",
            "timeout_s",
            "encoding",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn an_unknown_key_gets_the_nearest_one() {
        let faults = parse(&format!("{LEAST}tls = 'off'\ntimout_s = 3\ncolour = 1")).unwrap_err();
        let timeout = faults.iter().find(|fault| fault.key == "timout_s").unwrap();
        assert!(timeout.message.contains("`timeout_s`"), "{timeout:?}");
        let colour = faults.iter().find(|fault| fault.key == "colour").unwrap();
        assert!(colour.message.contains("known are"), "{colour:?}");
    }
}
