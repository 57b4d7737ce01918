//! A bare FTP client: one command, one reply, nothing done behind the test's back.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, client::ClientSessionMemoryCache,
    client::Resumption, crypto::ring::default_provider, version::TLS12,
};

/// No reply and no data for this long is a failure, unless set otherwise.
const LIMIT: Duration = Duration::from_secs(20);

/// A control connection.
pub struct RawFtp {
    control: BufReader<Wire>,
    peer: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// All its lines, as they came.
    pub text: String,
}

impl RawFtp {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// No connection, or no 220.
    pub fn connect(peer: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&peer, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut ftp = Self { control: BufReader::new(Wire::Plain(stream)), peer, tls: None };
        ftp.reply()?.expect(220)?;
        Ok(ftp)
    }

    /// Goes over to TLS (RFC 4217) for commands and data. The server shows the
    /// certificate in the file `certificate`; data connections resume the session
    /// of the control connection.
    ///
    /// # Errors
    /// The server refused, or the handshake failed.
    pub fn secure(self, certificate: &Path) -> io::Result<Self> {
        let mut plain = self;
        plain.command("AUTH TLS")?.expect(234)?;
        let config = tls_config(certificate)?;
        let Wire::Plain(stream) = plain.control.into_inner() else {
            return Err(io::Error::other("the connection is secure already"));
        };
        let control = BufReader::new(Wire::secure(stream, &config)?);
        let mut ftp = Self { control, peer: plain.peer, tls: Some(config) };
        ftp.command("PBSZ 0")?.expect(200)?;
        ftp.command("PROT P")?.expect(200)?;
        Ok(ftp)
    }

    /// Logs in and sets binary mode.
    ///
    /// # Errors
    /// The login or the mode is refused.
    pub fn login(&mut self, user: &str, password: &str) -> io::Result<()> {
        let reply = self.command(&format!("USER {user}"))?;
        if reply.code != 230 {
            reply.expect(331)?;
            self.command(&format!("PASS {password}"))?.expect(230)?;
        }
        self.command("TYPE I")?.expect(200)?;
        Ok(())
    }

    /// Sends one command and reads one reply, whatever its code.
    ///
    /// # Errors
    /// Those of the connection; time-out when no reply comes.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.say(&[line])?;
        self.reply()
    }

    /// Sends commands in one piece and reads nothing.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn say(&mut self, lines: &[impl AsRef<str>]) -> io::Result<()> {
        let text: String = lines.iter().map(|line| format!("{}\r\n", line.as_ref())).collect();
        let stream = self.control.get_mut();
        stream.write_all(text.as_bytes())?;
        stream.flush()
    }

    /// Reads one reply, such as the one that ends a transfer.
    ///
    /// # Errors
    /// Those of the connection; time-out when no reply comes.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let start = text.len();
            if self.control.read_line(&mut text)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = &text[start..];
            let digits = line.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            // RFC 959, 4.2: the last line has a space after the code.
            if let (Some(digits), Some(" ")) = (digits, line.get(3..4)) {
                let code = digits.parse().map_err(io::Error::other)?;
                return Ok(Reply { code, text: text.trim_end().to_owned() });
            }
        }
    }

    /// The time after which a missing reply is an error; 20 s to begin with.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn set_reply_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.control.get_ref().socket().set_read_timeout(Some(limit))
    }

    /// The folder the session is in (PWD).
    ///
    /// # Errors
    /// The command is refused.
    pub fn folder(&mut self) -> io::Result<String> {
        let reply = self.command("PWD")?;
        reply.expect(257)?;
        let quoted = reply.text.split('"').nth(1);
        quoted.map(str::to_owned).ok_or_else(|| io::Error::other(reply.to_string()))
    }

    /// The size of a file (SIZE), or `None` when the server gives none.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn size(&mut self, path: &str) -> io::Result<Option<u64>> {
        let reply = self.command(&format!("SIZE {path}"))?;
        let number = reply.text.split_whitespace().nth(1).and_then(|n| n.parse().ok());
        Ok(if reply.code == 213 { number } else { None })
    }

    /// Starts a transfer command (`STOR x`, `RETR x`, `LIST`) over a passive data
    /// connection. The reply to its end is read with [`RawFtp::reply`] after the
    /// connection was used up or closed.
    ///
    /// # Errors
    /// The server answers with anything but 125 or 150.
    pub fn transfer(&mut self, command: &str) -> io::Result<DataConnection> {
        let stream = self.passive()?;
        let reply = self.command(command)?;
        if reply.code != 125 {
            reply.expect(150)?;
        }
        Ok(DataConnection(match &self.tls {
            Some(config) => Wire::secure(stream, config)?,
            None => Wire::Plain(stream),
        }))
    }

    /// A data connection in clear for the next transfer command (PASV).
    ///
    /// # Errors
    /// The server has none, and those of the connections.
    pub fn passive(&mut self) -> io::Result<TcpStream> {
        let reply = self.command("PASV")?;
        reply.expect(227)?;
        let address = passive_address(&reply.text).ok_or_else(|| io::Error::other(reply.text))?;
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(stream)
    }

    /// Uploads a small file and returns the last reply.
    ///
    /// # Errors
    /// Those of [`RawFtp::transfer`] and of the connections.
    pub fn store(&mut self, path: &str, bytes: &[u8]) -> io::Result<Reply> {
        let mut data = self.transfer(&format!("STOR {path}"))?;
        data.write_all(bytes)?;
        data.close()?;
        self.reply()
    }

    /// Downloads a small file.
    ///
    /// # Errors
    /// Those of [`RawFtp::transfer`] and of the connections, and an end without 226.
    pub fn retrieve(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.transfer(&format!("RETR {path}"))?.read_to_end(&mut bytes)?;
        self.reply()?.expect(226)?;
        Ok(bytes)
    }
}

impl Reply {
    /// Makes any other code an error that shows the reply.
    ///
    /// # Errors
    /// The code is not `code`.
    pub fn expect(&self, code: u16) -> io::Result<()> {
        if self.code == code {
            return Ok(());
        }
        Err(io::Error::other(format!("the server answered {self} in place of {code}")))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The connection of one transfer.
pub struct DataConnection(Wire);

impl DataConnection {
    /// Ends an upload in good order.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn close(mut self) -> io::Result<()> {
        if let Wire::Secure(stream) = &mut self.0 {
            stream.conn.send_close_notify();
        }
        self.0.flush()
    }
}

impl Read for DataConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for DataConnection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn secure(mut stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        let mut connection =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self::Secure(Box::new(StreamOwned::new(connection, stream))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Secure(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

/// TLS 1.2 only: its sessions may be resumed any number of times, where those of
/// TLS 1.3 are used up, and some servers then refuse the data connection.
fn tls_config(certificate: &Path) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS12])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
    Ok(Arc::new(config))
}

/// The address in a 227 reply (RFC 959, 4.1.2).
fn passive_address(reply: &str) -> Option<SocketAddr> {
    let (_, numbers) = reply.split_once('(')?;
    let (numbers, _) = numbers.split_once(')')?;
    let numbers: Vec<u8> = numbers.split(',').map_while(|n| n.trim().parse().ok()).collect();
    let [a, b, c, d, high, low] = numbers[..] else { return None };
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
}
