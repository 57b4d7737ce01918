//! A job on each side of one file: both come to their end, whichever host dies on the way, and
//! each operator sees both.

use std::{fs, path::Path};

use ferryway_core::{JobId, Outcome, Status};
use ferryway_host::{
    control::api::Command,
    journal::{reader::Reader, record::Job},
};
use ferryway_tests::{
    content::Content,
    host::{Install, Node},
    peers::{Peers, Security, Setup, Side},
    scene::{JOB_LIMIT, MIB, MIDDLE, SIZE, client, largest},
    wait::{LIMIT, wait_until},
};
use tokio::runtime::Runtime;

pub(super) const FAST: Setup = Setup { rate: 1 << 30, retry_s: 1, security: Security::Secret };
pub(super) const SLOW: Setup = Setup { rate: 12 * MIB, retry_s: 1, security: Security::Secret };

pub(super) fn recorded(install: &Install, job: &JobId) -> Job {
    Reader::open(install.path()).unwrap().job(job).unwrap().expect("the job is on record")
}

/// Waits until the job on record is as it should be; the job.
#[track_caller]
pub(super) fn await_job(
    install: &Install,
    id: &JobId,
    what: &str,
    fits: impl Fn(&Job) -> bool,
) -> Job {
    let mut found = None;
    wait_until(JOB_LIMIT, &format!("job {id} {what}"), || {
        let job = recorded(install, id);
        let fits = fits(&job);
        found = Some(job);
        fits
    });
    found.unwrap()
}

/// The receiving side's job of a sender's job, as the sender has heard of it.
#[track_caller]
pub(super) fn peer_of(job: &Job) -> JobId {
    job.state.peer.as_ref().expect("the partner's job is known").job.clone()
}

/// Gives day something to do for the jobs of a definition of night's.
pub(super) fn receive(day: &Side, table: &str) {
    day.install.write("definitions/received.toml", table).unwrap();
    reload(&day.nodes[0]);
}

pub(super) fn reload(node: &Node) {
    let said = node.ftprel(&["reload"]).unwrap();
    assert!(said.status.success(), "{said:?}");
}

/// A program that says that it has started and how often that may have been, and ends when it
/// may.
pub(super) fn gate(day: &Side) -> (String, Gate) {
    let folder = day.install.path().join("gate");
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "cd '{}'\necho \"$FERRYWAY_EXIT_RUN $FERRYWAY_MAY_HAVE_RUN $FERRYWAY_LOCAL\" >> runs\n\
         while [ ! -e go ]; do sleep 0.05; done\n",
        folder.display()
    );
    let program = folder.join("exit.sh");
    fs::write(&program, script).unwrap();
    let table = format!(
        "[[reception]]\nid = \"SEND1\"\nvisitor = \"NIGHT\"\n\
         [reception.post_exit]\ncommand = [\"/bin/sh\", '{}']\n",
        program.display()
    );
    (table, Gate(folder.display().to_string()))
}

pub(super) struct Gate(String);

