//! Data connections: opened, used for one transfer, and closed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ferryway_core::{
    bytes::Sink,
    transport::{Download, Stored, Upload},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    classify::Failure,
    config::{Mode, PassiveAddress},
    connect::{Passive, Wire},
    control::Answer,
    endpoint,
    pump::{self, Ahead, Stop},
    source_address::{self, Role, close_by_reset},
};

/// A data connection whose transfer the partner has begun.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A data connection before its transfer.
enum Prepared {
    /// We connected to the partner.
    Connected(TcpStream),
    /// The partner will connect to us.
    Listening(TcpListener),
}

impl Wire {
    /// Stores a file: REST if need be, then STOR. APPE is never used: what it does to a file
    /// that another session grows meanwhile differs from server to server. Then the size is asked.
    pub(crate) async fn store(&mut self, upload: Upload) -> Result<Stored, Failure> {
        let path = upload.path.clone();
        let bytes = self.send(upload).await?;
        let size = self.stored_size(&path).await?;
        Ok(Stored { bytes, size, digest: None })
    }

    async fn send(&mut self, upload: Upload) -> Result<u64, Failure> {
        let Upload { path, offset, length, source, meter } = upload;
        let ahead = Ahead::start(source, length);
        let mut stream = match self.open(&format!("STOR {path}"), offset).await {
            Ok(stream) => stream,
            Err(failure) => {
                ahead.give_up().await;
                return Err(failure);
            }
        };
        let limit = self.control.limits().step;
        let sent = match &mut stream {
            Stream::Plain(tcp) => pump::send(tcp, ahead, &meter, limit).await,
            Stream::Tls(tls) => pump::send(tls, ahead, &meter, limit).await,
        };
        match sent {
            Ok(sent) => match stream.finish_sending(limit).await {
                Ok(()) => {
                    let answer = self.control.end_within(limit + draining(sent)).await?;
                    self.completed(answer).map(|()| sent)
                }
                Err(error) => Err(self.broken(error).await),
            },
            Err(stop) => Err(self.stopped(stop, stream).await),
        }
    }

    /// Fetches a file: REST if need be, then RETR.
    pub(crate) async fn fetch(&mut self, download: Download) -> Result<u64, Failure> {
        let Download { path, offset, sink, meter } = download;
        let stream = self.open(&format!("RETR {path}"), offset).await?;
        self.receive(stream, sink, &meter).await
    }

    /// Takes what a listing command sends.
    pub(crate) async fn receive_listing(
        &mut self,
        command: &str,
        sink: Sink,
    ) -> Result<u64, Failure> {
        let stream = self.open(command, 0).await?;
        self.receive(stream, sink, &ferryway_core::bytes::Meter::new()).await
    }

    async fn receive(
        &mut self,
        mut stream: Stream,
        sink: Sink,
        meter: &ferryway_core::bytes::Meter,
    ) -> Result<u64, Failure> {
        let limit = self.control.limits().step;
        let received = match &mut stream {
            Stream::Plain(tcp) => pump::receive(tcp, sink, meter, limit).await,
            Stream::Tls(tls) => pump::receive(tls, sink, meter, limit).await,
        };
        match received {
            Ok(received) => {
                drop(stream);
                let answer = self.control.end().await?;
                self.completed(answer).map(|()| received)
            }
            Err(stop) => Err(self.stopped(stop, stream).await),
        }
    }

    /// Opens a data connection and begins a transfer on it.
    async fn open(&mut self, command: &str, offset: u64) -> Result<Stream, Failure> {
        let prepared = match self.mode {
            Mode::Passive => Prepared::Connected(self.open_passive().await?),
            Mode::Active => Prepared::Listening(self.listen().await?),
        };
        if offset > 0 {
            // REST comes right before the command that it is for (RFC 3659 section 5.3).
            let answer = self.control.ask(&format!("REST {offset}")).await?;
            if answer.code == 421 {
                return Err(Failure::Reply(answer.reply()));
            }
            if !answer.is_intermediate() {
                // FEAT may offer what the server's configuration forbids. 554 is about this
                // offset only.
                self.features.restart &= answer.code == 554;
                return Err(Failure::Restart(answer.reply()));
            }
        }
        let answer = match self.control.begin(command).await {
            Err(Failure::Timeout(_)) if command.starts_with("STOR ") => {
                return Err(Failure::LockedOut);
            }
            answer => answer?,
        };
        if !answer.is_preliminary() {
            if offset > 0 && answer.code != 421 {
                // Some servers keep the offset for the next transfer. What they say to this
                // does not matter.
                self.control.ask("REST 0").await?;
            }
            return Err(Failure::Reply(answer.reply()));
        }
        match self.begun(prepared).await {
            Ok(stream) => Ok(stream),
            // The partner may say why, in place of what we see.
            Err(failure) => match self.control.end().await {
                Ok(answer) if !answer.is_done() => Err(Failure::Reply(answer.reply())),
                _ => Err(failure),
            },
        }
    }

    async fn begun(&self, prepared: Prepared) -> Result<Stream, Failure> {
        let limits = self.control.limits();
        let tcp = match prepared {
            Prepared::Connected(tcp) => tcp,
            Prepared::Listening(listener) => {
                source_address::accept(&listener, self.control.peer().ip(), limits).await?
            }
        };
        let Some(connector) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        match timeout(limits.step, connector.secure(tcp)).await {
            Err(_) => Err(Failure::Timeout("while the data connection was secured")),
            Ok(Err(error)) => Err(Failure::Tls(error)),
            Ok(Ok(tls)) => Ok(Stream::Tls(Box::new(tls))),
        }
    }

