//! The session that the host holds.

use std::time::Duration;

use ferryway_core::{
    Algorithm, Digest, Operation, RemotePath, TransportError, async_trait,
    notice::{Notice, Standing},
    transport::{Capabilities, Download, Rename, Result, Resume, Session, Stat, Stored, Upload},
};

use crate::{
    classify::{Failure, closes_session},
    connect::Wire,
    control::Answer,
};

/// A good-bye that is not answered within this time is not worth waiting for.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct FtpSession {
    /// Away while an operation runs: one that is cancelled leaves the protocol in an unknown
    /// state, and takes the connection with it.
    wire: Option<Wire>,
    /// As of the last operation.
    capabilities: Capabilities,
}

impl FtpSession {
    pub(crate) fn new(wire: Wire) -> Self {
        let capabilities = capabilities(&wire);
        Self { wire: Some(wire), capabilities }
    }

    fn take(&mut self, operation: Operation) -> Result<Wire> {
        self.wire.take().ok_or_else(|| TransportError::closed(operation))
    }

    /// Keeps the connection for the next operation, unless this one's failure ended it.
    fn keep<T>(
        &mut self,
        wire: Wire,
        operation: Operation,
        path: Option<&RemotePath>,
        result: Result<T, Failure>,
    ) -> Result<T> {
        self.capabilities = capabilities(&wire);
        let failure = match result {
            Ok(value) => {
                self.wire = Some(wire);
                return Ok(value);
            }
            Err(failure) => failure,
        };
        let lost = matches!(failure, Failure::LocalAndLost(_));
        let error = failure.into_error(operation);
        if !lost && !closes_session(error.kind()) {
            self.wire = Some(wire);
        }
        Err(match path {
            Some(path) => error.at(path),
            None => error,
        })
    }

    async fn command(&mut self, operation: Operation, verb: &str, path: &RemotePath) -> Result<()> {
        let mut wire = self.take(operation)?;
        let answer = wire.control.ask(&format!("{verb} {path}")).await;
        let result = answer.and_then(|answer| answer.done().map(|_| ()));
        self.keep(wire, operation, Some(path), result)
    }
}

fn capabilities(wire: &Wire) -> Capabilities {
    let features = &wire.features;
    Capabilities {
        resume: if features.restart { Resume::AtOffset } else { Resume::Unsupported },
        rename: Rename::Unknown,
        size: features.size || features.mlst,
        folders: true,
        lists_hidden: wire.lists_hidden(),
        checksums: features.checksums(),
        epoch_fencing: false,
        notices: false,
        rooms: 0,
    }
}

/// RNFR and RNTO (RFC 959 section 4.1.3). RNTO by itself is refused (503).
async fn rename(wire: &mut Wire, from: &RemotePath, to: &RemotePath) -> Result<(), Failure> {
    let commands = [&*format!("RNFR {from}"), &format!("RNTO {to}")];
    match wire.control.ask_pair(commands, Answer::is_intermediate).await? {
        (first, Some(second)) if first.is_intermediate() => {
            if !second.is_done() {
                // A server may keep what RNFR named. Behind a refused RNFR, an RNTO that was sent
                // early would then rename that.
                wire.control.take_turns();
            }
            second.done().map(|_| ())
        }
        (first, Some(second)) if second.is_done() => {
            let text = format!("RNFR: `{}`, and yet RNTO: `{}`", first.text, second.text);
            Err(Failure::Protocol(text))
        }
        (first, _) => Err(Failure::Reply(first.reply())),
    }
}

#[async_trait]
impl Session for FtpSession {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        let mut wire = self.take(Operation::Stat)?;
        let result = wire.stat(&path).await;
        self.keep(wire, Operation::Stat, Some(&path), result)
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let mut wire = self.take(Operation::List)?;
        let result = wire.list(folder.as_ref()).await;
        self.keep(wire, Operation::List, folder.as_ref(), result)
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        let mut wire = self.take(Operation::Fetch)?;
        let path = download.path.clone();
        let result = wire.fetch(download).await;
        self.keep(wire, Operation::Fetch, Some(&path), result)
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let mut wire = self.take(Operation::Store)?;
        let path = upload.path.clone();
        let result = wire.store(upload).await;
        self.keep(wire, Operation::Store, Some(&path), result)
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        let mut wire = self.take(Operation::Rename)?;
        let result = rename(&mut wire, &from, &to).await;
        self.keep(wire, Operation::Rename, Some(&from), result)
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        self.command(Operation::Remove, "DELE", &path).await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        self.command(Operation::MakeFolder, "MKD", &path).await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        self.command(Operation::RemoveFolder, "RMD", &path).await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        let mut wire = self.take(Operation::Checksum)?;
        let result = wire.checksum(&path, algorithm, length).await;
        self.keep(wire, Operation::Checksum, Some(&path), result)
    }

    async fn tell(&mut self, _: Notice) -> Result<Option<Standing>> {
        Err(TransportError::unsupported(Operation::Tell, "an FTP server takes no notices"))
    }

    async fn ping(&mut self) -> Result<()> {
        let mut wire = self.take(Operation::Ping)?;
        wire.control
            .ask("NOOP")
            .await
            .and_then(|answer| answer.done().map(|_| ()))
            .map_err(|failure| failure.into_error(Operation::Ping))?;
        self.wire = Some(wire);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let mut wire = self.take(Operation::Close)?;
        let answer = wire.control.ask_within("QUIT", GOODBYE_LIMIT).await;
        answer
            .and_then(|answer| answer.done().map(|_| ()))
            .map_err(|failure| failure.into_error(Operation::Close))
    }
}
