//! The network between a node and its partner, or the cluster's virtual address: a relay that
//! can go silent, heal, and lead elsewhere.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// Little is under way in the relay, as on a wire.
pub(super) const BUFFER_BYTES: u32 = 64 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;

/// How long a data connection that was announced may take to come.
const DATA_CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// A relay for FTP in passive mode (EPSV) without TLS. Dropping it closes every connection.
#[derive(Debug)]
pub(super) struct Relay {
    addr: SocketAddr,
    way: watch::Sender<Way>,
    accepting: JoinHandle<()>,
}

/// Where connections lead, and whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    server: SocketAddr,
    passes: bool,
    /// Connections of an earlier generation belong to a machine that has lost the address.
    generation: u64,
}

/// A connection's view of the way.
#[derive(Clone, Debug)]
struct Path {
    way: watch::Receiver<Way>,
    /// The way as it was when the connection was made.
    first: Way,
}

/// The virtual address has moved to another machine.
struct Moved;

impl Relay {
    /// Starts a relay to `server` on a free port of `address`, or on `port`.
    ///
    /// # Errors
    /// When the port is taken.
    pub(super) fn start(address: Ipv4Addr, port: u16, server: SocketAddr) -> io::Result<Self> {
        let listener = listen(SocketAddrV4::new(address, port))?;
        let addr = listener.local_addr()?;
        let way = watch::Sender::new(Way { server, passes: true, generation: 0 });
        let accepting = tokio::spawn(accept(listener, way.subscribe()));
        Ok(Self { addr, way, accepting })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets nothing pass any more, in no direction; what is under way waits.
    pub(super) fn hold(&self) {
        self.way.send_modify(|way| way.passes = false);
    }

    /// Lets everything pass again, what waits first.
    pub(super) fn heal(&self) {
        self.way.send_modify(|way| way.passes = true);
    }

    /// New connections go to this server from now on.
    pub(super) fn lead_to(&self, server: SocketAddr) {
        self.way.send_modify(|way| way.server = server);
    }

    /// Moves the address to another server, as measured on real ones: data connections are
    /// reset, control connections fall silent, new ones go to the new server.
    pub(super) fn reroute(&self, server: SocketAddr) {
        self.way.send_modify(|way| {
            way.server = server;
            way.generation += 1;
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The connections' tasks belong to the accepting one.
        self.accepting.abort();
    }
}

impl Path {
    fn new(way: watch::Receiver<Way>) -> Self {
        let first = *way.borrow();
        Self { way, first }
    }

    /// Waits until the way is free; it fails when the address has moved.
    async fn free(&mut self) -> Result<(), Moved> {
        let first = self.first.generation;
        let free = |way: &Way| way.passes || way.generation != first;
        match self.way.wait_for(free).await {
            Ok(way) if way.generation == first => Ok(()),
            // The relay is gone, which ends this task anyway.
            _ => Err(Moved),
        }
    }

    /// The next bytes of a connection, as soon as the way is free for them; 0 at its end,
    /// however it comes.
    async fn read(&mut self, from: &mut OwnedReadHalf, chunk: &mut [u8]) -> Result<usize, Moved> {
        let read = tokio::select! {
            read = from.read(chunk) => read.unwrap_or(0),
            () = self.clone().moved() => return Err(Moved),
        };
        self.free().await.map(|()| read)
    }

    /// Resolves when the address has moved.
    async fn moved(mut self) {
        let first = self.first.generation;
        let _moved_or_gone = self.way.wait_for(|way| way.generation != first).await;
    }
}

fn listen(addr: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.bind(addr.into())?;
    socket.listen(64)
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.connect(server).await
}

async fn accept(listener: TcpListener, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => if let Ok((client, _)) = taken {
                connections.spawn(control(client, Path::new(way.clone())));
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// A control connection and the data connections that it announces.
async fn control(client: TcpStream, mut path: Path) {
    let address = client.local_addr().map(|addr| addr.ip());
    let Ok(std::net::IpAddr::V4(address)) = address else { return };
    // A server that refuses is one that closes: the client sees an end at once.
    let (Ok(()), Ok(server)) = (path.free().await, connect(path.first.server).await) else {
        return;
    };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut data = JoinSet::new();
    let up = carry(from_client, to_server, path.clone());
    let down = answers(from_server, to_client, path.clone(), address, &mut data);
    tokio::join!(up, down);
    // A transfer may outlive its control connection for a moment.
    while data.join_next().await.is_some() {}
}

/// Carries bytes one way, until the end of the stream, which it passes on.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut path: Path) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(length) = path.read(&mut from, &mut chunk).await else {
            return keep((from, to)).await;
        };
        if length == 0 || to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

/// Carries a server's answers, and puts an address of our own into each that tells one.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut path: Path,
    address: Ipv4Addr,
    data: &mut JoinSet<()>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut waiting = Vec::new();
    loop {
        let Ok(length) = path.read(&mut from, &mut chunk).await else {
            return keep((from, to)).await;
        };
        if length == 0 {
            return;
        }
        waiting.extend_from_slice(&chunk[..length]);
        while let Some(end) = waiting.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let line = announced(&line)
                .and_then(|port| open_data(port, address, &path, data))
                .unwrap_or(line);
            if to.write_all(&line).await.is_err() {
                return;
            }
        }
    }
}

/// Listens in the server's place and tells of it; `None` when that is not possible.
fn open_data(port: u16, address: Ipv4Addr, path: &Path, data: &mut JoinSet<()>) -> Option<Vec<u8>> {
    let listener = listen(SocketAddrV4::new(address, 0)).ok()?;
    let own = listener.local_addr().ok()?.port();
    let server = SocketAddr::new(path.first.server.ip(), port);
    data.spawn(transfer(listener, server, path.clone()));
    Some(format!("229 Entering Extended Passive Mode (|||{own}|)\r\n").into_bytes())
}

/// One data connection.
async fn transfer(listener: TcpListener, server: SocketAddr, mut path: Path) {
    let Ok(Ok((client, _))) = timeout(DATA_CONNECTION_LIMIT, listener.accept()).await else {
        return;
    };
    let moved = path.clone().moved();
    if path.free().await.is_err() {
        return;
    }
    let Ok(server) = connect(server).await else { return };
    let (client_resets, server_resets) = (client.set_zero_linger(), server.set_zero_linger());
    if client_resets.and(server_resets).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = carry(from_client, to_server, path.clone());
    let down = carry(from_server, to_client, path.clone());
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        // Dropping the connections resets them.
        () = moved => {}
    }
}

/// The port that an answer announces (RFC 2428 section 3).
fn announced(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line).ok()?;
    let inside = text.strip_prefix("229 ")?.split_once("(|||")?.1;
    inside.split_once('|')?.0.parse().ok()
}

