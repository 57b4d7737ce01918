//! A transport around another one: numbers every operation of its node, writes it down, and
//! lets a planned one fail, lose its answer, kill the node or hold it.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ferryway_core::{
    Algorithm, Class, Digest, Kind, Operation, RemotePath, TransportError, async_trait,
    bytes::{Sink, Source},
    error::Reply,
    notice::{Notice, Standing},
    reception::Listener,
    transport::{
        Capabilities, ConfigFault, Download, Partner, Result, Session, Stat, Stored, Transport,
        Upload,
    },
};
use tokio::sync::watch;

pub use crate::log::{Done, Log};

use crate::{
    door::WireListener,
    gate::{Gate, Scribbler},
};

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// Nothing is done and the connection is lost.
    Fail,
    /// It is done, and the connection is lost before the answer.
    Lose,
    /// The connection is lost, and what needs no data is done at [`Point::release`].
    Late,
    /// The partner refuses with this code and class `Permanent`, and does nothing.
    Refuse(u16, Kind),
    /// The node dies before it.
    DieBefore,
    /// It is done, and the node dies before the answer.
    DieAfter,
    /// It waits, before it does anything, for [`Point::release`].
    PauseBefore,
    /// It is done, and waits for [`Point::release`] before the answer.
    PauseAfter,
    /// A store ends after so many bytes with a lost connection; anything else as with `Lose`.
    FailMid(u64),
    /// The node dies when so many bytes are stored; anything else as with `DieAfter`.
    DieMid(u64),
    /// A store waits for [`Point::release`] when so many bytes are stored; anything else as
    /// with `PauseAfter`.
    PauseMid(u64),
    /// A store or fetch inverts the byte at this place.
    Corrupt(u64),
    /// A store ends after so many bytes as if that were all, and is confirmed.
    EarlyEnd(u64),
}

/// Which operation a plan is for.
#[derive(Clone, Debug)]
pub enum When {
    /// The node's operation of this number, from 1.
    Number(usize),
    /// The node's operation of this kind and number.
    Nth(Operation, usize),
    /// The first operation of this kind whose path contains the text.
    On(Operation, &'static str),
    /// Every one of this kind whose path contains the text.
    Every(Operation, &'static str),
}

/// Where a plan strikes: tells that it did, and lets a held operation go on.
#[derive(Clone)]
pub struct Point {
    fired: watch::Sender<u32>,
    released: Arc<(Mutex<bool>, Condvar)>,
    go_on: watch::Sender<bool>,
    done_late: watch::Sender<bool>,
}

/// One node's way to the partner.
#[derive(Clone)]
pub struct Wire {
    node: String,
    inner: Arc<dyn Transport>,
    state: Arc<Mutex<State>>,
    dead: Arc<AtomicBool>,
    log: Log,
}

#[derive(Default)]
struct State {
    /// Every operation so far.
    begun: Vec<Operation>,
    plans: Vec<(When, Act, Point)>,
    idle_limit: Option<Duration>,
}

impl Point {
    fn new() -> Self {
        Self {
            fired: watch::Sender::new(0),
            released: Arc::default(),
            go_on: watch::Sender::new(false),
            done_late: watch::Sender::new(false),
        }
    }

    /// How often the plan struck.
    pub fn fired(&self) -> u32 {
        *self.fired.borrow()
    }

    /// Resolves when the plan has struck.
    pub async fn strikes(&self) {
        let mut fired = self.fired.subscribe();
        fired.wait_for(|&fired| fired > 0).await.expect("the sender lives in self");
    }

    /// Lets a held operation go on.
    pub fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
        self.go_on.send_replace(true);
    }

    /// Lets a late command be read, and waits until the partner has done with it.
    pub async fn release_late(&self) {
        self.release();
        let mut done = self.done_late.subscribe();
        done.wait_for(|&done| done).await.expect("the sender lives in self");
    }

    pub fn strike(&self) {
        self.fired.send_modify(|fired| *fired += 1);
    }

    async fn released(&self) {
        let mut go_on = self.go_on.subscribe();
        go_on.wait_for(|&go_on| go_on).await.expect("the sender lives in self");
    }

    pub fn released_blocking(&self) {
        let guard = self.released.0.lock().unwrap();
        // A test that failed must not hang here.
        let limit = Duration::from_secs(20);
        drop(self.released.1.wait_timeout_while(guard, limit, |released| !*released).unwrap());
    }
}

impl Wire {
    pub fn new(node: &str, inner: Arc<dyn Transport>, log: Log) -> Self {
        Self { node: node.to_owned(), inner, state: Arc::default(), dead: Arc::default(), log }
    }

    /// Plans something; the first plan that fits strikes.
    pub fn plan(&self, when: When, act: Act) -> Point {
        let point = Point::new();
        self.state.lock().unwrap().plans.push((when, act, point.clone()));
        point
    }

