//! The host's end of a stream: asks the host's session for what the visitor asks, and carries
//! the bytes between the network and the host's threads.

mod flow;

use std::time::SystemTime;

use ferryway_core::{
    Epoch, InstanceName, RemotePath,
    bytes::{Meter, Room, Sink, Source},
    notice::Notice,
    reception::{Cause, Introduction, Rebuff, Reception, Visitor},
    transport::{Download, EntryKind, Rename, Result, Resume, Session, Stored, Upload},
};
use tokio::sync::{mpsc, oneshot};

use flow::{Inflow, Outflow, Outgoing, Piece};

use crate::{
    failure::Failure,
    frame::{Again, Answer, Body, CHUNK_BYTES, Ground, Message, Offer, Refusal, Request},
    link::Opening,
    squeeze::Packer,
    stream::{Queued, Stream},
    tls::Proved,
};

/// Pieces on their way between the connection and the host's thread, besides the window.
const IN_HAND: usize = 2;

/// Serves a visitor's stream until either end has enough of it.
///
/// # Errors
/// Why the stream is over, when it is not just closed.
pub(crate) async fn serve(
    mut stream: Stream,
    opening: Opening,
    address: std::net::IpAddr,
    proved: &Proved,
    reception: &dyn Reception,
) -> std::result::Result<(), Failure> {
    if !proved.allows(&opening.host) {
        // The door has let in whoever shows a certificate that it trusts.
        let (cause, detail) = (Cause::Proof, other_name(&opening.host));
        reception.turned_away(Rebuff { address, cause, detail });
    }
    let admitted = match introduction(opening, proved) {
        Err(refusal) => Err(refusal),
        Ok(introduction) => {
            let admit = reception.admit(Visitor { introduction, address });
            stream.attended(admit).await?.map_err(|error| Refusal::of(&error))
        }
    };
    let mut session = match admitted {
        Ok(session) => session,
        Err(refusal) => return stream.say(Message::Refused(refusal)).await,
    };
    let offer = offer(&*session);
    stream.say_opened(offer).await?;
    loop {
        match stream.wait().await? {
            Body::Message(Message::Ask(request)) => {
                if let Some(reply) = carry_out(&mut stream, &mut *session, request).await? {
                    stream.say(reply).await?;
                }
            }
            // Late words about a transfer that is over.
            Body::Message(Message::Abort | Message::Credit { .. }) => {}
            other => return Err(Failure::out_of_place(&other)),
        }
    }
}

/// What to say about a request; `None` when it was said.
type Reply = Option<Message>;

fn reply(result: Result<Answer>) -> Message {
    match result {
        Ok(answer) => Message::Done(answer),
        Err(error) => Message::Refused(Refusal::of(&error)),
    }
}

fn introduction(opening: Opening, proved: &Proved) -> std::result::Result<Introduction, Refusal> {
    let Opening { host, instance, epoch, beyond_limit } = opening;
    if beyond_limit {
        let again = Again::Later { after_ms: None };
        return Err(Refusal::of_ours(Ground::Refused, again, "every session is taken"));
    }
    let refuse = |message: String| Err(Refusal::of_ours(Ground::Login, Again::Never, message));
    if !proved.allows(&host) {
        return refuse(other_name(&host));
    }
    let instance: InstanceName = match instance.parse() {
        Ok(instance) => instance,
        Err(error) => return refuse(format!("{error}")),
    };
    // A host's journal counts up to there.
    match Epoch::new(epoch).filter(|epoch| i64::try_from(epoch.number()).is_ok()) {
        Some(epoch) => Ok(Introduction { host, instance, epoch }),
        None => refuse(format!("{epoch} is no epoch")),
    }
}

fn other_name(host: &str) -> String {
    format!("the certificate is not for the name `{}`", host.escape_debug())
}

fn offer(session: &dyn Session) -> Offer {
    let capabilities = session.capabilities();
    Offer {
        resume: capabilities.resume == Resume::AtOffset,
        replaces: capabilities.rename == Rename::Replaces,
        checksums: capabilities.checksums,
        notices: capabilities.notices,
        packs: true,
        rooms: u32::try_from(capabilities.rooms).unwrap_or(u32::MAX),
    }
}

async fn carry_out(
    stream: &mut Stream,
    session: &mut dyn Session,
    request: Request,
) -> std::result::Result<Reply, Failure> {
    let request = match Checked::of(request) {
        Ok(request) => request,
        Err(refused) => {
            stream.say(Message::Refused(refused.refusal)).await?;
            if refused.has_data {
                stream.begin_transfer();
                let (nowhere, _) = mpsc::channel(IN_HAND);
                feed(stream, nowhere, None).await?;
            }
            return Ok(None);
        }
    };
    match request {
        Checked::Store(path, offset, length) => store(stream, session, path, offset, length).await,
        Checked::Fetch(path, offset, packed) => fetch(stream, session, path, offset, packed).await,
        Checked::List(folder) => list(stream, session, folder).await,
        Checked::Brief(brief) => Ok(Some(reply(stream.attended(brief.ask(session)).await?))),
    }
}

