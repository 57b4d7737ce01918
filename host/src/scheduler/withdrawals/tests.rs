use std::sync::RwLock;

use ferryway_core::{Direction, Event};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::{
    config::Config,
    control::api::Command,
    install,
    journal::{
        JournalStore, NodeName, Options, SqliteJournal,
        record::{JobSpec, JobState},
    },
    loader::Plugins,
    notices::Notices,
    reception::Register,
    scheduler::{Desk, Shared, desk::Ordered},
};

const WAITS: Status = Status::ReceiverWaiting;
const FAILED: Status = Status::ReceiverIdle(Outcome::Failed);
const DONE: Status = Status::ReceiverIdle(Outcome::Completed);

/// A scheduler that does nothing by itself, of a host without partners.
struct Stage {
    scheduler: Scheduler,
    journal: Arc<dyn JournalStore>,
    _desk: Desk,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("install");
        install::init(&place, &"night".parse().unwrap()).unwrap();
        let config = Config::load(&place).unwrap();
        let options = Options::new(&place, NodeName("n1".to_owned()), config.instance.clone());
        let (journal, _) = SqliteJournal::take_over(options).unwrap();
        let journal: Arc<dyn JournalStore> = Arc::new(journal);
        let notices = Arc::new(Notices::open(&config));
        let (receiving, jobs) =
            Register::take_up(&config, Arc::clone(&journal), Arc::clone(&notices), Vec::new());
        let shared = Arc::new(Shared {
            config: RwLock::new(Arc::new(config)),
            plugins: Arc::new(Plugins::default()),
            journal: Arc::clone(&journal),
            notices,
            receiving,
            node: "n1".to_owned(),
            started_at: Timestamp::now(),
        });
        let (scheduler, desk) = Scheduler::new(shared, jobs).await.unwrap();
        Self { scheduler, journal, _desk: desk, _folder: folder }
    }

    /// A job of which DAY was told, whose own job stands so, and what became of it since.
    async fn job(&mut self, peer: Status, events: &[Event]) -> Job {
        let day: PartnerName = "DAY".parse().unwrap();
        let definition = "PRDY01".parse().unwrap();
        let plain = JobSpec::plain(definition, day.clone(), Direction::Send, ("/a", "a"));
        let spec = JobSpec { told: Some(day), ..plain };
        let job = self.journal.accept(vec![spec]).await.unwrap().remove(0);
        let job = self
            .write(&job, events, |state| {
                let job = "PRDY019".parse().unwrap();
                state.peer = Some(Standing { job, status: peer, open: None });
            })
            .await;
        if job.status.in_flight() {
            self.scheduler.take_in(job.clone());
        }
        job
    }

    async fn write(&self, job: &Job, events: &[Event], change: impl FnOnce(&mut JobState)) -> Job {
        let (_, step) = job.step(events, None, change).unwrap();
        self.journal.queue(step).await.unwrap().await.unwrap()
    }

    /// The lines of the operator's log with a code.
    fn lines(&self, code: &str) -> Vec<String> {
        // The last line waits for those before.
        self.scheduler.shared.notices.stopped();
        let log = self.scheduler.shared.config().install.logs().join("ferryway.log");
        let log = std::fs::read_to_string(log).unwrap();
        log.lines().filter(|line| line.contains(code)).map(str::to_owned).collect()
    }

    async fn order(&mut self, job: &Job, command: Command) -> Job {
        let (reply, answer) = oneshot::channel();
        let ordered = Ordered { job: job.id.clone(), command, reply };
        self.scheduler.command(ordered).await.unwrap();
        answer.await.unwrap().unwrap()
    }
}

/// The partner's job may have come back by an announcement whose answer was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_is_told_anew_when_a_job_ends_after_a_restart() {
    let mut stage = Stage::new().await;
    let job = stage.job(FAILED, &[Event::Fail]).await;
    assert!(!job.is_unheard());
    let job = stage.order(&job, Command::Restart { force: false }).await;
    let job = stage.order(&job, Command::Cancel).await;
    assert!(job.is_unheard(), "{job:?}");
    let job = stage.job(FAILED, &[Event::Suspend]).await;
    let job = stage.order(&job, Command::Release).await;
    let job = stage.order(&job, Command::Cancel).await;
    assert!(job.is_unheard(), "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_has_its_file_is_told_no_more() {
    use Event::{Begin, Connect, Prepare, Publish, Published, StartExit, Verify};
    let mut stage = Stage::new().await;
    let events = [Prepare, Connect, Begin, Verify, Publish, Published, StartExit];
    let job = stage.job(DONE, &events).await;
    let job = stage.order(&job, Command::Release).await;
    assert_eq!(job.status, Status::Idle(Outcome::Completed));
    assert!(!job.is_unheard(), "{job:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_job_is_not_withdrawn_before_it_is_given_up() {
    let mut stage = Stage::new().await;
    let job = stage.job(WAITS, &[]).await;
    let job = stage.order(&job, Command::Hold).await;
    assert!(!job.is_unheard(), "{job:?}");
    assert_eq!(stage.journal.unheard().await.unwrap(), []);
    let job = stage.order(&job, Command::Cancel).await;
    assert!(job.is_unheard(), "{job:?}");
    assert_eq!(stage.journal.unheard().await.unwrap(), [job]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_forgotten_while_its_partner_is_told_ends_no_host() {
    let mut stage = Stage::new().await;
    let job = stage.job(WAITS, &[Event::Suspend]).await;
    stage.write(&job, &[Event::Cancel], |_| {}).await;
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    assert_eq!(stage.journal.prune(later).await.unwrap(), 1);
    let withdrawn = Withdrawn { job, told: Told::Heard(None) };
    stage.scheduler.withdrawn(withdrawn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_speaks_for_all_that_a_partner_has_not_heard_of() {
    let mut stage = Stage::new().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(stage.job(WAITS, &[Event::Suspend]).await);
    }
    stage.scheduler.withdraw_unheard().await.unwrap();
    for job in &jobs {
        let under_way = stage.scheduler.withdrawing.entry("DAY".parse().unwrap()).or_default();
        under_way.insert(job.id.clone(), UnderWay { job: job.clone(), said: false });
    }
    for job in jobs {
        let withdrawn = Withdrawn {
            job,
            told: Told::Unheard { reason: "no route".to_owned(), refused: false },
        };
        stage.scheduler.withdrawn(withdrawn).await.unwrap();
    }
    let lines = stage.lines("0317W");
    let told = |line: &str, reason| line.contains("PRDY011") && line.contains(reason);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("2 other jobs")), "{lines:?}");
    assert!(told(&lines[0], "not configured") && told(&lines[1], "no route"), "{lines:?}");
}
