//! What happened, as the partner's server saw it and as the files show it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ferryway_core::{Algorithm, Digest, JobId, RunNumber};
use ferryway_mocks::{
    ftp_server::{Entry, Rename, Side, Transfer},
    oracle::{Content, Observation, Publishes, Target, judge},
};

use super::{
    Moments,
    stage::{DEFINITION, INSTANCE, Stage, TARGET},
};
use crate::laboratory::wire::{below_root, find_files, hash, path};

/// What a failover may send again.
const RESENT_LIMIT: u64 = 2 * crate::durable::CHECKPOINT_BYTES;

/// All that the verdict rests on.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Hash of the source, and of the file at the partner if it is there.
    pub(super) hashes: Option<(blake3::Hash, blake3::Hash)>,
    /// When the target was put in place by a rename, each time.
    pub(super) published_at: Vec<Instant>,
    /// Other commands that touched the target.
    pub(super) intrusions: Vec<String>,
    /// Bytes of the file that the server received, over all uploads.
    pub(super) received: u64,
    /// Bytes of them beyond the file's size.
    pub(super) resent: u64,
    /// When the first host's first byte arrived.
    pub(super) begun_at: Option<Instant>,
    /// What the second host did, as far as it got.
    pub(super) takeover: Takeover,
    /// Files at the partner beside the target and the marker.
    pub(super) strays: Vec<PathBuf>,
    /// The empty file in the place of the former owner's staging folder, if it is there.
    pub(super) marker: Option<String>,
}

/// The second host's steps at the partner.
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
    /// Where the upload went on.
    pub(super) offset: u64,
    /// The first byte of the file's data arrived.
    pub(super) first_byte_at: Option<Instant>,
    /// From the start of the process to that byte.
    pub(super) lasted: Option<Duration>,
}

/// How much of the file is at the partner.
pub(super) fn arrived(stage: &Stage) -> u64 {
    let uploads = stage.server.transfers().into_iter().filter(is_upload);
    uploads.map(|upload| upload.offset + upload.bytes).max().unwrap_or(0)
}

impl Evidence {
    /// Looks at everything. Call it when no host runs any more.
    pub(super) async fn gather(stage: &Stage, moments: &Moments) -> Self {
        let (source, target) = (stage.source(), stage.target());
        let hashes = tokio::task::spawn_blocking(move || Some((hash(&source)?, hash(&target)?)));
        let root = stage.partner();
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
        Self { hashes, strays, marker, ..Self::of_server(stage, moments) }
    }

    /// What the server alone tells, also while hosts run.
    pub(super) fn of_server(stage: &Stage, moments: &Moments) -> Self {
        let said = stage.server.transcript().entries();
        let renames = stage.server.renames();
        let uploads: Vec<_> = stage.server.transfers().into_iter().filter(is_upload).collect();
        let received = uploads.iter().map(|upload| upload.bytes).sum::<u64>();
        let onto_target = renames.iter().filter(|rename| below_root(&rename.to) == TARGET);
        Self {
            published_at: onto_target.map(|rename| rename.at).collect(),
            intrusions: intrusions(&said),
            received,
            resent: received.saturating_sub(stage.size),
            begun_at: uploads.first().and_then(|upload| upload.first_byte_at),
            takeover: Takeover::of_server(stage, moments, &renames).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Whether both files are the same.
    pub(super) fn identical(&self) -> bool {
        self.hashes.is_some_and(|(source, target)| source == target)
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
        let resent = self.resent;
        expect(resent <= RESENT_LIMIT, format!("{resent} bytes were sent again"));
        expect(self.takeover.offset > 0, "nothing was resumed".to_owned());
        expect(self.takeover.lasted.is_some(), "the second host sent nothing".to_owned());
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
            stray.strip_prefix(stage.partner()).unwrap_or(stray).display().to_string()
        };
        Observation {
            targets: target.into_iter().collect(),
            strays: strays.map(shown).collect(),
            ..Observation::default()
        }
    }
}

impl Takeover {
    fn of_server(stage: &Stage, moments: &Moments, renames: &[Rename]) -> Option<Self> {
        let (started, _) = moments.beta_started?;
        let refuge = format!(".ferryway/{INSTANCE}.bank/e2.from-e1");
        let step = |wanted: &dyn Fn(&Rename) -> bool| {
            renames.iter().find(|rename| rename.at >= started && wanted(rename)).map(|step| step.at)
        };
        let transfers = stage.server.transfers();
        let ours = || transfers.iter().filter(|transfer| transfer.opened_at >= started);
        let upload = ours().find(|transfer| is_upload(transfer));
        let proof: Vec<_> = ours().filter(|transfer| transfer.verb == "RETR").collect();
        let first_byte_at = upload.and_then(|upload| upload.first_byte_at);
        Some(Self {
            fenced_at: step(&|rename| rename.to.contains(&refuge)),
            adopted_at: step(&|rename| rename.to.ends_with(".part")),
            read_back: proof.iter().map(|proof| proof.bytes).sum(),
            proved_at: proof.iter().filter_map(|proof| proof.last_byte_at).max(),
            offset: upload.map_or(0, |upload| upload.offset),
            first_byte_at,
            lasted: first_byte_at.map(|at| at.duration_since(started)),
        })
    }
}

/// Whether it carries the file's bytes. The probe of the server's behaviour and the marker of
/// a revoked folder do not.
fn is_upload(transfer: &Transfer) -> bool {
    let name = transfer.path.rsplit('/').next().unwrap_or_default();
    let is_marker = name.strip_prefix('e').is_some_and(|epoch| epoch.parse::<u64>().is_ok());
    transfer.verb != "RETR" && !name.ends_with(".probe") && !is_marker
}

/// Commands other than RNTO that change the file of the target's name, successful or not.
fn intrusions(said: &[Entry]) -> Vec<String> {
    said.iter()
        .filter(|entry| entry.side == Side::Client)
        .filter(|entry| {
            let verb = entry.text.split(' ').next().unwrap_or_default();
            matches!(verb, "STOR" | "APPE" | "DELE" | "RNFR")
                && path(&entry.text).is_some_and(|path| path == TARGET)
        })
        .map(|entry| entry.text.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laboratory::wire::tests::said;

    #[test]
    fn whatever_else_touches_the_target_is_told() {
        let said = said(&[
            "STOR in/ledger.dat.part",
            "STOR ./in/ledger.dat",
            "SIZE in/ledger.dat",
            "DELE /in/ledger.dat",
            "RNFR in/ledger.dat",
        ]);
        assert_eq!(
            intrusions(&said),
            ["STOR ./in/ledger.dat", "DELE /in/ledger.dat", "RNFR in/ledger.dat"]
        );
    }
}
