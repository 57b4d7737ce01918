//! Where answers come from: the running host, or the journal while there is none.

use ferryway_core::{JobId, Status};
use ferryway_host::{
    control::{
        api::{JobView, PAGE_LIMIT},
        client::{Client, ClientError},
    },
    journal::record::{Entry, HistoryQuery, Job},
};

use crate::{exit::Result, journal::Journal, place::Place, render};

/// A host, or the journal.
#[derive(Debug)]
pub(crate) enum Source {
    /// The running host.
    Host(Client),
    /// The journal, as it was when the tool looked.
    Journal(Box<Journal>),
}

impl Source {
    /// The host if one is running, else the journal, which the operator is told.
    ///
    /// # Errors
    /// When there is neither.
    pub(crate) async fn find(client: &Client, place: &Place) -> Result<Self> {
        match client.health().await {
            Ok(_) => Ok(Self::Host(client.clone())),
            Err(error @ ClientError::NotRunning { .. }) => {
                let Some(install) = &place.install else { return Err(error.into()) };
                let journal = Journal::open(install)?;
                render::note("host is not running: read from the journal");
                Ok(Self::Journal(Box::new(journal)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The word for the source in JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Journal(_) => "journal",
        }
    }

    /// Every job in flight, in the order of acceptance.
    pub(crate) async fn in_flight(&self) -> Result<Vec<JobView>> {
        match self {
            Self::Host(client) => Ok(client.jobs().await?),
            Self::Journal(journal) => journal.in_flight(),
        }
    }

    /// One job.
    pub(crate) async fn job(&self, id: &JobId) -> Result<JobView> {
        match self {
            Self::Host(client) => Ok(client.job(id).await?),
            Self::Journal(journal) => journal.job(id),
        }
    }

    /// A job's record.
    pub(crate) async fn entries(&self, id: &JobId) -> Result<Vec<Entry>> {
        match self {
            Self::Host(client) => Ok(client.entries(id).await?),
            Self::Journal(journal) => journal.entries(id),
        }
    }

    /// Jobs that ended, the newest first, as many as the query's limit, page by page.
    pub(crate) async fn history(&self, mut query: HistoryQuery) -> Result<Vec<JobView>> {
        let wanted = query.limit;
        let mut views = Vec::new();
        loop {
            query.limit = (wanted - views.len()).min(PAGE_LIMIT);
            let page = match self {
                Self::Host(client) => {
                    client.history(&query).await?.into_iter().map(recorded).collect()
                }
                Self::Journal(journal) => journal.history(&query)?,
            };
            let full = page.len() == query.limit;
            query.before_sequence = page.last().map(|view| view.job.sequence);
            views.extend(page);
            if !full || views.len() >= wanted {
                return Ok(views);
            }
        }
    }
}

/// A job of which nothing more is known than what is on record.
pub(crate) fn recorded(job: Job) -> JobView {
    let at_rest = !job.status.in_flight() || job.status == Status::Suspended;
    JobView { job, progress: None, waits_for: None, at_rest }
}
