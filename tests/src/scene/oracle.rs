//! The one judge of all deliveries.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{
    Algorithm, Digest, JobId, Status, policy::Direction, status::Outcome, transport::EntryKind,
};
use ferryway_mocks::oracle;

use super::World;
use crate::{
    content::{Content, hash_file},
    host::Node,
    wait::holds_within,
};

impl World {
    /// Waits for a send and judges it.
    #[track_caller]
    pub fn sent(&self, node: &Node, job: &JobId, name: &str, content: Content) {
        self.completes(node, job, name, content);
        self.leaves_no_trace();
    }

    /// Waits for a fetch and judges it.
    #[track_caller]
    pub fn fetched(&self, node: &Node, job: &JobId, name: &str, content: Content) {
        self.completes(node, job, name, content);
        self.leaves_no_trace();
    }

    /// Waits for a job and judges what it delivered, but not what else it left.
    #[track_caller]
    pub fn completes(&self, node: &Node, job: &JobId, name: &str, content: Content) {
        let found = self.wait(node, std::slice::from_ref(job)).remove(0);
        assert_eq!(found.status, Status::Idle(Outcome::Completed), "{:?}", found.state.last_error);
        let place = match found.spec.direction {
            Direction::Send => self.target(name),
            Direction::Fetch => self.local(name),
        };
        self.judge(job, name, content, &place);
    }

    /// Judges a delivery whose job has ended: the bytes, that they appeared once and whole, and
    /// the record.
    #[track_caller]
    pub fn judge(&self, job: &JobId, name: &str, content: Content, place: &Path) {
        let ours = place.starts_with(self.install.path());
        let arrived = if ours { self.received.of(name) } else { self.dropped.of(name) };
        let found = hash_file(place).ok().map(|hash| oracle::Content {
            size: fs::metadata(place).map_or(0, |facts| facts.len()),
            digest: blake3_digest(hash),
        });
        let target = oracle::Target {
            path: place.display().to_string(),
            jobs: vec![job.clone()],
            expected: oracle::Content {
                size: content.size(),
                digest: blake3_digest(content.hash()),
            },
            found,
            publishes: oracle::Publishes::Times(arrived.renamed),
            // A name that is made empty is seen while it grows.
            intrusions: (0..arrived.made).map(|_| "a file that grows".to_owned()).collect(),
        };
        let record = self.journal().job(job).unwrap();
        let seen = oracle::Observation {
            acknowledged: vec![job.clone()],
            jobs: record.into_iter().map(oracle::Job::from).collect(),
            targets: vec![target],
            ..oracle::Observation::default()
        };
        if let Err(violations) = oracle::verdict(&seen) {
            panic!("{violations}\n{:?}", content.difference(place));
        }
    }

    /// Waits until nothing but the documented marks is left of partials: a folder of the
    /// current epoch, empty, and an empty file for each former one that was revoked.
    #[track_caller]
    pub fn leaves_no_trace(&self) {
        let mut strays = Vec::new();
        let clean = holds_within(Duration::from_secs(20), || {
            strays = self.strays();
            strays.is_empty()
        });
        assert!(clean, "these partials are left: {strays:#?}");
    }

    fn strays(&self) -> Vec<PathBuf> {
        let mut strays = Vec::new();
        for folder in ["drop", "pick"] {
            strays.extend(strays_below(&self.root().join(folder), self.plan.instance));
        }
        walk(&self.install.path().join("in"), &mut |path, _| {
            if name_of(path).starts_with('.') {
                strays.push(path.to_owned());
            }
        });
        strays
    }
}

/// What lies below a folder that an instance sends to and is neither a target nor one of the names
/// that stay.
pub fn strays_below(folder: &Path, instance: &str) -> Vec<PathBuf> {
    let mut strays = Vec::new();
    walk(folder, &mut |path, is_folder| {
        if is_stray(path, is_folder, instance) {
            strays.push(path.to_owned());
        }
    });
    strays
}

/// Whether something on the disk of an instance's partner is neither a target nor one of the
/// names that stay.
fn is_stray(path: &Path, is_folder: bool, instance: &str) -> bool {
    let name = name_of(path);
    let below = path.iter().any(|part| part == ".ferryway");
    if !below && !name.starts_with('.') && !name.ends_with(".part") {
        return false;
    }
    let kind = if is_folder { EntryKind::Folder } else { EntryKind::File };
    let size = fs::metadata(path).map_or(0, |facts| facts.len());
    !oracle::stays(&path.to_string_lossy(), kind, size, instance)
}

fn blake3_digest(hash: blake3::Hash) -> Digest {
    Digest::from_bytes(Algorithm::Blake3, hash.as_bytes())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path, bool)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        visit(&entry.path(), is_folder);
        if is_folder {
            walk(&entry.path(), visit);
        }
    }
}
