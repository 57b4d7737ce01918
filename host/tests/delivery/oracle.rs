//! What the judge of all deliveries is told of a lab.

use ferryway_core::{Algorithm, Direction, Operation, Publish, transport::EntryKind};
use ferryway_host::{
    digest::Hashes,
    journal::{
        JournalStore,
        record::{HistoryQuery, Job},
    },
};
use ferryway_mocks::oracle::{self, Content, Observation, Publishes, Target, job_of, verdict};

use crate::{
    lab::{Lab, Node, TARGET, content},
    wire::Done,
};

impl Lab {
    /// All is as promised: the target holds the newest accepted content, each job was published
    /// once and in order, nothing lies about, and the journal accounts for every accepted job.
    pub async fn check(&self, node: &Node, accepted: &[Job]) -> Result<(), String> {
        self.check_by(node, accepted, self.on_the_wire()).await
    }

    /// As [`check`](Self::check), where the wire cannot tell how often was published.
    pub async fn check_end(&self, node: &Node, accepted: &[Job]) -> Result<(), String> {
        self.check_by(node, accepted, Publishes::Unseen).await
    }

    /// As [`check`](Self::check), with publishes that somebody else saw.
    pub async fn check_by(
        &self,
        node: &Node,
        accepted: &[Job],
        publishes: Publishes,
    ) -> Result<(), String> {
        node.quiet().await?;
        let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        let mut jobs = node.journal.history(query).await.map_err(|error| error.to_string())?;
        jobs.extend(node.journal.in_flight().await.map_err(|error| error.to_string())?);
        let mut seen = self.seen(accepted, publishes);
        for job in jobs.iter().filter(|job| !job.spec.exits.is_none()) {
            let entries = node.journal.entries(&job.id).await.map_err(|error| error.to_string())?;
            seen.exits.extend(self.effects.of(job, &entries));
        }
        seen.acknowledged = accepted.iter().map(|job| job.id.clone()).collect();
        seen.jobs = jobs.into_iter().map(oracle::Job::from).collect();
        verdict(&seen)
    }

    /// What the files alone show.
    pub fn seen(&self, accepted: &[Job], publishes: Publishes) -> Observation {
        let publishes = match (self.setup.direction, self.setup.publish) {
            (Direction::Send, Publish::Atomic) => publishes,
            // Nobody watches our own folder, and a direct send is no rename.
            _ => Publishes::Unseen,
        };
        let target = Target {
            jobs: accepted.iter().map(|job| job.id.clone()).collect(),
            publishes,
            ..self.target_as(&content(1, self.setup.size))
        };
        Observation { targets: vec![target], strays: self.strays(), ..Observation::default() }
    }

    /// The target is this, byte for byte.
    pub fn target(&self, expected: &[u8]) -> Result<(), String> {
        let targets = vec![self.target_as(expected)];
        verdict(&Observation { targets, ..Observation::default() })
    }

    /// Nothing is left on either side but the files themselves and what stays for good.
    pub fn tidy(&self) -> Result<(), String> {
        verdict(&Observation { strays: self.strays(), ..Observation::default() })
    }

    /// The target was put in place so often, as the wire saw it.
    pub fn published(&self, times: usize) -> Result<(), String> {
        match self.on_the_wire() {
            Publishes::By(jobs) if jobs.len() != times => {
                Err(format!("published {} times, not {times}", jobs.len()))
            }
            _ => Ok(()),
        }
    }

    fn target_as(&self, expected: &[u8]) -> Target {
        let found = match self.setup.direction {
            Direction::Send => self.remote_bytes(TARGET),
            Direction::Fetch => std::fs::read(self.local()).ok(),
        };
        Target {
            path: TARGET.to_owned(),
            jobs: Vec::new(),
            expected: content_of(expected),
            found: found.as_deref().map(content_of),
            publishes: Publishes::Unseen,
            intrusions: Vec::new(),
        }
    }

    fn strays(&self) -> Vec<String> {
        let stays = |path: &str| {
            let size = self.remote_bytes(path).map_or(0, |bytes| bytes.len() as u64);
            path == TARGET || oracle::stays(path, EntryKind::File, size, "night")
        };
        let mut strays = self.remote_files();
        strays.retain(|path| !stays(path));
        let local = std::fs::read_dir(self.path().join("data")).unwrap();
        let names = local.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        strays.extend(names.filter(|name| name.starts_with('.')));
        strays
    }

    /// Renames onto the target, as the wire saw them.
    fn on_the_wire(&self) -> Publishes {
        let onto_target = |done: &Done| {
            done.ok && done.operation == Operation::Rename && done.to.as_deref() == Some(TARGET)
        };
        let entries = self.log.entries();
        let onto = entries.iter().filter(|done| onto_target(done));
        Publishes::By(onto.filter_map(|done| job_of(&done.path)).collect())
    }
}

fn content_of(bytes: &[u8]) -> Content {
    let mut hashes = Hashes::new(&[]);
    hashes.update(bytes);
    let digest = hashes.digest(Algorithm::Blake3).expect("it is always made");
    Content { size: bytes.len() as u64, digest }
}