    /// Nobody hears any more what comes of an operation from here on.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// From now on the partner closes sessions that are idle for longer than this.
    pub fn closes_idle(&self, limit: Duration) {
        self.state.lock().unwrap().idle_limit = Some(limit);
    }

    /// A session of which every operation goes through this wire.
    pub fn session(&self, partner: Option<Partner>, inner: Box<dyn Session>) -> Box<dyn Session> {
        let (wire, used) = (self.clone(), Instant::now());
        Box::new(WireSession { wire, partner, inner, used, lost: false })
    }

    /// Numbers an operation, and finds what is planned for it.
    pub fn begin(&self, operation: Operation, path: &str, to: Option<String>) -> Begun {
        let mut state = self.state.lock().unwrap();
        state.begun.push(operation);
        let number = state.begun.len();
        let of_its_kind = state.begun.iter().filter(|begun| **begun == operation).count();
        let fits = |when: &When| match when {
            When::Number(wanted) => *wanted == number,
            When::Nth(wanted, nth) => *wanted == operation && *nth == of_its_kind,
            When::On(wanted, text) | When::Every(wanted, text) => {
                *wanted == operation && path.contains(text)
            }
        };
        let found = state.plans.iter().position(|(when, ..)| fits(when));
        let plan = found.map(|at| match &state.plans[at].0 {
            When::Every(..) => (state.plans[at].1, state.plans[at].2.clone()),
            _ => {
                let (_, act, point) = state.plans.remove(at);
                (act, point)
            }
        });
        let (node, path, note) = (self.node.clone(), path.to_owned(), String::new());
        let done = Done { node, number, operation, path, to, ok: false, note };
        Begun { done, log: self.log.clone(), dead: Arc::clone(&self.dead), plan }
    }
}

#[async_trait]
impl Transport for Wire {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        self.inner.check_config(settings)
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let mut planned = self.begin(Operation::Connect, "", None);
        planned.before().await?;
        let result = self.inner.connect(partner.clone()).await;
        let inner = planned.after(result).await?;
        Ok(self.session(Some(partner), inner))
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        let inner = self.inner.listener()?;
        Some(Arc::new(WireListener { wire: self.clone(), inner }))
    }
}

struct WireSession {
    wire: Wire,
    /// Whom it is with; `None` at the receiving end.
    partner: Option<Partner>,
    inner: Box<dyn Session>,
    used: Instant,
    lost: bool,
}

impl WireSession {
    /// Whether the session is lost when it is to be used now.
    fn is_lost(&mut self) -> bool {
        let idle = std::mem::replace(&mut self.used, Instant::now()).elapsed();
        let limit = self.wire.state.lock().unwrap().idle_limit;
        self.lost |= limit.is_some_and(|limit| idle > limit);
        self.lost
    }

    /// Does what is planned to be late, as if its session had lived on unseen.
    async fn later(&mut self, begun: &Begun) {
        let (Some((Act::Late, point)), Some(partner)) = (&begun.plan, &self.partner) else {
            return;
        };
        let (done, log, point) = (begun.done.clone(), begun.log.clone(), point.clone());
        let mut session = self.wire.inner.connect(partner.clone()).await.unwrap();
        tokio::spawn(async move {
            point.released().await;
            let path: Option<RemotePath> = done.path.parse().ok();
            let to: Option<RemotePath> = done.to.as_deref().and_then(|to| to.parse().ok());
            let result = match (done.operation, path, to) {
                (Operation::Rename, Some(path), Some(to)) => session.rename(path, to).await,
                (Operation::Remove, Some(path), _) => session.remove(path).await,
                (Operation::MakeFolder, Some(path), _) => session.make_folder(path).await,
                (Operation::RemoveFolder, Some(path), _) => session.remove_folder(path).await,
                _ => Ok(()),
            };
            log.push(Done { ok: result.is_ok(), note: "very late".to_owned(), ..done });
            point.done_late.send_replace(true);
        });
    }
}

/// An operation under way, and what is planned for it.
pub struct Begun {
    done: Done,
    log: Log,
    dead: Arc<AtomicBool>,
    plan: Option<(Act, Point)>,
}

