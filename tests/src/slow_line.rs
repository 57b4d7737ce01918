//! A line between two programs that carries so many bytes a second and no more, so that a
//! transfer has a middle to meet it in. Its end can be moved to another address, as a virtual
//! address moves between machines.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::wait::LIMIT;

/// Bytes that pass at a time.
const PIECE: usize = 16 * 1024;

/// The line. Dropped, it takes no more connections; those that are up end with their programs.
#[derive(Debug)]
pub struct SlowLine {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// `None` while the address is nobody's.
    to: Mutex<Option<SocketAddr>>,
    led: Condvar,
    bytes_per_second: u64,
    over: AtomicBool,
    /// How often the line was cut; a connection from before passes nothing on.
    cuts: AtomicU64,
    /// How often the address moved; a connection from before ends when something is said on it
    /// from the near end.
    moves: AtomicU64,
}

/// One way of a connection.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// From the near end to the far one.
    out: bool,
    cuts: u64,
    moves: u64,
}

impl SlowLine {
    /// A line on loopback to this address, with a limit for each direction of each connection.
    ///
    /// # Errors
    /// The system gives no port.
    pub fn start(to: SocketAddr, bytes_per_second: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let over = AtomicBool::new(false);
        let (to, led) = (Mutex::new(Some(to)), Condvar::new());
        let (cuts, moves) = (AtomicU64::new(0), AtomicU64::new(0));
        let state = Arc::new(State { to, led, bytes_per_second, over, cuts, moves });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    let state = Arc::clone(&accepting);
                    // Whoever cannot be connected is hung up on.
                    thread::spawn(move || state.connect(stream).ok());
                }
            }
        });
        Ok(Self { address, state })
    }

    /// The address of its near end.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections to another address.
    pub fn lead_to(&self, to: SocketAddr) {
        *self.state.to() = Some(to);
        self.state.led.notify_all();
    }

    /// Cuts every connection that is up: neither end hears anything more, not even of the cut.
    pub fn cut(&self) {
        self.state.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves the address to a machine that knows nothing of the connections that are up: it hangs
    /// up on the near end at its next word, and the far end hears nothing more.
    pub fn forget(&self) {
        self.state.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets new connections wait until the line leads somewhere: the address is nobody's, as
    /// in the middle of its move.
    pub fn lead_nowhere(&self) {
        *self.state.to() = None;
    }
}

impl Drop for SlowLine {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect(self.address).ok();
    }
}

impl State {
    fn to(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, near: TcpStream) -> io::Result<()> {
        let waiting = self.led.wait_timeout_while(self.to(), LIMIT, |to| to.is_none());
        let to = *waiting.unwrap_or_else(PoisonError::into_inner).0;
        let far = TcpStream::connect(to.ok_or(io::ErrorKind::TimedOut)?)?;
        let (cuts, moves) = (self.cuts.load(Ordering::Relaxed), self.moves.load(Ordering::Relaxed));
        let way = |out| Way { out, cuts, moves };
        for (from, to, way) in
            [(near.try_clone()?, far.try_clone()?, way(true)), (far, near, way(false))]
        {
            let state = Arc::clone(self);
            thread::spawn(move || state.pass(from, to, way));
        }
        Ok(())
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, way: Way) {
        let (started, mut passed) = (Instant::now(), 0);
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            let moved = self.moves.load(Ordering::Relaxed) > way.moves;
            if moved && way.out {
                from.shutdown(Shutdown::Both).ok();
                return;
            }
            if moved || self.cuts.load(Ordering::Relaxed) > way.cuts {
                continue;
            }
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
            passed += read as u64;
            // The pace is what the line is for.
            let due = Duration::from_millis(1000 * passed / self.bytes_per_second);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        // An end that breaks takes the whole connection along.
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }
}
