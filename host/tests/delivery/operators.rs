//! What operators order, in each status, and the order of jobs to one target.

use ferryway_core::{Event, JobId, Kind, Operation, Outcome, Status, transport::Rename};
use ferryway_host::{
    control::{
        Operations,
        api::{Command, Reason},
    },
    journal::{JournalStore, record::Job},
};

use tokio::time::timeout;

use crate::{
    lab::{LIMIT, Lab, Node, Setup, TARGET, content},
    wire::{Act, Point, When},
};

const RESTART: Command = Command::Restart { force: false };
const FORCE: Command = Command::Restart { force: true };

async fn held_in(lab: &Lab, operation: Operation) -> (Node, Job, Point) {
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(operation, ""), Act::PauseBefore);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    (node, job, point)
}

/// Writes events of a job that no try has in hand, as its owner would.
async fn walk(node: &Node, id: &JobId, events: &[Event]) {
    let job = node.journal.job(id).await.unwrap().unwrap();
    let (_, step) = job.step(events, None, |_| {}).unwrap();
    node.journal.queue(step).await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moving_job_is_held_and_released() {
    let lab = Lab::new(Setup::default());
    let (node, job, point) = held_in(&lab, Operation::Store).await;
    for refused in [RESTART, FORCE, Command::Release] {
        let refusal = node.command(&job.id, refused).await.expect_err("it moves");
        assert_eq!(refusal.reason, Reason::Conflict, "{refused:?}: {refusal}");
    }
    let view = node.desk.job(&job.id).await.unwrap();
    assert_eq!(view.job.status, Status::Transferring, "a refused order stops nothing");
    let held = node.command(&job.id, Command::Hold).await.unwrap();
    assert_eq!((held.status, held.state.held), (Status::Suspended, true));
    point.release();
    assert_eq!(lab.partner.bytes(TARGET), None);
    let released = node.command(&job.id, Command::Release).await.unwrap();
    assert_eq!((released.status, released.state.held), (Status::Accepted, false));
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_leaves_nothing_and_may_be_restarted() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let (node, job, _point) = held_in(&lab, Operation::Checksum).await;
        let cancelled = node.command(&job.id, Command::Cancel).await.unwrap();
        assert_eq!(cancelled.status, Status::Idle(Outcome::Cancelled));
        assert_eq!(node.quiet().await.and(lab.tidy()), Ok(()), "{}", lab.log.print());
        for refused in [Command::Hold, Command::Release, Command::Cancel] {
            let refusal = node.command(&job.id, refused).await.expect_err("it has ended");
            assert_eq!(refusal.reason, Reason::Conflict, "{refused:?}");
        }
        node.command(&job.id, RESTART).await.unwrap();
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!(result, Ok(()), "{}", lab.log.print());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_may_be_published_is_not_cancelled_but_settled() {
    let lab = Lab::new(Setup::default());
    let (node, job, _point) = held_in(&lab, Operation::Rename).await;
    let refusal = node.command(&job.id, Command::Cancel).await.expect_err("it may be published");
    assert_eq!(refusal.reason, Reason::Conflict);
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

/// Forced, a job delivers once more, whatever its intent came to; what it had prepared goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_job_forgets_its_intent_and_leaves_nothing() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let (node, job, _point) = held_in(&lab, Operation::Rename).await;
        node.command(&job.id, Command::Hold).await.unwrap();
        node.command(&job.id, FORCE).await.unwrap();
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!(result, Ok(()), "{}", lab.log.print());
    }
}

/// On a partner that replaces no file, with an old target in place.
fn refuses_existing(staging: &'static str) -> Lab {
    let rename = Rename::RefusesExisting;
    Lab::new(Setup { staging, rename, old_target: true, ..Setup::default() })
}

/// The old target is moved aside and the new one not in place yet when the job is forced: there
/// is always one of the two, whether the file can be sent once more or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_job_keeps_the_old_target_until_the_new_one_is_in_place() {
    for staging in ["folder", "beside"] {
        for (source, forced) in [(true, 1), (true, 2), (false, 1)] {
            let lab = refuses_existing(staging);
            let wire = lab.wire("n1");
            let refused = Act::Refuse(550, Kind::Unavailable);
            wire.plan(When::On(Operation::Rename, "a1.part"), refused);
            let second = wire.plan(When::On(Operation::Rename, "a1.part"), Act::PauseBefore);
            let node = lab.start_with(wire.clone(), "n1", Default::default()).await.unwrap();
            let job = node.submit().await.unwrap();
            timeout(LIMIT, second.strikes()).await.expect("it is refused");
            node.command(&job.id, Command::Hold).await.unwrap();
            assert_eq!(lab.partner.bytes(TARGET), None, "{}", lab.log.print());
            if !source {
                std::fs::remove_file(lab.local()).unwrap();
            }
            // Forced again before the first order has come to anything, it is no other job.
            for _ in 1..forced {
                let begun = wire.plan(When::On(Operation::Rename, ".old"), Act::PauseBefore);
                node.command(&job.id, FORCE).await.unwrap();
                timeout(LIMIT, begun.strikes()).await.expect("it is to be put back");
                node.command(&job.id, Command::Hold).await.unwrap();
                let refusal = node.command(&job.id, Command::Cancel).await;
                assert_eq!(refusal.expect_err("it is moved aside").reason, Reason::Conflict);
            }
            let put_back = wire.plan(When::On(Operation::Rename, ".old"), Act::PauseAfter);
            node.command(&job.id, FORCE).await.unwrap();
            timeout(LIMIT, put_back.strikes()).await.expect("it is put back");
            assert_eq!(lab.target(b"the old report"), Ok(()), "{}", lab.log.print());
            put_back.release();
            let ended = node.rest(&job.id).await;
            let result = match source {
                true => lab.check(&node, &[job]).await,
                false => node.quiet().await.and(lab.target(b"the old report")).and(lab.tidy()),
            };
            node.stop().await;
            let outcome = if source { Outcome::Completed } else { Outcome::Failed };
            assert_eq!(ended.status, Status::Idle(outcome), "{}", lab.log.print());
            assert_eq!(result, Ok(()), "{staging}, {forced} times\n{}", lab.log.print());
        }
    }
}

