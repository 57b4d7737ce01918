//! A former owner that does not know it yet: held inside an operation while a successor takes
//! over and finishes, then let go. Nothing that it does may count.

use ferryway_core::{Direction, Operation, ResumePolicy, Status, transport::Rename};
use ferryway_host::{control::api::Command, journal::JournalError};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    crash::Broken,
    lab::{LIMIT, Lab, Setup},
    wire::{Act, When},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_in_any_operation_changes_nothing() {
    let base = Setup::default();
    let refuses = Setup { rename: Rename::RefusesExisting, old_target: true, ..base.clone() };
    let setups = [
        base.clone(),
        refuses,
        Setup { old_target: true, resume: ResumePolicy::Size, ..base.clone() },
        Setup { resume: ResumePolicy::Never, lists_hidden: false, ..base.clone() },
        Setup { late_close: "probe", checksums: false, ..base.clone() },
        Setup { size: 10, ..base.clone() },
        Setup { direction: Direction::Fetch, ..base.clone() },
        Setup { direction: Direction::Fetch, size: 10, ..base },
    ];
    let mut tasks = JoinSet::new();
    for setup in setups {
        for act in [Act::PauseBefore, Act::PauseAfter, Act::PauseMid(70_000)] {
            let setup = setup.clone();
            tasks.spawn(async move {
                let mut broken = Broken::default();
                for number in 1.. {
                    let lab = Lab::new(setup.clone());
                    let (fired, result) = outlived(&lab, number, act).await;
                    broken.note(&lab, &format!("{act:?} at {number}"), result);
                    if !fired {
                        assert!(number > 2, "only {number} operations: {}", lab.log.print());
                        return broken;
                    }
                }
                broken
            });
        }
    }
    Broken::all(tasks).await.report();
}

/// Without a folder of the epoch that can be taken away, a zombie that was about to store makes
/// its partial after the successor has finished: it stays, and harms nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_its_target_a_zombie_leaves_at_most_its_partial() {
    let setup = Setup { staging: "beside", ..Setup::default() };
    let mut left = 0;
    let mut broken = Broken::default();
    for act in [Act::PauseBefore, Act::PauseAfter, Act::PauseMid(70_000)] {
        for number in 1.. {
            let lab = Lab::new(setup.clone());
            let (fired, result) = outlived(&lab, number, act).await;
            let partial = "in/.report.csv.PRDY011.e1.a1.part was left behind";
            match result {
                Err(reason) if act == Act::PauseBefore && reason == partial => left += 1,
                result => broken.note(&lab, &format!("{act:?} at {number}"), result),
            }
            if !fired {
                break;
            }
        }
    }
    broken.report();
    assert_eq!(left, 1, "only a store that has not begun can leave a partial");
}

/// A journal that does not tell an owner of its successor. What the successor has left on the
/// partner does: the owner stages nothing anywhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_folder_is_barred_stops() {
    let folder = "in/.ferryway/night.BANK/e1";
    for held in [When::On(Operation::MakeFolder, "e1"), When::On(Operation::Store, "a1.part")] {
        let lab = Lab::new(Setup::default());
        let wire = lab.wire("n1");
        let point = wire.plan(held, Act::PauseBefore);
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        point.strikes().await;
        let mut successor = lab.session().await;
        drop(successor.remove_folder(folder.parse().unwrap()).await);
        lab.put(folder, b"");
        point.release();
        let suspended = node.rest(&job.id).await;
        let print = || format!("{suspended:?}\n{}", lab.log.print());
        assert_eq!(suspended.status, Status::Suspended, "{}", print());
        assert!(suspended.state.last_error.as_ref().unwrap().contains(folder), "{}", print());
        assert_eq!(lab.remote_files(), [folder], "{}", print());
        // An operator who knows better.
        successor.remove(folder.parse().unwrap()).await.unwrap();
        node.command(&job.id, Command::Release).await.unwrap();
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!(result, Ok(()), "{}", lab.log.print());
    }
}

/// Holds the first node inside an operation, lets a second one finish, then lets go of the
/// first. Tells whether there was such an operation.
pub async fn outlived(lab: &Lab, number: usize, act: Act) -> (bool, Result<(), String>) {
    let wire = lab.wire("n1");
    let point = wire.plan(When::Number(number), act);
    let zombie = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = zombie.submit().await.unwrap();
    let held = async {
        tokio::select! {
            () = point.strikes() => true,
            _ = zombie.rest(&job.id) => false,
        }
    };
    if !timeout(LIMIT, held).await.expect("the zombie is held or done") {
        zombie.stop().await;
        return (false, Ok(()));
    }
    let node = lab.start("n2").await;
    node.rest(&job.id).await;
    let jobs = [job];
    let mut result = lab.check(&node, &jobs).await;
    point.release();
    let ended = timeout(LIMIT, zombie.scheduler).await.expect("the zombie ends").unwrap();
    if result.is_ok() {
        result = match ended {
            Err(JournalError::Fenced { .. }) => lab.check(&node, &jobs).await,
            other => Err(format!("the zombie ended with {other:?}")),
        };
    }
    node.stop().await;
    (true, result)
}
