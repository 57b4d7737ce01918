//! The visitor's end: each operation of a session is a request on its stream.

mod transfer;

use std::sync::Arc;

use ferryway_core::{
    Algorithm, Digest, Operation, RemotePath, TransportError, async_trait,
    notice::{Notice, Standing},
    reception::Introduction,
    transport::{
        Capabilities, Download, EntryKind, Rename, Result, Resume, Session, Stat, Stored, Upload,
    },
};

use transfer::{Giver, Taker, give, take};

use crate::{
    capabilities,
    failure::Failure,
    frame::{Answer, Body, Message, Offer, Request},
    link::Link,
    stream::Stream,
};

/// A session with a host.
pub(crate) struct SocketSession {
    /// `None` once the session is closed.
    stream: Option<Stream>,
    capabilities: Capabilities,
    /// Files move compressed where that makes them smaller.
    packs: bool,
}

/// How an operation on a stream ended.
type Outcome<T> = std::result::Result<T, Failure>;

impl SocketSession {
    /// Opens a session on a connection. With `packs` files move compressed, if the host can.
    ///
    /// # Errors
    /// The host does not let us in, or the connection broke.
    pub(crate) async fn open(link: &Arc<Link>, ours: &Introduction, packs: bool) -> Outcome<Self> {
        let mut stream = link.open()?;
        let Introduction { host, instance, epoch } = ours.clone();
        let (instance, epoch) = (instance.to_string(), epoch.number());
        stream.say(Message::Open { host, instance, epoch }).await?;
        match answer(&mut stream).await? {
            Answer::Opened(offer) => {
                let capabilities = narrowed(&offer);
                Ok(Self { stream: Some(stream), capabilities, packs: packs && offer.packs })
            }
            other => Err(Failure::out_of_place(&other)),
        }
    }

    /// The stream for one operation. Until it is [put back](Self::put_back) the session counts
    /// as closed: whoever goes away in the middle leaves the ends out of step.
    fn take_out(&mut self, operation: Operation) -> Result<Stream> {
        self.stream.take().ok_or_else(|| TransportError::closed(operation))
    }

    /// Ends an operation. After a failure that leaves the ends out of step the session stays
    /// closed.
    fn put_back<T>(
        &mut self,
        operation: Operation,
        path: Option<&RemotePath>,
        stream: Stream,
        outcome: Outcome<T>,
    ) -> Result<T> {
        if !outcome.as_ref().is_err_and(Failure::closes_session) {
            self.stream = Some(stream);
        }
        outcome.map_err(|failure| {
            let error = failure.into_error(operation);
            match path {
                Some(path) => error.at(path),
                None => error,
            }
        })
    }

    async fn ask(
        &mut self,
        operation: Operation,
        path: Option<&RemotePath>,
        request: Request,
    ) -> Result<Answer> {
        let mut stream = self.take_out(operation)?;
        let outcome = match stream.say(Message::Ask(request)).await {
            Ok(()) => answer(&mut stream).await,
            Err(failure) => Err(failure),
        };
        self.put_back(operation, path, stream, outcome)
    }

    /// Asks for something that is done or not.
    async fn order(
        &mut self,
        operation: Operation,
        path: &RemotePath,
        request: Request,
    ) -> Result<()> {
        match self.ask(operation, Some(path), request).await? {
            Answer::Nothing => Ok(()),
            other => Err(self.nonsense(operation, &other)),
        }
    }

    /// An answer to another question: the ends are out of step.
    fn nonsense(&mut self, operation: Operation, answer: &Answer) -> TransportError {
        self.stream = None;
        Failure::out_of_place(answer).into_error(operation)
    }
}

