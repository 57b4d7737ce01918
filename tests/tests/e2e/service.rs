//! The life of the service: signals, reloads, second hosts, journals it must not touch, and the
//! line that monitoring waits for.

use std::{fs, path::Path, process::Output};

use ferryway_core::{Event, JobId, Status, policy::Direction};
use ferryway_host::journal::{
    JournalStore, NodeName, Options, SqliteJournal,
    record::{Job, JobSpec},
};
use ferryway_tests::{
    content::Content,
    host::Node,
    scene::{Kind, Plan, SIZE, World},
    servers::ServerKind,
    wait::{LIMIT, wait_until},
};

const VSFTPD: Kind = Kind::Real(ServerKind::Vsftpd);

#[test]
fn a_stop_parks_what_moves_and_the_next_start_resumes_it() {
    let Some(mut world) = Plan::slow(VSFTPD).start() else { return };
    let (up, down) = (Content::new(70, SIZE), Content::new(71, SIZE));
    world.outgoing("up", up);
    world.offered("down", down);
    let (sent, fetched) = (world.send(&world.alpha, "up"), world.fetch(&world.alpha, "down"));
    let (there, here) = (world.halfway_up(), world.halfway_down());
    let ended = world.alpha.stop(LIMIT).unwrap();
    assert!(ended.success(), "{ended}");
    for job in [&sent, &fetched] {
        assert_eq!(world.journal().job(job).unwrap().unwrap().status, Status::Accepted);
    }
    world.alpha.start().unwrap();
    world.sent(&world.alpha, &sent, "up", up);
    world.fetched(&world.alpha, &fetched, "down", down);
    world.check_resume(&world.alpha, &sent, there, true);
    world.check_resume(&world.alpha, &fetched, here, true);
}

