//! Many files, large files, and encrypted ones.

use std::{env, fs::File, io::Write};

use ferryway_core::{JobId, Status, status::Outcome};
use ferryway_host::journal::record::HistoryQuery;
use ferryway_tests::{
    content::Content,
    scene::{Kind, MIB, Plan},
    servers::ServerKind,
};

const FILES: u64 = 2000;

#[test]
fn two_thousand_small_files_to_the_mock() {
    small_files(Kind::Mock);
}

#[test]
fn two_thousand_small_files_to_vsftpd() {
    small_files(Kind::Real(ServerKind::Vsftpd));
}

fn small_files(kind: Kind) {
    let Some(world) = Plan::of(kind).start() else { return };
    let list = world.install.path().join("list");
    let mut lines = File::create(&list).unwrap();
    let files: Vec<_> = (0..FILES).map(|n| (format!("f{n}"), Content::new(n, 10 * 1024))).collect();
    for (name, content) in &files {
        world.outgoing(name, *content);
        writeln!(lines, "{}", world.install.path().join("out").join(name).display()).unwrap();
    }
    let list = list.display().to_string();
    let submit = ["submit", "PRDY01", "--from-file", &list, "--wait", "--timeout", "120"];
    let output = world.alpha.ftprel(&submit).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);

    let mut jobs = Vec::new();
    loop {
        let before_sequence =
            jobs.last().map(|job: &ferryway_host::journal::record::Job| job.sequence);
        let query = HistoryQuery { limit: 1000, before_sequence, ..HistoryQuery::default() };
        let page = world.journal().history(&query).unwrap();
        if page.is_empty() {
            break;
        }
        jobs.extend(page);
    }
    assert_eq!(jobs.len() as u64, FILES, "a job for each file");
    for job in &jobs {
        assert_eq!((job.status, job.state.published), (Status::Idle(Outcome::Completed), 1));
    }
    for (name, content) in &files {
        assert_eq!(content.difference(&world.target(name)).unwrap(), None, "{name}");
        assert_eq!(world.dropped.of(name).renamed, 1, "{name}");
    }
    world.leaves_no_trace();
}

#[test]
fn a_large_file_there_and_back() {
    // An unoptimised host hashes slowly.
    let big = env::var_os("FERRYWAY_TEST_BIG").is_some() || !cfg!(debug_assertions);
    let size = if big { 1024 * MIB } else { 256 * MIB };
    if !big {
        std::io::stderr()
            .write_all(b"NOTE: 256 MiB in place of 1 GiB; FERRYWAY_TEST_BIG=1 takes the whole\n")
            .unwrap();
    }
    let Some(world) = Plan::of(Kind::Real(ServerKind::Vsftpd)).start() else { return };
    let content = Content::new(60, size);
    world.outgoing("big", content);
    let job = world.send(&world.alpha, "big");
    world.sent(&world.alpha, &job, "big", content);
    std::fs::rename(world.target("big"), world.root().join("pick/big")).unwrap();
    let job = world.fetch(&world.alpha, "big");
    world.fetched(&world.alpha, &job, "big", content);
}

#[test]
fn ftps_with_vsftpd_that_requires_session_reuse() {
    encrypted(Plan::of(Kind::Real(ServerKind::VsftpdTls(true))));
}

#[test]
fn ftps_with_vsftpd() {
    encrypted(Plan::of(Kind::Real(ServerKind::VsftpdTls(false))));
}

#[test]
fn ftps_with_proftpd() {
    // Under TLS 1.3 it refuses every fourth data connection, as the message then says.
    encrypted(Plan {
        partner: "tls_max = \"1.2\"",
        ..Plan::of(Kind::Real(ServerKind::ProftpdTls))
    });
}

/// Enough files that a server which refuses every few data connections is met.
fn encrypted(plan: Plan) {
    let Some(world) = plan.start() else { return };
    let starts_twice = |job: &JobId| {
        let entries = world.entries(&world.alpha, job);
        entries.iter().any(|entry| entry.event == Some(ferryway_core::Event::Retry))
    };
    for n in 0..8 {
        let (name, content) = (format!("f{n}"), Content::new(n, 100_000 * n));
        world.outgoing(&name, content);
        let sent = world.send(&world.alpha, &name);
        world.sent(&world.alpha, &sent, &name, content);
        world.offered(&name, content);
        let fetched = world.fetch(&world.alpha, &name);
        world.fetched(&world.alpha, &fetched, &name, content);
        assert!(!starts_twice(&sent) && !starts_twice(&fetched), "{name} took two tries");
    }
}
