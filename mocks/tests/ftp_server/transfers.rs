//! Bytes up and down, restarts, active mode, ABOR.

use std::{fs, time::Duration};

use ferryway_mocks::{
    ftp_server::{Behaviour, Cut, FtpServer, RestBeyondEnd, Rule, Tail},
    streams::content,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    time::{Instant, timeout},
};

use crate::{LIMIT, client::Client, serve};

#[tokio::test]
async fn bytes_go_up_and_come_back() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    for size in [0, 1, 524_287, 524_288, 524_289, 5_000_000] {
        let bytes = content(size, 1);
        assert_eq!(client.upload("STOR a b", &bytes).await, 226);
        assert!(fs::read(folder.path().join("a b")).unwrap() == bytes);
        let (back, code) = client.download("RETR a b").await;
        assert!(back == bytes && code == 226, "{size}: {code}, {} bytes", back.len());
    }
}

#[tokio::test]
async fn a_restart_counts_for_the_next_transfer_only() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    client.upload("STOR a", b"0123456789").await;
    assert_eq!(client.code("REST 4").await, 350);
    assert_eq!(client.download("RETR a").await, (b"456789".to_vec(), 226));
    assert_eq!(client.download("RETR a").await, (b"0123456789".to_vec(), 226));
    client.code("REST 8").await;
    assert_eq!(client.upload("STOR a", b"xyz").await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"01234567xyz");
    // A refused transfer uses the offset up as well.
    client.code("REST 3").await;
    assert_eq!(client.upload("STOR nowhere/a", b"").await, 550);
    client.upload("STOR a", b"new").await;
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"new");
    assert_eq!(client.upload("APPE a", b"er").await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"newer");
    client.code("TYPE A").await;
    assert_eq!(client.code("REST 1").await, 501);
}

#[tokio::test]
async fn a_restart_beyond_the_end_does_as_the_kind_does() {
    for (rest_beyond_end, code, expected) in [
        (RestBeyondEnd::Hole, 226, &b"abc\0\0xyz"[..]),
        (RestBeyondEnd::Clamp, 226, b"abcxyz"),
        (RestBeyondEnd::Refuse, 554, b"abc"),
    ] {
        let (server, folder) = serve(Behaviour { rest_beyond_end, ..Behaviour::default() }).await;
        fs::write(folder.path().join("a"), "abc").unwrap();
        let mut client = Client::login(&server).await;
        assert_eq!(client.code("REST 5").await, 350);
        assert_eq!(client.upload("STOR a", b"xyz").await, code);
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), expected);
    }
}

#[tokio::test]
async fn an_upload_keeps_or_cuts_the_tail() {
    for (tail, expected) in [
        (Tail::Stays, &b"01xyz56789"[..]),
        (Tail::CutAtRestart, b"01xyz"),
        (Tail::CutAtEnd, b"01xyz"),
    ] {
        let (server, folder) = serve(Behaviour { tail, ..Behaviour::default() }).await;
        fs::write(folder.path().join("a"), "0123456789").unwrap();
        let mut client = Client::login(&server).await;
        client.code("REST 2").await;
        assert_eq!(client.upload("STOR a", b"xyz").await, 226);
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_session_that_is_cut_late_shortens_a_file_where_its_end_cuts() {
    for (tail, expected) in [
        (Tail::Stays, &b"0123456789"[..]),
        (Tail::CutAtRestart, b"0123456789"),
        (Tail::CutAtEnd, b"01234"),
    ] {
        let (server, folder) = serve(Behaviour { tail, ..Behaviour::default() }).await;
        let fault = server.faults().add(Rule::cut_at("STOR", 5, Cut::Silence));
        let mut first = Client::login(&server).await;
        let (mut data, _) = first.begin("STOR a").await;
        data.write_all(b"01234").await.unwrap();
        fault.wait(LIMIT).await.unwrap();
        let mut second = Client::login(&server).await;
        second.code("REST 5").await;
        assert_eq!(second.upload("STOR a", b"56789").await, 226);
        server.cut_all(Cut::Rst);
        assert!(server.wait_for_sessions(0, LIMIT).await);
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), expected, "{tail:?}");
    }
}

#[tokio::test]
async fn a_careful_server_overwrites_nothing() {
    let (server, folder) = serve(Behaviour::proftpd_defaults()).await;
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", b"old").await, 226);
    assert_eq!(client.upload("STOR a", b"new").await, 550);
    assert_eq!(client.upload("APPE a", b"new").await, 451);
    client.code("REST 1").await;
    assert_eq!(client.upload("STOR a", b"new").await, 550);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"old");
    assert_eq!(client.code("DELE a").await, 250);
}

