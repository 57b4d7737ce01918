//! Commands without data, and listings.

use std::{fs, net::Ipv4Addr};

use ferryway_mocks::ftp_server::{
    Behaviour, FtpServer, HiddenNames, ListAbsent, RenameOver, Side, User,
};

use tokio::io::AsyncReadExt;

use crate::{LIMIT, client::Client, names, serve};

#[tokio::test]
async fn every_command_has_its_reply() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    for (command, code) in [
        ("NOOP", 200),
        ("SYST", 215),
        ("STAT", 211),
        ("MODE S", 200),
        ("MODE B", 504),
        ("STRU F", 200),
        ("TYPE X", 504),
        ("OPTS UTF8 ON", 200),
        ("PBSZ 0", 200),
        ("AUTH TLS", 502),
        ("ABOR", 226),
        ("MKD sub folder", 257),
        ("MKD sub folder", 550),
        ("CWD sub folder", 250),
        ("MKD 月次", 257),
        ("CWD nowhere", 550),
        ("CDUP", 250),
        ("RMD sub folder", 550),
        ("RMD sub folder/月次", 250),
        ("MLST sub folder", 250),
        ("SIZE sub folder", 550),
        ("SIZE absent", 550),
        ("MDTM absent", 550),
        ("MLST absent", 550),
        ("DELE absent", 550),
        ("RNFR absent", 550),
        ("RNTO absent", 503),
        ("RNFR sub folder", 350),
        ("RNTO moved", 250),
        ("RETR absent", 550),
        ("STOR moved", 550),
        ("REST -1", 501),
        ("REST 10", 350),
        ("DELE", 501),
        ("XYZZY", 500),
    ] {
        assert_eq!(client.code(command).await, code, "{command}\n{}", server.transcript());
    }
    assert_eq!(names(folder.path()), ["moved"]);
    assert_eq!(client.command("PWD").await.text, "257 \"/\" is the current directory\r\n");
    assert_eq!(client.code("QUIT").await, 221);
    assert!(client.is_cut().await);
}

#[tokio::test]
async fn only_users_with_their_password_get_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("home/ferry")).unwrap();
    let home = "/home/ferry".to_owned();
    let user = User { name: "ferry".to_owned(), password: "secret".to_owned(), home };
    let builder = FtpServer::builder(folder.path()).users([user]);
    let server = builder.start().await.unwrap();
    let (mut client, _) = Client::connect(&server).await;
    assert_eq!(client.code("PASS secret").await, 503);
    assert_eq!(client.code("SIZE x").await, 530);
    for (user, password, code) in
        [("ferry", "wrong", 530), ("other", "secret", 530), ("anonymous", "x", 530)]
    {
        client.code(&format!("USER {user}")).await;
        assert_eq!(client.code(&format!("PASS {password}")).await, code, "{user}");
    }
    let mut client = Client::login(&server).await;
    assert!(client.command("PWD").await.text.contains("\"/home/ferry\""));
    assert!(!server.transcript().to_string().contains("secret"));

    let server = builder.anonymous(true).start().await.unwrap();
    let (mut client, _) = Client::connect(&server).await;
    client.code("USER anonymous").await;
    assert_eq!(client.code("PASS x").await, 230);
}

