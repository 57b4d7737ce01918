//! The network between a node and its partner, or a cluster's virtual address: a relay that
//! can go silent, heal, and lead elsewhere.

mod dialogue;
mod flow;
mod frames;
mod passive;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use tokio::{
    io::AsyncReadExt,
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use dialogue::Towards;
pub(crate) use dialogue::{Dialogue, Gate, Stop};
use flow::Flow;
pub(crate) use frames::Ask;

/// Little is under way in the relay, as on a wire.
pub(crate) const BUFFER_BYTES: u32 = 64 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;

/// A relay on one address. Dropping it closes every connection.
#[derive(Debug)]
pub(crate) struct Relay {
    addr: SocketAddr,
    way: watch::Sender<Way>,
    up: Arc<Flow>,
    dialogue: Arc<Dialogue>,
    accepting: JoinHandle<()>,
}

/// What a relay is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) carries: Carries,
    /// What all connections together get through towards the server; `None` for no limit.
    pub(crate) bytes_per_second: Option<u64>,
}

/// What passes through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// FTP in passive mode (EPSV) without TLS: data connections are relayed as well.
    Ftp,
    /// The dialogue of two hosts by socket, without TLS.
    Hosts,
    /// Connections as they are.
    Anything,
}

/// Where connections lead, and whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    /// `None` while the address is nobody's: new connections wait.
    server: Option<SocketAddr>,
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
    up: Arc<Flow>,
    down: Arc<Flow>,
}

/// The virtual address has moved to another machine.
struct Moved;

impl Line {
    pub(crate) const FTP: Self = Self { carries: Carries::Ftp, bytes_per_second: None };

    /// What two hosts say, as fast as it comes.
    pub(crate) const HOSTS: Self = Self { carries: Carries::Hosts, bytes_per_second: None };

    /// Anything, as fast as it comes.
    pub(crate) const UNLIMITED: Self = Self { carries: Carries::Anything, bytes_per_second: None };
}

impl Relay {
    /// Starts a relay to `server`, or to nobody yet, on a free port of `address`, or on `port`.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) fn start(
        address: Ipv4Addr,
        port: u16,
        server: impl Into<Option<SocketAddr>>,
        line: Line,
    ) -> io::Result<Self> {
        let listener = listen(SocketAddrV4::new(address, port))?;
        let addr = listener.local_addr()?;
        let way = watch::Sender::new(Way { server: server.into(), passes: true, generation: 0 });
        let (up, down) = (Arc::new(Flow::new(line.bytes_per_second)), Arc::new(Flow::new(None)));
        let first = *way.borrow();
        let path = Path { way: way.subscribe(), first, up: Arc::clone(&up), down };
        let dialogue = Arc::default();
        let accepting = accept(listener, path, line.carries, Arc::clone(&dialogue));
        Ok(Self { addr, way, up, dialogue, accepting: tokio::spawn(accepting) })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets nothing pass any more, in no direction; what is under way waits.
    pub(crate) fn hold(&self) {
        self.way.send_modify(|way| way.passes = false);
    }

    /// Lets everything pass again, what waits first.
    pub(crate) fn heal(&self) {
        self.way.send_modify(|way| way.passes = true);
    }

    /// New connections go to this server from now on, those that wait among them.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.way.send_modify(|way| way.server = Some(server));
    }

    /// New connections wait from now on until the relay leads somewhere.
    pub(crate) fn lead_nowhere(&self) {
        self.way.send_modify(|way| way.server = None);
    }

    /// Moves the address to another server, or to nobody yet, as measured on real ones: data
    /// connections are reset, control connections fall silent, new ones go to the new server.
    pub(crate) fn reroute(&self, server: impl Into<Option<SocketAddr>>) {
        let server = server.into();
        self.way.send_modify(|way| {
            way.server = server;
            way.generation += 1;
        });
    }

    /// Bytes that were handed on towards the server, over all connections.
    pub(crate) fn carried(&self) -> u64 {
        self.up.carried()
    }

    /// Sets a stop for the dialogue of hosts.
    pub(crate) fn stop(&self, stop: Stop) -> Gate {
        self.dialogue.stop(stop)
    }

    /// What hosts have said and sent through it.
    pub(crate) fn dialogue(&self) -> Arc<Dialogue> {
        Arc::clone(&self.dialogue)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The connections' tasks belong to the accepting one.
        self.accepting.abort();
    }
}