#[async_trait]
impl Session for SocketSession {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        let request = Request::Stat { path: path.to_string() };
        match self.ask(Operation::Stat, Some(&path), request).await? {
            Answer::Stat { folder, size, modified } => {
                let kind = if folder { EntryKind::Folder } else { EntryKind::File };
                Ok(Stat { kind, size, modified })
            }
            other => Err(self.nonsense(Operation::Stat, &other)),
        }
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let request = Request::List { folder: folder.as_ref().map(ToString::to_string) };
        let (mut stream, mut taker) = (self.take_out(Operation::List)?, Taker::Names(Vec::new()));
        let taken = take(&mut stream, request, &mut taker).await;
        let names = taken.and_then(|_| taker.into_names());
        self.put_back(Operation::List, folder.as_ref(), stream, names)
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        let Download { path, offset, sink, meter } = download;
        let request = Request::Fetch { path: path.to_string(), offset, packed: self.packs };
        let mut stream = self.take_out(Operation::Fetch)?;
        let mut taker = Taker::File { sink: Some(sink), meter };
        let taken = take(&mut stream, request, &mut taker).await;
        self.put_back(Operation::Fetch, Some(&path), stream, taken)
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let Upload { path, offset, length, source, meter } = upload;
        let request = Request::Store { path: path.to_string(), offset, length };
        let mut stream = self.take_out(Operation::Store)?;
        let given = match Giver::new(source, self.packs) {
            Ok(giver) => give(&mut stream, request, giver, &meter).await,
            Err(failure) => Err(failure),
        };
        self.put_back(Operation::Store, Some(&path), stream, given)
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        let request = Request::Rename { from: from.to_string(), to: to.to_string() };
        self.order(Operation::Rename, &from, request).await
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        let request = Request::Remove { path: path.to_string() };
        self.order(Operation::Remove, &path, request).await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        let request = Request::MakeFolder { path: path.to_string() };
        self.order(Operation::MakeFolder, &path, request).await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        let request = Request::RemoveFolder { path: path.to_string() };
        self.order(Operation::RemoveFolder, &path, request).await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        if !self.capabilities.checksums.contains(&algorithm) {
            let message = format!("the partner does not compute {algorithm}");
            return Err(TransportError::unsupported(Operation::Checksum, message).at(path));
        }
        let request = Request::Checksum { path: path.to_string(), algorithm, length };
        match self.ask(Operation::Checksum, Some(&path), request).await? {
            Answer::Digest(digits) => match Digest::from_hex(algorithm, &digits) {
                Some(digest) => Ok(digest),
                None => Err(self.nonsense(Operation::Checksum, &Answer::Digest(digits))),
            },
            other => Err(self.nonsense(Operation::Checksum, &other)),
        }
    }

    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>> {
        if !self.capabilities.notices {
            let message = "the partner takes no notices";
            return Err(TransportError::unsupported(Operation::Tell, message));
        }
        match self.ask(Operation::Tell, None, Request::Tell { notice }).await? {
            Answer::Standing(standing) => Ok(standing),
            other => Err(self.nonsense(Operation::Tell, &other)),
        }
    }

    async fn ping(&mut self) -> Result<()> {
        match self.ask(Operation::Ping, None, Request::Ping).await? {
            Answer::Nothing => Ok(()),
            other => Err(self.nonsense(Operation::Ping, &other)),
        }
    }

    async fn close(&mut self) -> Result<()> {
        match self.stream.take() {
            // The stream says good-bye when it is dropped.
            Some(_) => Ok(()),
            None => Err(TransportError::closed(Operation::Close)),
        }
    }
}

/// The answer to what was asked last.
async fn answer(stream: &mut Stream) -> Outcome<Answer> {
    loop {
        match stream.hear().await? {
            Body::Message(Message::Done(answer)) => return Ok(answer),
            Body::Message(Message::Refused(refusal)) => return Err(Failure::Refused(refusal)),
            // A word that it goes on, or room for data that is not to come any more.
            Body::Message(Message::Working | Message::Credit { .. }) => {}
            other => return Err(Failure::out_of_place(&other)),
        }
    }
}

/// What the transport can do, as far as the host offers it.
fn narrowed(offer: &Offer) -> Capabilities {
    let most = capabilities();
    Capabilities {
        resume: if offer.resume { Resume::AtOffset } else { Resume::Unsupported },
        rename: if offer.replaces { Rename::Replaces } else { Rename::Unknown },
        checksums: offer
            .checksums
            .iter()
            .copied()
            .filter(|algorithm| most.checksums.contains(algorithm))
            .collect(),
        notices: offer.notices,
        rooms: usize::try_from(offer.rooms).unwrap_or(usize::MAX),
        ..most
    }
}
