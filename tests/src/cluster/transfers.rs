//! What moves while a fault happens.

use std::{
    io,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

use ferryway_core::{JobId, Status};
use ferryway_host::control::{
    api::{JobView, SubmitRequest},
    client::{Client, ClientError},
};
use tokio::{runtime::Runtime, time::timeout};

use super::{
    Lab,
    furnish::{BIG, SMALL},
    way::{Host, Place, Way},
};
use crate::{
    content::Content,
    scene::{Arrivals, JOB_LIMIT, client},
    wait::{LIMIT, await_within, holds_within},
};

/// Small files by each way that are under way from the beginning.
const SMALL_FILES: usize = 2;

/// The ways of the small files that are asked for while the fault lasts.
const TRICKLE: [Way; 4] = [Way::BankSend, Way::BranchSend, Way::BankFetch, Way::BranchFetch];

/// How long the host may take for an answer before it counts as gone.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a host may take for an answer before the fault.
const EASE: Duration = Duration::from_secs(20);

/// How long exits are waited for that a fault is to meet. They may be through by then, and the large
/// files must not be.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

/// The jobs of one fault.
#[derive(Debug)]
pub struct Transfers<'lab> {
    pub(super) lab: &'lab Lab,
    pub(super) runtime: Runtime,
    pub(super) asked: Vec<Asked>,
    pub(super) bank_drop: Arrivals,
    pub(super) branch_in: Arrivals,
    /// Nobody can watch a disk that moves between machines.
    pub(super) night_in: Option<Arrivals>,
    tag: String,
    trickled: usize,
    /// Whether the last of them was not acknowledged.
    in_doubt: bool,
    patience: Duration,
}

/// A job that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub id: JobId,
    pub way: Way,
    pub content: Content,
    pub name: String,
}

impl<'lab> Transfers<'lab> {
    /// Asks for transfers by every way, and waits until the large ones are well under way and
    /// exits run.
    ///
    /// # Errors
    /// A host refuses, or the large files do not move within a limit.
    pub fn start(lab: &'lab Lab, active: u8, tag: &str) -> io::Result<Self> {
        let mut transfers = Self {
            lab,
            runtime: Runtime::new()?,
            asked: Vec::new(),
            bank_drop: Arrivals::watch(&lab.folder().join("bank/drop")),
            branch_in: Arrivals::watch(&lab.branch_install().join("in")),
            night_in: lab.shared_install().map(|install| Arrivals::watch(&install.join("in"))),
            tag: tag.to_owned(),
            trickled: 0,
            in_doubt: false,
            patience: EASE,
        };
        let night = lab.client(active).ok_or_else(|| io::Error::other("no host to ask"))?;
        transfers.submit_large(&night, "big")?;
        for way in Way::PLAIN {
            for number in 0..SMALL_FILES {
                transfers.submit(&night, way, SMALL, &format!("small{number}"))?;
            }
        }
        transfers.await_large(&night)?;
        for way in Way::BOOKED {
            transfers.submit(&night, way, SMALL, "booked")?;
        }
        let in_exit = |status| matches!(status, Status::PostExit | Status::ReceiverPostExit);
        holds_within(EXIT_LIMIT, || {
            let views = transfers.views(&night);
            views.iter().filter(|view| in_exit(view.job.status)).count() == Way::BOOKED.len()
        });
        transfers.patience = PATIENCE;
        Ok(transfers)
    }

    /// Asks for one more small file, through whichever host answers; whether it was
    /// acknowledged. A request that was not is made again by the next call, as the same one.
    pub fn trickle(&mut self, hosts: &[Client]) -> bool {
        let way = TRICKLE[self.trickled % TRICKLE.len()];
        let name = format!("trickle{}", self.trickled);
        let acknowledged = hosts.iter().any(|host| self.submit(host, way, SMALL, &name).is_ok());
        self.trickled += usize::from(acknowledged);
        self.in_doubt = !acknowledged;
        acknowledged
    }