impl Path {
    /// The path of a connection that is made now.
    fn now(&self) -> Self {
        let first = *self.way.borrow();
        Self { first, ..self.clone() }
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

    /// Waits until a new connection leads somewhere: where.
    async fn server(&mut self) -> Result<SocketAddr, Moved> {
        self.free().await?;
        let first = self.first.generation;
        let way = self.way.wait_for(|way| way.server.is_some()).await.map_err(|_| Moved)?;
        way.server.filter(|_| way.generation == first).ok_or(Moved)
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

async fn accept(listener: TcpListener, path: Path, carries: Carries, dialogue: Arc<Dialogue>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => if let Ok((client, _)) = taken {
                connections.spawn(serve(client, path.now(), carries, Arc::clone(&dialogue)));
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection, until both ends have ended it.
async fn serve(client: TcpStream, mut path: Path, carries: Carries, dialogue: Arc<Dialogue>) {
    let address = client.local_addr().map(|addr| addr.ip());
    let Ok(std::net::IpAddr::V4(address)) = address else { return };
    let Ok(addr) = path.server().await else { return };
    // A server that refuses is one that closes: the client sees an end at once.
    let Ok(server) = connect(addr).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) = (Arc::clone(&path.up), Arc::clone(&path.down));
    match carries {
        Carries::Ftp => {
            let up = carry(from_client, to_server, path.clone(), up);
            let mut data = JoinSet::new();
            let down =
                passive::answers(from_server, to_client, path, (address, addr.ip()), &mut data);
            tokio::join!(up, down);
            // A transfer may outlive its control connection for a moment.
            while data.join_next().await.is_some() {}
        }
        Carries::Hosts => {
            let connection = Arc::new(dialogue.connection());
            let to_host = (Arc::clone(&connection), Towards::Host);
            let up = dialogue::carry((from_client, to_server), path.clone(), up, to_host);
            let to_visitor = (connection, Towards::Visitor);
            let down = dialogue::carry((from_server, to_client), path, down, to_visitor);
            tokio::join!(up, down);
        }
        Carries::Anything => {
            let up = carry(from_client, to_server, path.clone(), up);
            tokio::join!(up, carry(from_server, to_client, path, down));
        }
    }
}

/// Carries bytes one way, until the end of the stream, which it passes on.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut path: Path, flow: Arc<Flow>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(length) = path.read(&mut from, &mut chunk).await else {
            return keep((from, to)).await;
        };
        if length == 0 || flow.pass(&chunk[..length], &mut to).await.is_err() {
            return;
        }
    }
}

/// Keeps the ends of a connection open until the relay is dropped, and lets nothing through.
async fn keep<T>(ends: T) {
    std::future::pending::<()>().await;
    drop(ends);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt, time::timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn start(server: &TcpListener, line: Line) -> Relay {
        Relay::start(Ipv4Addr::LOCALHOST, 0, server.local_addr().unwrap(), line).unwrap()
    }

    async fn server() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    #[tokio::test]
    async fn a_held_relay_keeps_what_is_under_way_until_it_heals() {
        let server = server().await;
        let relay = start(&server, Line::FTP).await;
        let mut client = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        relay.hold();
        client.write_all(b"NOOP\r\n").await.unwrap();
        drop(client);
        let mut text = String::new();
        let early = timeout(Duration::from_millis(50), accepted.read_u8()).await;
        assert!(early.is_err(), "neither a byte nor the end may pass");
        relay.heal();
        timeout(LIMIT, accepted.read_to_string(&mut text)).await.unwrap().unwrap();
        assert_eq!(text, "NOOP\r\n");
    }

    #[tokio::test]
    async fn an_address_that_is_nobodys_keeps_connections_waiting_until_it_leads_somewhere() {
        let (gone, there) = (server().await, server().await);
        let relay = start(&gone, Line::FTP).await;
        relay.lead_nowhere();
        let mut client = TcpStream::connect(relay.addr()).await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert!(timeout(Duration::from_millis(50), gone.accept()).await.is_err());
        relay.lead_to(there.local_addr().unwrap());
        let (mut accepted, _) = timeout(LIMIT, there.accept()).await.unwrap().unwrap();
        assert_eq!(timeout(LIMIT, accepted.read_u8()).await.unwrap().unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_moved_address_leaves_old_connections_silent_and_takes_new_ones_elsewhere() {
        let (first, second) = (server().await, server().await);
        let relay = start(&first, Line::FTP).await;
        let mut old = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut served, _) = first.accept().await.unwrap();
        relay.reroute(second.local_addr().unwrap());
        let mut new = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut there, _) = timeout(LIMIT, second.accept()).await.unwrap().unwrap();
        new.write_all(b"x").await.unwrap();
        assert_eq!(timeout(LIMIT, there.read_u8()).await.unwrap().unwrap(), b'x');
        served.write_all(b"226 Done\r\n").await.unwrap();
        assert!(timeout(Duration::from_millis(50), old.read_u8()).await.is_err());
    }
}
