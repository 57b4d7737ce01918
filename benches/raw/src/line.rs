//! A long line between two networks: each packet that goes in at one end comes out at the other half
//! a round trip later, or is lost.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// More than a packet of the networks has.
const PACKET_BYTES: usize = 64 * 1024;

/// Packets that may be on their way in one direction. A line that holds as many takes no more until
/// one has come out.
const PACKETS: usize = 64 * 1024;

type Packet = (Instant, Vec<u8>);

/// Joins the two TUN devices that are this process's standard input and output, until it is killed.
///
/// `lost` is the share of packets that never come out, from 0 to 1; which ones is the same in
/// every run that sends the same.
///
/// # Errors
/// The input or the output is no such device, or it is gone.
pub(crate) fn serve(round_trip: Duration, lost: f64) -> io::Result<()> {
    let (input, output) = (io::stdin(), io::stdout());
    let (near, far) = (input.as_fd(), output.as_fd());
    thread::scope(|scope| {
        let ways = [(near, far), (far, near)].map(|(from, to)| {
            let (sender, receiver) = sync_channel(PACKETS);
            scope.spawn(move || take_out(&receiver, to, round_trip / 2));
            scope.spawn(move || put_in(from, &sender, lost))
        });
        ways.into_iter().try_for_each(|way| way.join().unwrap_or(Ok(())))
    })
}

fn put_in(from: BorrowedFd<'_>, line: &SyncSender<Packet>, lost: f64) -> io::Result<()> {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut packet = vec![0; PACKET_BYTES];
    loop {
        let read = rustix::io::read(from, &mut packet)?;
        if chance.f64() >= lost && line.send((Instant::now(), packet[..read].to_vec())).is_err() {
            return Ok(());
        }
    }
}

/// A device takes a packet or, while it is not up, refuses it: then it is lost as on any line.
fn take_out(line: &Receiver<Packet>, to: BorrowedFd<'_>, delay: Duration) {
    for (came, packet) in line {
        thread::sleep((came + delay).saturating_duration_since(Instant::now()));
        let _refused = rustix::io::write(to, &packet);
    }
}