    /// Makes the last request again if nobody heard its answer, which may have been a job.
    ///
    /// # Errors
    /// The host does not answer it within a limit.
    pub fn ask_again(&mut self, night: &Client) -> io::Result<()> {
        let asked = || !self.in_doubt || self.trickle(slice::from_ref(night));
        await_within(LIMIT, "a request is answered", asked)
    }

    /// Asks for a large file by each way once more, for a fault that strikes again; whether all of
    /// them were acknowledged. Those that were are not asked for twice.
    pub fn renew(&mut self, night: &Client) -> bool {
        self.submit_large(night, "again").is_ok()
    }

    /// How far the large files are that the cluster asked for, by its host's own word, in bytes.
    pub fn progress(&self, host: &Client) -> Vec<(JobId, u64)> {
        let views = self.views(host).into_iter();
        let large = views.filter(|view| {
            let mut large = self.asked.iter().filter(|asked| asked.content == BIG);
            large.any(|asked| asked.way.asked_by() == Host::Night && asked.id == view.job.id)
        });
        large.filter_map(|view| Some((view.job.id, view.progress?.done))).collect()
    }

    /// Every job in flight; none when the host does not answer.
    pub fn views(&self, host: &Client) -> Vec<JobView> {
        self.ask(host.jobs()).unwrap_or_default()
    }

    /// Runs a question to a host for as long as one that is well needs for an answer.
    pub fn ask<T>(&self, question: impl Future<Output = Result<T, ClientError>>) -> Option<T> {
        let asked = self.runtime.block_on(async { timeout(PATIENCE, question).await });
        asked.ok().and_then(Result::ok)
    }

    /// Where a job puts its file, `install` being the cluster's install directory.
    pub(super) fn target(&self, asked: &Asked, install: &Path) -> PathBuf {
        let folder = match asked.way.place() {
            Place::Bank => self.lab.folder().join("bank/drop"),
            Place::In(Host::Branch) => self.lab.branch_install().join("in"),
            Place::In(Host::Night) => install.join("in"),
        };
        folder.join(&asked.name)
    }

    fn submit_large(&mut self, night: &Client, what: &str) -> io::Result<()> {
        Way::PLAIN.into_iter().try_for_each(|way| self.submit(night, way, BIG, what))
    }

    fn await_large(&self, night: &Client) -> io::Result<()> {
        let branch = client(&self.lab.branch);
        let quarter = |view: &JobView| view.progress.is_some_and(|p| p.done > p.total / 4);
        let moves = |asked: &Asked| {
            let host = if asked.way.asked_by() == Host::Night { night } else { &branch };
            self.views(host).iter().any(|view| view.job.id == asked.id && quarter(view))
        };
        let large = || self.asked.iter().filter(|asked| asked.content == BIG);
        await_within(JOB_LIMIT, "a quarter of each large file is across", || large().all(moves))
    }

    /// Asks `night`, or the host outside if it is its way, for a transfer; the same one whenever
    /// `what` is the same.
    fn submit(&mut self, night: &Client, way: Way, content: Content, what: &str) -> io::Result<()> {
        let branch = client(&self.lab.branch);
        let host = if way.asked_by() == Host::Night { night } else { &branch };
        let name = format!("{}-{}-{what}", self.tag, way.definition());
        let source = if content == BIG { "big" } else { "small" };
        let (local, remote) = way.paths(source, &name, self.lab.branch_install());
        let request = SubmitRequest {
            definition: way.definition().parse().map_err(io::Error::other)?,
            local: Some(local.into()),
            remote: Some(remote),
            key: Some(name.clone()),
        };
        let asked = [request];
        let jobs =
            self.runtime.block_on(async { timeout(self.patience, host.submit(&asked)).await });
        let jobs = jobs.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let id = jobs.first().map(|job| job.id.clone());
        let id = id.ok_or_else(|| io::Error::other("no job"))?;
        if self.asked.iter().all(|asked| asked.name != name) {
            self.asked.push(Asked { id, way, content, name });
        }
        Ok(())
    }
}