/// A request whose paths are paths.
enum Checked {
    Store(RemotePath, u64, u64),
    Fetch(RemotePath, u64, bool),
    List(Option<RemotePath>),
    Brief(Brief),
}

/// A request without data.
enum Brief {
    Stat(RemotePath),
    Rename(RemotePath, RemotePath),
    Remove(RemotePath),
    MakeFolder(RemotePath),
    RemoveFolder(RemotePath),
    Checksum(RemotePath, ferryway_core::Algorithm, u64),
    Tell(Notice),
    Ping,
}

struct Unusable {
    refusal: Refusal,
    /// Whether the visitor sends data all the same.
    has_data: bool,
}

impl Checked {
    fn of(request: Request) -> std::result::Result<Self, Unusable> {
        let has_data = matches!(request, Request::Store { .. });
        let path = |text: String| {
            text.parse::<RemotePath>().map_err(|error| Unusable {
                refusal: Refusal::of_ours(Ground::Denied, Again::Never, error),
                has_data,
            })
        };
        Ok(match request {
            Request::Store { path: to, offset, length } => Self::Store(path(to)?, offset, length),
            Request::Fetch { path: from, offset, packed } => {
                Self::Fetch(path(from)?, offset, packed)
            }
            Request::List { folder } => Self::List(folder.map(path).transpose()?),
            Request::Stat { path: of } => Self::Brief(Brief::Stat(path(of)?)),
            Request::Rename { from, to } => Self::Brief(Brief::Rename(path(from)?, path(to)?)),
            Request::Remove { path: of } => Self::Brief(Brief::Remove(path(of)?)),
            Request::MakeFolder { path: of } => Self::Brief(Brief::MakeFolder(path(of)?)),
            Request::RemoveFolder { path: of } => Self::Brief(Brief::RemoveFolder(path(of)?)),
            Request::Checksum { path: of, algorithm, length } => {
                Self::Brief(Brief::Checksum(path(of)?, algorithm, length))
            }
            Request::Tell { notice } => Self::Brief(Brief::Tell(notice)),
            Request::Ping => Self::Brief(Brief::Ping),
        })
    }
}

impl Brief {
    async fn ask(self, session: &mut dyn Session) -> Result<Answer> {
        Ok(match self {
            Self::Stat(path) => {
                let stat = session.stat(path).await?;
                let folder = stat.kind == EntryKind::Folder;
                // A time before 1970 has no place in the encoding.
                let modified = stat.modified.filter(|&time| time >= SystemTime::UNIX_EPOCH);
                Answer::Stat { folder, size: stat.size, modified }
            }
            Self::Rename(from, to) => session.rename(from, to).await.map(|()| Answer::Nothing)?,
            Self::Remove(path) => session.remove(path).await.map(|()| Answer::Nothing)?,
            Self::MakeFolder(path) => session.make_folder(path).await.map(|()| Answer::Nothing)?,
            Self::RemoveFolder(path) => {
                session.remove_folder(path).await.map(|()| Answer::Nothing)?
            }
            Self::Checksum(path, algorithm, length) => {
                let digest = session.checksum(path, algorithm, length).await?;
                Answer::Digest(digest.hex().to_owned())
            }
            Self::Tell(notice) => Answer::Standing(session.tell(notice).await?),
            Self::Ping => session.ping().await.map(|()| Answer::Nothing)?,
        })
    }
}

/// A file comes in: the connection feeds a queue, the host's thread empties it.
async fn store(
    stream: &mut Stream,
    session: &mut dyn Session,
    path: RemotePath,
    offset: u64,
    length: u64,
) -> std::result::Result<Reply, Failure> {
    stream.begin_transfer();
    let (pieces, inflow) = mpsc::channel(IN_HAND);
    let source = Source::new(Inflow::new(inflow));
    let store = session.store(Upload { path, offset, length, source, meter: Meter::new() });
    take_in(stream, pieces, store).await
}

