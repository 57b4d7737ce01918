//! What passed between nodes and servers: what was said, and which bytes of the file were sent.

use std::{collections::BTreeMap, time::Instant};

use ferryway_mocks::ftp_server::{Entry, Side, Transfer};

use super::{settings::TARGET, trace::Kind};
use crate::laboratory::{relay::Dialogue, wire};

/// What passed, in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    pub(super) said: Vec<Said>,
    pub(super) uploads: Vec<Upload>,
}

/// Something that was said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) at: Instant,
    /// Which session or connection of which node, and where.
    pub(super) who: String,
    pub(super) kind: Kind,
    pub(super) what: String,
}

/// Bytes of the file on their way.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    /// Who sent.
    pub(super) node: String,
    pub(super) from: Instant,
    pub(super) to: Instant,
    /// Bytes that came.
    pub(super) bytes: u64,
}

impl Traffic {
    /// What an FTP server has noted. A session is the node's that it logged in as.
    pub(super) fn of_server(server: &str, noted: &[Entry], transfers: &[Transfer]) -> Self {
        let nodes = users(noted);
        let said = noted.iter().map(|entry| {
            let kind = match entry.side {
                Side::Client => Kind::Command,
                Side::Server => Kind::Answer,
                Side::Event => Kind::Connection,
            };
            let node = nodes.get(&entry.session).map_or("somebody", String::as_str);
            let who = format!("{node}.{}@{server}", entry.session);
            Said { at: entry.at, who, kind, what: entry.text.clone() }
        });
        let uploads = transfers.iter().filter(|transfer| wire::is_upload(transfer, TARGET));
        let uploads = uploads.map(|upload| Upload {
            node: nodes.get(&upload.session).cloned().unwrap_or_default(),
            from: upload.opened_at,
            to: upload.ended_at.or(upload.last_byte_at).unwrap_or(upload.opened_at),
            bytes: upload.bytes,
        });
        Self { said: said.collect(), uploads: uploads.collect() }
    }

    /// What hosts have said over the line of a node.
    pub(super) fn of_line(node: &str, server: &str, dialogue: &Dialogue) -> Self {
        let said = dialogue.said().into_iter().map(|said| Said {
            at: said.at,
            who: format!("{node}.{}@{server}", said.connection),
            kind: if said.by_visitor { Kind::Command } else { Kind::Answer },
            what: said.what,
        });
        let of_file = |path: &str| wire::is_partial(path) || wire::below_root(path) == TARGET;
        let sent = dialogue.sent().into_iter().filter(|sent| of_file(&sent.path));
        let uploads = sent.map(|sent| Upload {
            node: node.to_owned(),
            from: sent.from,
            to: sent.to,
            bytes: sent.bytes,
        });
        Self { said: said.collect(), uploads: uploads.collect() }
    }

    /// Both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.said.extend(other.said);
        self.uploads.extend(other.uploads);
        self
    }

    /// Bytes of the file that came.
    pub(super) fn received(&self) -> u64 {
        self.uploads.iter().map(|upload| upload.bytes).sum()
    }

    /// Bytes of the file that came from a node.
    pub(super) fn received_from(&self, node: &str) -> u64 {
        let its = self.uploads.iter().filter(|upload| upload.node == node);
        its.map(|upload| upload.bytes).sum()
    }
}

/// Which node each session logged in as.
fn users(noted: &[Entry]) -> BTreeMap<u64, String> {
    let user = |entry: &Entry| {
        let user = entry.text.strip_prefix("USER ").filter(|_| entry.side == Side::Client)?;
        Some((entry.session, user.to_owned()))
    };
    noted.iter().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        laboratory::wire::tests::said,
        simulator::trace::{Trace, tell},
    };

    #[test]
    fn sessions_bear_the_name_they_logged_in_as() {
        let trace = Trace::new();
        trace.event("alpha", "frozen");
        let noted = said(&["USER alpha", "331 Password.", "STOR in/a"]);
        trace.add_traffic(&Traffic::of_server("partner", &noted, &[]));
        let text = tell(&trace.lines());
        for line in ["alpha              ** frozen", "alpha.1@partner    -> STOR in/a"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