#[tokio::test]
async fn ascii_type_translates_line_ends() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    client.code("TYPE A").await;
    assert_eq!(client.upload("STOR a", b"one\r\ntwo\r\n").await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"one\ntwo\n");
    assert_eq!(client.download("RETR a").await, (b"one\r\ntwo\r\n".to_vec(), 226));
}

#[tokio::test]
async fn active_mode_connects_to_the_client_and_nobody_else() {
    let (server, folder) = serve(Behaviour::default()).await;
    fs::write(folder.path().join("a"), "active").unwrap();
    let mut client = Client::login(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let [high, low] = port.to_be_bytes();
    for command in [format!("EPRT |1|127.0.0.1|{port}|"), format!("PORT 127,0,0,1,{high},{low}")] {
        assert_eq!(client.code(&command).await, 200);
        assert_eq!(client.code("RETR a").await, 150);
        let (mut data, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut text = String::new();
        data.read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), client.reply().await.code), ("active", 226));
    }
    assert_eq!(client.code("EPRT |1|127.0.0.9|2000|").await, 500);
    assert_eq!(client.code("PORT 127,0,0").await, 501);
    assert_eq!(client.code("RETR a").await, 425);
}

#[tokio::test]
async fn a_data_connection_from_another_address_is_refused() {
    let (server, folder) = serve(Behaviour::default()).await;
    fs::write(folder.path().join("a"), "x").unwrap();
    let mut client = Client::login(&server).await;
    let reply = client.command("EPSV").await.text;
    let port: u16 = reply.split('|').nth(3).unwrap().parse().unwrap();
    let stranger = TcpSocket::new_v4().unwrap();
    stranger.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let _data = stranger.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    assert_eq!(client.code("RETR a").await, 425);
}

#[tokio::test]
async fn abor_ends_a_transfer_with_two_replies() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    let (mut data, reply) = client.begin("STOR a").await;
    assert_eq!(reply.code, 150);
    data.write_all(b"part").await.unwrap();
    assert_eq!(client.code("ABOR").await, 426);
    assert_eq!(client.reply().await.code, 226);
    assert_eq!(client.upload("STOR a", b"whole").await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"whole");
}

#[tokio::test]
async fn a_fin_in_mid_file_gets_226() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", &content(1000, 1)[..10]).await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap().len(), 10);
}

#[tokio::test]
async fn an_open_upload_follows_a_rename() {
    let (server, folder) = serve(Behaviour::default()).await;
    let (mut old, mut new) = (Client::login(&server).await, Client::login(&server).await);
    let stored = server.faults().add(Rule::new(
        "STOR",
        ferryway_mocks::ftp_server::When::DataByte(5),
        ferryway_mocks::ftp_server::Action::Mark,
    ));
    let (mut data, _) = old.begin("STOR part").await;
    data.write_all(b"early").await.unwrap();
    stored.wait(LIMIT).await.unwrap();
    assert_eq!(new.code("RNFR part").await, 350);
    assert_eq!(new.code("RNTO adopted").await, 250);
    data.write_all(b" late").await.unwrap();
    data.shutdown().await.unwrap();
    assert_eq!(old.reply().await.code, 226);
    assert_eq!(fs::read(folder.path().join("adopted")).unwrap(), b"early late");
}

#[tokio::test]
async fn the_speed_limit_holds_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let builder = FtpServer::builder(folder.path()).bytes_per_second(1_000_000);
    let server = builder.start().await.unwrap();
    let mut client = Client::login(&server).await;
    let (bytes, begin) = (content(300_000, 1), Instant::now());
    assert_eq!(client.upload("STOR a", &bytes).await, 226);
    let up = begin.elapsed();
    assert_eq!(client.download("RETR a").await.0.len(), 300_000);
    let down = begin.elapsed() - up;
    let least = Duration::from_millis(290);
    assert!(up > least && down > least, "{up:?} {down:?}");
    server.set_bytes_per_second(None);
    assert_eq!(client.upload("STOR a", &bytes).await, 226);
}

#[tokio::test]
async fn a_quiet_data_connection_times_out() {
    let data_timeout = Duration::from_millis(50);
    let (server, _folder) = serve(Behaviour { data_timeout, ..Behaviour::default() }).await;
    let mut client = Client::login(&server).await;
    let (_data, reply) = client.begin("STOR a").await;
    assert_eq!((reply.code, client.reply().await.code), (150, 426));
}