/// The move of the old target is lost, and is read when the forced job has ended: it must not
/// take the new target away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_job_bars_the_way_of_a_lost_move() {
    for staging in ["folder", "beside"] {
        let lab = refuses_existing(staging);
        let wire = lab.wire("n1");
        let publish = wire.plan(When::On(Operation::Rename, "a1.part"), Act::PauseBefore);
        let lost = wire.plan(When::On(Operation::Rename, TARGET), Act::Late);
        let node = lab.start_with(wire.clone(), "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        publish.strikes().await;
        // The next try comes no further than this.
        let next = wire.plan(When::On(Operation::Connect, ""), Act::PauseBefore);
        publish.release();
        next.strikes().await;
        assert_eq!(lost.fired(), 1, "{}", lab.log.print());
        node.command(&job.id, Command::Hold).await.unwrap();
        node.command(&job.id, FORCE).await.unwrap();
        node.rest(&job.id).await;
        timeout(LIMIT, lost.release_late()).await.expect("the command is performed");
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!(result, Ok(()), "{staging}\n{}", lab.log.print());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivered_job_is_restarted_by_force_only() {
    let lab = Lab::new(Setup::default());
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    node.rest(&job.id).await;
    let refusal = node.command(&job.id, RESTART).await.expect_err("it is delivered");
    assert_eq!(refusal.reason, Reason::Conflict);
    node.command(&job.id, FORCE).await.unwrap();
    let job = node.rest(&job.id).await;
    assert_eq!((job.status, job.state.published), (Status::Idle(Outcome::Completed), 2));
    assert_eq!(node.quiet().await.and(lab.published(2)).and(lab.tidy()), Ok(()));
    let missing = node.command(&"PRDY0199".parse().unwrap(), RESTART).await;
    assert_eq!(missing.expect_err("there is none").reason, Reason::NotFound);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overtaken_job_is_restarted_by_force_only() {
    let lab = Lab::new(Setup::default());
    lab.write_source("newer.csv", &content(2, 1000));
    let node = lab.start("n1").await;
    let (source, away) = (lab.local(), lab.path().join("data/away"));
    std::fs::rename(&source, &away).unwrap();
    let older = node.submit().await.unwrap();
    assert_eq!(node.rest(&older.id).await.status, Status::Idle(Outcome::Failed));
    std::fs::rename(&away, &source).unwrap();
    let newer = node.submit_as(Some("newer.csv"), None).await.unwrap();
    assert_eq!(node.rest(&newer.id).await.status, Status::Idle(Outcome::Completed));
    let refusal = node.command(&older.id, RESTART).await.expect_err("a newer one is there");
    assert!(refusal.message.contains(newer.id.as_str()), "{refusal}");
    assert_eq!(lab.target(&content(2, 1000)), Ok(()));
    node.command(&older.id, FORCE).await.unwrap();
    node.rest(&older.id).await;
    assert_eq!(lab.target(&content(1, lab.setup.size)), Ok(()));
    node.stop().await;
}

/// A newer job that is on its way overtakes as well: the older one must neither run beside it
/// nor put its file over the newer one afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_job_does_not_slip_in_beside_a_newer_one() {
    let lab = Lab::new(Setup::default());
    lab.write_source("newer.csv", &content(2, 1000));
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Rename, "PRDY012"), Act::PauseBefore);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let (source, away) = (lab.local(), lab.path().join("data/away"));
    std::fs::rename(&source, &away).unwrap();
    let older = node.submit().await.unwrap();
    node.rest(&older.id).await;
    std::fs::rename(&away, &source).unwrap();
    let newer = node.submit_as(Some("newer.csv"), None).await.unwrap();
    point.strikes().await;
    let refusal = node.command(&older.id, RESTART).await.expect_err("a newer one is on its way");
    assert!(refusal.message.contains(newer.id.as_str()), "{refusal}");
    // By force it follows the newer one, and is not moved at the same time.
    node.command(&older.id, FORCE).await.unwrap();
    let view = node.desk.job(&older.id).await.unwrap();
    assert_eq!(view.job.status, Status::Accepted);
    point.release();
    node.rest(&newer.id).await;
    node.rest(&older.id).await;
    let order: Vec<_> = lab
        .log
        .entries()
        .into_iter()
        .filter(|done| done.ok && done.to.as_deref() == Some(TARGET))
        .map(|done| done.path)
        .collect();
    assert_eq!(order.len(), 2);
    assert!(order[0].contains("PRDY012") && order[1].contains("PRDY011"), "{order:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_to_one_target_keep_their_order() {
    let lab = Lab::new(Setup::default());
    let (node, first, point) = held_in(&lab, Operation::Store).await;
    let mut jobs = vec![first.clone()];
    for _ in 0..5 {
        jobs.push(node.submit().await.unwrap());
    }
    node.command(&first.id, Command::Hold).await.unwrap();
    point.release();
    let view = node.desk.job(&jobs[5].id).await.unwrap();
    assert_eq!(view.waits_for, Some(first.id.clone()), "a suspended job holds back the others");
    node.command(&first.id, Command::Release).await.unwrap();
    for job in &jobs {
        node.rest(&job.id).await;
    }
    let renames = lab.log.entries().into_iter().filter(|d| d.ok && d.to.as_deref() == Some(TARGET));
    let order: Vec<_> = renames.map(|done| done.path).collect();
    let expected = jobs.iter().map(|job| format!("/{}.", job.id));
    assert!(order.iter().zip(expected).all(|(path, id)| path.contains(&id)), "{order:?}");
    let result = lab.check(&node, &jobs).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_one_job() {
    let lab = Lab::new(Setup::default());
    let node = lab.start("n1").await;
    let job = node.submit_as(None, Some("order 7")).await.unwrap();
    assert_eq!(node.submit_as(None, Some("order 7")).await.unwrap().id, job.id);
    node.rest(&job.id).await;
    node.dies().await;
    let node = lab.start("n2").await;
    let again = node.submit_as(None, Some("order 7")).await.unwrap();
    assert_eq!((again.id, again.status), (job.id.clone(), Status::Idle(Outcome::Completed)));
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_partner_that_is_gone_waits_for_an_operator() {
    let lab = Lab::new(Setup::default());
    let (node, job, _point) = held_in(&lab, Operation::Store).await;
    node.dies().await;
    let config = lab.path().join("ferryway.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let definition = lab.path().join("definitions/a.toml");
    let hidden = lab.path().join("definitions/a.off");
    std::fs::write(&config, text.replace("partners.BANK", "partners.OTHER")).unwrap();
    std::fs::rename(&definition, &hidden).unwrap();
    let node = lab.start("n2").await;
    let waiting = node.rest(&job.id).await;
    assert_eq!(waiting.status, Status::Suspended);
    assert!(waiting.state.last_error.unwrap().contains("BANK"));
    node.stop().await;
    std::fs::write(&config, text).unwrap();
    std::fs::rename(&hidden, &definition).unwrap();
    let node = lab.start("n3").await;
    assert_eq!(node.rest(&job.id).await.status, Status::Suspended, "left alone");
    node.command(&job.id, Command::Release).await.unwrap();
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

/// The exact line that monitoring looks for, and nothing but that line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_exit_may_have_run_is_left_alone_and_said_so() {
    let lab = Lab::new(Setup::default());
    let wire = lab.wire("n1");
    // Nothing moves: the statuses are walked by hand.
    wire.plan(When::Every(Operation::Connect, ""), Act::DieBefore);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let asked = node.submit_as(None, None).await.unwrap();
    let held = node.submit_as(Some("report.csv"), None).await.unwrap();
    node.command(&held.id, Command::Hold).await.unwrap();
    node.dies().await;
    // The job was on its way to the partner; its owner died after it started the exit.
    let walker = lab.start_idle("walker").await;
    walk(
        &walker,
        &asked.id,
        &[
            Event::Prepare,
            Event::Connect,
            Event::Begin,
            Event::Verify,
            Event::Publish,
            Event::Published,
            Event::StartExit,
        ],
    )
    .await;
    walker.dies().await;
    let node = lab.start("n2").await;
    for id in [&asked.id, &held.id] {
        node.rest(id).await;
    }
    let line = lab.log_line("0215E").await;
    let (_, text) = line.split_at("2000/03/01 10:06:18 ".len());
    assert_eq!(text, format!("PRDY01 0215E Job can not recovery!! Job({})", asked.id));
    let log = std::fs::read_to_string(lab.path().join("logs/ferryway.log")).unwrap();
    let at_takeover = |line: &&str| line.contains(" 021") && line.contains(held.id.as_str());
    assert_eq!(log.lines().filter(at_takeover).collect::<Vec<_>>(), [""; 0], "05 is silent");
    let statuses: Vec<_> = node.all().await.into_iter().map(|job| job.status).collect();
    assert_eq!(statuses, [Status::PostExit, Status::Suspended]);
    // An older version's job says nothing of an exit: there is none to run.
    node.command(&asked.id, RESTART).await.unwrap();
    let ended = node.rest(&asked.id).await;
    assert_eq!(ended.status, Status::Idle(Outcome::Completed));
    node.stop().await;
}
