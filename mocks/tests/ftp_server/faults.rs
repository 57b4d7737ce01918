//! Every fault, and that it tells of itself.

use std::{fs, io::ErrorKind, time::Duration};

use ferryway_mocks::{
    ftp_server::{Action, Behaviour, Cut, Rule, When},
    streams::content,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{LIMIT, client::Client, serve};

#[tokio::test]
async fn a_cut_at_a_byte_leaves_exactly_the_bytes_before() {
    for cut in [Cut::Fin, Cut::Rst] {
        let (server, folder) = serve(Behaviour::default()).await;
        let fault = server.faults().add(Rule::cut_at("STOR", 1_234_567, cut));
        let mut client = Client::login(&server).await;
        let bytes = content(5_000_000, 1);
        let (mut data, _) = client.begin("STOR a").await;
        let written = timeout(LIMIT, data.write_all(&bytes)).await.unwrap();
        assert!(written.is_err() || timeout(LIMIT, data.shutdown()).await.is_ok());
        assert!(client.is_cut().await);
        assert_eq!(fault.fired(), 1);
        assert!(fs::read(folder.path().join("a")).unwrap() == bytes[..1_234_567]);
    }
}

#[tokio::test]
async fn a_download_is_cut_by_an_end_or_a_reset() {
    for cut in [Cut::Fin, Cut::Rst] {
        let (server, folder) = serve(Behaviour::default()).await;
        fs::write(folder.path().join("a"), content(50_000, 1)).unwrap();
        let fault = server.faults().add(Rule::cut_at("RETR", 20_000, cut));
        let mut client = Client::login(&server).await;
        let (mut data, _) = client.begin("RETR a").await;
        let mut bytes = Vec::new();
        let read = timeout(LIMIT, data.read_to_end(&mut bytes)).await.unwrap();
        match cut {
            Cut::Fin => assert_eq!(read.unwrap(), 20_000),
            _ => assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset),
        }
        fault.wait(LIMIT).await.unwrap();
        assert!(client.is_cut().await);
    }
}

#[tokio::test]
async fn a_stalled_session_goes_on_when_released() {
    let (server, folder) = serve(Behaviour::default()).await;
    let rule = Rule::new("STOR", When::DataByte(5), Action::Stall);
    let fault = server.faults().add(rule);
    let mut client = Client::login(&server).await;
    let (mut data, _) = client.begin("STOR a").await;
    data.write_all(b"0123456789").await.unwrap();
    data.shutdown().await.unwrap();
    fault.wait(LIMIT).await.unwrap();
    // Not even ABOR wakes it.
    client.send("ABOR").await;
    assert!(timeout(Duration::from_millis(100), client.try_reply()).await.is_err());
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"01234");
    fault.release();
    assert_eq!(client.reply().await.code, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"0123456789");
}

#[tokio::test]
async fn an_early_226_stands_for_data_that_is_lost() {
    let (server, folder) = serve(Behaviour::default()).await;
    server.faults().add(Rule::early_226("STOR", 100));
    server.faults().add(Rule::early_226("RETR", 10));
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", &[7; 1000]).await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), [7; 100]);
    assert_eq!(client.download("RETR a").await, (vec![7; 10], 226));
    assert!(server.faults().unfired().is_empty());
}

#[tokio::test]
async fn a_lost_reply_has_its_effect() {
    let (server, folder) = serve(Behaviour::default()).await;
    server.faults().add(Rule::lost_reply("STOR"));
    server.faults().add(Rule::lost_reply("RNTO"));
    let mut client = Client::login(&server).await;
    let (mut data, _) = client.begin("STOR a").await;
    data.write_all(b"complete").await.unwrap();
    data.shutdown().await.unwrap();
    assert!(client.is_cut().await);
    let mut client = Client::login(&server).await;
    client.code("RNFR a").await;
    client.send("RNTO b").await;
    assert!(client.is_cut().await);
    assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"complete");
    assert_eq!(server.faults().fired().len(), 2);
}

#[tokio::test]
async fn replies_are_replaced_before_and_after() {
    let (server, folder) = serve(Behaviour::default()).await;
    let faults = server.faults();
    faults.add(Rule::late_451("STOR"));
    faults.add(Rule::refuse("DELE", 450, "Busy.").on_path("*a"));
    faults.add(Rule::refuse_rnto());
    faults.add(Rule::wrong_size(3));
    faults.add(Rule::refuse("NOOP", 421, "Shutting down.").nth(2));
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", b"content").await, 451);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"content");
    assert_eq!(client.command("SIZE a").await.text, "213 3\r\n");
    assert_eq!(client.command("SIZE a").await.text, "213 7\r\n");
    client.code("RNFR a").await;
    assert_eq!(client.code("RNTO b").await, 550);
    assert_eq!(client.code("DELE b").await, 550);
    assert_eq!(client.code("DELE a").await, 450);
    assert_eq!(client.code("DELE a").await, 250);
    assert_eq!(client.code("NOOP").await, 200);
    assert_eq!(client.code("NOOP").await, 421);
    assert!(client.is_cut().await);
    assert!(faults.unfired().is_empty(), "{:?}", faults.unfired());
}

#[tokio::test]
async fn a_transfer_is_refused_in_the_middle() {
    let (server, folder) = serve(Behaviour::default()).await;
    let reply = Action::Reply(452, "Insufficient storage space.".to_owned());
    server.faults().add(Rule::new("STOR", When::DataByte(10), reply));
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", &[1; 100]).await, 452);
    assert_eq!(fs::read(folder.path().join("a")).unwrap().len(), 10);
    assert_eq!(client.code("NOOP").await, 200);
}

#[tokio::test]
async fn a_corrupted_byte_is_the_only_one() {
    let (server, folder) = serve(Behaviour::default()).await;
    server.faults().add(Rule::new("STOR", When::DataByte(3), Action::Corrupt));
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", &[0; 6]).await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), [0, 0, 0, 255, 0, 0]);
}

#[tokio::test]
async fn the_greeting_can_fail() {
    let (server, _folder) = serve(Behaviour::default()).await;
    server.faults().add(Rule::refuse("CONNECT", 421, "Too many users."));
    let (mut client, greeting) = Client::connect(&server).await;
    assert_eq!(greeting.code, 421);
    assert!(client.is_cut().await);
    Client::login(&server).await;
}

#[tokio::test]
async fn a_cut_behind_the_reply_lets_it_pass() {
    let (server, _folder) = serve(Behaviour::default()).await;
    server.faults().add(Rule::new("NOOP", When::Reply, Action::Cut(Cut::Fin)));
    let mut client = Client::login(&server).await;
    assert_eq!(client.code("NOOP").await, 200);
    assert!(client.is_cut().await);
}

#[tokio::test]
async fn a_fault_that_never_fires_is_told() {
    let (server, _folder) = serve(Behaviour::default()).await;
    let fault = server.faults().add(Rule::cut_at("STOR", 1_000_000, Cut::Fin));
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", &[1; 100]).await, 226);
    assert_eq!((fault.fired(), server.faults().unfired().len()), (0, 1));
    let error = fault.wait(Duration::from_millis(10)).await.unwrap_err();
    assert!(error.to_string().contains("DataByte(1000000)"), "{error}");
}
