//! What moves while a fault happens, and what became of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{Algorithm, Digest, Epoch, JobId, Status};
use ferryway_host::{
    control::{
        api::{JobView, SubmitRequest},
        client::{Client, ClientError},
    },
    journal::record::{HistoryQuery, Job},
};
use ferryway_mocks::oracle::{self, Violation};
use tokio::{runtime::Runtime, time::timeout};

use super::{
    Lab,
    lab::{BIG, BULKY, SMALL},
};
use crate::{
    content::{Content, hash_file},
    scene::{Arrivals, JOB_LIMIT, client, strays_below},
    wait::holds_within,
};

/// Small files in each direction that are under way from the beginning.
const SMALL_FILES: usize = 6;

/// How long the host may take for an answer before it counts as gone.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a host may take for an answer before the fault.
const EASE: Duration = Duration::from_secs(20);

/// The jobs of one fault.
#[derive(Debug)]
pub struct Transfers<'lab> {
    lab: &'lab Lab,
    runtime: Runtime,
    tag: String,
    /// The cluster's, and the partner's own.
    night: Vec<Asked>,
    branch: Vec<Asked>,
    small: usize,
    patience: Duration,
    bank_drop: Arrivals,
    branch_in: Arrivals,
}

/// A job that was acknowledged.
#[derive(Clone, Debug)]
struct Asked {
    id: JobId,
    content: Content,
    place: Place,
}

/// Where a job puts its file.
#[derive(Clone, Debug)]
enum Place {
    Bank(String),
    Branch(String),
    Night(String),
}

/// What the judge found, sorted.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Jobs.
    pub jobs: usize,
    /// Jobs that were acknowledged and did not deliver.
    pub lost: usize,
    /// Files that were put in place more than once, or out of order.
    pub doubled: usize,
    /// Files that are not what they must be, or could be seen before they were.
    pub damaged: usize,
    /// Bytes of the large files that were across before the fault and were sent again.
    pub again: u64,
    /// Every violation, these and others.
    pub violations: Vec<String>,
}

impl<'lab> Transfers<'lab> {
    /// Asks for transfers in both directions, and waits until the big ones are well under way.
    ///
    /// # Errors
    /// The host refuses, or they do not move within a limit.
    pub fn start(lab: &'lab Lab, active: u8, tag: &str) -> io::Result<Self> {
        let mut transfers = Self {
            lab,
            runtime: Runtime::new()?,
            tag: tag.to_owned(),
            night: Vec::new(),
            branch: Vec::new(),
            small: 0,
            patience: EASE,
            bank_drop: Arrivals::watch(&lab.folder().join("bank/drop")),
            branch_in: Arrivals::watch(&lab.branch_install().join("in")),
        };
        let host = lab.client(active).ok_or_else(|| io::Error::other("no host to ask"))?;
        transfers.send(&host, "big", BIG)?;
        transfers.fetch(&host, "big", BIG)?;
        for _ in 0..SMALL_FILES {
            transfers.send_small(&host)?;
            transfers.fetch_small(&host)?;
        }
        let quarter = |view: &JobView| view.progress.is_some_and(|p| p.done > p.total / 4);
        let bigs: Vec<JobId> = transfers.bigs().map(|asked| asked.id.clone()).collect();
        let mut moving = false;
        holds_within(JOB_LIMIT, || {
            let views = transfers.views(&host);
            let well = |id: &JobId| views.iter().any(|view| view.job.id == *id && quarter(view));
            moving = bigs.iter().all(well);
            moving
        });
        if !moving {
            return Err(io::Error::other("the big files do not move"));
        }
        // By socket last: nothing slows it down.
        transfers.visit()?;
        transfers.send_by_socket(&host)?;
        transfers.patience = PATIENCE;
        Ok(transfers)
    }

    /// Asks for one more small file to be sent, through whichever host answers; whether it was
    /// acknowledged. A request that was not is made again by the next call, as the same one.
    pub fn trickle(&mut self, hosts: &[Client]) -> bool {
        hosts.iter().any(|host| self.send_small(host).is_ok())
    }

    /// How far the large files are by the host's own word, in bytes.
    pub fn progress(&self, host: &Client) -> Vec<(JobId, u64)> {
        let views = self.views(host).into_iter();
        let large = views.filter(|view| self.large().any(|asked| asked.id == view.job.id));
        large.filter_map(|view| Some((view.job.id, view.progress?.done))).collect()
    }