/// Keeps the ends of a connection open until the relay is dropped, and lets nothing through.
async fn keep<T>(ends: T) {
    std::future::pending::<()>().await;
    drop(ends);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_passive_answer_announces_a_port() {
        assert_eq!(announced(b"229 Entering Extended Passive Mode (|||40321|)\r\n"), Some(40321));
        for line in [&b"226 Done (|||1|)\r\n"[..], b"229 no\r\n", b"229 (|||x|)\r\n", b"\xff"] {
            assert_eq!(announced(line), None);
        }
    }

    #[tokio::test]
    async fn a_held_relay_keeps_what_is_under_way_until_it_heals() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = Relay::start(Ipv4Addr::LOCALHOST, 0, server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        relay.hold();
        client.write_all(b"NOOP\r\n").await.unwrap();
        drop(client);
        let mut text = String::new();
        let early = timeout(Duration::from_millis(50), accepted.read_u8()).await;
        assert!(early.is_err(), "neither a byte nor the end may pass");
        relay.heal();
        timeout(Duration::from_secs(5), accepted.read_to_string(&mut text)).await.unwrap().unwrap();
        assert_eq!(text, "NOOP\r\n");
    }

    #[tokio::test]
    async fn a_moved_address_leaves_old_connections_silent_and_takes_new_ones_elsewhere() {
        let limit = Duration::from_secs(5);
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = Relay::start(Ipv4Addr::LOCALHOST, 0, first.local_addr().unwrap()).unwrap();
        let mut old = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut served, _) = first.accept().await.unwrap();
        relay.reroute(second.local_addr().unwrap());
        let mut new = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut there, _) = timeout(limit, second.accept()).await.unwrap().unwrap();
        new.write_all(b"x").await.unwrap();
        assert_eq!(timeout(limit, there.read_u8()).await.unwrap().unwrap(), b'x');
        served.write_all(b"226 Done\r\n").await.unwrap();
        assert!(timeout(Duration::from_millis(50), old.read_u8()).await.is_err());
    }
}
