//! What must hold of the user's programs around a transfer.

use std::fmt;

use ferryway_core::JobId;

/// An exit of one delivery: what the job's record says of it, and what it wrote down itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The job.
    pub job: JobId,
    /// `pre` or `post`.
    pub name: String,
    /// How often it may run.
    pub promise: Promise,
    /// What is on record of it, in this order.
    pub record: Vec<Moment>,
    /// Its runs, as the program noted them when it began.
    pub runs: Vec<Run>,
}

/// How often an exit may run when no operator has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Once or not at all.
    AtMostOnce,
    /// Once or more.
    AtLeastOnce,
}

/// Something on record of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was about to start.
    Start,
    /// It had ended.
    End,
    /// An operator had it run again.
    Restart,
}

/// A run of an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The key that it was given.
    pub key: String,
    /// Whether it was told that it may have run before.
    pub may_have_run: bool,
}

/// A promise about an exit that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It ran so often, where so many times were allowed.
    RanTimes(usize, usize),
    /// It never ran although it had to, or its end is on record.
    NeverRan,
    /// It ran more often than its starts are on record.
    Unrecorded,
    /// It was started again after its end was on record, and no operator said so.
    RanAgain,
    /// Its runs were given different keys.
    OtherKey,
    /// A later run was not told of the earlier one.
    Unwarned,
}

pub(super) fn judge(exit: &Exit) -> Vec<Broken> {
    let count = |moment| exit.record.iter().filter(|found| **found == moment).count();
    let (runs, allowed) = (exit.runs.len(), 1 + count(Moment::Restart));
    let must_run = exit.promise == Promise::AtLeastOnce || count(Moment::End) > 0;
    let mut ended = false;
    let again = exit.record.iter().any(|moment| {
        let again = ended && *moment == Moment::Start;
        ended = *moment == Moment::End;
        again
    });
    let other = exit.runs.iter().any(|run| run.key != exit.runs[0].key);
    let unwarned = exit.runs.iter().skip(1).any(|run| !run.may_have_run);
    let rules = [
        (exit.promise == Promise::AtMostOnce && runs > allowed, Broken::RanTimes(runs, allowed)),
        (must_run && runs == 0, Broken::NeverRan),
        (runs > count(Moment::Start), Broken::Unrecorded),
        (again, Broken::RanAgain),
        (other, Broken::OtherKey),
        (unwarned, Broken::Unwarned),
    ];
    rules.into_iter().filter_map(|(broken, how)| broken.then_some(how)).collect()
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RanTimes(times, allowed) => write!(f, "ran {times} times, not {allowed}"),
            Self::NeverRan => write!(f, "never ran"),
            Self::Unrecorded => write!(f, "ran more often than is on record"),
            Self::RanAgain => write!(f, "was started again after its end was on record"),
            Self::OtherKey => write!(f, "was given different keys"),
            Self::Unwarned => write!(f, "was not told that it may have run before"),
        }
    }
}
