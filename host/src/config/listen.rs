//! The door for other hosts, and who may come.

use std::{collections::BTreeMap, net::SocketAddr};

use ferryway_core::{InstanceName, PartnerName, reception::Introduction};

use super::{
    fault::{listed, nearest},
    keys,
    reader::{Located, Reader},
    transport::TransportConfig,
};

ferryway_core::words! {
    /// What a visitor may do.
    May {
        /// Put files below the receive folders.
        Send = "send",
        /// Read files below the send folders.
        Fetch = "fetch",
    }
}

/// The door. `Debug` prints no secret.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// The transport that listens, and its own settings.
    pub transport: TransportConfig,
    /// Where; port 0 lets the system choose.
    pub address: SocketAddr,
    /// How many sessions may be open at once, at least 1.
    pub sessions: usize,
    /// Who may come.
    pub visitors: BTreeMap<PartnerName, VisitorConfig>,
}

/// A host that may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorConfig {
    /// Its host name.
    pub host_name: String,
    /// Its instance.
    pub instance: InstanceName,
    /// What it may do; not empty.
    pub may: Vec<May>,
    /// How many jobs it may have announced that have not ended, at least 1.
    pub jobs: usize,
}

impl ListenConfig {
    /// Reads `[listen]`: `Some(None)` when there is no such table, `None` when it has faults.
    pub(super) fn read(top: &mut Reader<'_>) -> Option<Option<Self>> {
        if !top.has("listen") {
            return Some(None);
        }
        let mut reader = top.section("listen", &keys::LISTEN);
        let offset = reader.offset();
        let transport = reader.text("transport");
        let address = reader.parsed("address", |text| {
            text.parse().map_err(|_| format!("`{}` is no IP address", text.escape_debug()))
        });
        // The table of keys keeps it within a port's range.
        let port = u16::try_from(reader.integer("port")).unwrap_or(u16::MAX);
        let sessions = usize::try_from(reader.integer("sessions")).unwrap_or(usize::MAX);
        let visitors = visitors(&mut reader);
        let transport = TransportConfig::read("listen".to_owned(), offset, transport?, reader);
        let address = SocketAddr::new(address?.value, port);
        Some(Some(Self { transport, address, sessions, visitors: visitors? }))
    }

    /// The visitor that introduces itself so, if it is expected. Host names are compared without
    /// regard to case (RFC 4343).
    pub fn visitor(&self, who: &Introduction) -> Option<(&PartnerName, &VisitorConfig)> {
        self.visitors.iter().find(|(_, visitor)| {
            visitor.instance == who.instance && visitor.host_name.eq_ignore_ascii_case(&who.host)
        })
    }
}

impl VisitorConfig {
    /// Whether the visitor may do this.
    pub fn may(&self, what: May) -> bool {
        self.may.contains(&what)
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let host_name = reader.text("host_name");
        let instance = reader.parsed("instance", str::parse::<InstanceName>);
        let words = reader.texts("may");
        let may: Vec<_> = words.iter().filter_map(|word| may(&reader, word)).collect();
        if words.is_empty() {
            let hint = format!("say what it may do: {}", listed(May::WORDS.iter().copied()));
            reader.fault(reader.offset(), "may", "is missing", Some(hint));
        }
        let faulty = may.len() < words.len() || may.is_empty();
        let jobs = usize::try_from(reader.integer("jobs")).unwrap_or(usize::MAX);
        reader.finish();
        let (host_name, instance) = (host_name?.value, instance?.value);
        (!faulty).then_some(Self { host_name, instance, may, jobs })
    }
}

fn may(reader: &Reader<'_>, word: &Located<String>) -> Option<May> {
    May::from_word(&word.value).or_else(|| {
        let words = May::WORDS.iter().copied();
        let shown = word.value.escape_debug();
        let message = format!("`{shown}` is not one of {}", listed(words.clone()));
        let hint = nearest(&word.value, words).map(|word| format!("use `{word}`"));
        reader.fault(word.offset, "may", message, hint);
        None
    })
}

/// The visitors; `None` when one of them has a fault.
fn visitors(reader: &mut Reader<'_>) -> Option<BTreeMap<PartnerName, VisitorConfig>> {
    let mut visitors: BTreeMap<PartnerName, VisitorConfig> = BTreeMap::new();
    let mut sound = true;
    for (name, table) in reader.named("visitors", &keys::VISITOR) {
        let parsed: Result<PartnerName, _> = name.value.parse();
        let visitor = VisitorConfig::read(table);
        let refuse = |message: String| {
            let key = format!("visitors.{}", name.value.escape_debug());
            reader.fault(name.offset, &key, message, None);
        };
        let (parsed, visitor) = match (parsed, visitor) {
            (Ok(parsed), Some(visitor)) => (parsed, visitor),
            (Err(error), _) => {
                refuse(error.to_string());
                sound = false;
                continue;
            }
            (Ok(_), None) => {
                sound = false;
                continue;
            }
        };
        let same = |other: &&VisitorConfig| {
            other.instance == visitor.instance
                && other.host_name.eq_ignore_ascii_case(&visitor.host_name)
        };
        if visitors.values().find(same).is_some() {
            refuse("another visitor has the same host name and instance".to_owned());
            sound = false;
            continue;
        }
        visitors.insert(parsed, visitor);
    }
    sound.then_some(visitors)
}
