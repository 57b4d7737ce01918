//! Two instances on one machine: side by side where each has what is its own, refused with the
//! cause where they would share it.

use std::{fs, path::Path, process::Output};

use ferryway_tests::{
    content::Content,
    host::{Install, Node},
    scene::{Kind, Plan, World},
    wait::{LIMIT, wait_until},
};

#[test]
fn two_instances_on_one_machine_run_side_by_side() {
    // Both nodes of a world are this machine; the second world's partner is another one.
    let night = Plan::of(Kind::Mock);
    let day = Plan { instance: "day", ..night };
    let (Some(night), Some(day)) = (night.build(), day.build()) else { return };
    let mut worlds = [night, day];
    for world in &mut worlds {
        // As on one machine: the same host name for both.
        world.alpha.set_variable("HOSTNM", "one-machine");
        world.alpha.start().unwrap();
    }
    let contents = [Content::new(90, 300_000), Content::new(91, 400_000)];
    let jobs: Vec<_> = worlds
        .iter()
        .zip(contents)
        .map(|(world, content)| {
            world.outgoing("a.bin", content);
            world.send(&world.alpha, "a.bin")
        })
        .collect();
    for ((world, job), content) in worlds.iter().zip(&jobs).zip(contents) {
        world.sent(&world.alpha, job, "a.bin", content);
    }
    // Each answers for itself, and the end of one is nothing to the other.
    let instance =
        |world: &World| world.alpha.ftprel_json(&["health"]).unwrap()["host"]["instance"].clone();
    assert_eq!(instance(&worlds[0]), "night");
    assert_eq!(instance(&worlds[1]), "day");
    assert!(worlds[0].alpha.stop(LIMIT).unwrap().success());
    assert_eq!(instance(&worlds[1]), "day");
}

#[test]
fn a_second_instance_in_the_run_directory_of_the_first_is_refused() {
    let Some(world) = Plan::of(Kind::Mock).start() else { return };
    let other = Install::new("[instance]\nname = \"day\"\n").unwrap();
    let mut second = Node::new(&other, "alpha").unwrap();
    second.set_variable("FERRYWAY_RUN_DIR", world.alpha.run_dir().to_str().unwrap());
    let refused = second.ferryway(&["run"]).unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let said = stderr(&refused);
    let socket = world.alpha.run_dir().join("control.sock");
    assert!(said.contains("another host (process ") && said.contains("serves"), "{said}");
    assert!(said.contains(socket.to_str().unwrap()), "{said}");
    assert!(said.contains("a run directory of its own"), "{said}");
    // It has not begun to own anything, and the first is as it was.
    let journal = fs::read_dir(other.path().join("journal")).unwrap();
    assert_eq!(journal.count(), 0);
    let health = world.alpha.ftprel_json(&["health"]).unwrap();
    assert_eq!(health["host"]["instance"], "night");
}

#[test]
fn a_second_instance_at_the_door_of_the_first_is_refused() {
    let configuration = |name: &str, port: u16| {
        format!(
            "[instance]\nname = \"{name}\"\n[listen]\ntransport = \"socket\"\n\
             address = \"127.0.0.1\"\nport = {port}\nsecurity = \"plain\"\n"
        )
    };
    let first = Install::new(&configuration("night", 0)).unwrap();
    let mut host = Node::new(&first, "alpha").unwrap();
    host.start().unwrap();
    let mut port = None;
    wait_until(LIMIT, "the line of the open door", || {
        let log = fs::read_to_string(first.path().join("logs/ferryway.log")).unwrap_or_default();
        let line = log.lines().find(|line| line.contains(" 0501I ")).map(str::to_owned);
        port = line.and_then(|line| line.rsplit_once(':')?.1.trim_end_matches(')').parse().ok());
        port.is_some()
    });
    let second = Install::new(&configuration("day", port.unwrap())).unwrap();
    let second = Node::new(&second, "alpha").unwrap();
    let refused = second.ferryway(&["run"]).unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let said = stderr(&refused);
    let door = format!("127.0.0.1:{}", port.unwrap());
    assert!(said.contains("[listen]") && said.contains(&door), "{said}");
    assert!(said.contains("another program listens there"), "{said}");
    assert!(host.ftprel(&["health"]).unwrap().status.success());
}

#[test]
fn a_second_host_on_an_install_directory_is_refused() {
    let install = Install::new("[instance]\nname = \"night\"\n").unwrap();
    let mut first = Node::new(&install, "alpha").unwrap();
    first.start().unwrap();
    // Another run directory, but the same machine.
    let second = Node::new(&install, "alpha").unwrap();
    let refused = second.ferryway(&["run", "--node", "alpha"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let said = stderr(&refused);
    let process = format!("process {}", first.process().unwrap());
    assert!(said.contains(&process) && said.contains("serves the instance"), "{said}");
    assert!(first.ftprel(&["health"]).unwrap().status.success());
    assert!(first.ended().unwrap().is_none());
}

/// Without a word about run directories, the name of an instance decides.
#[test]
fn a_second_instance_of_the_same_name_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let name = format!("twin{}", std::process::id());
    let twin = || {
        let install = Install::new(&format!("[instance]\nname = \"{name}\"\n")).unwrap();
        let mut node = Node::new(&install, "alpha").unwrap();
        node.set_variable("FERRYWAY_RUN_DIR", "");
        // For root it is a folder of the system's.
        node.set_variable("XDG_RUNTIME_DIR", home.path().to_str().unwrap());
        (install, node)
    };
    let ((_one, mut first), (other, second)) = (twin(), twin());
    first.start().unwrap();
    let refused = second.ferryway(&["run"]).unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let said = stderr(&refused);
    let process = format!("process {}", first.process().unwrap());
    assert!(said.contains(&process) && said.contains(&format!("ferryway/{name}/")), "{said}");
    assert!(said.contains("instances of one name"), "{said}");
    assert_eq!(fs::read_dir(other.path().join("journal")).unwrap().count(), 0);
    assert!(first.stop(LIMIT).unwrap().success());
    fs::remove_dir_all(Path::new("/run/ferryway").join(&name)).ok();
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
