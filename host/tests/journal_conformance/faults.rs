//! Journals that cannot be used, and disks that fail.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use ferryway_host::journal::{
    Durability, Hook, JournalError, JournalStore, Point, SqliteJournal, reader::Reader,
};

use crate::{Install, accept, spec};

/// A journal with a job, cleanly closed.
async fn closed_journal() -> Install {
    let install = Install::new(Durability::WriteAhead);
    let (journal, _) = install.host("alpha");
    accept(&journal, "A").await;
    journal.close().await.unwrap();
    install
}

fn database(install: &Install) -> std::path::PathBuf {
    install.path().join("journal/hot.1/journal.db")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_journal_is_refused_and_stays_as_it_is() {
    let install = closed_journal().await;
    let path = database(&install);
    // SQLite's user_version is at byte 60 of the file, the most significant byte first.
    fs::File::options().write(true).open(&path).unwrap().write_at(&[0, 0, 0, 99], 60).unwrap();
    let current = fs::read(install.path().join("journal/CURRENT")).unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteJournal::take_over(install.options("alpha")).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 99, supported: 5, .. }), "{error}");
    assert!(matches!(Reader::open(install.path()), Err(JournalError::Newer { .. })));
    assert!(before == fs::read(&path).unwrap());
    // Its owner, of a newer version, is not fenced by a program that cannot take over.
    assert_eq!(current, fs::read(install.path().join("journal/CURRENT")).unwrap());
    assert!(!install.path().join("journal/hot.2").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_damaged_journal_is_refused_and_stays_as_it_is() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("another program", |bytes| bytes[68..72].fill(7)),
        ("no SQLite database", |bytes| bytes[..8].fill(b'x')),
        ("too short", |bytes| bytes.truncate(50)),
        ("malformed", |bytes| bytes.truncate(5000)),
        ("", |bytes| bytes[4096..].fill(0xaa)),
    ];
    for (words, damage) in damages {
        let install = closed_journal().await;
        let path = database(&install);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        for _ in 0..2 {
            let error = SqliteJournal::take_over(install.options("alpha")).unwrap_err();
            let JournalError::Damaged { path: blamed, reason } = &error else { panic!("{error}") };
            assert_eq!(blamed, &path.display().to_string());
            assert!(reason.contains(words), "{reason}");
            assert!(bytes == fs::read(&path).unwrap(), "{words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_is_not_mistaken_for_a_fresh_install() {
    for lost in ["journal/hot.1", "journal/CURRENT", "both hot"] {
        let install = closed_journal().await;
        match lost {
            "journal/CURRENT" => fs::remove_file(install.path().join(lost)).unwrap(),
            "journal/hot.1" => fs::remove_dir_all(install.path().join(lost)).unwrap(),
            _ => {
                install.host("alpha").0.close().await.unwrap();
                for name in ["hot.1", "hot.2"] {
                    fs::remove_file(install.path().join("journal").join(name).join("journal.db"))
                        .unwrap();
                }
            }
        }
        let error = SqliteJournal::take_over(install.options("alpha")).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{lost}: {error}");
        assert!(error.to_string().contains("missing"), "{lost}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_of_another_instance_is_refused() {
    let install = closed_journal().await;
    let mut options = install.options("alpha");
    options.instance = "day".parse().unwrap();
    let error = SqliteJournal::take_over(options).unwrap_err();
    assert!(error.to_string().contains("instance `night`, not of `day`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_of_the_disk_nothing_is_acknowledged_any_more() {
    for at in [Point::Executed, Point::Committed] {
        let install = Install::new(Durability::WriteAhead);
        let broken = Arc::new(AtomicBool::new(false));
        let mut options = install.options("alpha");
        let switch = Arc::clone(&broken);
        options.hook = Hook::new(move |point| {
            // It fails once, and then is well again.
            if point == at && switch.swap(false, Ordering::SeqCst) {
                return Err(std::io::Error::from_raw_os_error(5));
            }
            Ok(())
        });
        let (journal, _) = SqliteJournal::take_over(options).unwrap();
        let job = accept(&journal, "A").await;
        broken.store(true, Ordering::SeqCst);
        let first = journal.accept(vec![spec("A")]).await.unwrap_err();
        let later = journal.accept(vec![spec("A")]).await.unwrap_err();
        let closed = journal.closed().await;
        for error in [&first, &later, &closed] {
            assert!(matches!(error, JournalError::Io { .. }), "{error}");
            assert_eq!(error.to_string(), first.to_string());
        }
        assert!(journal.close().await.is_err());
        let (_, takeover) = install.host("beta");
        assert_eq!(takeover.in_flight[0], job);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_does_not_come_back_from_the_disk_closes_the_journal() {
    let install = Install::new(Durability::WriteAhead);
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let stuck = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&stuck);
    let mut options = install.options("alpha");
    options.unreachable_after = Some(Duration::from_millis(300));
    options.hook = Hook::new(move |point| {
        if point == Point::Executed && switch.load(Ordering::SeqCst) {
            // Ends when the test drops its end.
            let _end = held.lock().unwrap().recv();
        }
        Ok(())
    });
    let (journal, _) = SqliteJournal::take_over(options).unwrap();
    accept(&journal, "A").await;
    stuck.store(true, Ordering::SeqCst);
    let limit = Duration::from_secs(20);
    let write = tokio::time::timeout(limit, journal.accept(vec![spec("A")])).await;
    let error = write.expect("the write fails while the writer is stuck").unwrap_err();
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    tokio::time::timeout(limit, journal.closed()).await.unwrap();
    assert!(journal.accept(vec![spec("A")]).await.is_err());
    drop(release);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount("a_full_disk") else { return };
    let install = Install::at(disk.path(), Durability::WriteAhead);
    let (journal, _) = install.host("alpha");
    let mut acknowledged = Vec::new();
    let error = loop {
        match journal.accept(vec![spec("FULL"); 100]).await {
            Ok(jobs) => acknowledged.extend(jobs),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("the disk is full: free space"), "{error}");
    assert_eq!(journal.closed().await.to_string(), error.to_string());
    // There is no room for a copy either: that is said, and nothing is harmed.
    let error = SqliteJournal::take_over(install.options("beta")).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    disk.remount("size=64m");
    let (_, takeover) = install.host("gamma");
    assert_eq!(takeover.in_flight[..acknowledged.len()], acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_named() {
    let Some(disk) = SmallDisk::mount("a_read_only_disk") else { return };
    let install = Install::at(disk.path(), Durability::WriteAhead);
    let (journal, _) = install.host("alpha");
    let job = accept(&journal, "A").await;
    journal.close().await.unwrap();
    disk.remount("ro");
    let error = SqliteJournal::take_over(install.options("beta")).unwrap_err();
    assert!(error.to_string().contains("read-only: mount it read-write"), "{error}");
    // Looking on needs no permission to write after a clean stop.
    assert_eq!(Reader::open(install.path()).unwrap().in_flight().unwrap(), [job]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_permission_is_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a_folder_without_permission: root may do everything");
        return;
    }
    let install = closed_journal().await;
    let folder = install.path().join("journal");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let error = SqliteJournal::take_over(install.options("beta")).unwrap_err();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(error.to_string().contains("permission"), "{error}");
}

/// A small file system in memory, which only root can mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "ferryway-test"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: {test}: a file system can be mounted by root only");
        None
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let status = Command::new("mount").args(["-o", &option]).arg(self.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a writer thread may still be closing its files.
        let _status = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
