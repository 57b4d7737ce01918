//! Two commands in one piece: the second leaves before the first is answered, which saves a round
//! trip. RFC 959 section 5.4 has client and server take turns, and some servers, or firewalls before
//! them, lose what comes out of turn. So this is for those that are known to take it.

use std::{
    collections::HashMap,
    io::{self, Write},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use suppaftp::{
    FtpError, FtpResult,
    tokio::{ImplAsyncFtpStream, TokioTlsStream},
    types::Response,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// suppaftp's client, over our own stream under TLS.
pub(crate) type FtpStream = ImplAsyncFtpStream<Secured>;

/// Servers that were measured to take commands early, as their greetings name them.
const KNOWN: [&str; 4] = ["vsFTPd", "ProFTPD", "Pure-FTPd", "pyftpdlib"];

/// Whether the greeting is one of a server that takes commands early.
fn is_known(greeting: &str) -> bool {
    KNOWN.iter().any(|name| greeting.contains(name))
}

/// How a session sends commands early.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    /// Under TLS.
    held: Option<Held>,
    /// `None` where the operator's word counts.
    proof: Option<Proof>,
}

impl Early {
    /// For a session with the server of this greeting, in clear or under the TLS that `held` belongs
    /// to; `None` where it must not. What the operator has `wanted` counts most.
    pub(crate) fn decide(
        wanted: Option<bool>,
        greeting: &str,
        proof: Proof,
        held: Option<Held>,
    ) -> Option<Self> {
        match wanted {
            Some(wanted) => wanted.then_some(Self { held, proof: None }),
            None if proof.last() == Some(false) => None,
            None => is_known(greeting).then_some(Self { held, proof: Some(proof) }),
        }
    }

    /// Sends two commands in one piece, and hears the answer to the first.
    ///
    /// # Errors
    /// A command is more than one line, or the connection is lost.
    pub(crate) async fn send(
        &self,
        ftp: &mut FtpStream,
        [first, second]: [&str; 2],
    ) -> FtpResult<Response> {
        tracing::debug!(first, second, "two commands in one piece");
        let (ahead, last) = (line(first)?, line(second)?);
        match &self.held {
            Some(held) => {
                held.put(ahead.into_bytes());
                ftp.custom_command(second, &[]).await
            }
            None => {
                // suppaftp writes one command at a time.
                let written = write(&*ftp.get_ref().await, (ahead + &last).as_bytes()).await;
                written.map_err(FtpError::ConnectionError)?;
                ftp.read_response_in(&[]).await
            }
        }
    }

    /// Notes that both of a session's first two commands were answered.
    pub(crate) fn heard(&self) {
        if let Some(proof) = &self.proof {
            *proof.lock() = Some(true);
        }
    }

    /// Notes that they were not: the partner was `silent`, or what else went wrong proves little.
    pub(crate) fn not_heard(&self, silent: bool) {
        let Some(proof) = &self.proof else { return };
        if silent || proof.last().is_none() {
            *proof.lock() = Some(false);
            tracing::warn!("no answer to two commands in one piece: the next sessions take turns");
        }
    }
}

/// Whether a partner has answered the first two commands of a session that came in one piece, as the last
/// session that sent them so has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proof(Arc<Mutex<Option<bool>>>);

impl Proof {
    fn last(&self) -> Option<bool> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proofs of all partners, by host and port, as long as this process lives.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<HashMap<(String, u16), Proof>>);

impl Proofs {
    pub(crate) fn of(&self, host: &str, port: u16) -> Proof {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.entry((host.to_owned(), port)).or_default().clone()
    }
}

/// A command as it goes out. A line end within would make it two.
fn line(command: &str) -> FtpResult<String> {
    if command.contains(['\r', '\n']) {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "a command has one line");
        return Err(FtpError::ConnectionError(error));
    }
    Ok(format!("{command}\r\n"))
}

async fn write(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What goes out with the next write of a control connection under TLS, before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<Vec<u8>>>);

impl Held {
    fn put(&self, bytes: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A control connection under TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    stream: TlsStream<TcpStream>,
    held: Held,
}

impl Secured {
    pub(crate) fn new(stream: TlsStream<TcpStream>, held: Held) -> Self {
        Self { stream, held }
    }
}

impl TokioTlsStream for Secured {
    type InnerStream = TlsStream<TcpStream>;

    fn tcp_stream(self) -> FtpResult<TcpStream> {
        Ok(self.stream.into_inner().0)
    }

    fn get_ref(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    fn mut_ref(&mut self) -> &mut TlsStream<TcpStream> {
        &mut self.stream
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let held = self.held.take();
        // What is in rustls's hands goes out with what comes behind it.
        self.stream.get_mut().1.writer().write_all(&held)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_greeting() {
        for known in ["220 (vsFTPd 3.0.5)\r\n", "220 ProFTPD Server (x) [127.0.0.1]\r\n"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["220 Microsoft FTP Service", "220 MikroTik FTP server ready", "220 FTP"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_line_end_never_gets_into_a_command() {
        for smuggled in ["RNFR a\r\nDELE b", "RNFR a\nDELE b", "RNFR a\r"] {
            assert!(line(smuggled).is_err(), "{smuggled:?}");
        }
        assert_eq!(line("RNFR a b").unwrap(), "RNFR a b\r\n");
    }
}