#[test]
fn a_hang_up_takes_up_a_new_definition_and_refuses_a_faulty_one() {
    let Some(world) = Plan::of(Kind::Mock).start() else { return };
    let definition = "[[definition]]\nid = \"NEW1\"\npartner = \"BANK\"\ndirection = \"send\"\n\
                      remote = \"drop/{name}\"\n";
    world.install.write("definitions/new.toml", definition).unwrap();
    world.alpha.hang_up().unwrap();
    world.await_line(&["0104I", "Definitions(3)"]);
    world
        .install
        .write("definitions/new.toml", &definition.replace("\"send\"", "\"sent\""))
        .unwrap();
    world.alpha.hang_up().unwrap();
    world.await_line(&["0105E", "new.toml:4:", "sent"]);

    let content = Content::new(72, 1000);
    world.outgoing("a.bin", content);
    let file = world.install.path().join("out/a.bin").display().to_string();
    let output = world.alpha.ftprel(&["submit", "NEW1", &file, "--wait"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    world.sent(&world.alpha, &"NEW11".parse().unwrap(), "a.bin", content);
}

#[test]
fn a_second_host_on_the_same_node_is_refused() {
    let Some(world) = Plan::of(Kind::Mock).start() else { return };
    let second = world.alpha.ferryway(&["run"]).unwrap();
    assert_ne!(second.status.code(), Some(0), "{second:?}");
    // Another run directory does not let it in either, as long as the node is the same.
    let mut namesake = Node::new(&world.install, "alpha").unwrap();
    namesake.launch().unwrap();
    assert_eq!(namesake.wait(LIMIT).unwrap().code(), Some(4), "{}", namesake.output());
    assert!(namesake.output().contains("another host (process "), "{}", namesake.output());

    let content = Content::new(73, 1000);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    world.sent(&world.alpha, &job, "a.bin", content);
}

#[test]
fn a_journal_of_a_newer_release_is_refused_untouched() {
    let Some(mut world) = Plan::of(Kind::Mock).start() else { return };
    assert!(world.alpha.stop(LIMIT).unwrap().success());
    let journal = world.install.path().join("journal");
    let database = journal.join("hot.1/journal.db");
    make_newer(&database);
    let before = contents(&journal);
    let refused = world.alpha.ferryway(&["run"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let said = text(&refused);
    assert!(said.contains("newer than format") && said.contains("left untouched"), "{said}");
    world.await_line(&["0401E", "newer than format"]);
    assert_eq!(contents(&journal), before, "the refused journal was touched");
}

#[test]
fn faults_of_the_configuration_are_named_with_their_lines() {
    let Some(world) = Plan::of(Kind::Mock).build() else { return };
    let faulty = "[[definition]]\nid = \"PRDY01\"\npartner = \"BANQ\"\ndirection = \"sent\"\n\
                  remote = \"drop/{name}\"\n";
    world.install.write("definitions/all.toml", faulty).unwrap();
    for arguments in [["check"], ["run"]] {
        let output = world.alpha.ferryway(&arguments).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output);
        // Both at once, each with its place.
        assert!(said.contains("all.toml:3") && said.contains("BANQ"), "{said}");
        assert!(said.contains("all.toml:4") && said.contains("sent"), "{said}");
    }
}

#[test]
fn a_job_whose_post_exit_may_have_run_is_reported_and_left_alone() {
    let Some(mut world) = Plan::of(VSFTPD).build() else { return };
    let content = Content::new(74, 1000);
    world.outgoing("a.bin", content);
    let job = dies_in_post_exit(&world);
    world.alpha.start().unwrap();
    let line = world.await_line(&["0215E"]);
    let (time, rest) = line.split_at(19);
    assert_eq!(rest, " PRDY01 0215E Job can not recovery!! Job(PRDY014)");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000/00/00 00:00:00");

    // Another job passes it by; it stays where it is, over a restart of the host too.
    world.outgoing("b.bin", content);
    let other = world.send(&world.alpha, "b.bin");
    world.sent(&world.alpha, &other, "b.bin", content);
    assert_eq!(world.view(&world.alpha, &job).job.status, Status::PostExit);
    assert!(!world.target("a.bin").exists(), "it was restarted");
    assert!(world.alpha.stop(LIMIT).unwrap().success());
    world.beta.start().unwrap();
    assert_eq!(world.view(&world.beta, &job).job.status, Status::PostExit);
    let reported = || world.operator_log().matches("0215E").count();
    // The log is written beside the work, so the host may answer before its line is there.
    wait_until(LIMIT, "the second owner's report", || reported() >= 2);
    assert_eq!(reported(), 2, "once at each takeover");

    let forced = world.beta.ftprel(&["restart", "--force", job.as_str()]).unwrap();
    assert!(forced.status.success(), "{forced:?}");
    let ended = world.wait(&world.beta, &[job]).remove(0);
    assert!(ended.status.outcome().is_some(), "{}", ended.status);
    assert_eq!(content.difference(&world.target("a.bin")).unwrap(), None);
    world.leaves_no_trace();
}

/// Brings the fourth run of PRDY01 to its post-exit and lets its owner die there.
fn dies_in_post_exit(world: &World) -> JobId {
    let options =
        Options::new(world.install.path(), NodeName("gamma".to_owned()), "night".parse().unwrap());
    let (journal, _) = SqliteJournal::take_over(options).unwrap();
    let job = world.runtime.block_on(async {
        let spec = JobSpec::plain(
            "PRDY01".parse().unwrap(),
            "BANK".parse().unwrap(),
            Direction::Send,
            (&world.install.path().join("out/a.bin").display().to_string(), "drop/{name}"),
        );
        let mut jobs = journal.accept(vec![spec; 4]).await.unwrap();
        let job = jobs.pop().unwrap();
        for earlier in jobs {
            advance(&journal, earlier, &[Event::Cancel]).await;
        }
        let walk = [
            Event::Prepare,
            Event::Connect,
            Event::Begin,
            Event::Verify,
            Event::Publish,
            Event::Published,
            Event::StartExit,
        ];
        advance(&journal, job, &walk).await
    });
    assert_eq!((job.id.as_str(), job.status), ("PRDY014", Status::PostExit));
    job.id
}

async fn advance(journal: &SqliteJournal, mut job: Job, events: &[Event]) -> Job {
    for &event in events {
        let (_, step) = job.step(&[event], None, |_| {}).unwrap();
        job = journal.queue(step).await.unwrap().await.unwrap();
    }
    job
}

/// Gives a database the format of a later release: `user_version`, at byte 60 of the header.
fn make_newer(database: &Path) {
    let mut bytes = fs::read(database).unwrap();
    bytes[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    fs::write(database, bytes).unwrap();
}

/// Every file of the journal with its content; the locks' book-keeping apart.
fn contents(folder: &Path) -> Vec<(String, blake3::Hash)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            found.push((path.display().to_string(), blake3::hash(&fs::read(&path).unwrap())));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}
