//! What a job waits for at its partner, by socket or beside an FTP server: the operator hears of each
//! reason once, the record is not filled, and nobody is blamed who is not waited for.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ferryway_core::{JobId, Outcome, Status};
use ferryway_host::journal::{
    reader::Reader,
    record::{Exits, Job},
};
use ferryway_mocks::ftp_server::FtpServer;
use ferryway_tests::{
    content::{Content, hash_file},
    disk::SmallDisk,
    peers::Peers,
    scene::MIB,
    wait::{LIMIT, wait_until},
};
use tokio::runtime::Runtime;

use crate::receivers::{FAST, peer_of, receive, recorded, reload};

/// Asks that a wait must last to be told from a single one.
const ASKS: usize = 4;

/// How often the sender's record says a thing.
fn said(peers: &Peers, job: &Job, words: &str) -> usize {
    let entries = Reader::open(peers.night.install.path()).unwrap().entries(&job.id).unwrap();
    let has = |note: &Option<String>| note.as_deref().is_some_and(|note| note.contains(words));
    entries.iter().filter(|entry| has(&entry.note)).count()
}

/// Two hosts, where night sends to day by way of an FTP server and tells day by socket.
struct ByFtp {
    peers: Peers,
    /// The folder of the FTP server.
    root: PathBuf,
    _server: FtpServer,
    _runtime: Runtime,
}

impl ByFtp {
    /// Day looks for what comes in `files` of its install directory.
    fn start(files: &str) -> Self {
        let peers = Peers::start(FAST);
        let root = peers.day.install.path().join("ftp");
        fs::create_dir(&root).unwrap();
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(FtpServer::builder(&root).start()).unwrap();
        let night = &peers.night.install;
        let partner = format!(
            "[partners.FTP]\ntransport = \"ftp\"\nhost = \"127.0.0.1\"\nport = {}\n\
             user = \"ferry\"\npassword = \"any\"\ntls = \"off\"\nnotices = \"DAY\"\n\
             [partners.FTP.retry]\nfirst_s = 1\nmax_s = 1\n",
            server.addr().port()
        );
        let text = fs::read_to_string(night.path().join("ferryway.toml")).unwrap() + &partner;
        night.write("ferryway.toml", &text).unwrap();
        let definition = "[[definition]]\nid = \"FTP01\"\npartner = \"FTP\"\n\
                          direction = \"send\"\nremote = \"{name}\"\n";
        night.write("definitions/all.toml", definition).unwrap();
        reload(&peers.night.nodes[0]);
        let table =
            format!("[[reception]]\nid = \"FTP01\"\nvisitor = \"NIGHT\"\nfiles = \"{files}\"\n");
        receive(&peers.day, &table);
        Self { peers, root, _server: server, _runtime: runtime }
    }

