//! The same protocol over FTP, against servers with the habits of real ones.

use std::sync::Arc;

use ferryway_core::{Outcome, Status, transport::Rename};
use ferryway_ftp::Ftp;
use ferryway_host::control::api::Command;
use ferryway_mocks::ftp_server::{Behaviour, Cut, FtpServer, Rule};

use tokio::task::JoinSet;

use crate::{
    crash::{Broken, first_node},
    disk::in_memory,
    lab::{Lab, Remote, Setup},
    wire::{Act, When},
    zombie::outlived,
};

/// A lab whose partner is a server of this kind.
pub async fn lab(behaviour: Behaviour, setup: Setup) -> (Lab, FtpServer) {
    let folder = in_memory();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let builder = FtpServer::builder(folder.path()).behaviour(behaviour).user("ferry", "secret");
    let server = builder.start().await.unwrap();
    let port = server.addr().port();
    let settings = format!(
        "host = '127.0.0.1'\nport = {port}\nuser = 'ferry'\npassword = 'secret'\ntls = 'off'"
    );
    let transport = Arc::new(Ftp::default());
    let remote = Remote { transport, settings, folder: folder.path().to_owned() };
    let mut lab = Lab::with_remote(setup, Some(remote));
    lab.kept.push(folder);
    (lab, server)
}

/// The servers on which a file can be stored twice, as a probe and a bar need.
fn servers() -> Vec<(&'static str, Behaviour)> {
    let mut servers = Behaviour::presets();
    servers.push(("default", Behaviour::default()));
    servers.push(("no MLSD", Behaviour::default().without(&["MLSD", "MLST"])));
    servers.push(("no hashes", Behaviour::default().without(&["HASH", "RANG", "XCRC"])));
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_is_delivered_to() {
    let mut broken = Broken::default();
    for (name, behaviour) in servers() {
        for (staging, old_target) in [("folder", false), ("folder", true), ("beside", true)] {
            let setup = Setup { staging, old_target, late_close: "probe", ..Setup::default() };
            let (lab, server) = lab(behaviour.clone(), setup).await;
            let node = lab.start("n1").await;
            let jobs = [node.submit().await.unwrap(), node.submit().await.unwrap()];
            for job in &jobs {
                node.rest(&job.id).await;
            }
            let result = lab.check(&node, &jobs).await;
            node.stop().await;
            let said = result.as_ref().err().map(|_| server.transcript().to_string());
            broken.note(&lab, &format!("{name} {said:?}"), result);
        }
    }
    broken.report();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_die_on_every_server() {
    let mut broken = Broken::default();
    for (name, behaviour) in servers() {
        for act in [Act::DieBefore, Act::DieAfter, Act::DieMid(70_000), Act::Lose] {
            for number in 1.. {
                let setup = Setup { late_close: "probe", ..Setup::default() };
                let (lab, _server) = lab(behaviour.clone(), setup).await;
                let (job, point) = match act {
                    Act::Lose => {
                        let wire = lab.wire("n1");
                        let point = wire.plan(When::Number(number), act);
                        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
                        let job = node.submit().await.unwrap();
                        node.rest(&job.id).await;
                        node.stop().await;
                        (job, point)
                    }
                    _ => first_node(&lab, number, act).await,
                };
                let node = lab.start("n2").await;
                node.rest(&job.id).await;
                let result = lab.check(&node, &[job]).await;
                node.stop().await;
                broken.note(&lab, &format!("{name}: {act:?} at {number}"), result);
                if point.fired() == 0 {
                    break;
                }
            }
        }
    }
    broken.report();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_is_not_believed() {
    let faults: [(&str, Rule); 8] = [
        ("a confirmed half", Rule::early_226("STOR", 70_000).on_path("*part")),
        ("a lost confirmation", Rule::lost_reply("STOR").on_path("*part")),
        ("a late failure", Rule::late_451("STOR").on_path("*part")),
        ("a reset", Rule::cut_at("STOR", 70_000, Cut::Rst).on_path("*part")),
        ("an end", Rule::cut_at("STOR", 70_000, Cut::Fin).on_path("*part")),
        ("a lost rename", Rule::lost_reply("RNTO")),
        ("a lost beginning of a rename", Rule::lost_reply("RNFR")),
        ("no service", Rule::refuse("USER", 421, "Too many users.").times(3)),
    ];
    let mut broken = Broken::default();
    for (what, rule) in faults {
        let (lab, server) = lab(Behaviour::default(), Setup::default()).await;
        let fault = server.faults().add(rule);
        let node = lab.start("n1").await;
        let job = node.submit().await.unwrap();
        node.rest(&job.id).await;
        let result = lab.check_end(&node, &[job]).await;
        node.stop().await;
        if what == "a lost rename" {
            assert_eq!(server.transcript().count("STOR"), 1, "what is published is not sent again");
        }
        assert!(fault.fired() > 0, "{what} never happened:\n{}", server.transcript());
        broken.note(&lab, what, result);
    }
    broken.report();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_changes_nothing_on_any_server() {
    let mut tasks = JoinSet::new();
    for (name, behaviour) in servers() {
        for act in [Act::PauseBefore, Act::PauseAfter, Act::PauseMid(70_000)] {
            let behaviour = behaviour.clone();
            tasks.spawn(async move {
                let mut broken = Broken::default();
                for number in 1.. {
                    let setup = Setup { late_close: "probe", ..Setup::default() };
                    let (lab, _server) = lab(behaviour.clone(), setup).await;
                    let (fired, result) = outlived(&lab, number, act).await;
                    broken.note(&lab, &format!("{name}: {act:?} at {number}"), result);
                    if !fired {
                        break;
                    }
                }
                broken
            });
        }
    }
    Broken::all(tasks).await.report();
}

/// A refusal to publish may last: when its retries are used up, the job waits for an operator,
/// with its token in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_publish_waits_for_an_operator() {
    let setup = Setup { retries: 0, ..Setup::default() };
    let (lab, server) = lab(Behaviour::default(), setup).await;
    let fault = server.faults().add(Rule::refuse_rnto());
    let node = lab.start("n1").await;
    let job = node.submit().await.unwrap();
    let waiting = node.rest(&job.id).await;
    assert_eq!((waiting.status, fault.fired()), (Status::Suspended, 1));
    node.command(&job.id, Command::Release).await.unwrap();
    assert_eq!(node.rest(&job.id).await.status, Status::Idle(Outcome::Completed));
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
    assert_eq!(server.transcript().count("STOR"), 1, "nothing is sent again");
    assert_eq!(lab.setup.rename, Rename::Replaces);
}
