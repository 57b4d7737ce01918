//! A relay before the control connections of a server, which can hold one command or its reply
//! back for ever: the moment between an effect on the partner and the news of it.
//!
//! Data connections go past it: clients open them to the address of the control connection.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The final reply to a command: the server has done it, and nobody hears of it.
    Reply(&'static str),
    /// A command: the server never gets it.
    Command(&'static str),
}

/// A running relay; dropping it ends all its connections.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    // Taken by the connection that it comes true on.
    order: Mutex<Option<Hold>>,
    held: AtomicBool,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Starts one at an address of this machine, before `server`, which it passes everything on
    /// to.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn start(at: Ipv4Addr, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((at, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            order: Mutex::default(),
            held: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is down shows as a connection that ends at once.
                accepting.join(&client).ok();
            }
        });
        Ok(Self { addr, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Orders one hold. The connection on which it happens is silent from then on, in both
    /// directions and whatever becomes of its ends; all others go on.
    pub fn hold(&self, hold: Hold) {
        self.shared.held.store(false, Ordering::SeqCst);
        *lock(&self.shared.order) = Some(hold);
    }

    /// Whether the last order came true.
    pub fn held(&self) -> bool {
        self.shared.held.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in lock(&self.shared.streams).drain(..) {
            // One that has ended by itself needs no end.
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the thread that accepts.
        TcpStream::connect(self.addr).ok();
    }
}

impl Shared {
    fn join(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
            lock(&self.streams).push(stream.try_clone()?);
        }
        // What the connection waits for, once its command has passed.
        let expects = Arc::new(AtomicBool::new(false));
        let up = (client.try_clone()?, server.try_clone()?, Arc::clone(&expects), Arc::clone(self));
        let down = (server, client.try_clone()?, expects, Arc::clone(self));
        thread::spawn(move || up.3.pass_commands(&up.0, &up.1, &up.2));
        thread::spawn(move || down.3.pass_replies(&down.0, &down.1, &down.2));
        Ok(())
    }

    fn pass_commands(&self, from: &TcpStream, mut to: &TcpStream, expects: &AtomicBool) {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            match self.matching(&line) {
                Some(Hold::Command(_)) => return self.held.store(true, Ordering::SeqCst),
                Some(Hold::Reply(_)) => expects.store(true, Ordering::SeqCst),
                None => {}
            }
            if to.write_all(&line).is_err() {
                break;
            }
            line.clear();
        }
        if !expects.load(Ordering::SeqCst) {
            to.shutdown(Shutdown::Write).ok();
        }
    }

    fn pass_replies(&self, from: &TcpStream, mut to: &TcpStream, expects: &AtomicBool) {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            // RFC 959, 4.2.1: a reply that begins with 1 announces another one.
            if expects.load(Ordering::SeqCst) && line.first() != Some(&b'1') {
                return self.held.store(true, Ordering::SeqCst);
            }
            if to.write_all(&line).is_err() {
                break;
            }
            line.clear();
        }
        to.shutdown(Shutdown::Write).ok();
    }

    /// The order, if this command is the one it waits for; nobody else gets it then.
    fn matching(&self, line: &[u8]) -> Option<Hold> {
        let mut order = lock(&self.order);
        let (Some(Hold::Command(word)) | Some(Hold::Reply(word))) = *order else { return None };
        if line.starts_with(word.as_bytes()) { order.take() } else { None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
