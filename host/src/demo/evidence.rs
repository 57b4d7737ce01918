//! What happened, as it was seen at the partner and as the files show it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ferryway_core::{Algorithm, Digest, JobId, RunNumber};
use ferryway_mocks::oracle::{Content, Observation, Publishes, Target, judge};

use super::{
    Failover, Moments,
    partner::Seen,
    script::Side,
    stage::{DEFINITION, INSTANCE, Stage, TARGET},
};
use crate::laboratory::{
    Failure,
    wire::{find_files, hash, is_partial},
};

/// What each failover may send again.
const RESENT_LIMIT: u64 = 2 * crate::durable::CHECKPOINT_BYTES;

/// All that the verdict rests on.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Hash of the source, and of the file at the partner if it is there.
    pub(super) hashes: Option<(blake3::Hash, blake3::Hash)>,
    /// When the target was put in place by a rename, each time.
    pub(super) published_at: Vec<Instant>,
    /// Whatever else touched the target.
    pub(super) intrusions: Vec<String>,
    /// Bytes that the partner received for the file, over all tries.
    pub(super) received: u64,
    /// Bytes of them beyond the file's size.
    pub(super) resent: u64,
    /// When the first host's first byte arrived.
    pub(super) begun_at: Option<Instant>,
    /// What each standby did, as far as it got, in the order of the script.
    pub(super) takeovers: Vec<Takeover>,
    /// Files at the partner beside the target and the marker.
    pub(super) strays: Vec<PathBuf>,
    /// The empty file in the place of the former owner's staging folder, if it is there.
    pub(super) marker: Option<String>,
}

/// The steps of a takeover, as the partner saw them.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// The former owner's staging folder was out of its reach.
    pub(super) fenced_at: Option<Instant>,
    /// The partial had its new name.
    pub(super) adopted_at: Option<Instant>,
    /// Bytes that were read back to prove them.
    pub(super) read_back: u64,
    /// The last of them was read.
    pub(super) proved_at: Option<Instant>,
    /// The first byte of the file's data arrived.
    pub(super) first_byte_at: Option<Instant>,
    /// From the start of the process to that byte.
    pub(super) lasted: Option<Duration>,
}

impl Evidence {
    /// Looks at everything. Call it when no host runs any more.
    ///
    /// # Errors
    /// When not everything was seen.
    pub(super) async fn gather(stage: &Stage, moments: &Moments) -> Result<Self, Failure> {
        let (source, target) = (stage.source(), stage.target());
        let hashes = tokio::task::spawn_blocking(move || Some((hash(&source)?, hash(&target)?)));
        let root = stage.partner_root();
        let mut strays = Vec::new();
        // What cannot be listed is not as promised.
        if find_files(&root, &mut strays).is_err() {
            strays.push(root.clone());
        }
        let place = format!("in/.ferryway/{INSTANCE}.bank/e1");
        let is_marker = |path: &Path| {
            path == root.join(&place) && fs::metadata(path).is_ok_and(|data| data.len() == 0)
        };
        let marker = strays.iter().any(|path| is_marker(path)).then(|| place.clone());
        strays.retain(|path| *path != root.join(TARGET) && !is_marker(path));
        let hashes = hashes.await.ok().flatten();
        let seen = stage.partner.seen()?;
        let renames = seen.renames.iter().filter(|(_, to)| to == TARGET);
        let takeovers = moments.failovers.iter().map(|failover| Takeover::of(failover, &seen));
        Ok(Self {
            hashes,
            published_at: renames.map(|(at, _)| *at).collect(),
            received: seen.received,
            resent: seen.received.saturating_sub(stage.size),
            begun_at: seen.arrivals.first().and_then(|(_, first_byte_at)| *first_byte_at),
            takeovers: takeovers.collect(),
            intrusions: seen.intrusions,
            strays,
            marker,
        })
    }

    /// Whether both files are the same.
    pub(super) fn identical(&self) -> bool {
        self.hashes.is_some_and(|(source, target)| source == target)
    }