    /// Every job in flight; none when the host does not answer.
    pub fn views(&self, host: &Client) -> Vec<JobView> {
        let asked = self.runtime.block_on(async { timeout(PATIENCE, host.jobs()).await });
        asked.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Runs a question to a host for as long as one that is well needs for an answer.
    pub fn ask<T>(&self, question: impl Future<Output = Result<T, ClientError>>) -> Option<T> {
        let asked = self.runtime.block_on(async { timeout(PATIENCE, question).await });
        asked.ok().and_then(Result::ok)
    }

    /// Waits until every job has ended and judges them all. `before` tells how far the large ones
    /// were in the ownership `old` when the fault came, and `known` which jobs of earlier faults
    /// are on record; those of this one are added to it.
    ///
    /// # Errors
    /// A host does not answer.
    pub fn judge(
        &self,
        active: u8,
        old: Epoch,
        before: &[(JobId, u64)],
        known: &mut Vec<JobId>,
    ) -> io::Result<Damage> {
        let night = self.lab.client(active).ok_or_else(|| io::Error::other("no host to ask"))?;
        let branch = client(&self.lab.branch);
        self.wait(&night, &self.night);
        self.wait(&branch, &self.branch);
        let install = self.lab.install(active).unwrap_or_default();
        let mut damage = Damage { jobs: self.night.len() + self.branch.len(), ..Damage::default() };
        for (host, asked) in [(&night, &self.night), (&branch, &self.branch)] {
            let jobs = self.on_record(host, known)?;
            known.extend(jobs.iter().map(|job| job.id.clone()));
            damage.add(&oracle::judge(&self.seen(asked, jobs, &install)));
        }
        damage.strays(&self.strays(&install));
        for (id, there) in before {
            damage.again +=
                there.saturating_sub(self.resumed_at(&night, id, old)?.unwrap_or(*there));
        }
        self.clean(&install);
        Ok(damage)
    }

    fn bigs(&self) -> impl Iterator<Item = &Asked> {
        self.night.iter().filter(|asked| asked.content == BIG)
    }

    fn large(&self) -> impl Iterator<Item = &Asked> {
        self.night.iter().filter(|asked| asked.content != SMALL)
    }

    fn send(&mut self, host: &Client, source: &str, content: Content) -> io::Result<()> {
        let name = self.name(source);
        let remote = format!("drop/{name}");
        let id = self.submit(host, "SEND1", Some(source), Some(&remote), &name)?;
        self.night.push(Asked { id, content, place: Place::Bank(name) });
        Ok(())
    }

    fn fetch(&mut self, host: &Client, source: &str, content: Content) -> io::Result<()> {
        let name = format!("{}-fetched", self.name(source));
        let remote = format!("pick/{source}");
        let id = self.submit(host, "FETCH1", Some(&name), Some(&remote), &name)?;
        self.night.push(Asked { id, content, place: Place::Night(name) });
        Ok(())
    }

    fn send_small(&mut self, host: &Client) -> io::Result<()> {
        self.send(host, "small", SMALL)?;
        self.small += 1;
        Ok(())
    }

    fn fetch_small(&mut self, host: &Client) -> io::Result<()> {
        self.fetch(host, "small", SMALL)?;
        self.small += 1;
        Ok(())
    }

    fn send_by_socket(&mut self, host: &Client) -> io::Result<()> {
        let name = self.name("bulky");
        let id = self.submit(host, "SOCK1", Some("bulky"), Some(&name), &name)?;
        self.night.push(Asked { id, content: BULKY, place: Place::Branch(name) });
        Ok(())
    }

    /// The partner sends to the cluster's virtual address.
    fn visit(&mut self) -> io::Result<()> {
        let name = format!("{}-visit", self.tag);
        let host = client(&self.lab.branch);
        let id = self.submit(&host, "VISIT1", Some("bulky"), Some(&name), &name)?;
        self.branch.push(Asked { id, content: BULKY, place: Place::Night(name) });
        Ok(())
    }

    fn name(&self, source: &str) -> String {
        format!("{}-{source}-{}", self.tag, self.small)
    }

    fn submit(
        &self,
        host: &Client,
        definition: &str,
        local: Option<&str>,
        remote: Option<&str>,
        key: &str,
    ) -> io::Result<JobId> {
        let request = SubmitRequest {
            definition: definition.parse().map_err(io::Error::other)?,
            local: local.map(Into::into),
            remote: remote.map(Into::into),
            key: Some(key.to_owned()),
        };
        let asked = [request];
        let jobs =
            self.runtime.block_on(async { timeout(self.patience, host.submit(&asked)).await });
        let jobs = jobs.map_err(io::Error::other)?.map_err(io::Error::other)?;
        jobs.first().map(|job| job.id.clone()).ok_or_else(|| io::Error::other("no job"))
    }

    fn wait(&self, host: &Client, asked: &[Asked]) {
        let ids: Vec<JobId> = asked.iter().map(|asked| asked.id.clone()).collect();
        // Who has not ended by then is found by the judge.
        holds_within(JOB_LIMIT, || {
            let waited = self.runtime.block_on(host.wait(&ids, Duration::from_secs(5)));
            waited.is_ok_and(|jobs| jobs.iter().all(|job| job.status.outcome().is_some()))
        });
    }

    /// The jobs on a host's record that it was asked for itself and that were not there before.
    fn on_record(&self, host: &Client, known: &[JobId]) -> io::Result<Vec<Job>> {
        let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        let ended = self.runtime.block_on(host.history(&query)).map_err(io::Error::other)?;
        let moving = self.runtime.block_on(host.jobs()).map_err(io::Error::other)?;
        let all = ended.into_iter().chain(moving.into_iter().map(|view| view.job));
        Ok(all.filter(|job| job.spec.origin.is_none() && !known.contains(&job.id)).collect())
    }

    fn seen(&self, asked: &[Asked], jobs: Vec<Job>, install: &Path) -> oracle::Observation {
        oracle::Observation {
            acknowledged: asked.iter().map(|asked| asked.id.clone()).collect(),
            jobs: jobs.into_iter().map(oracle::Job::from).collect(),
            targets: asked.iter().map(|asked| self.target(asked, install)).collect(),
            ..oracle::Observation::default()
        }
    }

    fn target(&self, asked: &Asked, install: &Path) -> oracle::Target {
        let path = self.path(&asked.place, install);
        let arrived = match &asked.place {
            Place::Bank(name) => Some(self.bank_drop.of(name)),
            Place::Branch(name) => Some(self.branch_in.of(name)),
            // Nobody can watch a disk that moves between machines.
            Place::Night(_) => None,
        };
        let digest = |hash: blake3::Hash| Digest::from_bytes(Algorithm::Blake3, hash.as_bytes());
        let found = hash_file(&path).ok().map(|hash| oracle::Content {
            size: fs::metadata(&path).map_or(0, |facts| facts.len()),
            digest: digest(hash),
        });
        let expected =
            oracle::Content { size: asked.content.size(), digest: digest(asked.content.hash()) };
        let made = arrived.map_or(0, |arrived| arrived.made);
        oracle::Target {
            path: path.display().to_string(),
            jobs: vec![asked.id.clone()],
            expected,
            found,
            publishes: arrived.map_or(oracle::Publishes::Unseen, |arrived| {
                oracle::Publishes::Times(arrived.renamed)
            }),
            intrusions: (0..made).map(|_| "a file that grows".to_owned()).collect(),
        }
    }

    /// What is left of partials once there was time to remove them.
    fn strays(&self, install: &Path) -> Vec<PathBuf> {
        let bank = self.lab.folder().join("bank");
        let branch = self.lab.branch_install().join("in");
        let mut strays = Vec::new();
        holds_within(Duration::from_secs(20), || {
            strays = strays_below(&bank.join("drop"), "night");
            strays.extend(strays_below(&branch, "night"));
            strays.extend(strays_below(&install.join("in"), "branch"));
            strays.is_empty()
        });
        strays
    }

    /// Where the first attempt of a later ownership than `old` began; `None` when none was needed.
    fn resumed_at(&self, host: &Client, id: &JobId, old: Epoch) -> io::Result<Option<u64>> {
        let entries = self.runtime.block_on(host.entries(id)).map_err(io::Error::other)?;
        let mut later = entries.iter().filter(|entry| entry.epoch > old);
        let began = later.find(|entry| entry.status == Status::Transferring);
        let offset = later.chain(began).filter_map(|entry| {
            let note = entry.note.as_deref()?.strip_prefix("resumes at byte ")?;
            note.split(' ').next()?.parse().ok()
        });
        Ok(began.map(|_| offset.min().unwrap_or(0)))
    }

    /// Makes room for the next fault.
    fn clean(&self, install: &Path) {
        for asked in self.night.iter().chain(&self.branch) {
            fs::remove_file(self.path(&asked.place, install)).ok();
        }
    }

    fn path(&self, place: &Place, install: &Path) -> PathBuf {
        match place {
            Place::Bank(name) => self.lab.folder().join("bank/drop").join(name),
            Place::Branch(name) => self.lab.branch_install().join("in").join(name),
            Place::Night(name) => install.join("in").join(name),
        }
    }
}

impl Damage {
    fn add(&mut self, violations: &[Violation]) {
        for violation in violations {
            match violation {
                Violation::Lost(_) | Violation::NotCompleted(..) | Violation::Absent(_) => {
                    self.lost += 1;
                }
                Violation::Miscounted(..)
                | Violation::PublishedTimes(..)
                | Violation::OutOfOrder(..) => self.doubled += 1,
                Violation::Differs(..) | Violation::WrongProof(_) | Violation::Intrusion(..) => {
                    self.damaged += 1;
                }
                _ => {}
            }
            self.violations.push(violation.to_string());
        }
    }

    fn strays(&mut self, strays: &[PathBuf]) {
        let strays = strays.iter().map(|path| Violation::Stray(path.display().to_string()));
        self.add(&strays.collect::<Vec<_>>());
    }
}