/// Feeds a store until both it and the visitor are through.
async fn take_in(
    stream: &mut Stream,
    pieces: mpsc::Sender<Piece>,
    store: impl Future<Output = Result<Stored>>,
) -> std::result::Result<Reply, Failure> {
    let (end, ends) = oneshot::channel();
    let store = async {
        // Nobody hears of it only when the stream is over.
        let stored = |Stored { bytes, size, digest }| {
            let digest = digest.map(|digest| (digest.algorithm, digest.hex().to_owned()));
            Answer::Stored { bytes, size, digest }
        };
        let _heard = end.send(reply(store.await.map(stored)));
        Ok(())
    };
    let fed = async {
        match feed(stream, pieces, Some(ends)).await? {
            Some(ends) => Ok(stream.attended(ends).await?.ok()),
            None => Ok(None),
        }
    };
    tokio::try_join!(store, fed).map(|((), reply)| reply)
}

/// Moves what comes in into the queue, until the visitor says that it was all, or breaks off:
/// then the queue just ends. A queue that nobody empties any more swallows the rest. When the
/// host is through before the visitor is, its reply is said between two words; it is given back
/// otherwise.
async fn feed(
    stream: &mut Stream,
    pieces: mpsc::Sender<Piece>,
    mut reply: Option<oneshot::Receiver<Message>>,
) -> std::result::Result<Option<oneshot::Receiver<Message>>, Failure> {
    let mut bytes = 0;
    loop {
        let body = match &mut reply {
            // Said from here, it overtakes no room that is being granted: behind it, that would
            // be a late word of the next transfer.
            Some(ends) => tokio::select! {
                biased;
                said = ends => {
                    stream.say(said.map_err(|_| Failure::Closed)?).await?;
                    reply = None;
                    continue;
                }
                body = stream.hear() => body?,
            },
            None => stream.hear().await?,
        };
        match body {
            Body::Data(data) => {
                bytes += data.len() as u64;
                // Nothing more is wanted of a file that was refused: what was granted before
                // is swallowed, and room granted now would be late words of the next transfer.
                if stream.busy(pieces.send(Piece::Bytes(data))).await?.is_ok() {
                    stream.grant().await?;
                }
            }
            Body::Message(Message::End { bytes: told }) if told == bytes => {
                stream.end_transfer();
                let _swallowed = stream.busy(pieces.send(Piece::End)).await?;
                return Ok(reply);
            }
            Body::Message(Message::Abort) => {
                stream.end_transfer();
                return Ok(reply);
            }
            Body::Message(Message::Working) => {}
            other => return Err(Failure::out_of_place(&other)),
        }
    }
}

/// A file goes out: the host's thread fills a queue, the connection empties it.
async fn fetch(
    stream: &mut Stream,
    session: &mut dyn Session,
    path: RemotePath,
    offset: u64,
    packed: bool,
) -> std::result::Result<Reply, Failure> {
    let (pieces, outflow) = mpsc::channel(IN_HAND);
    let packer = if packed { Some(Packer::new()?) } else { None };
    let sink = Sink::new(Outflow::new(pieces, packer));
    let fetch = session.fetch(Download { path, offset, sink, meter: Meter::new() });
    let (fetched, poured) = tokio::join!(fetch, pour(stream, outflow));
    poured?;
    Ok(Some(reply(fetched.map(Answer::Bytes))))
}

/// Names go out as data, each ended by NUL, which no name has.
async fn list(
    stream: &mut Stream,
    session: &mut dyn Session,
    folder: Option<RemotePath>,
) -> std::result::Result<Reply, Failure> {
    let names = match stream.attended(session.list(folder)).await? {
        Ok(names) => names,
        Err(error) => return Ok(Some(reply(Err(error)))),
    };
    let bytes: Vec<u8> =
        names.iter().flat_map(|name| name.bytes().chain(std::iter::once(0))).collect();
    let (pieces, outflow) = mpsc::channel(IN_HAND);
    let fill = async {
        for piece in bytes.chunks(CHUNK_BYTES) {
            let (body, room) = (Queued::Data(piece.into()), Room::take(piece.len()));
            if pieces.send(Outgoing { body, room }).await.is_err() {
                break;
            }
        }
        drop(pieces);
    };
    let ((), poured) = tokio::join!(fill, pour(stream, outflow));
    poured?;
    Ok(Some(Message::Done(Answer::Bytes(bytes.len() as u64))))
}

/// Sends what is in the queue, until it ends or the visitor breaks off.
async fn pour(
    stream: &mut Stream,
    mut pieces: mpsc::Receiver<Outgoing>,
) -> std::result::Result<(), Failure> {
    stream.begin_transfer();
    while let Some(Outgoing { body, room: _room }) = stream.busy(pieces.recv()).await? {
        match stream.send(body.into()).await? {
            None => {}
            // The host's thread meets the end of the queue, and its answer says so.
            Some(Message::Abort) => return Ok(()),
            Some(other) => return Err(Failure::out_of_place(&other)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
