use std::{fs, path::Path, time::Instant};

use ferryway_core::{RunNumber, Status, policy::Direction};
use jiff::Timestamp;

use super::*;
use crate::{config::Config, install, journal::record::Exits};

struct Place {
    dir: tempfile::TempDir,
    runner: Runner,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("install");
    install::init(&path, &"night".parse().unwrap()).unwrap();
    let config = Config::load(&path).unwrap();
    let notices = Arc::new(Notices::open(&config));
    let (epoch, roots) = (Epoch::FIRST, config.roots.clone());
    let runner = Runner::new(config.install, config.instance, roots, epoch, notices);
    Place { dir, runner }
}

impl Place {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    async fn run(&self, script: &str, when: When, timeout_s: u64) -> Ended {
        let (job, exit) = job(script, timeout_s);
        self.runner.run(&job, when, &exit).await
    }
}

fn job(script: &str, timeout_s: u64) -> (Job, Exit) {
    let exit = Exit {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        timeout_s,
        success: vec![0, 4],
        retry: vec![75],
        on_failure: OnFailure::Continue,
        on_takeover: OnTakeover::Ask,
    };
    let definition = "PRDY01".parse().unwrap();
    let spec = JobSpec {
        exits: Exits { pre: Some(exit.clone()), post: Some(exit.clone()) },
        ..JobSpec::plain(
            definition,
            "BANK".parse().unwrap(),
            Direction::Send,
            ("/data/a.csv", "in/{name}"),
        )
    };
    let mut state = JobState { attempts: 3, size: Some(7), ..JobState::default() };
    When::Pre.begin(&mut state);
    When::Post.begin(&mut state);
    When::Post.begin(&mut state);
    let job = Job {
        status: Status::PostExit,
        state,
        ..Job::accepted(spec, RunNumber(4), 4, (Epoch::FIRST, Timestamp::UNIX_EPOCH))
    };
    (job, exit)
}

