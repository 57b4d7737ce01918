//! Our own sockets: bound to the partner's source address, and told to notice a dead peer.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

use crate::{classify::Failure, config::Limits};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Short commands: sent at once.
    Control,
    /// A file's bytes.
    Data,
}

/// Connects to the first address of `host` that answers.
pub(crate) async fn connect_host(
    host: &str,
    port: u16,
    source: Option<IpAddr>,
    limits: Limits,
) -> Result<TcpStream, Failure> {
    let addresses = timeout(limits.connect, lookup_host((host, port)))
        .await
        .map_err(|_| Failure::Timeout("while its name was looked up"))?
        .map_err(Failure::Io)?;
    let mut last = None;
    for address in addresses.filter(|a| source.is_none_or(|s| s.is_ipv4() == a.is_ipv4())) {
        match connect(address, source, Role::Control, limits).await {
            Ok(stream) => return Ok(stream),
            Err(failure @ Failure::SourceAddress(_)) => return Err(failure),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::Io(io::Error::other("the name has no address of the source address's family"))
    }))
}

/// Connects to one address.
pub(crate) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    role: Role,
    limits: Limits,
) -> Result<TcpStream, Failure> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(Failure::Io)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrNotAvailable => Failure::SourceAddress(error),
            _ => Failure::Io(error),
        })?;
    }
    prepare(&SockRef::from(&socket), role, limits).map_err(Failure::Io)?;
    match timeout(limits.connect, socket.connect(address)).await {
        Ok(stream) => stream.map_err(Failure::Io),
        Err(_) => Err(Failure::Timeout("while a connection was made")),
    }
}

/// Listens for one data connection on `address`.
pub(crate) fn listen(address: IpAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(address, 0))?;
    socket.listen(1)
}

/// The next connection of `peer`; anyone else who comes to the port is turned away.
pub(crate) async fn accept(
    listener: &TcpListener,
    peer: IpAddr,
    limits: Limits,
) -> Result<TcpStream, Failure> {
    let accept = async {
        loop {
            let (stream, from) = listener.accept().await?;
            if from.ip().to_canonical() == peer.to_canonical() {
                prepare(&SockRef::from(&stream), Role::Data, limits)?;
                return Ok(stream);
            }
            tracing::warn!(%from, "turned away a data connection that is not the partner's");
        }
    };
    match timeout(limits.step, accept).await {
        Ok(stream) => stream.map_err(Failure::Io),
        Err(_) => Err(Failure::Timeout("before it opened the data connection")),
    }
}

/// Makes closing the stream reset the connection, so that the partner cannot take what it has
/// for the whole file.
pub(crate) fn close_by_reset(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a data connection cannot be reset");
    }
}

/// The most that waits unsent in a data socket: all of it must drain within one time limit
/// after the last write.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 1024 * 1024;

fn prepare(socket: &SockRef<'_>, role: Role, limits: Limits) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limits.step))?;
    match role {
        Role::Control => {
            // Long transfers leave it idle, and middle boxes forget idle connections.
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(30))
                .with_interval(limits.connect);
            socket.set_tcp_keepalive(&keepalive)?;
            socket.set_tcp_nodelay(true)
        }
        // A data connection that is idle has stalled, and there is a time limit for that.
        #[cfg(target_os = "linux")]
        Role::Data => socket.set_tcp_notsent_lowat(UNSENT_BYTES),
        #[cfg(not(target_os = "linux"))]
        Role::Data => Ok(()),
    }
}
