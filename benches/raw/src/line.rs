//! A long line on loopback: what goes in at one end comes out at the other after a while, however
//! much is on its way. The system's own windows play no part, for each end is near to its program.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Bytes that pass at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces that may be on the line: 512 MiB, more than any line of these measurements holds.
const PIECES: usize = 8192;

type Piece = (Instant, Vec<u8>);

/// Leads the connections that come to a port to another one, until the process is killed.
///
/// # Errors
/// The port is taken.
pub(crate) fn serve(port: u16, to: u16, round_trip: Duration) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    for near in listener.incoming() {
        let near = near?;
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
        for end in [&near, &far] {
            end.set_nodelay(true)?;
        }
        for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
            let (sender, receiver) = sync_channel(PIECES);
            thread::spawn(move || put_in(from, &sender));
            thread::spawn(move || take_out(&receiver, to, round_trip / 2));
        }
    }
    Ok(())
}

/// Ends with the connection; what is on the line then still comes out.
fn put_in(mut from: TcpStream, line: &SyncSender<Piece>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if line.send((Instant::now(), piece[..read].to_vec())).is_err() {
            return;
        }
    }
}

fn take_out(line: &Receiver<Piece>, mut to: TcpStream, delay: Duration) {
    for (came, piece) in line {
        thread::sleep((came + delay).saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    // The connection may be over already.
    let _over = to.shutdown(Shutdown::Both);
}
