//! Post-exits of real hosts that die, stop or lose the instance while the program runs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use ferryway_core::{JobId, Outcome, Status};
use ferryway_tests::{
    content::Content,
    host::Node,
    scene::{Kind, Plan, World},
    wait::{LIMIT, wait_until},
};

/// The exit code of a host that lost the instance.
const FENCED: i32 = 3;

/// The exit code of a tool that has watched a job which waits for an operator.
const WAITS: i32 = 7;

const ASK: &str = "[definition.post_exit]\ncommand = [\"book\"]\n";
const RERUN: &str = "[definition.post_exit]\ncommand = [\"book\"]\non_takeover = \"rerun\"\n";

/// Stays as long as `hold` is in the install directory; ends with that directory, too.
const BOOK: &str = "#!/bin/sh\n\
    echo \"$$ $FERRYWAY_EXIT_KEY $FERRYWAY_EXIT_RUN $FERRYWAY_MAY_HAVE_RUN\" >>runs\n\
    while [ -e hold ]; do sleep 0.05; done\n\
    echo booked\n";

struct Held {
    world: World,
    job: JobId,
    content: Content,
    /// The process id of the program that is held.
    program: String,
}

/// A host on alpha whose first job is delivered and stands in its post-exit.
fn held(definition: &'static str) -> Held {
    // The keys after the partner's own are of a table of their own.
    let partner = "[limits]\nstop_timeout_s = 1\n";
    let plan = Plan { definition, partner, ..Plan::of(Kind::Mock) };
    let mut world = plan.build().expect("the mock is always to be had");
    world.install.write("exits/book", BOOK).unwrap();
    let program = world.install.path().join("exits/book");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    world.install.write("hold", "").unwrap();
    world.alpha.start().unwrap();
    let content = Content::new(80, 1000);
    world.outgoing("a.bin", content);
    let job = world.send(&world.alpha, "a.bin");
    wait_until(LIMIT, "the post-exit", || runs(&world).len() == 1);
    assert_eq!(world.view(&world.alpha, &job).job.status, Status::PostExit);
    assert_eq!(content.difference(&world.target("a.bin")).unwrap(), None);
    let program = runs(&world)[0].split(' ').next().unwrap().to_owned();
    Held { world, job, content, program }
}

impl Held {
    fn release(&self) {
        fs::remove_file(self.world.install.path().join("hold")).unwrap();
    }

    fn program_is_gone(&self) -> bool {
        !Path::new("/proc").join(&self.program).exists()
    }

    /// The job has ended and its file was put in place once, and its exit ran twice.
    fn ends_after_two_runs(&self, node: &Node) {
        let ended = self.world.wait(node, std::slice::from_ref(&self.job)).remove(0);
        assert_eq!(ended.status, Status::Idle(Outcome::Completed));
        self.world.judge(&self.job, "a.bin", self.content, &self.world.target("a.bin"));
        let runs = runs(&self.world);
        let key = format!("night/{}/1/post", self.job);
        assert_eq!(runs.len(), 2, "{runs:?}");
        assert!(runs[0].ends_with(&format!("{key} 1 0")), "{runs:?}");
        assert!(runs[1].ends_with(&format!("{key} 2 1")), "{runs:?}");
        let shown = node.ftprel(&["show", self.job.as_str()]).unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("run 2 ended: exit code 0, success"), "{shown}");
        assert!(shown.contains("| booked"), "{shown}");
    }

    fn is_asked_about(&self) {
        let line = self.world.await_line(&["0215E"]);
        let expected = format!(" PRDY01 0215E Job can not recovery!! Job({})", self.job);
        assert_eq!(line.split_at(19).1, expected);
    }
}

fn runs(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.install.path().join("runs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_host_is_killed_in_a_post_exit_and_the_operator_is_asked() {
    let mut held = held(ASK);
    held.world.alpha.kill();
    held.release();
    held.world.beta.start().unwrap();
    held.is_asked_about();
    assert_eq!(held.world.view(&held.world.beta, &held.job).job.status, Status::PostExit);
    assert_eq!(runs(&held.world).len(), 1, "it was run again");
    let restarted = held.world.beta.ftprel(&["restart", held.job.as_str()]).unwrap();
    assert!(restarted.status.success(), "{restarted:?}");
    held.ends_after_two_runs(&held.world.beta);
    held.world.leaves_no_trace();
}

#[test]
fn a_host_is_killed_in_a_post_exit_that_may_run_again() {
    let mut held = held(RERUN);
    held.world.alpha.kill();
    held.release();
    held.world.beta.start().unwrap();
    held.ends_after_two_runs(&held.world.beta);
    assert!(!held.world.operator_log().contains("0215E"));
}

/// Its partner has left the configuration meanwhile: the operator hears of it, and whoever watches
/// the job is not kept waiting.
#[test]
fn a_job_in_its_post_exit_whose_partner_is_gone_waits_for_an_operator() {
    let mut held = held(RERUN);
    held.world.alpha.kill();
    held.release();
    let install = held.world.install.path().to_owned();
    let [config, definition] = ["ferryway.toml", "definitions/all.toml"].map(|f| install.join(f));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[partners.BANK", "[partners.OTHER")).unwrap();
    fs::rename(&definition, definition.with_extension("off")).unwrap();
    held.world.beta.start().unwrap();
    let line = held.world.await_line(&["0221W", held.job.as_str()]);
    assert!(line.contains("Partner(BANK)") && line.contains("Path("), "{line}");
    let watched = held.world.beta.ftprel(&["watch", held.job.as_str()]).unwrap();
    let said = String::from_utf8_lossy(&watched.stderr).into_owned();
    assert_eq!(watched.status.code(), Some(WAITS), "{said}");
    assert!(said.contains("1 waiting for an operator"), "{said}");
    assert_eq!(held.world.operator_log().matches(" 0221W ").count(), 1);
    assert_eq!(runs(&held.world).len(), 1, "nothing runs without a word");
    let released = held.world.beta.ftprel(&["release", held.job.as_str()]).unwrap();
    assert!(released.status.success(), "{released:?}");
    let job = held.world.wait(&held.world.beta, std::slice::from_ref(&held.job)).remove(0);
    assert_eq!(job.status, Status::Idle(Outcome::Completed));
}

#[test]
fn a_stop_ends_a_post_exit_after_its_limit_and_says_nothing_of_its_end() {
    let mut held = held(ASK);
    let ended = held.world.alpha.stop(LIMIT).unwrap();
    assert!(ended.success(), "{ended}");
    wait_until(LIMIT, "the end of the program", || held.program_is_gone());
    held.release();
    held.world.beta.start().unwrap();
    held.is_asked_about();
    let released = held.world.beta.ftprel(&["release", held.job.as_str()]).unwrap();
    assert!(released.status.success(), "{released:?}");
    let job = held.world.wait(&held.world.beta, std::slice::from_ref(&held.job)).remove(0);
    assert_eq!(job.status, Status::Idle(Outcome::Completed));
    assert_eq!(runs(&held.world).len(), 1, "it was run again");
}

#[test]
fn a_host_that_lost_the_instance_ends_its_post_exit() {
    let mut held = held(ASK);
    held.world.alpha.freeze().unwrap();
    held.world.beta.start().unwrap();
    held.is_asked_about();
    assert!(!held.program_is_gone(), "a frozen host ends nothing");
    held.world.alpha.thaw().unwrap();
    let ended = held.world.alpha.wait(LIMIT).unwrap();
    assert_eq!(ended.code(), Some(FENCED), "{ended}");
    wait_until(LIMIT, "the end of the program", || held.program_is_gone());
}
