//! What one run is to be: all of it follows from row, policy and seed.

use ferryway_core::Publish;
use ferryway_mocks::ftp_server::{Action, Rule, When};
use serde::Serialize;

use super::{
    rows::{Death, Disk, LockMode, Phase, RowId},
    stage::{SIZE, TARGET},
};

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    pub(super) row: RowId,
    pub(super) policy: Publish,
    pub(super) seed: u64,
    pub(super) lock: LockMode,
    pub(super) disk: Disk,
    pub(super) death: Death,
    pub(super) moment: Moment,
    pub(super) revival: Revival,
}

/// A point on the wire: where the first transfer is when the failover comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'static str>,
    point: Point,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Point {
    /// The command has arrived, and nothing is done.
    Before,
    /// It is done, and not answered.
    After,
    /// It is answered.
    Answered,
    /// So many bytes have come.
    Byte(u64),
}

/// When a node that is not dead goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Revival {
    /// While its successor sends, at this byte.
    During(u64),
    /// When its successor is done.
    After,
    /// Not at all.
    Never,
}

/// The names of partials, without those of probes.
const PARTIAL: &str = "*.part";

impl Plan {
    /// The run of a seed. Neighbouring seeds differ in death, lock and disk, so that few of
    /// them meet every combination.
    pub(super) fn draw(row: RowId, policy: Publish, seed: u64) -> Self {
        let data = row.row();
        let mut random = fastrand::Rng::with_seed(seed ^ ((row as u64 + 1) << 32));
        let mut rest = seed;
        let death = turn(data.deaths, &mut rest);
        let lock = turn(data.locks, &mut rest);
        let disk = turn(data.disks, &mut rest);
        let moments = moments(row, data.phase, policy, &mut random);
        let moment = moments[random.usize(..moments.len())].clone();
        let revival = match death {
            Death::Frozen | Death::CutOff | Death::LeftRunning if random.u8(..3) > 0 => {
                Revival::During(random.u64(SIZE / 8..SIZE / 2))
            }
            Death::Frozen | Death::CutOff | Death::LeftRunning => Revival::After,
            _ => Revival::Never,
        };
        Self { row, policy, seed, lock, disk, death, moment, revival }
    }

    /// The command line that repeats this run.
    pub(super) fn command(&self) -> String {
        format!(
            "cargo run --release -- simulate --row {} --policy {} --seed {} --runs 1 --trace",
            self.row, self.policy, self.seed
        )
    }

    /// The file that carries the job's bytes.
    pub(super) fn upload_path(&self) -> &'static str {
        match self.policy {
            Publish::Atomic => PARTIAL,
            Publish::Direct => TARGET,
        }
    }

    /// The rest of the setting that differs from run to run.
    pub(super) fn setting(&self) -> String {
        let mut words = vec![format!("{} {}", self.death, self.moment)];
        if self.lock != LockMode::None {
            words.push(format!("lock: {}", self.lock));
        }
        words.push(format!("{} disk", self.disk));
        match self.revival {
            Revival::During(byte) => words.push(format!("goes on at byte {byte} of the successor")),
            Revival::After => words.push("goes on after the successor".to_owned()),
            Revival::Never => {}
        }
        words.join("; ")
    }
}

impl Moment {
    const fn new(command: &'static str, path: Option<&'static str>, point: Point) -> Self {
        Self { command, path, point }
    }

    /// Holds the server's session there until it is let go.
    pub(super) fn rule(&self) -> Rule {
        let when = match self.point {
            Point::Before => When::Before,
            Point::After => When::After,
            Point::Answered => When::Reply,
            Point::Byte(byte) => When::DataByte(byte),
        };
        let rule = Rule::new(self.command, when, Action::Stall);
        match self.path {
            Some(path) => rule.on_path(path),
            None => rule,
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.point {
            Point::Before => write!(f, "before {}", self.command),
            Point::After => write!(f, "before the answer to {}", self.command),
            Point::Answered => write!(f, "after the answer to {}", self.command),
            Point::Byte(byte) => write!(f, "at byte {byte} of {}", self.command),
        }
    }
}

/// Takes the next of the choices, as the digits of a number do.
fn turn<T: Copy>(choices: &[T], rest: &mut u64) -> T {
    let count = choices.len() as u64;
    let index = usize::try_from(*rest % count).unwrap_or(0);
    *rest /= count;
    choices[index]
}

/// Where the failover may come. The transfer itself has several chances.
fn moments(row: RowId, phase: Phase, policy: Publish, random: &mut fastrand::Rng) -> Vec<Moment> {
    let target = Some(TARGET);
    let partial = Some(PARTIAL);
    let mut byte = || Point::Byte(random.u64(SIZE / 16..SIZE * 5 / 8));
    match (policy, phase) {
        (Publish::Direct, Phase::Finished) => vec![
            Moment::new("STOR", target, Point::After),
            Moment::new("MLST", target, Point::Before),
            Moment::new("MLST", target, Point::After),
        ],
        (Publish::Direct, _) if row.cluster_serves() => {
            let mut moments: Vec<_> = (0..4).map(|_| Moment::new("STOR", target, byte())).collect();
            moments.push(Moment::new("STOR", target, Point::Before));
            moments.push(Moment::new("STOR", target, Point::After));
            moments
        }
        // The note is about a failover while bytes move.
        (Publish::Direct, _) => vec![Moment::new("STOR", target, byte())],
        (Publish::Atomic, phase) => {
            let mut moments = Vec::new();
            if phase != Phase::Finished {
                moments.extend((0..4).map(|_| Moment::new("STOR", partial, byte())));
                moments.push(Moment::new("MKD", None, Point::After));
                moments.push(Moment::new("EPSV", None, Point::After));
                moments.push(Moment::new("STOR", partial, Point::Before));
                moments.push(Moment::new("STOR", partial, Point::After));
            }
            if phase != Phase::Sending {
                moments.push(Moment::new("STOR", partial, Point::Answered));
                moments.push(Moment::new("MLST", partial, Point::After));
                moments.push(Moment::new("RNFR", partial, Point::Before));
                moments.push(Moment::new("RNFR", partial, Point::After));
                moments.push(Moment::new("RNTO", target, Point::Before));
                moments.push(Moment::new("RNTO", target, Point::After));
                // A server's client has its confirmation then: nothing is left to fail over.
                if !row.cluster_serves() {
                    moments.push(Moment::new("RNTO", target, Point::Answered));
                }
            }
            moments
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_run_again() {
        for &row in RowId::EACH {
            let draw = || format!("{:?}", Plan::draw(row, Publish::Atomic, 11));
            assert_eq!(draw(), draw());
        }
    }

    #[test]
    fn ten_seeds_meet_every_death_with_every_lock_and_disk() {
        for &id in RowId::EACH {
            let row = id.row();
            let met: HashSet<_> = (1..=10)
                .map(|seed| Plan::draw(id, Publish::Direct, seed))
                .map(|plan| (plan.death, plan.lock, plan.disk))
                .collect();
            assert_eq!(met.len(), row.deaths.len() * row.locks.len() * row.disks.len(), "{id}");
        }
    }
}
