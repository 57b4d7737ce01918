//! What the disks, the wire and the journal show after a run.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{Algorithm, Digest, JobId, transport::EntryKind};
use ferryway_mocks::oracle::{self, Content};

use super::settings::{INSTANCE, TARGET};
use crate::{
    journal::record::Job,
    laboratory::{Failure, numbers::grouped, wire},
};

/// All that the verdict rests on.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) target: Target,
    /// Its content, with a digest of the kind that the journal has.
    pub(super) content: Option<Content>,
    /// How often the target was put in place by a rename.
    pub(super) published: u32,
    /// Files and folders at the server that no rule explains.
    pub(super) strays: Vec<String>,
    /// The acknowledged jobs.
    pub(super) acknowledged: Vec<JobId>,
    /// Every job on the last owner's record.
    pub(super) jobs: Vec<Job>,
    /// Every job on the record of the receiving side's last owner, where that is a host.
    pub(super) receiving: Option<Vec<Job>>,
    /// The post-exits of both sides.
    pub(super) exits: Vec<oracle::Exit>,
    /// The job came to rest without being delivered, with this reason.
    pub(super) refused: Option<String>,
    /// An operator was needed.
    pub(super) forced: bool,
    /// The client's first try ended with an error.
    pub(super) error_seen: bool,
    /// The exit code of a host that lived on after it had lost the instance.
    pub(super) former_owner: Option<i32>,
    /// Bytes of the file that were received beyond its size.
    pub(super) resent: u64,
    /// From the successor's start, or from the failover, to the job's end.
    pub(super) took: Duration,
}

/// What is under the target's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing.
    #[default]
    Absent,
    /// The whole file of this node.
    Whole(&'static str),
    /// Something else, in words.
    Other(String),
}

/// A version of the source: whose it is, and where.
pub(super) type Version = (&'static str, PathBuf);

impl Evidence {
    /// Looks at what is in the folder that was served; `owner` is the number of the last epoch of
    /// whoever sent.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub(super) fn look_at(
        &mut self,
        root: &Path,
        versions: &[Version],
        owner: u64,
    ) -> Result<(), Failure> {
        let target = root.join(TARGET);
        self.target = look(&target, versions);
        self.content = content(&target);
        self.strays =
            strays(root, owner).map_err(|error| Failure::io("look through", root, error))?;
        Ok(())
    }
}

/// Looks at the target.
fn look(target: &Path, versions: &[Version]) -> Target {
    let Ok(found) = fs::read(target) else { return Target::Absent };
    let read = |(node, path): &Version| fs::read(path).ok().map(|bytes| (*node, bytes));
    let versions: Vec<_> = versions.iter().filter_map(read).collect();
    if let Some((node, _)) = versions.iter().find(|(_, bytes)| *bytes == found) {
        return Target::Whole(node);
    }
    Target::Other(describe(&found, &versions))
}

/// The content of a file, with a digest of the kind that the journal has.
fn content(path: &Path) -> Option<Content> {
    let size = fs::metadata(path).ok()?.len();
    let digest = Digest::from_bytes(Algorithm::Blake3, wire::hash(path)?.as_bytes());
    Some(Content { size, digest })
}

/// What is left in a server's folder beside the target, its folder, and what is left of former
/// epochs for good: an empty file that bars the folder, or the empty folder where the last owner
/// had nothing to do there.
///
/// # Errors
/// When a folder cannot be listed.
pub(super) fn strays(root: &Path, owner: u64) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let own = format!("/e{owner}");
    walk(root, root, &mut |name, metadata| {
        let kind = if metadata.is_dir() { EntryKind::Folder } else { EntryKind::File };
        let known = name == "in" || name == TARGET;
        // Whoever leaves in good order takes the folder of its epoch along.
        let is_staging = kind == EntryKind::Folder && name.ends_with(&own);
        let stays = oracle::stays(name, kind, metadata.len(), INSTANCE) && !is_staging;
        if !known && !stays {
            found.push(name.to_owned());
        }
    })?;
    Ok(found)
}

fn walk(root: &Path, folder: &Path, visit: &mut impl FnMut(&str, &fs::Metadata)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Hosts are at work: what has gone in between is not there.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        visit(&name, &metadata);
        if metadata.is_dir() {
            walk(root, &path, visit)?;
        }
    }
    Ok(())
}

/// How much of a file is whose, and how often that changes.
fn describe(found: &[u8], versions: &[(&'static str, Vec<u8>)]) -> String {
    /// A block across a change is of neither.
    const BLOCK: usize = 512;
    const MIXED: &str = "neither";
    let mut shares: Vec<(&str, u64)> = Vec::new();
    let (mut stretches, mut last) = (0, "");
    for (number, block) in found.chunks(BLOCK).enumerate() {
        let at = number * BLOCK;
        let is_whose = |(_, bytes): &&(&'static str, Vec<u8>)| {
            bytes.get(at..at + block.len()).is_some_and(|bytes| bytes == block)
        };
        let owner = versions.iter().find(is_whose).map_or(MIXED, |(node, _)| node);
        match shares.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, share)) => *share += block.len() as u64,
            None => shares.push((owner, block.len() as u64)),
        }
        if owner != MIXED && std::mem::replace(&mut last, owner) != owner {
            stretches += 1;
        }
    }
    if shares.is_empty() {
        return "empty".to_owned();
    }
    let shares: Vec<_> = shares
        .iter()
        .map(|(owner, share)| format!("{} bytes of {owner}", grouped(*share)))
        .collect();
    format!("{}, in {stretches} stretches", shares.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_is_described_by_its_shares() {
        let (alpha, beta) = (vec![1; 8192], vec![2; 8192]);
        let mixed = [&beta[..4096], &alpha[4096..]].concat();
        let versions = [("alpha", alpha), ("beta", beta)];
        let told = "4,096 bytes of beta, 4,096 bytes of alpha, in 2 stretches";
        assert_eq!(describe(&mixed, &versions), told);
        assert_eq!(describe(&[], &versions), "empty");
        assert_eq!(describe(&[9; 10], &versions), "10 bytes of neither, in 0 stretches");
    }

    #[test]
    fn only_the_target_and_the_bars_are_no_strays() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("in/.ferryway/sim.bank");
        fs::create_dir_all(base.join("e2")).unwrap();
        for name in ["e1", "e2/a.part"] {
            fs::write(base.join(name), "").unwrap();
        }
        fs::write(root.path().join(TARGET), "x").unwrap();
        let mut found = strays(root.path(), 2).unwrap();
        found.sort();
        assert_eq!(found, ["in/.ferryway/sim.bank/e2", "in/.ferryway/sim.bank/e2/a.part"]);
    }
}
