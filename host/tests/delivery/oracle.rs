//! What must hold in the end, whatever happened on the way.

use ferryway_core::{Direction, Operation, Outcome, Publish, Status};
use ferryway_host::journal::{
    JournalStore,
    record::{HistoryQuery, Job},
};

use crate::lab::{Lab, Node, TARGET, content};

impl Lab {
    /// The target holds the newest accepted content, each job was published once and in order,
    /// nothing lies about, and the journal accounts for every accepted job.
    pub async fn check(&self, node: &Node, accepted: &[Job]) -> Result<(), String> {
        self.check_end(node, accepted).await?;
        self.published(accepted.len())
    }

    /// As [`check`](Self::check), where the wire cannot tell how often was published.
    pub async fn check_end(&self, node: &Node, accepted: &[Job]) -> Result<(), String> {
        node.quiet().await?;
        self.target(&content(1, self.setup.size))?;
        self.tidy()?;
        self.journal(node, accepted).await
    }

    /// The target is this, byte for byte.
    pub fn target(&self, expected: &[u8]) -> Result<(), String> {
        let found = match self.setup.direction {
            Direction::Send => self.remote_bytes(TARGET),
            Direction::Fetch => std::fs::read(self.local()).ok(),
        };
        match found {
            None => Err("there is no target".to_owned()),
            Some(found) if found != expected => {
                let at = found.iter().zip(expected).position(|(a, b)| a != b);
                Err(format!(
                    "the target has {} bytes, not {}, and differs at {at:?}",
                    found.len(),
                    expected.len()
                ))
            }
            Some(_) => Ok(()),
        }
    }

    /// The target is that of the job, if there was one.
    pub fn expected_target(&self, delivered: bool) -> Result<(), String> {
        match delivered {
            true => self.target(&content(1, self.setup.size)),
            false => Ok(()),
        }
    }

    /// Renames onto the target, as the partner performed them.
    pub fn published(&self, times: usize) -> Result<(), String> {
        if self.setup.direction == Direction::Fetch || self.setup.publish == Publish::Direct {
            return Ok(());
        }
        let onto_target = |done: &crate::wire::Done| {
            done.ok && done.operation == Operation::Rename && done.to.as_deref() == Some(TARGET)
        };
        let found = self.log.entries().iter().filter(|done| onto_target(done)).count();
        if found == times {
            return Ok(());
        }
        Err(format!("published {found} times, not {times}"))
    }

    /// Nothing is left on either side but the files themselves, the files that bar the folders
    /// of former epochs, and the mark of an epoch whose partials lie beside their targets.
    pub fn tidy(&self) -> Result<(), String> {
        let bar = |path: &str| {
            is_mark(path) && self.remote_bytes(path).is_some_and(|bytes| bytes.is_empty())
        };
        let mut strays = self.remote_files();
        strays.retain(|path| path != TARGET && !bar(path));
        let local = std::fs::read_dir(self.path().join("data")).unwrap();
        let names = local.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        strays.extend(names.filter(|name| name.starts_with('.')));
        if strays.is_empty() { Ok(()) } else { Err(format!("left behind: {strays:?}")) }
    }

    async fn journal(&self, node: &Node, accepted: &[Job]) -> Result<(), String> {
        let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        let ended = node.journal.history(query).await.map_err(|error| error.to_string())?;
        for job in accepted {
            let Some(job) = ended.iter().find(|other| other.id == job.id) else {
                return Err(format!("job {} has not ended", job.id));
            };
            if job.status != Status::Idle(Outcome::Completed) {
                return Err(format!("job {} is {}: {:?}", job.id, job.status, job.state));
            }
            let state = &job.state;
            if state.published != 1 || state.intent.is_some() || state.attempt.is_some() {
                return Err(format!("job {} is not whole: {state:?}", job.id));
            }
            if state.size != Some(self.setup.size as u64) || state.digest.is_none() {
                return Err(format!("job {} has no proof: {state:?}", job.id));
            }
        }
        if ended.len() != accepted.len() {
            return Err(format!("{} jobs ended, {} were accepted", ended.len(), accepted.len()));
        }
        Ok(())
    }
}

/// Whether a file of this name is one of those that stay: `.ferryway/night.BANK/e1` in the place
/// of a folder, `.ferryway.night.BANK.e1` beside the targets. The number behind the name of what
/// was made again comes before the epoch.
fn is_mark(path: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let own = path.strip_prefix("in/.ferryway").and_then(|p| p.strip_prefix(['/', '.']));
    let Some(rest) = own.and_then(|own| own.strip_prefix("night.BANK")) else { return false };
    let Some((again, epoch)) = rest.rsplit_once(['/', '.']) else { return false };
    let again = again.is_empty() || again.strip_prefix('.').is_some_and(number);
    again && epoch.strip_prefix('e').is_some_and(number)
}
