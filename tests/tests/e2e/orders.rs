//! What operators order, and the order of jobs.

use ferryway_core::{Status, status::Outcome};
use ferryway_host::control::api::{Command, SubmitRequest};
use ferryway_tests::{
    content::{Content, hash_file},
    scene::{Arrived, Kind, MIB, Plan, SIZE, send_request},
    servers::ServerKind,
    wait::{LIMIT, wait_until},
};

const VSFTPD: Kind = Kind::Real(ServerKind::Vsftpd);

#[test]
fn jobs_to_one_target_deliver_in_the_order_of_acceptance() {
    let Some(world) = Plan::slow(VSFTPD).start() else { return };
    let (first, second) = (Content::new(40, 6 * MIB), Content::new(41, 10));
    world.outgoing("first", first);
    world.outgoing("second", second);
    let to =
        |name: &str| SubmitRequest { remote: Some("drop/one".to_owned()), ..send_request(name) };
    let jobs = world.submit(&world.alpha, &[to("first"), to("second")]);
    assert_eq!(world.view(&world.alpha, &jobs[1]).waits_for.as_ref(), Some(&jobs[0]));
    let ended = world.wait(&world.alpha, &jobs);
    assert!(ended.iter().all(|job| job.status == Status::Idle(Outcome::Completed)));
    assert!(ended[0].updated_at < ended[1].updated_at);
    assert_eq!(hash_file(&world.target("one")).unwrap(), second.hash());
    assert_eq!(world.dropped.of("one"), Arrived { renamed: 2, made: 0 });
    world.leaves_no_trace();
}

#[test]
fn a_moving_job_is_held_and_released() {
    let Some(world) = Plan::slow(VSFTPD).start() else { return };
    let content = Content::new(42, SIZE);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    let there = world.halfway_up();
    let held = world.command(&world.alpha, &job, Command::Hold).unwrap();
    assert_eq!((held.status, held.state.held), (Status::Suspended, true));
    assert!(!world.target("a.bin").exists());
    let released = world.command(&world.alpha, &job, Command::Release).unwrap();
    assert_eq!(released.status, Status::Accepted);
    world.sent(&world.alpha, &job, "a.bin", content);
    world.check_resume(&world.alpha, &job, there, true);
}

#[test]
fn a_moving_send_is_cancelled_and_leaves_nothing() {
    let Some(world) = Plan::slow(VSFTPD).start() else { return };
    world.outgoing("a.bin", Content::new(43, SIZE));
    let job = world.send(&world.alpha, "a.bin");
    world.halfway_up();
    let cancelled = world.command(&world.alpha, &job, Command::Cancel).unwrap();
    assert_eq!(cancelled.status, Status::Idle(Outcome::Cancelled));
    world.leaves_no_trace();
    assert!(!world.target("a.bin").exists());

    // It is not gone for good.
    world.command(&world.alpha, &job, Command::Restart { force: false }).unwrap();
    world.sent(&world.alpha, &job, "a.bin", Content::new(43, SIZE));
}

#[test]
fn a_moving_fetch_is_cancelled_and_leaves_nothing() {
    let Some(world) = Plan::slow(VSFTPD).start() else { return };
    world.offered("a.bin", Content::new(44, SIZE));
    let job = world.fetch(&world.alpha, "a.bin");
    world.halfway_down();
    let cancelled = world.command(&world.alpha, &job, Command::Cancel).unwrap();
    assert_eq!(cancelled.status, Status::Idle(Outcome::Cancelled));
    world.leaves_no_trace();
    assert!(!world.local("a.bin").exists());
}

#[test]
fn a_direct_send_goes_straight_to_its_target() {
    let plan = Plan { definition: "publish = \"direct\"", ..Plan::slow(VSFTPD) };
    let Some(world) = plan.start() else { return };
    let content = Content::new(45, 6 * MIB);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    wait_until(LIMIT, "a part of the target", || {
        world.target("a.bin").metadata().is_ok_and(|facts| facts.len() < content.size())
    });
    let ended = world.wait(&world.alpha, &[job]).remove(0);
    assert_eq!(ended.status, Status::Idle(Outcome::Completed));
    assert_eq!(content.difference(&world.target("a.bin")).unwrap(), None);
    assert_eq!(world.dropped.of("a.bin"), Arrived { renamed: 0, made: 1 });
    world.leaves_no_trace();
}
