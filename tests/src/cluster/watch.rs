//! What the world outside sees of the service: whether it answers at the virtual address.

use std::{
    io::{self, Read, Write},
    iter,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(250);

/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// A silence that is not longer than this may be the load of the machine that looks.
const DOUBTFUL: Duration = Duration::from_secs(2);

/// How a visitor's greeting begins, and how long it is. The host answers one of its own, whatever
/// else the visitor says: a machine that is frozen still accepts connections.
const GREETING: &[u8; 48] =
    b"FERRYWAY\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A look at the door every few milliseconds, until it is dropped.
#[derive(Debug)]
pub struct Watch(Arc<Mutex<Vec<Instant>>>);

impl Watch {
    /// Looks at the door of a host at `address` from now on, from where the calling thread is.
    pub fn start(address: SocketAddr) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::downgrade(&answers);
        thread::spawn(move || {
            while Weak::strong_count(&seen) > 0 {
                let greeted = greet(address).is_ok();
                if let Some(answers) = seen.upgrade().filter(|_| greeted) {
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                }
                thread::sleep(STEP);
            }
        });
        Self(answers)
    }

    /// The first answer at or after a time, so far.
    pub fn first_after(&self, time: Instant) -> Option<Instant> {
        self.answers().iter().copied().find(|answer| *answer >= time)
    }

    /// The longest time without an answer since another time, unless it can be the load of the
    /// machine that looks.
    pub fn silence_since(&self, time: Instant) -> Option<Duration> {
        let answers = self.answers();
        let later = answers.iter().copied().filter(|answer| *answer > time);
        let ends: Vec<_> = iter::once(time).chain(later).chain([Instant::now()]).collect();
        let longest = ends.windows(2).map(|pair| pair[1] - pair[0]).max();
        longest.filter(|silence| *silence > DOUBTFUL)
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn greet(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(GREETING)?;
    stream.read_exact(&mut [0; 8])
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc};

    use super::*;
    use crate::wait::{LIMIT, wait_until};

    #[test]
    fn only_a_greeting_is_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let watch = Watch::start(listener.local_addr().unwrap());
        let (greet, greets) = mpsc::channel();
        let began = Instant::now();
        // Connections are accepted by the system; nobody says a word.
        wait_until(LIMIT, "a silence", || watch.silence_since(began).is_some());
        assert_eq!(watch.first_after(began), None);
        let door = thread::spawn(move || {
            while greets.try_recv().is_err() {
                let (mut visitor, _) = listener.accept().unwrap();
                // A visitor may have gone by now.
                visitor.write_all(b"FERRYWAY").ok();
            }
        });
        wait_until(LIMIT, "an answer", || watch.first_after(began).is_some());
        assert!(watch.silence_since(began).is_some());
        greet.send(()).unwrap();
        door.join().unwrap();
    }
}
