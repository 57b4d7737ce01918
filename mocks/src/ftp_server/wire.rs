//! Connections: sockets that can be reset on demand, with or without TLS, and the control
//! connection's lines.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    reply::Reply,
    session::Ended,
    tls,
    transcript::{Side, Transcript},
};

/// A command longer than this ends its session.
const LONGEST_LINE: usize = 8192;
/// How long a client may take to read a reply or to shake hands.
const PEER_LIMIT: Duration = Duration::from_secs(30);

/// What faults have made of a session.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Its sockets end by a reset.
    pub(super) reset: AtomicBool,
    /// It is not to listen to its client.
    pub(super) frozen: AtomicBool,
    /// It is in a transfer.
    pub(super) moving: AtomicBool,
}

/// A TCP connection that ends by a reset when its session's condition wants that.
pub(super) struct Socket {
    tcp: TcpStream,
    condition: Arc<Condition>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, condition: Arc<Condition>) -> Self {
        // Without it replies wait for the peer's delayed acknowledgement.
        let _best_effort = tcp.set_nodelay(true);
        Self { tcp, condition }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.condition.reset.load(Ordering::Relaxed) {
            let _best_effort = self.tcp.set_zero_linger();
        }
    }
}

/// A connection in clear or under TLS.
pub(super) enum Wire {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
    Closed,
}

impl Wire {
    /// Shakes hands as the TLS server.
    pub(super) async fn secure(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let Self::Plain(socket) = std::mem::replace(self, Self::Closed) else {
            return Err(io::Error::other("TLS is already on"));
        };
        let stream = timeout(PEER_LIMIT, acceptor.accept(socket)).await??;
        *self = Self::Tls(Box::new(stream));
        Ok(())
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether the TLS session goes on from an earlier one.
    pub(super) fn resumed(&self) -> bool {
        matches!(self, Self::Tls(stream) if tls::resumed(stream.get_ref().1))
    }

    /// Reads what is there, waiting for the first byte only; 0 is the end. An end without
    /// TLS's close_notify counts as one, as with vsftpd's `strict_ssl_read_eof=NO`.
    pub(super) async fn read_ready(&mut self, buffer: &mut [u8]) -> (usize, io::Result<()>) {
        let mut buffer = ReadBuf::new(buffer);
        let result = poll_fn(|context| {
            loop {
                let before = buffer.filled().len();
                match Pin::new(&mut *self).poll_read(context, &mut buffer) {
                    Poll::Pending if before > 0 => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => {}
                }
                if buffer.filled().len() == before || buffer.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await;
        let result = match result {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            result => result,
        };
        (buffer.filled().len(), result)
    }

    /// Ends the sending side, so that the client sees the end of the data.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        timeout(PEER_LIMIT, self.shutdown()).await?
    }
}

/// The control connection.
pub(super) struct Control {
    wire: Wire,
    condition: Arc<Condition>,
    session: u64,
    transcript: Transcript,
    unread: Vec<u8>,
    /// Lines that came during a transfer.
    queued: VecDeque<String>,
    closed: bool,
}

impl Control {
    pub(super) fn new(
        wire: Wire,
        condition: Arc<Condition>,
        session: u64,
        transcript: Transcript,
    ) -> Self {
        let (unread, queued) = (Vec::new(), VecDeque::new());
        Self { wire, condition, session, transcript, unread, queued, closed: false }
    }

    /// The next command.
    pub(super) async fn next_line(&mut self) -> Result<String, Ended> {
        match self.queued.pop_front() {
            Some(line) => Ok(line),
            None => self.read_line().await,
        }
    }

    /// Loses what came along with the last command.
    pub(super) fn lose_early(&mut self) {
        self.unread.clear();
        self.queued.clear();
    }

    /// Does `work` while listening for ABOR; `None` when that came first. Other commands
    /// wait for their turn. A client that closes the control connection does not stop the
    /// transfer, as with vsftpd.
    pub(super) async fn unless_aborted<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let condition = Arc::clone(&self.condition);
            let frozen = || condition.frozen.load(Ordering::Relaxed);
            let listen = !self.closed && !frozen();
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                line = self.read_line(), if listen => match line {
                    Ok(line) if line.eq_ignore_ascii_case("ABOR") && !frozen() => return None,
                    Ok(line) => self.queued.push_back(line),
                    Err(Ended) => self.closed = true,
                },
            }
        }
    }

    pub(super) async fn send(&mut self, reply: &Reply) -> Result<(), Ended> {
        let text = reply.wire();
        for line in text.lines() {
            self.transcript.record(self.session, Side::Server, line);
        }
        match timeout(PEER_LIMIT, self.wire.write_all(text.as_bytes())).await {
            Ok(Ok(())) => self.wire.flush().await.map_err(|_| Ended),
            _ => Err(Ended),
        }
    }

    pub(super) async fn secure(&mut self, acceptor: &TlsAcceptor) -> Result<(), Ended> {
        // What was sent in clear behind AUTH must not count as said under TLS.
        self.lose_early();
        self.wire.secure(acceptor).await.map_err(|_| Ended)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.wire.is_tls()
    }

    /// Number of the session.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    pub(super) fn note(&self, event: impl Into<String>) {
        self.transcript.record(self.session, Side::Event, event);
    }

    /// Says good-bye to the socket, so that the client reads an end and not a reset.
    pub(super) async fn hang_up(&mut self) {
        let _best_effort = self.wire.finish().await;
    }

    /// Keeps what it has read when it is cancelled.
    async fn read_line(&mut self) -> Result<String, Ended> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = strip_telnet(&line);
                let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                self.transcript.record(self.session, Side::Client, masked(&line));
                return Ok(line);
            }
            let mut chunk = [0; 1024];
            let (read, result) = self.wire.read_ready(&mut chunk).await;
            self.unread.extend_from_slice(&chunk[..read]);
            if result.is_err() || read == 0 || self.unread.len() > LONGEST_LINE {
                return Err(Ended);
            }
        }
    }
}

/// ABOR may come with Telnet's interrupt and synch signals around it (RFC 959 section 4.1.3).
fn strip_telnet(line: &[u8]) -> Vec<u8> {
    line.iter().copied().filter(|byte| !matches!(byte, 0xf2 | 0xf4 | 0xff)).collect()
}

fn masked(line: &str) -> String {
    match line.get(..5) {
        Some(verb) if verb.eq_ignore_ascii_case("PASS ") => "PASS ***".to_owned(),
        _ => line.to_owned(),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
