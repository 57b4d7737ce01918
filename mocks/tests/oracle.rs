//! The judge finds each violation, planted alone, and says nothing of what is as promised.

#![allow(clippy::unwrap_used, missing_docs)]

use ferryway_core::{Algorithm, Digest, JobId, Outcome, RunNumber, Status};
use ferryway_mocks::oracle::{
    Broken, Content, Exit, Job, Moment, Observation, Promise, Publishes, Receiving, Run, Target,
    Violation, judge, verdict,
};

fn id(run: u32) -> JobId {
    JobId::new(&"PRDY01".parse().unwrap(), RunNumber(run.into()))
}

fn content(byte: u8) -> Content {
    Content { size: 3, digest: Digest::from_bytes(Algorithm::Blake3, &[byte; 32]) }
}

fn job(run: u32, byte: u8) -> Job {
    Job {
        id: id(run),
        status: Status::Idle(Outcome::Completed),
        published: 1,
        unfinished: false,
        delivered: Some(content(byte)),
    }
}

/// The job of the receiving side.
fn receiving(run: u32) -> Receiving {
    Receiving {
        id: id(run + 10),
        of: id(run),
        status: Status::ReceiverIdle(Outcome::Completed),
        delivered: job(run, u8::try_from(run).unwrap()).delivered,
    }
}

/// An exit that ran once, as it may.
fn exit() -> Exit {
    Exit {
        job: id(1),
        name: "post".to_owned(),
        promise: Promise::AtMostOnce,
        record: vec![Moment::Start, Moment::End],
        runs: vec![run("k", false)],
        asked: Some(0),
    }
}

fn run(key: &str, may_have_run: bool) -> Run {
    Run { key: key.to_owned(), may_have_run }
}

/// Two jobs to one target, as promised.
fn delivered() -> Observation {
    Observation {
        acknowledged: vec![id(1), id(2)],
        jobs: vec![job(1, 1), job(2, 2)],
        receiving: Some(vec![receiving(1), receiving(2)]),
        targets: vec![Target {
            path: "in/a".to_owned(),
            jobs: vec![id(1), id(2)],
            expected: content(2),
            found: Some(content(2)),
            publishes: Publishes::By(vec![id(1), id(2)]),
            intrusions: Vec::new(),
        }],
        strays: Vec::new(),
        late_effects: Vec::new(),
        exits: vec![exit()],
    }
}

#[test]
fn what_is_as_promised_has_no_violation() {
    assert_eq!(judge(&delivered()), []);
    assert_eq!(verdict(&delivered()), Ok(()));
    for publishes in [Publishes::Unseen, Publishes::Times(2)] {
        let mut seen = delivered();
        seen.targets[0].publishes = publishes;
        assert_eq!(judge(&seen), []);
    }
    assert_eq!(judge(&Observation::default()), []);
}

#[test]
fn each_violation_is_found() {
    let path = || "in/a".to_owned();
    let plant = |change: &dyn Fn(&mut Observation), expected: Violation| {
        let mut seen = delivered();
        change(&mut seen);
        assert_eq!(judge(&seen), std::slice::from_ref(&expected));
        assert_eq!(verdict(&seen), Err(expected.to_string()));
    };
    plant(&|seen| seen.acknowledged.push(id(3)), Violation::Lost(id(3)));
    plant(&|seen| drop(seen.acknowledged.remove(0)), Violation::Unasked(id(1)));
    let suspended = Violation::NotCompleted(id(2), Status::Suspended);
    let suspend = |seen: &mut Observation| {
        seen.jobs[1].status = Status::Suspended;
        // Else it is at odds with the receiving side as well.
        seen.receiving = None;
    };
    plant(&suspend, suspended);
    plant(&|seen| seen.jobs[0].published = 2, Violation::Miscounted(id(1), 2));
    plant(&|seen| seen.jobs[0].published = 0, Violation::Miscounted(id(1), 0));
    plant(&|seen| seen.jobs[0].unfinished = true, Violation::Unfinished(id(1)));
    plant(&|seen| seen.jobs[0].delivered = None, Violation::WrongProof(id(1)));
    let both_wrong = |seen: &mut Observation| {
        seen.jobs[1].delivered = Some(content(1));
        pairs(seen)[1].delivered = Some(content(1));
    };
    plant(&both_wrong, Violation::WrongProof(id(2)));
    plant(&|seen| seen.targets[0].found = None, Violation::Absent(path()));
    let differs = Violation::Differs(path(), 3, 3);
    plant(&|seen| seen.targets[0].found = Some(content(1)), differs);
    for publishes in [Publishes::Times(3), Publishes::By(vec![id(1), id(2), id(2)])] {
        let thrice = Violation::PublishedTimes(path(), 3, 2);
        plant(&|seen| seen.targets[0].publishes = publishes.clone(), thrice);
    }
    let turned = vec![id(2), id(1)];
    plant(
        &|seen| seen.targets[0].publishes = Publishes::By(vec![id(2), id(1)]),
        Violation::OutOfOrder(path(), turned),
    );
    let dele = || "DELE in/a".to_owned();
    plant(&|seen| seen.targets[0].intrusions.push(dele()), Violation::Intrusion(path(), dele()));
    let stray = || "in/.a.part".to_owned();
    plant(&|seen| seen.strays.push(stray()), Violation::Stray(stray()));
    fn pairs(seen: &mut Observation) -> &mut Vec<Receiving> {
        seen.receiving.as_mut().unwrap()
    }
    plant(&|seen| drop(pairs(seen).remove(0)), Violation::Unpaired(id(1), 0));
    plant(&|seen| pairs(seen).push(receiving(2)), Violation::Unpaired(id(2), 2));
    plant(&|seen| pairs(seen).push(receiving(3)), Violation::Unasked(id(13)));
    let (here, there) = (Status::Idle(Outcome::Completed), Status::ReceiverPublishing);
    let disagree = Violation::Disagree(id(1), here, there);
    plant(&|seen| pairs(seen)[0].status = there, disagree);
    plant(&|seen| pairs(seen)[0].delivered = Some(content(2)), Violation::OtherFile(id(1)));
    let late = || "wrote to in/a".to_owned();
    plant(&|seen| seen.late_effects.push(late()), Violation::LateEffect(late()));
}