/// Waits until a process is gone or a zombie.
async fn is_gone(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
        let runs = stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"));
        if !runs {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

async fn content(path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim_end().to_owned(),
            _ => assert!(Instant::now() < deadline, "nothing in {path}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_codes_decide() {
    let place = place();
    for (script, when, verdict, how) in [
        ("exit 0", When::Pre, Verdict::Success, "exit code 0"),
        ("exit 4", When::Post, Verdict::Success, "exit code 4"),
        ("exit 75", When::Pre, Verdict::Again, "exit code 75"),
        ("exit 75", When::Post, Verdict::Failure, "exit code 75"),
        ("exit 3", When::Post, Verdict::Failure, "exit code 3"),
        ("kill -9 $$", When::Post, Verdict::Failure, "signal 9"),
    ] {
        let ended = place.run(script, when, 60).await;
        assert_eq!((ended.verdict, ended.end.how.as_str()), (verdict, how), "{script}");
        assert_eq!(ended.end.success, verdict == Verdict::Success);
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_has_failed() {
    let place = place();
    let (job, mut exit) = job("", 60);
    for (program, said) in [
        ("/no/such/program", "not started: No such file"),
        ("../a.sh", "not started: `../a.sh` is not inside of `exits/`"),
        ("absent.sh", "not started: No such file"),
    ] {
        exit.command = vec![program.to_owned()];
        let ended = place.runner.run(&job, When::Post, &exit).await;
        assert_eq!(ended.verdict, Verdict::Failure);
        assert!(ended.end.how.starts_with(said), "{program}: {}", ended.end.how);
    }
}

#[tokio::test]
async fn it_finds_the_job_in_its_environment_and_nothing_of_the_hosts() {
    let place = place();
    let ended =
        place.run("env | grep ^FERRYWAY | sort; env | grep -c ^CARGO", When::Post, 60).await;
    let expected = "FERRYWAY_ATTEMPT=3\nFERRYWAY_DEFINITION=PRDY01\nFERRYWAY_DIRECTION=send\n\
                    FERRYWAY_EPOCH=1\nFERRYWAY_EXIT=post\nFERRYWAY_EXIT_KEY=night/PRDY014/1/post\n\
                    FERRYWAY_EXIT_RUN=2\nFERRYWAY_INSTANCE=night\nFERRYWAY_JOB=PRDY014\n\
                    FERRYWAY_LOCAL=/data/a.csv\nFERRYWAY_MAY_HAVE_RUN=1\nFERRYWAY_PARTNER=BANK\n\
                    FERRYWAY_REMOTE=in/a.csv\nFERRYWAY_SIDE=sender\nFERRYWAY_SIZE=7\n0\n";
    assert_eq!(ended.end.output, expected);
    let first = place.run("echo $FERRYWAY_EXIT_KEY $FERRYWAY_MAY_HAVE_RUN", When::Pre, 60).await;
    assert_eq!(first.end.output, "night/PRDY014/1/pre 0\n");
}

#[tokio::test]
async fn output_is_bounded_and_its_end_goes_on_record() {
    let place = place();
    let script = "yes 0123456789 | head -c 3000000; echo the end >&2";
    let ended = place.run(script, When::Post, 60).await;
    assert!(ended.end.output.ends_with("the end\n"));
    assert_eq!(ended.end.output.len(), TAIL_BYTES);
    let kept = fs::read(place.path("install/logs/exits/PRDY014.1.post.2.log")).unwrap();
    assert!((1024 * 1024..1024 * 1024 + 100).contains(&kept.len()), "{}", kept.len());
    let end = String::from_utf8_lossy(&kept[1024 * 1024..]).into_owned();
    assert_eq!(end, "\n[what follows is not kept]\n[exit code 0]\n");
    // A character that is cut, and bytes that are none, are no more than the bound, either.
    let ended = place.run("head -c 3000 /dev/zero | tr '\\0' '\\377'", When::Post, 60).await;
    assert!((TAIL_BYTES - 3..=TAIL_BYTES).contains(&ended.end.output.len()));
}

#[tokio::test]
async fn outputs_are_forgotten_with_their_time() {
    let place = place();
    place.run("echo old", When::Post, 60).await;
    let install = &place.runner.install;
    let file = place.path("install/logs/exits/PRDY014.1.post.2.log");
    prune(install, Timestamp::UNIX_EPOCH).unwrap();
    assert!(Path::new(&file).exists());
    prune(install, Timestamp::MAX).unwrap();
    assert!(!Path::new(&file).exists());
}

#[tokio::test]
async fn what_does_not_end_in_time_ends_with_its_whole_group() {
    let place = place();
    let (own, child) = (place.path("own"), place.path("child"));
    // The program ends at TERM, its child does not.
    let script = format!(
        "(trap '' TERM; echo $(exec sh -c 'echo $PPID') >{child}; while :; do sleep 1; done) & \
         echo $$ >{own}; wait"
    );
    let ended = place.run(&script, When::Post, 1).await;
    assert_eq!(ended.end.how, "no end within 1 s");
    assert_eq!(ended.verdict, Verdict::Failure);
    for file in [own, child] {
        let pid = content(&file).await;
        assert!(is_gone(&pid).await, "{file} {pid} lives on");
    }
}

#[tokio::test]
async fn who_drops_a_run_ends_its_group() {
    let place = place();
    let child = place.path("child");
    let script =
        format!("(trap '' TERM; echo $(exec sh -c 'echo $PPID') >{child}; sleep 600) & wait");
    let pid = tokio::select! {
        _ = place.run(&script, When::Post, 600) => panic!("it does not end"),
        pid = content(&child) => pid,
    };
    assert!(is_gone(&pid).await, "{pid} lives on");
}

#[tokio::test]
async fn what_a_program_leaves_running_does_not_hold_its_job() {
    let place = place();
    let child = place.path("child");
    let begun = Instant::now();
    let script = format!("sleep 30 & echo $! >{child}; echo done");
    let ended = place.run(&script, When::Post, 60).await;
    assert_eq!(ended.end.output, "done\n");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let pid = content(&child).await.parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn what_a_new_owner_does_follows_from_the_record_and_the_definition() {
    let end = |success| Some(ExitEnd { success, how: String::new(), output: String::new() });
    for (on_takeover, on_failure, end, expected) in [
        (OnTakeover::Ask, OnFailure::Continue, None, Onward::Ask),
        (OnTakeover::Rerun, OnFailure::Ask, None, Onward::Rerun),
        (OnTakeover::Skip, OnFailure::Ask, None, Onward::Skip),
        (OnTakeover::Ask, OnFailure::Ask, end(true), Onward::GoOn),
        (OnTakeover::Rerun, OnFailure::Continue, end(false), Onward::GoOn),
        (OnTakeover::Skip, OnFailure::Ask, end(false), Onward::Failed),
    ] {
        let (mut job, mut exit) = job("", 1);
        (exit.on_takeover, exit.on_failure) = (on_takeover, on_failure);
        Arc::make_mut(&mut job.spec).exits.post = Some(exit);
        job.state.post_exit.end = end;
        assert_eq!(after_takeover(&job), expected, "{:?}", job.spec.exits.post);
        Arc::make_mut(&mut job.spec).exits.post = None;
        assert_eq!(after_takeover(&job), Onward::Ask);
    }
}
