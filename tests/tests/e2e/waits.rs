//! What a job waits for at its partner: the operator hears of each reason once, the record is not
//! filled, and nobody is blamed who is not waited for.

use std::{fs, os::unix::fs::PermissionsExt};

use ferryway_core::{JobId, Outcome, Status};
use ferryway_host::journal::{reader::Reader, record::Job};
use ferryway_mocks::ftp_server::FtpServer;
use ferryway_tests::{
    content::Content,
    peers::Peers,
    wait::{LIMIT, wait_until},
};
use tokio::runtime::Runtime;

use crate::receivers::{FAST, receive, recorded, reload};

/// Asks that a wait must last to be told from a single one.
const ASKS: usize = 4;

/// How often the record says a thing.
fn said(peers: &Peers, job: &Job, words: &str) -> usize {
    let entries = Reader::open(peers.night.install.path()).unwrap().entries(&job.id).unwrap();
    let has = |note: &Option<String>| note.as_deref().is_some_and(|note| note.contains(words));
    entries.iter().filter(|entry| has(&entry.note)).count()
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

/// The bytes went by FTP, and whoever is told of them does not find them. Then it leaves the
/// configuration: the partner that took the bytes is not to blame.
#[test]
fn a_delivered_job_that_is_not_confirmed_says_why_once() {
    let mut peers = Peers::start(FAST);
    let root = peers.day.install.path().join("ftp");
    fs::create_dir(&root).unwrap();
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(FtpServer::builder(&root).start()).unwrap();
    let night = peers.night.install.path().to_owned();
    let place = night.join("ferryway.toml");
    let partner = format!(
        "[partners.FTP]\ntransport = \"ftp\"\nhost = \"127.0.0.1\"\nport = {}\n\
         user = \"ferry\"\npassword = \"any\"\ntls = \"off\"\nnotices = \"DAY\"\n\
         [partners.FTP.retry]\nfirst_s = 1\nmax_s = 1\n",
        server.addr().port()
    );
    let text = fs::read_to_string(&place).unwrap() + &partner;
    fs::write(&place, &text).unwrap();
    let definition = "[[definition]]\nid = \"FTP01\"\npartner = \"FTP\"\ndirection = \"send\"\n\
                      remote = \"{name}\"\n";
    fs::write(night.join("definitions/all.toml"), definition).unwrap();
    reload(&peers.night.nodes[0]);
    // Nothing comes into this folder, so that the sender waits in 08.
    let table = "[[reception]]\nid = \"FTP01\"\nvisitor = \"NIGHT\"\nfiles = \"in\"\n";
    receive(&peers.day, table);
    let source = night.join("out/a.bin");
    Content::new(232, 1000).write_to(&source).unwrap();
    let submit = ["submit", "FTP01", source.to_str().unwrap()];
    let submitted = peers.night.nodes[0].ftprel_json(&submit).unwrap();
    let id: JobId = submitted["jobs"][0]["id"].as_str().unwrap().parse().unwrap();
    let wait = ["Partner(DAY)", "Path(a.bin)", "not in place here"];
    peers.night.await_line("0318W", &wait);
    let asked = || peers.job(&id).state.waits as usize;
    wait_until(LIMIT, "it asks again and again", || asked() > ASKS);
    let job = recorded(&peers.night.install, &id);
    assert_eq!((job.status, said(&peers, &job, "not in place")), (Status::Confirming, 1));
    assert_eq!(peers.night.lines("0318W").len(), 1);
    peers.night.nodes[0].kill();
    let text = text.replace("[partners.DAY", "[partners.OTHER").replace("notices = \"DAY\"\n", "");
    fs::write(&place, text).unwrap();
    peers.night.start(1);
    peers.night.await_line("0319W", &[id.as_str(), "Partner(DAY)", "Path(a.bin)"]);
    let waits = || peers.night.nodes[1].ftprel_json(&["list"]).unwrap();
    let asked = recorded(&peers.night.install, &id).version;
    wait_until(LIMIT, "it looks again", || waits()["jobs"][0]["next_try_at"].is_string());
    let out = peers.night.lines("0312W");
    assert!(out.iter().all(|line| !line.contains("Partner(FTP)")), "{out:?}");
    assert_eq!(recorded(&peers.night.install, &id).version, asked);
    let said = peers.night.nodes[1].ftprel(&["cancel", id.as_str()]).unwrap();
    assert!(said.status.success(), "{said:?}");
    let ended = recorded(&peers.night.install, &id);
    assert_eq!(ended.status, Status::Idle(Outcome::Completed));
    assert_eq!(peers.night.lines("0319W").len(), 1);
}