#[test]
fn each_broken_promise_about_an_exit_is_found() {
    use Moment::{End, Restart, Start};
    let twice = |second: Run| vec![run("k", false), second];
    let check = |promise, record: &[Moment], runs: Vec<Run>, expected: &[Broken]| {
        let exit = Exit { promise, record: record.to_vec(), runs, ..exit() };
        let expected: Vec<_> =
            expected.iter().map(|how| Violation::Exit(id(1), "post".to_owned(), *how)).collect();
        let seen = Observation { exits: vec![exit.clone()], ..Observation::default() };
        assert_eq!(judge(&seen), expected, "{exit:?}");
    };
    let (most, least) = (Promise::AtMostOnce, Promise::AtLeastOnce);
    let warned = || twice(run("k", true));
    check(most, &[Start, End], warned(), &[Broken::RanTimes(2, 1), Broken::Unrecorded]);
    check(most, &[Start, Start], warned(), &[Broken::RanTimes(2, 1)]);
    check(most, &[Start, Restart, Start, End], warned(), &[]);
    check(most, &[Start], vec![], &[]);
    check(most, &[Start, End], vec![], &[Broken::NeverRan]);
    check(least, &[Start, Start], vec![], &[Broken::NeverRan]);
    check(least, &[Start, Start, End], warned(), &[]);
    check(least, &[Start], warned(), &[Broken::Unrecorded]);
    check(least, &[Start, End, Start], warned(), &[Broken::RanAgain]);
    check(least, &[Start, End, Restart, Start], warned(), &[]);
    check(least, &[Start, Start], twice(run("k", false)), &[Broken::Unwarned]);
    check(least, &[Start, Start], twice(run("l", true)), &[Broken::OtherKey]);
}

#[test]
fn an_operator_is_asked_when_an_end_is_not_known_and_only_then() {
    use Moment::{End, Release, Restart, Start};
    let check = |promise, record: &[Moment], asked, expected: &[Broken]| {
        let asked = Some(asked);
        let starts = record.iter().filter(|moment| **moment == Start).count();
        let runs = (0..starts).map(|number| run("k", number > 0)).collect();
        let exit = Exit { promise, record: record.to_vec(), runs, asked, ..exit() };
        let expected: Vec<_> =
            expected.iter().map(|how| Violation::Exit(id(1), "post".to_owned(), *how)).collect();
        let seen = Observation { exits: vec![exit.clone()], ..Observation::default() };
        assert_eq!(judge(&seen), expected, "{exit:?}");
    };
    let asks = Promise::OnceOrAsk;
    check(asks, &[Start, End], 0, &[]);
    check(asks, &[Start, Restart, Start, End], 1, &[]);
    check(asks, &[Start, Release], 1, &[]);
    check(asks, &[Start, Release], 0, &[Broken::NotAsked]);
    check(asks, &[Start, End], 1, &[Broken::AskedTimes(1)]);
    check(asks, &[Start], 1, &[Broken::Unanswered]);
    check(asks, &[Start, Start, End], 1, &[Broken::RanTimes(2, 1), Broken::Unanswered]);
    check(Promise::AtMostOnce, &[Start], 0, &[]);
    check(Promise::AtMostOnce, &[Start], 1, &[Broken::AskedTimes(1)]);
    check(Promise::AtLeastOnce, &[Start, Start, End], 1, &[Broken::AskedTimes(1)]);
}

#[test]
fn a_verdict_lists_every_violation() {
    let mut seen = delivered();
    seen.targets[0].found = None;
    seen.strays.push("in/x".to_owned());
    let text = verdict(&seen).unwrap_err();
    assert_eq!(text, "there is no in/a\nin/x was left behind");
}