impl Begun {
    /// What is planned before the operation.
    pub async fn before(&mut self) -> Result<()> {
        let Some((act, point)) = &self.plan else { return Ok(()) };
        match *act {
            Act::Fail | Act::Late => {
                // There is no session on which something could be late.
                if self.done.operation == Operation::Connect {
                    point.done_late.send_replace(true);
                }
                point.strike();
                self.write(false, "fails, as planned");
                Err(self.lost())
            }
            Act::Refuse(code, kind) => {
                point.strike();
                self.write(false, "is refused, as planned");
                let reply = Reply { code, text: "no".to_owned() };
                let operation = self.done.operation;
                let error = TransportError::new(Class::Permanent, kind, operation, "refused");
                Err(error.at(&self.done.path).replied(reply))
            }
            Act::DieBefore => {
                self.write(false, "and dies before it");
                point.strike();
                std::future::pending().await
            }
            Act::PauseBefore => {
                self.write(false, "waits");
                point.strike();
                point.released().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is planned after it.
    pub async fn after<T>(self, result: Result<T>) -> Result<T> {
        let ok = result.is_ok();
        if self.dead.load(Ordering::SeqCst) {
            self.write(ok, "unheard, for the node is dead");
            return std::future::pending().await;
        }
        let Some((act, point)) = &self.plan else {
            let note = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
            self.write(ok, &note);
            return result;
        };
        match *act {
            Act::DieAfter | Act::DieMid(_) => {
                self.write(ok, "and dies");
                point.strike();
                std::future::pending().await
            }
            Act::Lose | Act::FailMid(_) => {
                self.write(ok, "and the connection is lost");
                point.strike();
                Err(self.lost())
            }
            Act::PauseMid(_) if self.done.operation == Operation::Store => {
                self.write(ok, "at last");
                result
            }
            Act::PauseAfter | Act::PauseMid(_) => {
                self.write(ok, "and waits");
                point.strike();
                point.released().await;
                result
            }
            _ => {
                self.write(ok, "at last");
                result
            }
        }
    }

    fn loses(&self) -> bool {
        matches!(self.plan, Some((Act::Fail | Act::Lose | Act::Late | Act::FailMid(_), _)))
    }

    fn lost(&self) -> TransportError {
        let operation = self.done.operation;
        TransportError::retryable(Kind::Connection, operation, "lost, as planned")
            .at(&self.done.path)
    }

    fn write(&self, ok: bool, note: &str) {
        self.log.push(Done { ok, note: note.to_owned(), ..self.done.clone() });
    }
}

/// Performs an operation of the inner session as planned.
macro_rules! perform {
    ($self:ident, $operation:ident, $path:expr, $to:expr, $call:expr) => {{
        if $self.is_lost() {
            return Err(TransportError::closed(Operation::$operation));
        }
        let mut begun = $self.wire.begin(Operation::$operation, $path, $to);
        $self.lost |= begun.loses();
        $self.later(&begun).await;
        begun.before().await?;
        let result = $call.await;
        begun.after(result).await
    }};
}

#[async_trait]
impl Session for WireSession {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        perform!(self, Stat, path.as_str(), None, self.inner.stat(path))
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let path = folder.as_ref().map_or("", |folder| folder.as_str());
        perform!(self, List, path, None, self.inner.list(folder))
    }

    async fn fetch(&mut self, mut download: Download) -> Result<u64> {
        if self.is_lost() {
            return Err(TransportError::closed(Operation::Fetch));
        }
        let mut begun = self.wire.begin(Operation::Fetch, download.path.as_str(), None);
        self.later(&begun).await;
        if let Some((Act::Corrupt(left), point)) = &begun.plan {
            let (left, point) = (*left, point.clone());
            download.sink = Sink::new(Scribbler { inner: download.sink, left, point });
        }
        self.lost |= begun.loses();
        begun.before().await?;
        let result = self.inner.fetch(download).await;
        begun.after(result).await
    }

    async fn store(&mut self, mut upload: Upload) -> Result<Stored> {
        if self.is_lost() {
            return Err(TransportError::closed(Operation::Store));
        }
        let span = format!("{} bytes at {}", upload.length, upload.offset);
        let mut begun = self.wire.begin(Operation::Store, upload.path.as_str(), Some(span));
        self.later(&begun).await;
        if let Some((act, point)) = &begun.plan
            && let Act::FailMid(left)
            | Act::DieMid(left)
            | Act::PauseMid(left)
            | Act::EarlyEnd(left)
            | Act::Corrupt(left) = *act
        {
            let (act, point) = (*act, point.clone());
            let gate = Gate { inner: upload.source, left, act, point, open: false };
            upload.source = Source::new(gate);
        }
        self.lost |= begun.loses();
        begun.before().await?;
        let result = self.inner.store(upload).await;
        begun.after(result).await
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        let onto = Some(to.to_string());
        perform!(self, Rename, from.as_str(), onto, self.inner.rename(from, to))
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        perform!(self, Remove, path.as_str(), None, self.inner.remove(path))
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        perform!(self, MakeFolder, path.as_str(), None, self.inner.make_folder(path))
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        perform!(self, RemoveFolder, path.as_str(), None, self.inner.remove_folder(path))
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        let at = path.to_string();
        perform!(self, Checksum, &at, None, self.inner.checksum(path, algorithm, length))
    }

    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>> {
        perform!(self, Tell, "", None, self.inner.tell(notice))
    }

    async fn ping(&mut self) -> Result<()> {
        perform!(self, Ping, "", None, self.inner.ping())
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}