impl Gate {
    pub(super) fn runs(&self) -> Vec<String> {
        let runs = fs::read_to_string(Path::new(&self.0).join("runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }

    pub(super) fn await_runs(&self, count: usize) {
        wait_until(LIMIT, &format!("run {count} of the exit"), || self.runs().len() == count);
    }

    pub(super) fn open(&self) {
        fs::write(Path::new(&self.0).join("go"), "").unwrap();
    }
}

#[test]
fn both_sides_end_and_each_shows_the_other() {
    let peers = Peers::start(FAST);
    let (up, down) = (Content::new(200, SIZE), Content::new(201, 1000));
    let (sent, fetched) = (peers.send("up.bin", up), peers.fetch("down.bin", down));
    for (job, name, content) in [(sent, "up.bin", up), (fetched, "down.bin", down)] {
        let job = peers.delivered(&job, name, content);
        peers.both_complete(&job);
        let theirs = peer_of(&job);
        let shown = |node: &Node, id: &JobId| {
            let text = node.ftprel(&["show", id.as_str()]).unwrap().stdout;
            String::from_utf8(text).unwrap()
        };
        let ours = shown(&peers.night.nodes[0], &job.id);
        let said = format!("{theirs} of DAY, 00 completed");
        assert!(ours.contains(&said), "{said} in\n{ours}");
        let at_day = shown(&peers.day.nodes[0], &theirs);
        let said = format!("{} of NIGHT, instance night", job.id);
        assert!(at_day.contains(&said), "{said} in\n{at_day}");
        let json = peers.night.nodes[0].ftprel_json(&["show", job.id.as_str()]).unwrap();
        assert_eq!(json["job"]["partner_job"]["id"], theirs.as_str());
        assert_eq!(json["job"]["partner_job"]["status"]["side"], "receiver");
    }
    let listed = peers.day.nodes[0].ftprel_json(&["history"]).unwrap();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 2);
}

/// What nobody can have announced before is taken without a look at the history, which grows. What
/// a former owner may have announced is looked for there.
#[test]
fn only_what_may_be_known_is_looked_for_in_the_history() {
    let mut peers = Peers::build(FAST);
    peers.day.start(0);
    // The first owner moves nothing.
    peers.night.nodes[0].set_arguments(&["--services", "socket"]);
    peers.night.start(0);
    let (old, new) = (Content::new(207, 1000), Content::new(208, 1000));
    let first = peers.send("old.bin", old);
    peers.night.nodes[0].kill();
    peers.night.nodes[0].set_arguments(&[]);
    // Whoever looks there fails.
    let unreadable = peers.day.install.path().join("journal/hist/209901.1.db");
    fs::write(&unreadable, "no database").unwrap();
    peers.night.start(0);
    let second = peers.send("new.bin", new);
    peers.delivered(&second, "new.bin", new);
    peers.night.await_line("0318W", &[first.as_str(), "the journal does not answer"]);
    assert_eq!(peers.night.lines("0318W").len(), 1, "the other one was not looked for");
    fs::remove_file(unreadable).unwrap();
    let job = peers.delivered(&first, "old.bin", old);
    peers.both_complete(&job);
}

#[test]
fn the_receiving_host_dies_while_it_receives() {
    let mut peers = Peers::start(SLOW);
    let content = Content::new(202, SIZE);
    let job = peers.send("a.bin", content);
    let incoming = peers.day.incoming();
    wait_until(LIMIT, "the middle of the send", || largest(&incoming) >= MIDDLE);
    let announced = recorded(&peers.night.install, &job);
    let theirs = peer_of(&announced);
    let receiving = await_job(&peers.day.install, &theirs, "receives", |job| {
        job.status == Status::ReceiverReceiving
    });
    peers.day.nodes[0].kill();
    peers.day.start(1);
    let job = peers.delivered(&job, "a.bin", content);
    assert_eq!(peer_of(&job), receiving.id, "it is one job all the way");
    peers.both_complete(&job);
}

/// Nobody knows whether the post-exit has run: the sender waits for the receiver's operator.
#[test]
fn the_receiving_host_dies_in_its_post_exit() {
    let mut peers = Peers::start(FAST);
    let (table, gate) = gate(&peers.day);
    receive(&peers.day, &table);
    let content = Content::new(203, 1000);
    let job = peers.send("a.bin", content);
    gate.await_runs(1);
    peers.day.nodes[0].kill();
    peers.day.start(1);
    let waits =
        await_job(&peers.night.install, &job, "hears of what is open", |job| {
            job.status == Status::Confirming
                && job.state.peer.as_ref().is_some_and(|peer| {
                    peer.status == Status::ReceiverPostExit && peer.open.is_some()
                })
        });
    let theirs = peer_of(&waits);
    peers.day.await_line("0215E", &[theirs.as_str()]);
    peers.night.await_line("0316W", &[job.as_str(), theirs.as_str(), "ftprel restart"]);
    gate.open();
    let said = peers.day.nodes[1].ftprel(&["restart", theirs.as_str()]).unwrap();
    assert!(said.status.success(), "{said:?}");
    let job = peers.delivered(&job, "a.bin", content);
    peers.both_complete(&job);
    let local = peers.day.incoming().join("a.bin").display().to_string();
    assert_eq!(gate.runs(), [format!("1 0 {local}"), format!("2 1 {local}")]);
}

#[test]
fn the_sender_dies_before_the_partner_has_confirmed() {
    let mut peers = Peers::start(FAST);
    let (table, gate) = gate(&peers.day);
    receive(&peers.day, &table);
    let content = Content::new(204, 1000);
    let job = peers.send("a.bin", content);
    gate.await_runs(1);
    peers.night.nodes[0].kill();
    peers.night.start(1);
    gate.open();
    let job = await_job(&peers.night.install, &job, "ends", |job| !job.status.in_flight());
    assert_eq!(job.status, Status::Idle(Outcome::Completed));
    assert_eq!(job.state.published, 1);
    peers.both_complete(&job);
    assert_eq!(gate.runs().len(), 1);
}

#[test]
fn a_cancelled_job_is_withdrawn() {
    let peers = Peers::start(SLOW);
    let job = peers.send("a.bin", Content::new(205, SIZE));
    let incoming = peers.day.incoming();
    wait_until(LIMIT, "the middle of the send", || largest(&incoming) >= MIDDLE);
    let runtime = Runtime::new().unwrap();
    let night = client(&peers.night.nodes[0]);
    let cancelled = runtime.block_on(night.command(&job, Command::Cancel)).unwrap();
    assert_eq!(cancelled.status, Status::Idle(Outcome::Cancelled));
    let told = await_job(&peers.night.install, &job, "is withdrawn", |job| {
        job.state.peer.as_ref().is_some_and(|peer| !peer.status.in_flight())
    });
    let theirs = recorded(&peers.day.install, &peer_of(&told));
    assert_eq!(theirs.status, Status::ReceiverIdle(Outcome::Failed));
    let reason = theirs.state.last_error.unwrap();
    assert!(reason.contains("cancelled by an operator"), "{reason}");
}
