//! Two writers on one path: what was measured on real servers.
//!
//! A uploads 2 of 4 MiB and pauses; B stores 3 MiB to the same path; then A goes on.

use std::{fs, time::Duration};

use ferryway_mocks::{
    ftp_server::{Action, Behaviour, Cut, FtpServer, Lock, Rule, When},
    streams::content,
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{LIMIT, client::Client, names, serve};

const MIB: usize = 1 << 20;

/// A's session in mid-upload, the server having stored what A sent.
struct Paused {
    server: FtpServer,
    folder: TempDir,
    client: Client,
    data: TcpStream,
    bytes: Vec<u8>,
}

impl Paused {
    async fn at_half(behaviour: Behaviour) -> Self {
        let (server, folder) = serve(behaviour).await;
        let half = 2 * MIB as u64;
        let stored = server.faults().add(Rule::new("STOR", When::DataByte(half), Action::Mark));
        let mut client = Client::login(&server).await;
        let bytes = content(4 * MIB, 1);
        let (mut data, reply) = client.begin("STOR target").await;
        assert_eq!(reply.code, 150);
        data.write_all(&bytes[..2 * MIB]).await.unwrap();
        stored.wait(LIMIT).await.unwrap();
        Self { server, folder, client, data, bytes }
    }

    /// A goes on to its end; the server's disk is then as it stays.
    async fn go_on(mut self) -> (FtpServer, TempDir) {
        self.data.write_all(&self.bytes[2 * MIB..]).await.unwrap();
        self.data.shutdown().await.unwrap();
        assert_eq!(self.client.reply().await.code, 226);
        (self.server, self.folder)
    }

    fn target(&self) -> std::path::PathBuf {
        self.folder.path().join("target")
    }
}

#[tokio::test]
async fn a_second_writer_meets_what_was_measured() {
    let (a, b) = (content(4 * MIB, 1), content(3 * MIB, 2));
    let corrupt = [&b[..2 * MIB], &a[2 * MIB..]].concat();
    for (name, behaviour) in Behaviour::presets() {
        let (code, end) = match name {
            "vsftpd" => continue,
            "proftpd_defaults" | "proftpd_hidden_stores" | "pyftpdlib_with_flock" => (550, &a),
            "pure_ftpd_atomic" => (226, &a),
            _ => (226, &corrupt),
        };
        let paused = Paused::at_half(behaviour).await;
        let mut second = Client::login(&paused.server).await;
        assert_eq!(second.upload("STOR target", &b).await, code, "{name}");
        let (_server, folder) = paused.go_on().await;
        assert!(fs::read(folder.path().join("target")).unwrap() == *end, "{name}");
        assert_eq!(names(folder.path()), ["target"], "{name}");
    }
}

#[tokio::test]
async fn a_blocked_writer_truncates_even_when_it_has_left() {
    let paused = Paused::at_half(Behaviour::vsftpd()).await;
    let mut second = Client::login(&paused.server).await;
    let data = second.passive().await;
    second.send("STOR target").await;
    let seen = |entry: &ferryway_mocks::ftp_server::Entry| entry.text == "STOR target";
    paused.server.transcript().wait_for(LIMIT, seen).await.unwrap();
    let quiet = timeout(Duration::from_millis(100), second.try_reply()).await;
    assert!(quiet.is_err(), "a blocked STOR has a reply");
    drop((data, second));
    let (server, folder) = paused.go_on().await;
    assert!(server.wait_for_sessions(0, LIMIT).await, "{}", server.transcript());
    assert_eq!(fs::metadata(folder.path().join("target")).unwrap().len(), 0);
}

#[tokio::test]
async fn a_reader_waits_for_a_blocking_lock() {
    let paused = Paused::at_half(Behaviour::vsftpd()).await;
    let mut reader = Client::login(&paused.server).await;
    let _data = reader.passive().await;
    reader.send("RETR target").await;
    assert!(timeout(Duration::from_millis(100), reader.try_reply()).await.is_err());
    let (_server, _folder) = paused.go_on().await;
    assert_eq!(reader.reply().await.code, 150);
}

#[tokio::test]
async fn a_killed_writer_leaves_no_lock() {
    for (name, behaviour) in Behaviour::presets() {
        let Paused { server, folder, client, data, .. } = Paused::at_half(behaviour).await;
        drop((client, data));
        assert!(server.wait_for_sessions(0, LIMIT).await, "{name}");
        let mut second = Client::login(&server).await;
        let code = if name == "proftpd_defaults" { 550 } else { 226 };
        assert_eq!(second.upload("STOR target", b"b").await, code, "{name}");
        assert_eq!(names(folder.path()), ["target"], "{name}");
    }
}

#[tokio::test]
async fn a_mute_writer_keeps_its_lock_until_it_is_cut() {
    let (server, folder) = serve(Behaviour::default().with_lock(Lock::refuse())).await;
    let fault = server.faults().add(Rule::cut_at("STOR", 5, Cut::Silence));
    let mut first = Client::login(&server).await;
    let (mut data, _) = first.begin("STOR target").await;
    data.write_all(b"first writer").await.unwrap();
    fault.wait(LIMIT).await.unwrap();
    let mut second = Client::login(&server).await;
    assert_eq!(second.upload("STOR target", b"second").await, 550);
    server.cut_all(Cut::Fin);
    assert!(server.wait_for_sessions(0, LIMIT).await);
    let mut second = Client::login(&server).await;
    assert_eq!(second.upload("STOR target", b"second").await, 226);
    assert_eq!(fs::read(folder.path().join("target")).unwrap(), b"second");
}

#[tokio::test]
async fn a_rename_over_the_target_wins_but_for_late_renames() {
    for (name, behaviour) in Behaviour::presets() {
        if name == "proftpd_defaults" {
            continue;
        }
        let paused = Paused::at_half(behaviour).await;
        let mut second = Client::login(&paused.server).await;
        assert_eq!(second.upload("STOR b.part", b"second").await, 226, "{name}");
        assert_eq!(second.code("RNFR b.part").await, 350, "{name}");
        assert_eq!(second.code("RNTO target").await, 250, "{name}");
        let (target, a) = (paused.target(), paused.bytes.clone());
        let (_server, _folder) = paused.go_on().await;
        let late = matches!(name, "proftpd_hidden_stores" | "pure_ftpd_atomic");
        let expected = if late { &a[..] } else { b"second" };
        assert!(fs::read(target).unwrap() == expected, "{name}");
    }
}

#[tokio::test]
async fn temporaries_do_not_mix_with_restarts() {
    let (server, _folder) = serve(Behaviour::proftpd_hidden_stores()).await;
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR a", b"0123").await, 226);
    assert_eq!(client.code("REST 2").await, 350);
    assert_eq!(client.upload("STOR a", b"x").await, 451);
    client.code("REST 2").await;
    assert_eq!(client.upload("STOR absent", b"x").await, 501);
    client.code("REST 2").await;
    assert_eq!(client.download("RETR a").await, (b"23".to_vec(), 226));
    assert_eq!(client.upload("APPE a", b"x").await, 451);

    let (server, folder) = serve(Behaviour::pure_ftpd_atomic()).await;
    let mut client = Client::login(&server).await;
    client.upload("STOR a", b"0123456789").await;
    client.code("REST 4").await;
    assert_eq!(client.upload("STOR a", b"xyz").await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"0123xyz");
    assert_eq!(client.upload("APPE a", b"only this").await, 226);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"only this");
}
