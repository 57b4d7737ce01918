//! The operator's end of the control API.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{JobId, PartnerName};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::JoinSet, time::timeout};

use super::{
    api::{
        BODY_LIMIT, Command, Health, JobView, PROBE_TIME_LIMIT, PartnerProbed, ProbeRequest,
        Probed, Refusal, Reloaded, Service, ServiceOrder, ServiceState, SubmitRequest,
        WAIT_TIME_LIMIT, WaitRequest,
    },
    socket::{Connected, connect, socket_path, stranger},
};
use crate::journal::record::{Entry, HistoryQuery, Job};

/// The time for a connection to a host on the same machine.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(5);

/// The time for a request and its answer; a little longer than the host's own, whose answer
/// says more than our running out of time.
const CALL_TIME_LIMIT: Duration = Duration::from_secs(35);

/// The longest answer taken in bytes: some hundred thousand jobs in flight.
const ANSWER_LIMIT: usize = 512 << 20;

/// A client of the host that serves a run directory. Every call is a connection of its own
/// and has a time limit.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no host is running: nobody listens on `{}`", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// Somebody else put a socket where the host's should be.
    #[error(
        "`{}` belongs to a process of user {user}, whom nothing is told; look who runs it, or \
         name another run directory", socket.display()
    )]
    Stranger {
        /// The socket.
        socket: PathBuf,
        /// The user id of the process.
        user: u32,
    },
    /// The host refuses.
    #[error(transparent)]
    Refused(Refusal),
    /// The host did not answer in time. What was asked for may be done.
    #[error("the host did not answer on `{}` within {} s", socket.display(), limit.as_secs())]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The request is too long to be sent.
    #[error("the request has {size} bytes, and {BODY_LIMIT} are allowed; split it")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The connection failed. What was asked for may be done.
    #[error("the connection to the host on `{}` failed: {source}", socket.display())]
    Connection {
        /// The socket.
        socket: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer makes no sense: most likely the two programs are of different versions.
    #[error(
        "the answer of the host on `{}` (HTTP {status}) is not understood: {reason}; are host \
         and tool of the same version?", socket.display()
    )]
    Answer {
        /// The socket.
        socket: PathBuf,
        /// The HTTP status.
        status: StatusCode,
        /// What is wrong.
        reason: String,
    },
}

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// A client of the host that serves this run directory. Connects to nothing yet.
    pub fn new(run_dir: &Path) -> Self {
        Self { socket: socket_path(run_dir) }
    }

    /// The socket that the calls go to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Submits jobs, all or none, at most [`BATCH_LIMIT`](super::api::BATCH_LIMIT); durable on
    /// `Ok`.
    ///
    /// # Errors
    /// On [`ClientError::Timeout`] and [`ClientError::Connection`] the jobs may exist; asking
    /// again with the same keys is safe.
    pub async fn submit(&self, requests: &[SubmitRequest]) -> Result<Vec<Job>> {
        self.post("/v1/jobs", &requests, CALL_TIME_LIMIT).await
    }

    /// Every job in flight, in the order of acceptance.
    ///
    /// # Errors
    /// Any of [`ClientError`]; nothing is changed.
    pub async fn jobs(&self) -> Result<Vec<JobView>> {
        self.get("/v1/jobs").await
    }

    /// One job, finished ones included.
    ///
    /// # Errors
    /// Any of [`ClientError`]; nothing is changed.
    pub async fn job(&self, id: &JobId) -> Result<JobView> {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// A job's record, the oldest entry first.
    ///
    /// # Errors
    /// Any of [`ClientError`]; nothing is changed.
    pub async fn entries(&self, id: &JobId) -> Result<Vec<Entry>> {
        self.get(&format!("/v1/jobs/{id}/entries")).await
    }

    /// Orders something with a job; durable on `Ok`.
    ///
    /// # Errors
    /// On [`ClientError::Timeout`] and [`ClientError::Connection`] it may be done all the same.
    pub async fn command(&self, id: &JobId, command: Command) -> Result<Job> {
        self.post(&format!("/v1/jobs/{id}/command"), &command, CALL_TIME_LIMIT).await
    }

    /// Waits until every one of the jobs has ended or is suspended, for at most `limit` or
    /// [`WAIT_TIME_LIMIT`], and gives all of them as they are then.
    ///
    /// # Errors
    /// Any of [`ClientError`]; nothing is changed.
    pub async fn wait(&self, jobs: &[JobId], limit: Duration) -> Result<Vec<Job>> {
        let limit = limit.min(WAIT_TIME_LIMIT);
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let request = WaitRequest { jobs: jobs.to_vec(), limit_ms };
        self.post("/v1/wait", &request, limit + CALL_TIME_LIMIT).await
    }

    /// Jobs that ended, the newest first.
    ///
    /// # Errors
    /// Any of [`ClientError`]; nothing is changed.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Vec<Job>> {
        self.get(&format!("/v1/history?{}", query_string(query))).await
    }

    /// How the host is.
    ///
    /// # Errors
    /// Any of [`ClientError`]; nothing is changed.
    pub async fn health(&self) -> Result<Health> {
        self.get("/v1/health").await
    }

    /// Has the journal write a mark durably and read it back.
    ///
    /// # Errors
    /// When refused, the journal failed and the host ends.
    pub async fn probe(&self) -> Result<Probed> {
        self.post("/v1/journal/probe", &(), CALL_TIME_LIMIT).await
    }

    /// Has the host try out what a partner's server does.
    ///
    /// # Errors
    /// When refused, nothing is known; what the probe made on the partner may be there still.
    pub async fn probe_partner(
        &self,
        partner: &PartnerName,
        request: &ProbeRequest,
    ) -> Result<PartnerProbed> {
        let silent = Duration::from_secs(request.silent_s.unwrap_or_default());
        let limit = silent + PROBE_TIME_LIMIT + CALL_TIME_LIMIT;
        self.post(&format!("/v1/partners/{partner}/probe"), request, limit).await
    }

    /// Starts or stops a service of the host, unless it is so already.
    ///
    /// # Errors
    /// On [`ClientError::Timeout`] and [`ClientError::Connection`] it may be done.
    pub async fn service(&self, service: Service, order: ServiceOrder) -> Result<ServiceState> {
        self.post(&format!("/v1/services/{service}"), &order, CALL_TIME_LIMIT).await
    }

    /// Has the definitions read again.
    ///
    /// # Errors
    /// When refused, the old definitions stay in force.
    pub async fn reload(&self) -> Result<Reloaded> {
        self.post("/v1/reload", &(), CALL_TIME_LIMIT).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Bytes::new(), CALL_TIME_LIMIT).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        if body.len() > BODY_LIMIT {
            return Err(ClientError::TooLarge { size: body.len() });
        }
        self.call(Method::POST, path, body.into(), limit).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<T> {
        let stream = self.connect().await?;
        match timeout(limit, self.exchange(stream, method, path, body)).await {
            Ok(answer) => answer.and_then(|(status, bytes)| self.read(status, &bytes)),
            Err(_) => Err(ClientError::Timeout { socket: self.socket.clone(), limit }),
        }
    }

    async fn connect(&self) -> Result<Connected> {
        let limit = CONNECT_TIME_LIMIT;
        let connected = timeout(limit, connect(&self.socket))
            .await
            .map_err(|_| ClientError::Timeout { socket: self.socket.clone(), limit })?;
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { socket: self.socket.clone() }
            }
            _ => self.broken(error),
        })?;
        match stranger(&stream).map_err(|error| self.broken(error))? {
            Some(user) => Err(ClientError::Stranger { socket: self.socket.clone(), user }),
            None => Ok(stream),
        }
    }

    async fn exchange(
        &self,
        stream: Connected,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        // The connection's task ends with the set at the latest, also when we run out of time.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            // RFC 9112 section 3.2 asks for the field even where a socket has no name.
            .header(header::HOST, "ferryway")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.broken(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|source| self.broken(source))?;
        Ok((status, body.to_bytes()))
    }

    fn read<T: DeserializeOwned>(&self, status: StatusCode, bytes: &[u8]) -> Result<T> {
        let unclear = |error: serde_json::Error| ClientError::Answer {
            socket: self.socket.clone(),
            status,
            reason: error.to_string(),
        };
        if status.is_success() {
            return serde_json::from_slice(bytes).map_err(unclear);
        }
        let refusal = serde_json::from_slice(bytes).map_err(unclear)?;
        Err(ClientError::Refused(refusal))
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Connection { socket: self.socket.clone(), source: source.into() }
    }
}

/// The values are digits, capital letters and times in UTC: none needs escaping.
fn query_string(query: &HistoryQuery) -> String {
    let HistoryQuery { definition, since, until, limit, before_sequence } = query;
    let mut text = format!("limit={limit}");
    let optional = [
        ("definition", definition.as_ref().map(ToString::to_string)),
        ("since", since.map(|time| time.to_string())),
        ("until", until.map(|time| time.to_string())),
        ("before_sequence", before_sequence.map(|sequence| sequence.to_string())),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            text.push_str(&format!("&{key}={value}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_only_what_is_asked_for() {
        assert_eq!(query_string(&HistoryQuery::default()), "limit=0");
        let query = HistoryQuery {
            definition: Some("A1".parse().unwrap()),
            since: Some(jiff::Timestamp::UNIX_EPOCH),
            limit: 5,
            before_sequence: Some(9),
            ..HistoryQuery::default()
        };
        let text = "limit=5&definition=A1&since=1970-01-01T00:00:00Z&before_sequence=9";
        assert_eq!(query_string(&query), text);
    }
}