    /// EPSV (RFC 2428), or PASV (RFC 959) where EPSV does not lead to a connection.
    async fn open_passive(&mut self) -> Result<TcpStream, Failure> {
        if self.passive != Passive::Classic {
            match self.open_extended().await {
                Ok(stream) => {
                    self.passive = Passive::Extended;
                    return Ok(stream);
                }
                // Only IPv4 has PASV.
                Err(failure) if self.passive == Passive::Extended || self.is_ipv6() => {
                    return Err(failure);
                }
                Err(Failure::Reply(reply)) if reply.code < 500 => {
                    return Err(Failure::Reply(reply));
                }
                Err(failure @ Failure::SourceAddress(_)) => return Err(failure),
                Err(failure) => tracing::debug!(?failure, "EPSV does not work here: PASV"),
            }
        }
        let stream = self.open_classic().await?;
        self.passive = Passive::Classic;
        Ok(stream)
    }

    async fn open_extended(&mut self) -> Result<TcpStream, Failure> {
        let answer = self.control.ask("EPSV").await?;
        if answer.code != 229 {
            return Err(Failure::Reply(answer.reply()));
        }
        let port = endpoint::extended_passive(&answer.text)
            .ok_or_else(|| Failure::Protocol(format!("no port in `{}`", answer.text)))?;
        self.connect_data(SocketAddr::new(self.control.peer().ip(), port)).await
    }

    async fn open_classic(&mut self) -> Result<TcpStream, Failure> {
        let answer = self.control.ask("PASV").await?;
        if answer.code != 227 {
            return Err(Failure::Reply(answer.reply()));
        }
        let named = endpoint::passive(answer.body())
            .ok_or_else(|| Failure::Protocol(format!("no address in `{}`", answer.text)))?;
        let host = match self.passive_address {
            PassiveAddress::Control => self.control.peer().ip(),
            PassiveAddress::Reply => IpAddr::V4(*named.ip()),
        };
        self.connect_data(SocketAddr::new(host, named.port())).await
    }

    async fn connect_data(&self, address: SocketAddr) -> Result<TcpStream, Failure> {
        source_address::connect(address, self.source, Role::Data, self.control.limits()).await
    }

    /// PORT or EPRT with a port of the control connection's own address, which is the source
    /// address where there is one.
    async fn listen(&mut self) -> Result<TcpListener, Failure> {
        let listener = source_address::listen(self.control.local().ip()).map_err(Failure::Io)?;
        let address = listener.local_addr().map_err(Failure::Io)?;
        self.control.ask(&endpoint::active(address)).await?.done()?;
        Ok(listener)
    }

    fn is_ipv6(&self) -> bool {
        self.control.peer().ip().to_canonical().is_ipv6()
    }

    /// The partner's word on a transfer whose bytes have moved.
    fn completed(&self, answer: Answer) -> Result<(), Failure> {
        match answer.code {
            425 if self.tls.is_some() => Err(Failure::DataRefused(answer.reply())),
            _ => answer.done().map(|_| ()),
        }
    }

    /// What a failed data connection means: what the partner says about it, if it still says
    /// anything, else what we saw.
    async fn broken(&mut self, error: io::Error) -> Failure {
        match self.control.end().await {
            Ok(answer) => self.completed(answer).err().unwrap_or(Failure::Io(error)),
            Err(_) => Failure::Io(error),
        }
    }

    async fn stopped(&mut self, stop: Stop, stream: Stream) -> Failure {
        match stop {
            Stop::Stalled => Failure::Timeout("on the data connection"),
            Stop::Remote(error) => {
                drop(stream);
                self.broken(error).await
            }
            Stop::Local(error) => {
                // An orderly close would make a partner believe that it has the whole file.
                close_by_reset(stream.tcp());
                drop(stream);
                match self.control.end().await {
                    Ok(_) => Failure::Local(error),
                    Err(_) => Failure::LocalAndLost(error),
                }
            }
        }
    }
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Ends an upload: all bytes on their way, then the end of the file.
    async fn finish_sending(self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Plain(mut tcp) => tcp.shutdown().await,
            Self::Tls(mut tls) => {
                timeout(limit, tls.shutdown()).await??;
                // Tickets that the partner sent are still unread: closing now would reset the
                // connection before the partner has read its end. They also let the next data
                // connection resume.
                let mut rest = [0; 1024];
                let drain = async { while matches!(tls.read(&mut rest).await, Ok(1..)) {} };
                if timeout(DRAIN_LIMIT, drain).await.is_err() {
                    tracing::debug!("the partner keeps the data connection open");
                }
                Ok(())
            }
        }
    }
}

/// How long an upload over TLS waits for the partner to close its side.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How long the last bytes of an upload may take from the buffers of both systems, which hold
/// some megabytes, to the disk of a slow partner; nothing shows their progress.
fn draining(sent: u64) -> Duration {
    const BUFFERED_BYTES: u64 = 8 * 1024 * 1024;
    const SLOWEST_BYTES_PER_S: u64 = 256 * 1024;
    Duration::from_secs(sent.min(BUFFERED_BYTES) / SLOWEST_BYTES_PER_S)
}
