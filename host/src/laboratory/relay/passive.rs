//! FTP in passive mode: a server's answers that announce data connections, and those.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::timeout,
};

use super::{CHUNK_BYTES, Path, carry, connect, keep, listen};

/// How long a data connection that was announced may take to come.
const DATA_CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Carries a server's answers, and puts an address of our own into each that tells one: `address`
/// for the server's.
pub(super) async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut path: Path,
    (address, server): (Ipv4Addr, IpAddr),
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
                .and_then(|port| open_data(SocketAddr::new(server, port), address, &path, data))
                .unwrap_or(line);
            if to.write_all(&line).await.is_err() {
                return;
            }
        }
    }
}

/// Listens in the server's place and tells of it; `None` when that is not possible.
fn open_data(
    server: SocketAddr,
    address: Ipv4Addr,
    path: &Path,
    data: &mut JoinSet<()>,
) -> Option<Vec<u8>> {
    let listener = listen(SocketAddrV4::new(address, 0)).ok()?;
    let own = listener.local_addr().ok()?.port();
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
    let (up, down) = (Arc::clone(&path.up), Arc::clone(&path.down));
    let up = carry(from_client, to_server, path.clone(), up);
    let down = carry(from_server, to_client, path.clone(), down);
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
}
