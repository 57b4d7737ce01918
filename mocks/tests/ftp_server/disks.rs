//! Disks that fill up, vanish or refuse, and servers that stop and come back.

use std::{fs, time::Duration};

use ferryway_mocks::{
    ftp_server::{Action, Behaviour, Cut, Disk, FtpServer, Rule, When},
    streams::content,
};
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::{LIMIT, client::Client, serve};

#[tokio::test]
async fn a_full_disk_ends_the_upload_at_its_last_byte() {
    for (behaviour, code) in [(Behaviour::proftpd(), 451), (Behaviour::pyftpdlib(), 426)] {
        let (server, folder) = serve(behaviour).await;
        server.set_disk(Disk::FullAfter(700_000));
        let mut client = Client::login(&server).await;
        let bytes = content(8_000_000, 1);
        assert_eq!(client.upload("STOR a", &bytes).await, code);
        assert!(fs::read(folder.path().join("a")).unwrap() == bytes[..700_000]);
        assert_eq!(client.upload("STOR b", b"x").await, code);
        server.set_disk(Disk::Normal);
        assert_eq!(client.upload("STOR b", b"x").await, 226);
    }
}

#[tokio::test]
async fn a_read_only_disk_gives_but_does_not_take() {
    for (behaviour, refusal) in [(Behaviour::vsftpd(), 553), (Behaviour::proftpd(), 550)] {
        let (server, folder) = serve(behaviour).await;
        fs::write(folder.path().join("a"), "content").unwrap();
        server.set_disk(Disk::ReadOnly);
        let mut client = Client::login(&server).await;
        assert_eq!(client.upload("STOR b", b"x").await, refusal);
        for command in ["DELE a", "MKD d", "RMD d", "RNFR a"] {
            assert_eq!(client.code(command).await, 550, "{command}");
        }
        assert_eq!(client.download("RETR a").await, (b"content".to_vec(), 226));
    }
}

#[tokio::test]
async fn a_vanished_disk_ends_transfers_and_refuses_new_ones() {
    for (behaviour, failure, refusal) in
        [(Behaviour::vsftpd(), 451, 553), (Behaviour::pyftpdlib(), 426, 550)]
    {
        let (server, _folder) = serve(behaviour).await;
        let vanish = Action::Disk(Disk::Vanished);
        let fault = server.faults().add(Rule::new("STOR", When::DataByte(100_000), vanish));
        let mut client = Client::login(&server).await;
        assert_eq!(client.upload("STOR a", &content(5_000_000, 1)).await, failure);
        assert_eq!(fault.fired(), 1);
        assert_eq!(client.upload("STOR a", b"x").await, refusal);
        for command in ["SIZE a", "DELE a", "RNFR a", "CWD /"] {
            assert_eq!(client.code(command).await, 550, "{command}");
        }
        assert_eq!(client.download("LIST").await.1, 550);
    }
}

#[tokio::test]
async fn a_slow_disk_takes_its_time() {
    let (server, _folder) = serve(Behaviour::default()).await;
    server.set_disk(Disk::Slow(Duration::from_millis(30)));
    let mut client = Client::login(&server).await;
    let begin = Instant::now();
    assert_eq!(client.upload("STOR a", &content(600_000, 1)).await, 226);
    assert!(begin.elapsed() >= Duration::from_millis(60), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_stopped_server_comes_back_on_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let builder = FtpServer::builder(folder.path());
    let mut server = builder.start().await.unwrap();
    let addr = server.addr();
    let mut client = Client::login(&server).await;
    let (mut data, _) = client.begin("STOR a").await;
    data.write_all(b"part").await.unwrap();
    server.stop().await;
    assert!(client.is_cut().await);
    assert_eq!(server.sessions(), 0);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    let server = builder.start_on(addr).await.unwrap();
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", b"whole").await, 226);
    // Both lives are in one transcript.
    assert_eq!(server.transcript().count("USER"), 2);
}

#[tokio::test]
async fn cutting_all_ends_every_session_and_no_later_one() {
    for cut in [Cut::Fin, Cut::Rst] {
        let (server, _folder) = serve(Behaviour::default()).await;
        let (mut one, mut two) = (Client::login(&server).await, Client::login(&server).await);
        let (_data, _) = two.begin("STOR a").await;
        server.cut_all(cut);
        assert!(one.is_cut().await && two.is_cut().await);
        assert!(server.wait_for_sessions(0, LIMIT).await);
        assert_eq!(Client::login(&server).await.code("NOOP").await, 200);
    }
}
