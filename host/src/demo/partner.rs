//! The partner: an FTP server, or another installation of Ferryway behind the address of its
//! cluster; and what was seen there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Instant,
};

use ferryway_mocks::ftp_server::{Behaviour, Entry, FtpServer, Side};

use super::stage::TARGET;
use crate::laboratory::{
    Failure,
    relay::{Carries, Line, Relay},
    watch::{Change, Watch, What},
    wire::{below_root, is_partial, is_upload, path},
};

/// Where the file goes.
#[derive(Debug)]
pub(super) enum Partner {
    /// An FTP server, which tells all that it does.
    Ftp(FtpServer),
    /// The way to a host, which can be led to another one; the kernel tells what becomes of the
    /// files there.
    Host { line: Relay, watch: Watch },
}

/// What was seen at the partner.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Every new name that a rename gave, seen from the partner's folder.
    pub(super) renames: Vec<(Instant, String)>,
    /// Whatever else was done to the target.
    pub(super) intrusions: Vec<String>,
    /// Bytes that came for the file.
    pub(super) received: u64,
    /// When something began to send, and when its first byte was there.
    pub(super) arrivals: Vec<(Instant, Option<Instant>)>,
    /// What was read back: since when, how many bytes, and when the last one had gone.
    pub(super) proofs: Vec<(Instant, u64, Option<Instant>)>,
}

impl Partner {
    /// Starts an FTP server on a folder. As most are: no command that tells a file's hash, so
    /// the bytes already there are proved by reading them back.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) async fn ftp(root: &Path, bytes_per_second: u64) -> Result<Self, Failure> {
        let server = FtpServer::builder(root)
            .behaviour(Behaviour::proftpd())
            .user("ferry", "demo")
            .upload_bytes_per_second(bytes_per_second)
            .start()
            .await
            .map_err(|error| Failure::io("start an FTP server on", root, error))?;
        Ok(Self::Ftp(server))
    }

    /// Opens the way to a host that receives in this folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn host(
        root: &Path,
        door: SocketAddr,
        bytes_per_second: u64,
    ) -> Result<Self, Failure> {
        let line = Line { carries: Carries::Anything, bytes_per_second: Some(bytes_per_second) };
        let line = Relay::start(Ipv4Addr::LOCALHOST, 0, door, line)
            .map_err(|error| Failure(format!("no address for the receiving cluster: {error}")))?;
        Ok(Self::Host { line, watch: Watch::start(root)? })
    }

    /// Where it is reached.
    pub(super) fn addr(&self) -> SocketAddr {
        match self {
            Self::Ftp(server) => server.addr(),
            Self::Host { line, .. } => line.addr(),
        }
    }

    /// The address of the receiving cluster, where it is one.
    pub(super) fn address(&self) -> Option<&Relay> {
        match self {
            Self::Ftp(_) => None,
            Self::Host { line, .. } => Some(line),
        }
    }

    /// What was seen so far.
    ///
    /// # Errors
    /// When not everything was.
    pub(super) fn seen(&self) -> Result<Seen, Failure> {
        match self {
            Self::Ftp(server) => Ok(Seen::by_server(server)),
            // What the connections carry beside the file counts as sent again, little as it is.
            Self::Host { line, watch } => Ok(Seen::by_kernel(&watch.changes()?, line.carried())),
        }
    }
}

impl Seen {
    /// When the first byte came of what began to send after a moment.
    pub(super) fn first_byte_after(&self, moment: Instant) -> Option<Instant> {
        self.arrivals.iter().find(|(began, _)| *began >= moment)?.1
    }

    fn by_server(server: &FtpServer) -> Self {
        let renames = server.renames().into_iter();
        let (uploads, rest): (Vec<_>, Vec<_>) =
            server.transfers().into_iter().partition(|transfer| is_upload(transfer, TARGET));
        let proofs = rest.iter().filter(|transfer| transfer.verb == "RETR");
        Self {
            renames: renames.map(|it| (it.at, below_root(&it.to).to_owned())).collect(),
            intrusions: intrusions(&server.transcript().entries()),
            received: uploads.iter().map(|upload| upload.bytes).sum(),
            arrivals: uploads.iter().map(|it| (it.opened_at, it.first_byte_at)).collect(),
            proofs: proofs.map(|it| (it.opened_at, it.bytes, it.last_byte_at)).collect(),
        }
    }

    fn by_kernel(changes: &[Change], carried: u64) -> Self {
        let mut seen = Self { received: carried, ..Self::default() };
        for Change { at, path, what } in changes {
            match what {
                What::MovedHere => seen.renames.push((*at, path.clone())),
                _ if path == TARGET => seen.intrusions.push(format!("{what:?}")),
                What::Written if is_partial(path) => seen.arrivals.push((*at, Some(*at))),
                _ => {}
            }
        }
        seen
    }
}

/// Commands other than RNTO that change the file of the target's name, successful or not.
fn intrusions(said: &[Entry]) -> Vec<String> {
    said.iter()
        .filter(|entry| entry.side == Side::Client)
        .filter(|entry| {
            let verb = entry.text.split(' ').next().unwrap_or_default();
            matches!(verb, "STOR" | "APPE" | "DELE" | "RNFR")
                && path(&entry.text).is_some_and(|path| path == TARGET)
        })
        .map(|entry| entry.text.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laboratory::wire::tests::said;

    #[test]
    fn whatever_else_touches_the_target_is_told() {
        let said = said(&[
            "STOR in/ledger.dat.part",
            "STOR ./in/ledger.dat",
            "SIZE in/ledger.dat",
            "DELE /in/ledger.dat",
            "RNFR in/ledger.dat",
        ]);
        assert_eq!(
            intrusions(&said),
            ["STOR ./in/ledger.dat", "DELE /in/ledger.dat", "RNFR in/ledger.dat"]
        );
    }

    #[test]
    fn the_kernel_tells_a_publish_from_whatever_else_touches_the_target() {
        let change = |path: &str, what| Change { at: Instant::now(), path: path.to_owned(), what };
        let seen = Seen::by_kernel(
            &[
                change("in/.ferryway/demo.bank/e1/a.part", What::Written),
                change(TARGET, What::MovedHere),
                change(TARGET, What::Written),
                change("in/other", What::Written),
            ],
            7,
        );
        assert_eq!((seen.renames.len(), seen.arrivals.len(), seen.received), (1, 1, 7));
        assert_eq!(seen.intrusions, ["Written"]);
    }
}