#[tokio::test]
async fn no_path_leaves_the_root() {
    let (server, folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    assert_eq!(client.upload("STOR ../../escaped", b"x").await, 226);
    assert_eq!(names(folder.path()), ["escaped"]);
    assert_eq!(client.code("CWD ../..").await, 250);
    assert!(client.command("PWD").await.text.contains("\"/\""));
    assert_eq!(client.code("SIZE /etc/passwd").await, 550);
}

#[tokio::test]
async fn a_command_switched_off_is_unknown_and_not_a_feature() {
    let off = ["MLSD", "MLST", "EPSV", "REST", "HASH", "SIZE", "XCRC"];
    let (server, _folder) = serve(Behaviour::default().without(&off)).await;
    let mut client = Client::login(&server).await;
    let features = client.command("FEAT").await.text;
    for command in off {
        assert_eq!(client.code(&format!("{command} 1")).await, 500, "{command}");
        assert!(!features.contains(command), "{features}");
    }
    let (server, _folder) = serve(Behaviour::default()).await;
    let features = Client::login(&server).await.command("FEAT").await.text;
    for feature in [" MLST type*", " EPSV", " REST STREAM", " HASH SHA-256*;CRC32", " SIZE"] {
        assert!(features.contains(feature), "no {feature} in {features}");
    }
}

#[tokio::test]
async fn size_and_time_are_told() {
    let (server, folder) = serve(Behaviour::default()).await;
    fs::write(folder.path().join("a b"), "12345").unwrap();
    let mut client = Client::login(&server).await;
    assert_eq!(client.command("SIZE a b").await.text, "213 5\r\n");
    let time = client.command("MDTM a b").await.text;
    assert!(time.starts_with("213 20") && time.len() == "213 20000101000000\r\n".len(), "{time}");
    let facts = client.command("MLST a b").await.text;
    assert!(facts.contains("\r\n type=file;size=5;modify=20"), "{facts}");
    assert!(facts.contains("; /a b\r\n"), "{facts}");
    client.code("TYPE A").await;
    assert_eq!(client.code("SIZE a b").await, 550);

    let (server, folder) = serve(Behaviour::vsftpd()).await;
    fs::write(folder.path().join("a"), "1").unwrap();
    let mut client = Client::login(&server).await;
    client.code("TYPE A").await;
    assert_eq!(client.code("SIZE a").await, 213);
}

#[tokio::test]
async fn listings_show_what_the_servers_kind_shows() {
    for (hidden_names, mlsd, nlst, nlst_all) in [
        (HiddenNames::Shown, true, true, true),
        (HiddenNames::WithDashA, true, false, true),
        (HiddenNames::Never, false, false, false),
    ] {
        let (server, folder) = serve(Behaviour { hidden_names, ..Behaviour::default() }).await;
        fs::write(folder.path().join(".hidden"), "x").unwrap();
        fs::write(folder.path().join("月 次"), "12").unwrap();
        let mut client = Client::login(&server).await;
        let shows = |lines: &[String]| lines.iter().any(|line| line.ends_with(".hidden"));
        let lines = client.lines("MLSD").await;
        assert_eq!(shows(&lines), mlsd, "{lines:?}");
        assert!(lines.iter().any(|line| line.ends_with("; 月 次") && line.contains("size=2;")));
        assert_eq!(shows(&client.lines("NLST").await), nlst);
        assert_eq!(shows(&client.lines("NLST -a").await), nlst_all);
        let lines = client.lines("LIST -la /").await;
        assert_eq!(shows(&lines), nlst_all);
        assert!(
            lines.iter().any(|line| line.starts_with("-rw-r--r--") && line.ends_with(" 月 次"))
        );
    }
}

#[tokio::test]
async fn an_absent_folder_lists_as_the_servers_kind_does() {
    let (server, _folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    assert_eq!(client.download("LIST nowhere").await.1, 550);
    assert_eq!(client.download("MLSD nowhere").await.1, 550);
    for (list_absent, code) in [(ListAbsent::Empty, 226), (ListAbsent::Late(450), 450)] {
        let (server, _folder) = serve(Behaviour { list_absent, ..Behaviour::default() }).await;
        let mut client = Client::login(&server).await;
        let (mut data, opening) = client.begin("LIST nowhere").await;
        assert_eq!(opening.code, 150);
        assert_eq!(data.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(client.reply().await.code, code);
        assert_eq!(client.download("NLST nowhere").await.1, 550);
    }
}

#[tokio::test]
async fn a_rename_over_a_file_replaces_or_is_refused() {
    for (rename_over, code, content) in
        [(RenameOver::Replaces, 250, "new"), (RenameOver::Refuses, 550, "old")]
    {
        let (server, folder) = serve(Behaviour { rename_over, ..Behaviour::default() }).await;
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        let mut client = Client::login(&server).await;
        assert_eq!(client.code("RNFR from").await, 350);
        assert_eq!(client.code("RNTO to").await, code);
        assert_eq!(fs::read_to_string(to).unwrap(), content);
        assert_eq!(from.exists(), code == 550);
        let noted =
            server.renames().iter().any(|done| (&*done.from, &*done.to) == ("/from", "/to"));
        assert_eq!(noted, code == 250, "what was done is noted");
    }
}

#[tokio::test]
async fn a_file_that_vanishes_between_rnfr_and_rnto_is_told_as_the_kind_does() {
    for (behaviour, code) in [(Behaviour::default(), 550), (Behaviour::pure_ftpd(), 451)] {
        let (server, folder) = serve(behaviour).await;
        fs::write(folder.path().join("a"), "x").unwrap();
        let mut client = Client::login(&server).await;
        assert_eq!(client.code("RNFR a").await, 350);
        fs::remove_file(folder.path().join("a")).unwrap();
        assert_eq!(client.code("RNTO b").await, code);
    }
}

#[tokio::test]
async fn hashes_are_of_the_range() {
    let (server, folder) = serve(Behaviour::default()).await;
    fs::write(folder.path().join("a b"), "abcdef").unwrap();
    let mut client = Client::login(&server).await;
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(client.code("RANG 0 2").await, 350);
    let reply = client.command("HASH a b").await.text;
    assert_eq!(reply, format!("213 SHA-256 0-2 {abc} a b\r\n"));
    // The range is for one command.
    assert!(client.command("HASH a b").await.text.starts_with("213 SHA-256 0-5 bef57ec7"));
    assert_eq!(client.code("OPTS HASH CRC32").await, 200);
    assert!(client.command("FEAT").await.text.contains("HASH SHA-256;CRC32*"));
    client.code("RANG 0 2").await;
    assert!(client.command("HASH a b").await.text.contains(" 352441c2 "));
    assert_eq!(client.command("XCRC \"a b\" 0 3").await.text, "250 352441C2\r\n");
    assert_eq!(client.command("XCRC a b").await.text, "250 4B8E39EF\r\n");
    assert_eq!(client.code("XCRC \"a b\" 0 7").await, 501);
    assert_eq!(client.code("HASH absent").await, 550);
}

#[tokio::test]
async fn a_command_that_comes_early_is_heard_or_lost() {
    for loses_early_commands in [false, true] {
        let behaviour = Behaviour { loses_early_commands, ..Behaviour::default() };
        let (server, _folder) = serve(behaviour).await;
        let mut client = Client::login(&server).await;
        client.send("NOOP\r\nSYST").await;
        assert_eq!(client.reply().await.code, 200);
        if !loses_early_commands {
            assert_eq!(client.reply().await.code, 215);
        }
        assert_eq!(client.code("PWD").await, 257);
    }
}

#[tokio::test]
async fn too_many_sessions_are_turned_away_and_counted() {
    let (server, _folder) =
        serve(Behaviour { max_sessions: Some(1), ..Behaviour::default() }).await;
    let first = Client::login(&server).await;
    let (mut second, greeting) = Client::connect(&server).await;
    assert_eq!(greeting.code, 421);
    assert!(second.is_cut().await);
    assert!(server.wait_for_sessions(1, LIMIT).await);
    drop(first);
    assert!(server.wait_for_sessions(0, LIMIT).await);
    Client::login(&server).await;
}

#[tokio::test]
async fn a_quiet_session_is_told_421() {
    let idle_timeout = std::time::Duration::from_millis(50);
    let (server, _folder) = serve(Behaviour { idle_timeout, ..Behaviour::default() }).await;
    let (mut client, _) = Client::connect(&server).await;
    assert_eq!(client.reply().await.code, 421);
    assert!(client.is_cut().await);
}

#[tokio::test]
async fn pasv_tells_its_address_or_the_one_of_a_nat() {
    let (server, _folder) = serve(Behaviour::default()).await;
    let text = Client::login(&server).await.command("PASV").await.text;
    assert!(text.starts_with("227 ") && text.contains("(127,0,0,1,"), "{text}");
    let pasv_address = Some(Ipv4Addr::new(10, 1, 2, 3));
    let (server, _folder) = serve(Behaviour { pasv_address, ..Behaviour::default() }).await;
    let text = Client::login(&server).await.command("PASV").await.text;
    assert!(text.contains("(10,1,2,3,"), "{text}");
}

#[tokio::test]
async fn the_transcript_tells_who_said_what() {
    let (server, _folder) = serve(Behaviour::default()).await;
    let mut client = Client::login(&server).await;
    client.code("NOOP").await;
    assert_eq!(server.transcript().commands(), ["USER ferry", "PASS ***", "TYPE I", "NOOP"]);
    assert_eq!(server.transcript().count("NOOP"), 1);
    let reply = server.transcript().wait_for(LIMIT, |entry| entry.text == "200 NOOP ok.").await;
    assert_eq!(reply.unwrap().side, Side::Server);
}