    /// The longest time from a standby's start to its first byte; `None` when one sent none.
    pub(super) fn takeover(&self) -> Option<Duration> {
        let lasted: Option<Vec<_>> =
            self.takeovers.iter().map(|takeover| takeover.lasted).collect();
        lasted?.into_iter().max()
    }

    /// Bytes that were read back to prove them.
    pub(super) fn read_back(&self) -> u64 {
        self.takeovers.iter().map(|takeover| takeover.read_back).sum()
    }

    /// From the first byte to the publish.
    pub(super) fn whole(&self) -> Option<Duration> {
        Some(self.published_at.first()?.duration_since(self.begun_at?))
    }

    /// What is not as promised, in words.
    pub(super) fn faults(&self, stage: &Stage, moments: &Moments) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        expect(moments.completed, "the job was not completed".to_owned());
        expect(self.hashes.is_some(), format!("{TARGET} is not there"));
        for violation in judge(&self.observation(stage, moments)) {
            expect(false, violation.to_string());
        }
        let (resent, deaths) = (self.resent, stage.script.deaths.len());
        let limit = RESENT_LIMIT * deaths as u64;
        expect(resent <= limit, format!("{resent} bytes were sent again"));
        expect(self.takeovers.len() == deaths, "not every death was played".to_owned());
        for (failover, takeover) in moments.failovers.iter().zip(&self.takeovers) {
            let node = failover.successor;
            expect(failover.resumed_at > 0, format!("nothing was resumed with {node}"));
            expect(takeover.lasted.is_some(), format!("nothing came after the start of {node}"));
        }
        faults
    }

    /// What the judge of all deliveries is told. Of the job the demo asks its host alone.
    fn observation(&self, stage: &Stage, moments: &Moments) -> Observation {
        let content = |hash: blake3::Hash| Content {
            size: stage.size,
            digest: Digest::from_bytes(Algorithm::Blake3, hash.as_bytes()),
        };
        let target = self.hashes.map(|(source, target)| Target {
            path: TARGET.to_owned(),
            jobs: DEFINITION.parse().iter().map(|id| JobId::new(id, RunNumber(1))).collect(),
            expected: content(source),
            found: Some(content(target)),
            publishes: Publishes::Times(u32::try_from(self.published_at.len()).unwrap_or(u32::MAX)),
            intrusions: self.intrusions.clone(),
        });
        // A host that did not stop has not tidied up; that it did not is fault enough.
        let strays = self.strays.iter().filter(|_| moments.stopped);
        let shown = |stray: &PathBuf| {
            stray.strip_prefix(stage.partner_root()).unwrap_or(stray).display().to_string()
        };
        Observation {
            targets: target.into_iter().collect(),
            strays: strays.map(shown).collect(),
            ..Observation::default()
        }
    }
}

impl Takeover {
    /// The steps after a failover, as far as they were seen.
    pub(super) fn of(failover: &Failover, seen: &Seen) -> Self {
        let (started, _) = failover.started;
        let epoch = failover.epoch.number();
        let sending = failover.death.side == Side::Sending;
        let step = |wanted: &dyn Fn(&str) -> bool| {
            let fits = |(at, to): &&(Instant, String)| *at >= started && wanted(to);
            seen.renames.iter().find(fits).filter(|_| sending).map(|(at, _)| *at)
        };
        let own = format!(".ferryway/{INSTANCE}.bank/e{epoch}");
        let refuge = format!("{own}.from-e{}", epoch.saturating_sub(1));
        let adopted_at = step(&|to| is_partial(to) && to.contains(&format!("{own}/")));
        let proofs = || seen.proofs.iter().filter(|(began, ..)| *began >= started);
        // Until the partial is adopted, what comes may be the last bytes of the dead host.
        let since = if sending { adopted_at } else { Some(started) };
        let first_byte_at = since.and_then(|since| seen.first_byte_after(since));
        Self {
            fenced_at: step(&|to| to.contains(&refuge)),
            adopted_at,
            read_back: proofs().map(|(_, bytes, _)| bytes).sum(),
            proved_at: proofs().filter_map(|(.., last)| *last).max(),
            first_byte_at,
            lasted: first_byte_at.map(|at| at.duration_since(started)),
        }
    }
}
