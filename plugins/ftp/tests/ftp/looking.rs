//! What a session learns about the files of its partner.

use std::time::Duration;

use ferryway_core::{
    Algorithm, Digest, Kind,
    transport::{EntryKind, Session},
};
use ferryway_mocks::ftp_server::{Action, Behaviour, Rule, When};

use crate::support::{Lab, path, upload};

async fn names(session: &mut dyn Session, folder: Option<&str>) -> Vec<String> {
    let mut names = session.list(folder.map(path)).await.unwrap();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn any_server_tells_files_from_folders_and_lists_them() {
    for (server, behaviour) in Behaviour::presets() {
        let lab = Lab::new(behaviour).await;
        let mut session = lab.session().await;
        session.make_folder(path("in [1] 月")).await.unwrap();
        session.store(upload("in [1] 月/a b", 0, b"12345")).await.unwrap();
        session.store(upload("in [1] 月/.c", 0, b"")).await.unwrap();

        let file = session.stat(path("in [1] 月/a b")).await.unwrap();
        assert_eq!((file.kind, file.size), (EntryKind::File, Some(5)), "{server}");
        let modified = file.modified.unwrap().elapsed().unwrap_or_default();
        assert!(modified.as_secs() < 3600, "{server}: {modified:?}");
        let folder = session.stat(path("in [1] 月")).await.unwrap();
        assert_eq!((folder.kind, folder.size), (EntryKind::Folder, None), "{server}");

        assert_eq!(names(&mut *session, None).await, ["in [1] 月"], "{server}");
        let inside = names(&mut *session, Some("in [1] 月")).await;
        match session.capabilities().lists_hidden {
            true => assert_eq!(inside, [".c", "a b"], "{server}"),
            false => assert_eq!(inside, ["a b"], "{server}"),
        }
    }
}

#[tokio::test]
async fn absence_is_never_guessed() {
    for (server, behaviour) in Behaviour::presets() {
        let lab = Lab::new(behaviour).await;
        let mut session = lab.session().await;
        let errors = [
            session.stat(path("none")).await.map(|_| ()).unwrap_err(),
            session.stat(path("none/a")).await.map(|_| ()).unwrap_err(),
            session.list(Some(path("none"))).await.map(|_| ()).unwrap_err(),
            session.remove(path("none")).await.unwrap_err(),
            session.rename(path("none"), path("a")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), Kind::Unavailable, "{server}: {error}");
        }
        assert_eq!(names(&mut *session, None).await, [""; 0], "{server}");
    }
}

#[tokio::test]
async fn looking_leaves_the_session_where_it_was() {
    let lab = Lab::new(Behaviour::vsftpd()).await;
    let mut session = lab.session().await;
    session.make_folder(path("in")).await.unwrap();
    session.stat(path("in")).await.unwrap();
    session.list(Some(path("in"))).await.unwrap();
    session.store(upload("a", 0, b"1")).await.unwrap();
    assert!(lab.on_disk("a").exists(), "{}", lab.server.transcript());
}

#[tokio::test]
async fn a_server_without_extensions_still_tells_what_is_there() {
    let poor = Behaviour::default().without(&["FEAT", "MLSD", "MLST", "SIZE", "MDTM", "EPSV"]);
    let lab = Lab::new(poor).await;
    let mut session = lab.session().await;
    session.make_folder(path("in")).await.unwrap();
    session.store(upload("in/a", 0, b"12345")).await.unwrap();
    assert_eq!(session.stat(path("in")).await.unwrap().kind, EntryKind::Folder);
    let file = session.stat(path("in/a")).await.unwrap();
    assert_eq!((file.kind, file.size), (EntryKind::File, None));
    assert_eq!(session.stat(path("in/b")).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(session.stat(path("in/.b")).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(names(&mut *session, Some("in")).await, ["a"]);
    assert!(!session.capabilities().size);
}

#[tokio::test]
async fn folders_come_and_go() {
    let lab = Lab::new(Behaviour::default()).await;
    let mut session = lab.session().await;
    session.make_folder(path("in")).await.unwrap();
    let again = session.make_folder(path("in")).await.unwrap_err();
    assert_eq!(again.kind(), Kind::Unavailable);
    session.store(upload("in/a", 0, b"1")).await.unwrap();
    assert!(session.remove_folder(path("in")).await.is_err());
    session.rename(path("in"), path("out")).await.unwrap();
    session.remove(path("out/a")).await.unwrap();
    session.remove_folder(path("out")).await.unwrap();
    assert_eq!(names(&mut *session, None).await, [""; 0]);
}

#[tokio::test]
async fn hashes_are_those_of_the_first_bytes() {
    let sha = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
    let cases = [(Algorithm::Sha256, sha), (Algorithm::Crc32, "0972d361")];
    for without in [&[][..], &["XCRC"], &["RANG"], &["RANG", "XCRC"], &["HASH", "RANG"]] {
        let lab = Lab::new(Behaviour::default().without(without)).await;
        let mut session = lab.session().await;
        session.store(upload("a b", 0, b"123456")).await.unwrap();
        session.store(upload("longer", 0, b"123456789")).await.unwrap();
        for (algorithm, digits) in cases {
            let expected = Digest::from_hex(algorithm, digits).unwrap();
            if !session.capabilities().checksums.contains(&algorithm) {
                let error = session.checksum(path("a b"), algorithm, 6).await.unwrap_err();
                assert_eq!(error.kind(), Kind::Unsupported, "{error}");
                continue;
            }
            assert_eq!(session.checksum(path("a b"), algorithm, 6).await.unwrap(), expected);
            match session.checksum(path("longer"), algorithm, 6).await {
                Ok(digest) => assert_eq!(digest, expected),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
                    assert_eq!(without.first(), Some(&"RANG"), "{error}");
                }
            }
        }
        // Some servers keep a range for the next download.
        let last = lab.commands().into_iter().rfind(|command| command.starts_with("RANG"));
        assert!(last.is_none_or(|range| range == "RANG 1 0"), "{}", lab.server.transcript());
        assert!(without.contains(&"HASH") || session.capabilities().checksums.len() == 2);
    }
}

#[tokio::test]
async fn a_hash_is_not_one_of_more_bytes_when_the_file_grows_meanwhile() {
    let sha = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
    for without in [&[][..], &["RANG"]] {
        let lab = Lab::new(Behaviour::default().without(without)).await;
        let mut session = lab.session().await;
        session.store(upload("a", 0, b"123456")).await.unwrap();
        let stall = lab.server.faults().add(Rule::new("HASH", When::Before, Action::Stall));
        let asked =
            tokio::spawn(async move { session.checksum(path("a"), Algorithm::Sha256, 6).await });
        stall.wait(Duration::from_secs(5)).await.unwrap();
        std::fs::write(lab.on_disk("a"), b"123456789").unwrap();
        stall.release();
        match asked.await.unwrap() {
            Ok(digest) => {
                assert_eq!(Some(digest), Digest::from_hex(Algorithm::Sha256, sha));
                assert!(without.is_empty());
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unsupported, "{error}");
                assert!(!without.is_empty());
            }
        }
    }
}
