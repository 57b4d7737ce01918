//! What the tool reads while no host is running.

use ferryway_core::JobId;
use ferryway_host::{
    config::InstallDir,
    control::api::JobView,
    journal::{
        JournalError, Owner,
        reader::Reader,
        record::{Entry, HistoryQuery, Job},
    },
};

use crate::{
    exit::{Exit, Failure, Result},
    source::recorded,
};

/// An instance's journal, opened to be read only.
#[derive(Debug)]
pub(crate) struct Journal(Reader);

impl Journal {
    /// Opens the journal of an installation.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn open(install: &InstallDir) -> Result<Self> {
        Reader::open(install.path()).map(Self).map_err(unreadable)
    }

    /// Who owns the instance, or owned it last.
    pub(crate) fn owner(&self) -> &Owner {
        self.0.owner()
    }

    /// Every job in flight, in the order of acceptance.
    pub(crate) fn in_flight(&self) -> Result<Vec<JobView>> {
        self.0.in_flight().map(views).map_err(unreadable)
    }

    /// One job.
    pub(crate) fn job(&self, id: &JobId) -> Result<JobView> {
        let job = self.0.job(id).map_err(unreadable)?;
        let unknown = || Failure::new(Exit::NotFound, format!("there is no job {id} on record"));
        job.map(recorded).ok_or_else(unknown)
    }

    /// A job's record.
    pub(crate) fn entries(&self, id: &JobId) -> Result<Vec<Entry>> {
        self.0.entries(id).map_err(unreadable)
    }

    /// Jobs that ended, the newest first.
    pub(crate) fn history(&self, query: &HistoryQuery) -> Result<Vec<JobView>> {
        self.0.history(query).map(views).map_err(unreadable)
    }
}

fn views(jobs: Vec<Job>) -> Vec<JobView> {
    jobs.into_iter().map(recorded).collect()
}

fn unreadable(error: JournalError) -> Failure {
    Failure::new(Exit::Failed, format!("no host is running, and {error}"))
}
