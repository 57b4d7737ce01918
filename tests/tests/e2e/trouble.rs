//! What goes wrong outside of us, what the operator is told, and how it ends well.

use std::{fs, os::unix::fs::PermissionsExt, process::Command as Program};

use ferryway_core::{Status, status::Outcome};
use ferryway_host::control::api::Command;
use ferryway_mocks::ftp_server::Disk;
use ferryway_tests::{
    content::Content,
    scene::{Kind, MIB, Plan, SIZE, Server},
    servers::ServerKind,
};

const PROFTPD: Kind = Kind::Real(ServerKind::Proftpd);
/// Offers no hashes, so nothing but our own care keeps versions apart.
const VSFTPD: Kind = Kind::Real(ServerKind::Vsftpd);

#[test]
fn a_refused_login_suspends_the_job_until_the_password_is_right() {
    let Some(mut world) = Plan::of(PROFTPD).build() else { return };
    let keys = world.server.keys();
    world.configure(&keys.replace("password = \"", "password = \"not-"));
    world.alpha.start().unwrap();
    let content = Content::new(50, 1000);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    let suspended = world.ends_as(&job, Status::Suspended);
    world.blames(&suspended, "0207E", "", "login");

    world.configure(&keys);
    world.alpha.hang_up().unwrap();
    world.await_line(&["0104I"]);
    let released = world.alpha.ftprel(&["release", job.as_str()]).unwrap();
    assert!(released.status.success(), "{released:?}");
    world.sent(&world.alpha, &job, "a.bin", content);
}

#[test]
fn a_full_disk_of_the_partner_is_waited_out() {
    let Some(mut world) = Plan::of(Kind::Mock).start() else { return };
    let Server::Mock { running, .. } = &mut world.server else { unreachable!() };
    running.set_disk(Disk::FullAfter(3 * MIB));
    let content = Content::new(51, SIZE);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    world.await_line(&["0204W", job.as_str()]);
    let Server::Mock { running, .. } = &mut world.server else { unreachable!() };
    running.set_disk(Disk::Normal);
    world.sent(&world.alpha, &job, "a.bin", content);
}

#[test]
fn a_full_disk_of_a_real_server_is_waited_out() {
    let Some(disk) = ferryway_tests::disk::SmallDisk::mount_or_skip(40 * MIB) else { return };
    let Some(mut world) = Plan::of(VSFTPD).build_on(disk.path()) else { return };
    let ballast = disk.path().join("ballast");
    Content::new(52, 20 * MIB).write_to(&ballast).unwrap();
    world.alpha.start().unwrap();
    let content = Content::new(53, 28 * MIB);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    world.await_line(&["0204W", job.as_str()]);
    fs::remove_file(ballast).unwrap();
    world.sent(&world.alpha, &job, "a.bin", content);
}

#[test]
fn a_folder_that_refuses_files_fails_the_job_with_its_reason() {
    let kind = Kind::Real(ServerKind::PureFtpd);
    let Some(world) = Plan::of(kind).start() else { return };
    let folder = world.root().join("drop");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    world.outgoing("a.bin", Content::new(54, 1000));
    let job = world.send(&world.alpha, "a.bin");
    let failed = world.ends_as(&job, Status::Idle(Outcome::Failed));
    world.blames(&failed, "0206E", "drop/", "");

    // With the cause gone a restart delivers.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    world.command(&world.alpha, &job, Command::Restart { force: false }).unwrap();
    world.sent(&world.alpha, &job, "a.bin", Content::new(54, 1000));
}

#[test]
fn a_missing_source_fails_the_job_with_its_path() {
    let Some(world) = Plan::of(Kind::Mock).start() else { return };
    let job = world.send(&world.alpha, "absent.bin");
    let failed = world.ends_as(&job, Status::Idle(Outcome::Failed));
    world.blames(&failed, "02", "absent.bin", "");
    let job = world.fetch(&world.alpha, "absent.bin");
    let failed = world.ends_as(&job, Status::Idle(Outcome::Failed));
    world.blames(&failed, "02", "pick/absent.bin", "");
    assert!(!world.local("absent.bin").exists());
    world.leaves_no_trace();
}

#[test]
fn a_source_that_changes_is_delivered_as_it_is_in_the_end() {
    let Some(world) = Plan::slow(VSFTPD).start() else { return };
    let (old, new) = (Content::new(55, SIZE), Content::new(56, SIZE));
    world.outgoing("a.bin", old);
    let job = world.send(&world.alpha, "a.bin");
    world.halfway_up();
    // In place, as a writer that was not done does it.
    let path = world.install.path().join("out/a.bin");
    let mut file = fs::File::options().write(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, &new.bytes()).unwrap();
    drop(file);
    world.sent(&world.alpha, &job, "a.bin", new);
}

#[test]
fn a_remote_file_that_changes_is_fetched_as_it_is_in_the_end() {
    let Some(mut world) = Plan::slow(VSFTPD).start() else { return };
    let (old, new) = (Content::new(57, SIZE), Content::new(58, SIZE));
    world.offered("a.bin", old);
    // Modification times on the wire have whole seconds.
    let place = world.root().join("pick/a.bin");
    let aged = Program::new("touch").args(["-d", "2001-02-03"]).arg(place).status().unwrap();
    assert!(aged.success());
    let job = world.fetch(&world.alpha, "a.bin");
    world.halfway_down();
    world.alpha.kill();
    world.offered("a.bin", new);
    world.beta.start().unwrap();
    // What is there of the old version must not become a part of the new one.
    world.fetched(&world.beta, &job, "a.bin", new);
}
