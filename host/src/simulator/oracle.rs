//! The judge of all runs, which looks at nothing but the plan and the evidence. What `atomic`
//! promises is asked of the one judge of all deliveries; which outcome of the note a run with
//! `direct` had is decided here.

use ferryway_core::{Algorithm, Digest, JobId, Outcome as JobOutcome, Publish, Status};
use ferryway_mocks::oracle::{self, Broken, Content, Observation, Publishes, Violation};

use super::{
    evidence::{Evidence, Target},
    plan::Plan,
    rows::Outcome,
    settings::TARGET,
};

/// How a run ended, and what about it is not as it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `None` when the run ended in no way that the table knows.
    pub(super) outcome: Option<Outcome>,
    /// Empty for a run as it should be.
    pub(super) faults: Vec<String>,
}

/// The exit code of a host that saw another owner.
const FENCED: i32 = 3;
/// The exit code of a host whose journal was out of reach.
const JOURNAL_LOST: i32 = 4;

/// Judges a run, which is to end in one of the `expected` ways.
pub(super) fn judge(plan: &Plan, evidence: &Evidence, expected: &[Outcome]) -> Verdict {
    let mut faults: Vec<_> = unaware(evidence).into_iter().collect();
    let outcome = match plan.cell.policy {
        Publish::Atomic => {
            faults.extend(undelivered(evidence));
            faults.is_empty().then_some(Outcome::Delivered)
        }
        Publish::Direct => {
            faults.extend(lost(evidence));
            faults.extend(at_odds(evidence));
            direct(plan, evidence)
        }
    };
    match outcome {
        Some(outcome) if expected.contains(&outcome) => {}
        Some(outcome) => {
            let words = outcome.in_words();
            faults.push(format!("not expected here: {words} ({})", describe(evidence)));
        }
        None if faults.is_empty() => {
            faults.push(format!("it ended in no known way: {}", describe(evidence)));
        }
        None => {}
    }
    Verdict { outcome, faults }
}

/// A former owner that lives on has to notice that it is one.
fn unaware(evidence: &Evidence) -> Option<String> {
    let code = evidence.former_owner?;
    let noticed = [FENCED, JOURNAL_LOST].contains(&code);
    (!noticed).then(|| format!("the former owner's host ended with exit code {code}"))
}

/// Acknowledged jobs that are on no record.
fn lost(evidence: &Evidence) -> Vec<String> {
    let unknown = |id: &&JobId| evidence.jobs.iter().all(|job| job.id != **id);
    evidence.acknowledged.iter().filter(unknown).map(|id| format!("job {id} is lost")).collect()
}

/// What both sides do not agree about, and exits that did not run as promised.
fn at_odds(evidence: &Evidence) -> Vec<String> {
    let seen = observation(evidence);
    let pairs = Observation {
        acknowledged: seen.acknowledged,
        jobs: seen.jobs,
        receiving: seen.receiving,
        exits: seen.exits,
        ..Observation::default()
    };
    let violations = oracle::judge(&pairs).into_iter();
    let is_odd = |violation: &Violation| match violation {
        Violation::Unpaired(..) | Violation::Disagree(..) | Violation::OtherFile(_) => true,
        // What is not delivered has no post-exit.
        Violation::Exit(_, _, Broken::NeverRan) => completed(evidence),
        Violation::Exit(..) => true,
        _ => false,
    };
    violations.filter(is_odd).map(|violation| violation.to_string()).collect()
}

/// What is not as a delivery with `atomic` is promised.
fn undelivered(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    if evidence.forced {
        faults.push("an operator was needed".to_owned());
    }
    if let Some(reason) = &evidence.refused {
        faults.push(format!("the job came to rest undelivered: {reason}"));
    }
    let violations = oracle::judge(&observation(evidence));
    faults.extend(violations.iter().map(ToString::to_string));
    faults
}

/// What was seen, as the judge of all deliveries is told.
fn observation(evidence: &Evidence) -> Observation {
    // Each node may have a version of its own: either will do when it is whole.
    let whole = evidence.content.clone().filter(|_| matches!(evidence.target, Target::Whole(_)));
    let nothing = Content { size: 0, digest: Digest::from_bytes(Algorithm::Blake3, &[]) };
    let target = oracle::Target {
        path: TARGET.to_owned(),
        jobs: evidence.acknowledged.clone(),
        expected: whole.unwrap_or(nothing),
        found: evidence.content.clone(),
        publishes: Publishes::Times(evidence.published),
        intrusions: Vec::new(),
    };
    Observation {
        acknowledged: evidence.acknowledged.clone(),
        jobs: evidence.jobs.iter().cloned().map(oracle::Job::from).collect(),
        receiving: evidence
            .receiving
            .as_ref()
            .map(|jobs| jobs.iter().map(oracle::Receiving::from).collect()),
        targets: vec![target],
        strays: evidence.strays.clone(),
        late_effects: Vec::new(),
        exits: evidence.exits.clone(),
    }
}

