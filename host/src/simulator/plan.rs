//! What one run is to be: all of it follows from its cell in the table and the seed.

use ferryway_core::Publish;
use serde::Serialize;

use super::{
    exits::Exits,
    moment::Moment,
    rows::{Death, Disk, LockMode, RowId, Variant},
    stage::SIZE,
};
use crate::laboratory::Transport;

/// A row, over a transport, under a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cell {
    pub(super) row: RowId,
    pub(super) transport: Transport,
    pub(super) policy: Publish,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    #[serde(flatten)]
    pub(super) cell: Cell,
    pub(super) seed: u64,
    pub(super) lock: LockMode,
    pub(super) disk: Disk,
    pub(super) death: Death,
    pub(super) moment: Moment,
    pub(super) revival: Revival,
    pub(super) exits: Exits,
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

impl Cell {
    /// What is played of it; `None` for nothing.
    pub(super) fn variant(self) -> Option<&'static Variant> {
        self.row.row().over(self.transport)
    }
}

impl Plan {
    /// The run of a seed; `None` where nothing is played. Neighbouring seeds differ in death, lock
    /// and disk, so that few of them meet every combination.
    pub(super) fn draw(cell: Cell, seed: u64) -> Option<Self> {
        let variant = cell.variant()?;
        let mut random = fastrand::Rng::with_seed(seed ^ ((cell.row as u64 + 1) << 32));
        let mut rest = seed;
        let death = turn(variant.deaths, &mut rest);
        let lock = turn(variant.locks, &mut rest);
        let disk = turn(variant.disks, &mut rest);
        let exits = Exits::draw(cell.transport, seed, &mut random);
        let moment = Moment::draw(cell, (disk, death), exits, &mut random);
        let revival = match death {
            Death::Frozen | Death::CutOff | Death::LeftRunning if random.u8(..3) > 0 => {
                Revival::During(random.u64(SIZE / 8..SIZE / 2))
            }
            Death::Frozen | Death::CutOff | Death::LeftRunning => Revival::After,
            _ => Revival::Never,
        };
        Some(Self { cell, seed, lock, disk, death, moment, revival, exits })
    }

    /// The command line that repeats this run.
    pub(super) fn command(&self) -> String {
        let Cell { row, transport, policy } = self.cell;
        format!(
            "cargo run --release -- simulate --row {row} --transport {transport} \
             --policy {policy} --seed {} --runs 1 --trace",
            self.seed
        )
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
        for (side, exit) in [("sender", self.exits.sender), ("receiver", self.exits.receiver)] {
            words.extend(exit.map(|exit| format!("{side}'s post-exit: {exit}")));
        }
        words.join("; ")
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { row, transport, policy } = self;
        write!(f, "{row} {transport} {policy}")
    }
}

/// Takes the next of the choices, as the digits of a number do.
fn turn<T: Copy>(choices: &[T], rest: &mut u64) -> T {
    let count = choices.len() as u64;
    let index = usize::try_from(*rest % count).unwrap_or(0);
    *rest /= count;
    choices[index]
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashSet;

    use ferryway_core::policy::OnTakeover;

    use super::*;
    use crate::simulator::{DEFAULT_RUNS, exits::Side};

    /// Every cell of a policy in which something is played.
    fn cells(policy: Publish) -> Vec<Cell> {
        let cells = Transport::EACH.iter().flat_map(|&transport| {
            RowId::EACH.iter().map(move |&row| Cell { row, transport, policy })
        });
        cells.filter(|cell| cell.variant().is_some()).collect()
    }

    /// A run of a row by FTP.
    pub(in crate::simulator) fn by_ftp(row: RowId, policy: Publish, seed: u64) -> Plan {
        Plan::draw(Cell { row, transport: Transport::Ftp, policy }, seed).unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_run_again() {
        for cell in cells(Publish::Atomic) {
            let draw = || format!("{:?}", Plan::draw(cell, 11));
            assert_eq!(draw(), draw());
        }
    }

    #[test]
    fn each_side_dies_in_a_post_exit_of_each_kind() {
        for side in [Side::Sender, Side::Receiver] {
            for &kind in OnTakeover::EACH {
                let plans = cells(Publish::Atomic).into_iter().flat_map(|cell| {
                    (1..=DEFAULT_RUNS).filter_map(move |seed| Plan::draw(cell, seed))
                });
                let fits = |plan: &Plan| {
                    plan.moment == Moment::Exit { exit: side } && plan.exits.of(side) == Some(kind)
                };
                assert!(plans.filter(fits).count() > 0, "{side} {kind}");
            }
        }
    }

    #[test]
    fn ten_seeds_meet_every_death_with_every_lock_and_disk() {
        for cell in cells(Publish::Direct) {
            let variant = cell.variant().unwrap();
            let met: HashSet<_> = (1..=10)
                .filter_map(|seed| Plan::draw(cell, seed))
                .map(|plan| (plan.death, plan.lock, plan.disk))
                .collect();
            let all = variant.deaths.len() * variant.locks.len() * variant.disks.len();
            assert_eq!(met.len(), all, "{cell}");
        }
    }
}