    /// Has night send `a.bin`.
    fn send(&self, content: Content) -> JobId {
        let source = self.peers.night.install.path().join("out/a.bin");
        content.write_to(&source).unwrap();
        let submit = ["submit", "FTP01", source.to_str().unwrap()];
        let submitted = self.peers.night.nodes[0].ftprel_json(&submit).unwrap();
        submitted["jobs"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Has the file come to a folder by another way, all at once.
    fn arrives_in(&self, folder: &Path) {
        let half = folder.join("half");
        fs::copy(self.root.join("a.bin"), &half).unwrap();
        fs::rename(half, folder.join("a.bin")).unwrap();
    }
}

#[test]
fn a_sender_that_is_not_let_in_says_why_once() {
    let peers = Peers::start(FAST);
    let folder = peers.day.install.path().to_owned();
    let program = folder.join("pre.sh");
    let text =
        format!("#!/bin/sh\ncd '{}'\necho x >> asked\n[ -e go ] || exit 75\n", folder.display());
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let table = format!(
        "[[reception]]\nid = \"SEND1\"\nvisitor = \"NIGHT\"\n\
         [reception.pre_exit]\ncommand = ['{}']\n",
        program.display()
    );
    receive(&peers.day, &table);
    let content = Content::new(230, 1000);
    let id = peers.send("a.bin", content);
    let asked = || fs::read_to_string(folder.join("asked")).unwrap_or_default().lines().count();
    wait_until(LIMIT, "it asks again and again", || asked() > ASKS);
    let line = peers.night.await_line("0318W", &[id.as_str(), "Partner(DAY)", "Path(a.bin)"]);
    assert!(line.contains("exit code 75"), "{line}");
    let job = recorded(&peers.night.install, &id);
    assert_eq!(said(&peers, &job, "exit code 75"), 1, "each wait fills the record");
    fs::write(folder.join("go"), b"").unwrap();
    let job = peers.delivered(&id, "a.bin", content);
    assert_eq!(peers.night.lines("0318W").len(), 1);
    assert_eq!(said(&peers, &job, "exit code 75"), 1);
}

/// The host that is told is out for a while.
#[test]
fn a_host_behind_an_ftp_server_is_told_of_what_comes() {
    let mut ftp = ByFtp::start("ftp");
    ftp.peers.day.nodes[0].kill();
    let job = ftp.send(Content::new(206, MIB));
    ftp.peers.night.await_line("0312W", &["DAY"]);
    assert!(!ftp.root.join("a.bin").exists(), "nothing goes before its announcement");
    ftp.peers.day.start(1);
    let job = ftp.peers.completed(&job);
    ftp.peers.both_complete(&job);
    let day = &ftp.peers.day.install;
    let theirs = recorded(day, &peer_of(&job));
    assert_eq!(theirs.local(), ftp.root.join("a.bin"));
    assert_eq!(theirs.spec.exits, Exits::default());
    let entries = Reader::open(day.path()).unwrap().entries(&theirs.id).unwrap();
    let seen = |note: &str| note == "the file is as delivered";
    assert!(entries.iter().any(|e| e.note.as_deref().is_some_and(seen)), "{entries:#?}");
}

/// What day finds is not what night has delivered: that is no delivery.
#[test]
fn a_file_that_the_partner_finds_otherwise_is_sent_anew() {
    let ftp = ByFtp::start("in");
    let found = ftp.peers.day.incoming().join("a.bin");
    fs::write(&found, "something else").unwrap();
    let id = ftp.send(Content::new(233, 1000));
    ftp.peers.night.await_line("0315W", &[id.as_str(), "DAY", "14 bytes"]);
    assert!(recorded(&ftp.peers.night.install, &id).status.in_flight());
    ftp.arrives_in(&ftp.peers.day.incoming());
    let job = ftp.peers.completed(&id);
    assert!(job.state.published > 1, "it went more than once");
    let theirs = recorded(&ftp.peers.day.install, &peer_of(&job));
    assert_eq!((theirs.state.published, &theirs.state.digest), (1, &job.state.digest));
}

/// Whoever brought the file did not sync it, and the disk breaks down as soon as day has given its word.
/// On ext4 this shows the bytes: a sync of a new file brings its name to the disk as well.
#[test]
fn what_came_by_another_way_is_on_the_disk_before_it_is_confirmed() {
    let disk = match SmallDisk::mount_ext4(32 * MIB) {
        Ok(disk) => disk,
        Err(reason) => return reason.skip(),
    };
    let ftp = ByFtp::start(disk.path().to_str().unwrap());
    let content = Content::new(235, MIB);
    let id = ftp.send(content);
    ftp.peers.night.await_line("0318W", &["not in place here"]);
    ftp.arrives_in(disk.path());
    let job = ftp.peers.completed(&id);
    disk.break_down().unwrap();
    assert_eq!(job.state.published, 1, "day has seen the file that was copied");
    disk.detach().unwrap();
    let elsewhere = disk.elsewhere().unwrap();
    elsewhere.attach().unwrap();
    assert_eq!(hash_file(&elsewhere.path().join("a.bin")).unwrap(), content.hash());
}

/// As after a restore from a backup: day knows nothing of the job when it is asked for its word.
#[test]
fn a_partner_that_has_forgotten_the_job_is_told_of_it_anew() {
    let mut ftp = ByFtp::start("in");
    let id = ftp.send(Content::new(234, 1000));
    ftp.peers.night.await_line("0318W", &["not in place here"]);
    ftp.peers.day.nodes[0].kill();
    fs::remove_dir_all(ftp.peers.day.install.path().join("journal")).unwrap();
    ftp.peers.day.start(1);
    ftp.peers.day.await_line("0507I", &[id.as_str()]);
    ftp.arrives_in(&ftp.peers.day.incoming());
    let job = ftp.peers.completed(&id);
    ftp.peers.both_complete(&job);
    assert_eq!(job.state.published, 1);
}

/// Whoever is told of the file does not find it. Then it leaves the configuration: the partner that
/// took the bytes is not to blame.
#[test]
fn a_delivered_job_that_is_not_confirmed_says_why_once() {
    // Nothing comes into this folder.
    let mut ftp = ByFtp::start("in");
    let id = ftp.send(Content::new(232, 1000));
    let peers = &mut ftp.peers;
    peers.night.await_line("0318W", &["Partner(DAY)", "Path(a.bin)", "not in place here"]);
    let asked = || peers.job(&id).state.waits as usize;
    wait_until(LIMIT, "it asks again and again", || asked() > ASKS);
    let job = recorded(&peers.night.install, &id);
    assert_eq!((job.status, said(peers, &job, "not in place")), (Status::Confirming, 1));
    assert_eq!(peers.night.lines("0318W").len(), 1);
    peers.night.nodes[0].kill();
    let place = peers.night.install.path().join("ferryway.toml");
    let text = fs::read_to_string(&place).unwrap();
    let text = text.replace("[partners.DAY", "[partners.OTHER").replace("notices = \"DAY\"\n", "");
    fs::write(&place, text).unwrap();
    peers.night.start(1);
    peers.night.await_line("0319W", &[id.as_str(), "Partner(DAY)", "Path(a.bin)"]);
    let list = || peers.night.nodes[1].ftprel_json(&["list"]).unwrap();
    let asked = recorded(&peers.night.install, &id).version;
    wait_until(LIMIT, "it looks again", || list()["jobs"][0]["next_try_at"].is_string());
    let out = peers.night.lines("0312W");
    assert!(out.iter().all(|line| !line.contains("Partner(FTP)")), "{out:?}");
    assert_eq!(recorded(&peers.night.install, &id).version, asked);
    let said = peers.night.nodes[1].ftprel(&["cancel", id.as_str()]).unwrap();
    assert!(said.status.success(), "{said:?}");
    let ended = recorded(&peers.night.install, &id);
    assert_eq!(ended.status, Status::Idle(Outcome::Completed));
    assert_eq!(peers.night.lines("0319W").len(), 1);
}