/// Which outcome of the note this is.
fn direct(plan: &Plan, evidence: &Evidence) -> Option<Outcome> {
    if !completed(evidence) {
        return evidence.refused.is_some().then_some(Outcome::Refused);
    }
    // The last owner's version; on a shared disk there is only one.
    let whole = matches!(evidence.target, Target::Whole(node) if node != "alpha");
    if !whole {
        return Some(Outcome::Unexpected);
    }
    match (plan.cell.row.cluster_serves(), evidence.refused.is_some()) {
        (true, _) => evidence.error_seen.then_some(Outcome::Resent),
        (false, true) => evidence.forced.then_some(Outcome::RefusedThenForced),
        (false, false) => Some(Outcome::Overwritten),
    }
}

fn completed(evidence: &Evidence) -> bool {
    evidence.jobs.iter().all(|job| job.status == Status::Idle(JobOutcome::Completed))
}

fn describe(evidence: &Evidence) -> String {
    let refused = evidence.refused.as_deref().unwrap_or("nothing was refused");
    format!("the target is {}; {refused}", evidence.target)
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Whole(node) => write!(f, "the whole file of {node}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use ferryway_core::{Direction, Epoch, RunNumber};
    use jiff::Timestamp;

    use super::*;
    use crate::{
        journal::record::{Job, JobSpec, JobState},
        simulator::{plan::tests::by_ftp, rows::RowId},
    };

    fn job(status: Status) -> Job {
        let (definition, partner) = ("SIMUL1".parse().unwrap(), "bank".parse().unwrap());
        let spec = JobSpec::plain(definition, partner, Direction::Send, ("a", "a"));
        let state = JobState {
            published: 1,
            size: Some(10),
            digest: Some(content(10).digest),
            ..JobState::default()
        };
        let by = (Epoch::FIRST, Timestamp::UNIX_EPOCH);
        Job { status, state, ..Job::accepted(spec, RunNumber(1), 1, by) }
    }

    fn content(size: u8) -> Content {
        let digest = Digest::from_bytes(Algorithm::Blake3, &[size]);
        Content { size: size.into(), digest }
    }

    fn delivered() -> Evidence {
        let job = job(Status::Idle(JobOutcome::Completed));
        Evidence {
            target: Target::Whole("beta"),
            content: Some(content(10)),
            published: 1,
            acknowledged: vec![job.id.clone()],
            jobs: vec![job],
            ..Evidence::default()
        }
    }

    fn faults(change: impl FnOnce(&mut Evidence)) -> usize {
        let mut evidence = delivered();
        change(&mut evidence);
        let plan = by_ftp(RowId::C1, Publish::Atomic, 1);
        judge(&plan, &evidence, &[Outcome::Delivered]).faults.len()
    }

    #[test]
    fn a_delivery_has_no_fault_and_each_broken_promise_is_one() {
        assert_eq!(faults(|_| {}), 0);
        let absent = |e: &mut Evidence| (e.target, e.content) = (Target::Absent, None);
        // The target, and the job that claims to have delivered it.
        assert_eq!(faults(absent), 2);
        assert_eq!(faults(|e| e.target = Target::Other("mixed".to_owned())), 2);
        assert_eq!(faults(|e| e.content = Some(content(9))), 1);
        assert_eq!(faults(|e| e.published = 2), 1);
        assert_eq!(faults(|e| e.strays = vec!["in/a.part".to_owned()]), 1);
        assert_eq!(faults(|e| e.forced = true), 1);
        assert_eq!(faults(|e| e.refused = Some("no".to_owned())), 1);
        assert_eq!(faults(|e| e.former_owner = Some(0)), 1);
        assert_eq!(faults(|e| e.jobs[0].status = Status::Suspended), 1);
        assert_eq!(faults(|e| e.jobs[0].state.published = 2), 1);
        assert_eq!(faults(|e| e.jobs.clear()), 1);
        assert_eq!(faults(|e| e.receiving = Some(Vec::new())), 1);
    }

    #[test]
    fn another_outcome_than_the_expected_one_is_a_fault() {
        let plan = by_ftp(RowId::C1, Publish::Atomic, 1);
        let verdict = judge(&plan, &delivered(), &[Outcome::Refused]);
        assert_eq!((verdict.outcome, verdict.faults.len()), (Some(Outcome::Delivered), 1));
    }

    #[test]
    fn the_outcomes_of_the_note_are_told_apart() {
        let outcome = |row, change: &dyn Fn(&mut Evidence)| {
            let mut evidence = delivered();
            change(&mut evidence);
            judge(&by_ftp(row, Publish::Direct, 1), &evidence, Outcome::EACH).outcome
        };
        let refuse = |e: &mut Evidence| e.refused = Some("locked".to_owned());
        assert_eq!(outcome(RowId::C2, &|_| {}), Some(Outcome::Overwritten));
        assert_eq!(
            outcome(RowId::C1, &|e| {
                refuse(e);
                e.forced = true;
            }),
            Some(Outcome::RefusedThenForced)
        );
        assert_eq!(
            outcome(RowId::C3a, &|e| {
                refuse(e);
                e.jobs[0].status = Status::Suspended;
            }),
            Some(Outcome::Refused)
        );
        let older = |e: &mut Evidence| e.target = Target::Whole("alpha");
        assert_eq!(outcome(RowId::C4a, &older), Some(Outcome::Unexpected));
        assert_eq!(outcome(RowId::S1, &|e| e.error_seen = true), Some(Outcome::Resent));
        assert_eq!(outcome(RowId::S1, &|_| {}), None);
    }
}
