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
    /// How often the operator was asked about it (0215E); `None` when nobody looked.
    pub asked: Option<usize>,
}

/// How often an exit may run when no operator has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Once or not at all.
    AtMostOnce,
    /// The same, and when its end is not known the operator is asked.
    OnceOrAsk,
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
    /// An operator took it for done.
    Release,
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
    /// The operator was asked about it so often, although all was known, or it could go on.
    AskedTimes(usize),
    /// Its end is not known, and nobody asked the operator.
    NotAsked,
    /// Its end is not known, and the job went on before an operator said how.
    Unanswered,
}

pub(super) fn judge(exit: &Exit) -> Vec<Broken> {
    let count = |moment| exit.record.iter().filter(|found| **found == moment).count();
    let (runs, allowed) = (exit.runs.len(), 1 + count(Moment::Restart));
    let once = exit.promise != Promise::AtLeastOnce;
    let asks = exit.promise == Promise::OnceOrAsk;
    let must_run = exit.promise == Promise::AtLeastOnce || count(Moment::End) > 0;
    let mut ended = false;
    let again = exit.record.iter().any(|moment| {
        let again = ended && *moment == Moment::Start;
        ended = *moment == Moment::End;
        again
    });
    let other = exit.runs.iter().any(|run| run.key != exit.runs[0].key);
    let unwarned = exit.runs.iter().skip(1).any(|run| !run.may_have_run);
    let asked = exit.asked.unwrap_or_default();
    let unknown = starts_without_end(&exit.record) > 0;
    let rules = [
        (once && runs > allowed, Broken::RanTimes(runs, allowed)),
        (must_run && runs == 0, Broken::NeverRan),
        (runs > count(Moment::Start), Broken::Unrecorded),
        (again, Broken::RanAgain),
        (other, Broken::OtherKey),
        (unwarned, Broken::Unwarned),
        (asked > 0 && !(asks && unknown), Broken::AskedTimes(asked)),
        (exit.asked == Some(0) && asks && unknown, Broken::NotAsked),
        (asks && is_unanswered(&exit.record), Broken::Unanswered),
    ];
    rules.into_iter().filter_map(|(broken, how)| broken.then_some(how)).collect()
}

/// The starts after which nobody knows of an end.
fn starts_without_end(record: &[Moment]) -> usize {
    let behind = record.iter().skip(1).map(Some).chain([None]);
    let ends = |moment: Option<&Moment>| moment == Some(&Moment::End);
    let pairs = record.iter().zip(behind);
    pairs.filter(|(moment, behind)| **moment == Moment::Start && !ends(*behind)).count()
}

/// Whether the last start has no end and no operator has said what it is taken for.
fn is_unanswered(record: &[Moment]) -> bool {
    let is_start = |moment: &Moment| *moment == Moment::Start;
    // Whoever runs it again without a word has started it twice in a row.
    record.last().is_some_and(is_start) || record.windows(2).any(|two| two.iter().all(is_start))
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
            Self::AskedTimes(times) => write!(f, "was asked about {times} times for nothing"),
            Self::NotAsked => write!(f, "has no known end, and nobody asked about it"),
            Self::Unanswered => write!(f, "has no known end, and the job went on unasked"),
        }
    }
}
