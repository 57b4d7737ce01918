//! Data connections: where they come from, and how they are made.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    reply::Reply,
    session::{Ended, Session},
    wire::{Socket, Wire},
};

/// How long a client may take to make the data connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// How the next data connection is made.
pub(super) enum DataPort {
    None,
    Passive(TcpListener),
    Active(SocketAddr),
}

impl Session {
    /// RFC 2428 section 3.
    pub(super) async fn extended_passive(&mut self, argument: &str) -> Reply {
        if argument.eq_ignore_ascii_case("ALL") {
            return Reply::new(200, "EPSV ALL ok.");
        }
        match self.listen().await {
            Ok(addr) => {
                let port = addr.port();
                Reply::new(229, format!("Entering Extended Passive Mode (|||{port}|)"))
            }
            Err(error) => Reply::new(421, format!("No port for data: {error}.")),
        }
    }

    /// RFC 959 section 4.1.2.
    pub(super) async fn passive(&mut self) -> Reply {
        let addr = match self.listen().await {
            Ok(addr) => addr,
            Err(error) => return Reply::new(421, format!("No port for data: {error}.")),
        };
        let told = self.shared.behaviour.pasv_address;
        let (IpAddr::V4(ip), port) = (told.map_or(addr.ip(), IpAddr::V4), addr.port()) else {
            return Reply::new(522, "Use EPSV.");
        };
        let [a, b, c, d] = ip.octets();
        let [high, low] = port.to_be_bytes();
        Reply::new(227, format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})."))
    }

    /// RFC 2428 section 2: `|1|127.0.0.1|2000|` with any delimiter.
    pub(super) fn extended_port(&mut self, argument: &str) -> Reply {
        let delimiter = argument.chars().next().unwrap_or('|');
        let parts: Vec<&str> = argument.split(delimiter).collect();
        let addr = match parts[..] {
            [_, _, ip, port, ..] => ip.parse::<IpAddr>().ok().zip(port.parse::<u16>().ok()),
            _ => None,
        };
        self.connect_to(addr.map(SocketAddr::from))
    }

    /// RFC 959 section 4.1.2.
    pub(super) fn port(&mut self, argument: &str) -> Reply {
        let bytes: Vec<u8> = argument.split(',').filter_map(|part| part.parse().ok()).collect();
        self.connect_to(match bytes[..] {
            [a, b, c, d, high, low] => {
                let ip = Ipv4Addr::new(a, b, c, d);
                Some(SocketAddr::from((ip, u16::from_be_bytes([high, low]))))
            }
            _ => None,
        })
    }

    /// Makes the data connection that the client prepared, says 150, and shakes hands.
    /// The inner error is the reply that refuses the transfer.
    pub(super) async fn open_data(&mut self, opening: &str) -> Result<Result<Wire, Reply>, Ended> {
        let shared = Arc::clone(&self.shared);
        let tls = shared.tls.as_ref();
        if !self.private && tls.is_some_and(|(tls, _)| tls.required) {
            return Ok(Err(Reply::new(522, "Data connections must be encrypted.")));
        }
        let tcp = match timeout(CONNECT_LIMIT, self.connect_data()).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => {
                return Ok(Err(Reply::new(425, format!("No data connection: {error}."))));
            }
            Err(_) => return Ok(Err(Reply::new(425, "No data connection in time."))),
        };
        let mut wire = Wire::Plain(Socket::new(tcp, Arc::clone(&self.condition)));
        self.control.send(&Reply::new(150, opening)).await?;
        if let (true, Some((config, acceptor))) = (self.private, tls) {
            if let Err(error) = wire.secure(acceptor).await {
                return Ok(Err(Reply::new(425, format!("TLS failed: {error}."))));
            }
            self.control.note(if wire.resumed() { "data TLS resumed" } else { "data TLS new" });
            if config.session_reuse_required && !wire.resumed() {
                return Ok(Err(Reply::new(522, "SSL connection failed; session reuse required.")));
            }
        }
        Ok(Ok(wire))
    }

    async fn connect_data(&mut self) -> io::Result<TcpStream> {
        let (tcp, peer) = match std::mem::replace(&mut self.data, DataPort::None) {
            DataPort::None => return Err(io::Error::other("use PASV or PORT first")),
            DataPort::Passive(listener) => listener.accept().await?,
            DataPort::Active(addr) => (TcpStream::connect(addr).await?, addr),
        };
        self.control.note(format!("data connection with {peer}"));
        // Real servers refuse a stranger here, which shows a client that binds control and
        // data to different addresses.
        if peer.ip() != self.peer.ip() {
            return Err(io::Error::other(format!("security: bad IP {}", peer.ip())));
        }
        Ok(tcp)
    }

    async fn listen(&mut self) -> io::Result<SocketAddr> {
        let socket = match self.local.ip() {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(limit) = self.shared.receive_buffer_bytes {
            // The accepted connection inherits it.
            socket.set_recv_buffer_size(limit)?;
        }
        socket.bind((self.local.ip(), 0).into())?;
        let listener = socket.listen(1)?;
        let addr = listener.local_addr()?;
        self.data = DataPort::Passive(listener);
        Ok(addr)
    }

    /// Refuses to connect to anybody else, which would be a bounce attack (RFC 2577).
    fn connect_to(&mut self, addr: Option<SocketAddr>) -> Reply {
        match addr {
            Some(addr) if addr.ip() == self.peer.ip() => {
                self.data = DataPort::Active(addr);
                Reply::new(200, "Consider using PASV.")
            }
            Some(_) => Reply::new(500, "Illegal address."),
            None => Reply::new(501, "Address not understood."),
        }
    }
}
