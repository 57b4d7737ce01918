//! The one judge of all deliveries.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{JobId, Status, policy::Direction, status::Outcome};
use ferryway_tests::{
    content::{Content, hash_file},
    host::Node,
    wait::holds_within,
};

use crate::{arrivals::Arrived, world::World};

impl World {
    /// Waits for a send and judges it.
    #[track_caller]
    pub(crate) fn sent(&self, node: &Node, job: &JobId, name: &str, content: Content) {
        self.completes(node, job, name, content);
        self.leaves_no_trace();
    }

    /// Waits for a fetch and judges it.
    #[track_caller]
    pub(crate) fn fetched(&self, node: &Node, job: &JobId, name: &str, content: Content) {
        self.completes(node, job, name, content);
        self.leaves_no_trace();
    }

    /// Waits for a job and judges what it delivered, but not what else it left.
    #[track_caller]
    pub(crate) fn completes(&self, node: &Node, job: &JobId, name: &str, content: Content) {
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
    pub(crate) fn judge(&self, job: &JobId, name: &str, content: Content, place: &Path) {
        let found = hash_file(place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        if found != content.hash() {
            panic!("{}: {:?}", place.display(), content.difference(place));
        }
        let ours = place.starts_with(self.install.path());
        let arrivals = if ours { &self.received } else { &self.dropped };
        let once = Arrived { renamed: 1, made: 0 };
        assert_eq!(arrivals.of(name), once, "{name} is to appear once, by a rename");
        let record = self.journal().job(job).unwrap().expect("the job is on record");
        assert_eq!(record.status, Status::Idle(Outcome::Completed));
        assert_eq!(record.state.published, 1, "publications of {job}");
        assert_eq!(record.state.size, Some(content.size()));
    }

    /// Waits until nothing but the documented marks is left of partials: a folder of the
    /// current epoch, empty, and an empty file for each former one that was revoked.
    #[track_caller]
    pub(crate) fn leaves_no_trace(&self) {
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
            walk(&self.root().join(folder), &mut |path, is_folder| {
                if is_stray(path, is_folder) {
                    strays.push(path.to_owned());
                }
            });
        }
        walk(&self.install.path().join("in"), &mut |path, _| {
            if name_of(path).starts_with('.') {
                strays.push(path.to_owned());
            }
        });
        strays
    }
}

/// Whether something on the partner's disk is neither a target nor a mark.
fn is_stray(path: &Path, is_folder: bool) -> bool {
    let below = path.iter().skip_while(|part| *part != ".ferryway").skip(1).collect::<Vec<_>>();
    if !path.iter().any(|part| part == ".ferryway") {
        let name = name_of(path);
        let is_mark = name.starts_with(".ferryway.night.");
        return !is_mark && (name.starts_with('.') || name.ends_with(".part"));
    }
    match below[..] {
        [] => false,
        [own] => !own.to_str().is_some_and(|own| own.starts_with("night.")),
        [_, epoch] => {
            let name = epoch.to_str().unwrap_or_default();
            let number = name.strip_prefix('e').is_some_and(|n| n.parse::<u64>().is_ok());
            !number || (!is_folder && fs::metadata(path).is_ok_and(|facts| facts.len() > 0))
        }
        // Nothing is to be in an epoch's folder once its jobs are done.
        _ => true,
    }
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
