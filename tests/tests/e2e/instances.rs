//! Two instances on one machine: side by side where each has what is its own, refused with the
//! cause where they would share it.

use std::{fs, process::Output};

use ferryway_tests::{
    content::Content,
    host::{Install, Node},
    scene::{Kind, Plan, World},
    wait::LIMIT,
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

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
