//! What happens on a plugin's side stays there, and what is to cross does.

use std::{
    error::Error,
    io,
    os::unix::fs::symlink,
    sync::{Arc, LazyLock},
};

use ferryway_core::{
    Class, Kind, Operation, RemotePath, TransportError,
    bytes::{ByteSink, ByteSource, Meter, Sink, Source},
    transport::{Download, Partner, Session, Stored, Transport, Upload},
};
use tempfile::TempDir;
use tracing::Instrument;

use crate::{
    log::Log,
    support::{built, file_name, load},
};

#[tokio::test]
async fn a_panic_in_an_operation_ends_the_session_and_nothing_else() {
    let mut session = session("panicking").await;
    let error = session.stat(path("panic")).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (Kind::Panicked, Operation::Stat));
    assert!(matches!(error.class(), Class::Retryable { .. }), "{error:?}");
    assert!(error.to_string().contains("told to, in an operation"), "{error}");
    in_log(&["ERROR", "a plugin panicked", "told to, in an operation"]).await;

    assert_eq!(session.ping().await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(session.stat(path("tasks")).await.unwrap_err().kind(), Kind::Closed);
    self::session("after-a-panic").await.ping().await.unwrap();
}

#[tokio::test]
async fn a_panic_outside_of_operations_is_an_error_too() {
    let error = connect("p1", "panic").await.err().unwrap();
    assert_eq!((error.kind(), error.operation()), (Kind::Panicked, Operation::Connect));

    let error = connect("p2", "late_panic").await.err().unwrap();
    assert_eq!(error.kind(), Kind::Panicked);
    assert!(error.to_string().contains("asked for capabilities"), "{error}");

    let mut session = session("p3").await;
    assert_eq!(session.stat(path("panic-later")).await.unwrap_err().kind(), Kind::Panicked);
    assert_eq!(session.ping().await.unwrap_err().kind(), Kind::Closed);

    let faults = unruly().check_config(&toml::Table::from_iter([("panic".into(), 1.into())]));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].message.contains("told to, by the settings"), "{faults:?}");
}

#[tokio::test]
async fn dropping_an_operation_cancels_it_and_closes_the_session() {
    let mut session = session("hanging").await;
    tokio::select! {
        result = session.stat(path("hang")) => panic!("it ended: {result:?}"),
        _line = in_log(&["message=hanging", "partner=hanging"]) => {}
    }
    in_log(&["message=cancelled", "partner=hanging"]).await;
    assert_eq!(session.stat(path("log")).await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(session.close().await.unwrap_err().kind(), Kind::Closed);
    // The plugin drops its session where its sockets' reactor is.
    in_log(&["session dropped", "partner=hanging", "runtime=true"]).await;
}

#[tokio::test]
async fn a_session_that_the_host_drops_is_dropped_on_the_plugins_runtime() {
    drop(session("dropped").await);
    in_log(&["session dropped", "partner=dropped", "runtime=true"]).await;
}

#[tokio::test]
async fn tasks_sockets_and_timers_of_a_plugin_work() {
    let stat = session("tasks").await.stat(path("tasks")).await.unwrap();
    assert_eq!(stat.size, Some(17));
}

/// The host need not run tokio at all.
#[test]
fn a_plugin_works_without_a_runtime_of_the_host() {
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stat = executor.block_on(async { session("bare").await.stat(path("tasks")).await });
    assert_eq!(stat.unwrap().size, Some(17));
}

#[tokio::test]
async fn a_plugins_events_reach_the_hosts_log_within_the_hosts_span() {
    let mut session = session("logging").await;
    let span = tracing::info_span!("attempt");
    session.stat(path("log")).instrument(span).await.unwrap();
    let line = in_log(&["from inside", "partner=logging"]).await;
    assert!(line.starts_with("INFO in:attempt "), "{line}");
    assert!(line.contains("answer=42"), "{line}");
}

#[tokio::test]
async fn errors_and_narrowed_capabilities_cross() {
    let mut session = session("crossing").await;
    let error = session.stat(path("in/held.dat")).await.unwrap_err();
    assert_eq!((error.class(), error.kind()), (Class::Locked, Kind::Locked));
    assert_eq!(error.path(), Some("in/held.dat"));

    assert_eq!(session.capabilities(), unruly().capabilities());
    session.stat(path("narrow")).await.unwrap();
    assert!(session.capabilities().checksums.is_empty());
}

#[tokio::test]
async fn bytes_cross_in_both_directions() {
    let mut session = session("bytes").await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let (result, meter) = fetch(&mut *session, Collect(sender)).await;
    assert_eq!((result.unwrap(), meter.bytes()), (4000, 4000));
    let chunks: Vec<Vec<u8>> = receiver.iter().collect();
    assert_eq!(chunks.concat(), (0..4).flat_map(|chunk| [chunk; 1000]).collect::<Vec<u8>>());

    let (result, meter) = store(&mut *session, Ends { after: 2500 }).await;
    assert_eq!((result.unwrap().bytes, meter.bytes()), (2500, 2500));
}

#[tokio::test]
async fn a_panic_or_an_error_of_the_hosts_own_sink_or_source_is_a_local_error() {
    let mut session = session("shields").await;
    let (result, meter) = fetch(&mut *session, Fails).await;
    assert_local(&result.unwrap_err(), Operation::Fetch, "the disk is full");
    assert_eq!(meter.bytes(), 0);

    let (result, _) = fetch(&mut *session, Panics).await;
    assert_local(&result.unwrap_err(), Operation::Fetch, "a fault of the host's sink");
    let (result, _) = store(&mut *session, Panics).await;
    assert_local(&result.unwrap_err(), Operation::Store, "a fault of the host's source");
    // The plugin's session took no harm.
    session.ping().await.unwrap();
}

fn assert_local(error: &TransportError, operation: Operation, cause: &str) {
    assert_eq!((error.kind(), error.operation()), (Kind::Local, operation));
    assert_eq!(error.source().unwrap().to_string(), cause);
}

fn unruly() -> Arc<dyn Transport> {
    static UNRULY: LazyLock<Arc<dyn Transport>> = LazyLock::new(|| {
        let folder = TempDir::new().unwrap();
        symlink(built("unruly_transport"), folder.path().join(file_name("unruly"))).unwrap();
        let plugins = load(folder.path());
        plugins.transport("unruly").unwrap_or_else(|| panic!("{plugins:?}"))
    });
    Arc::clone(&UNRULY)
}

async fn session(partner: &str) -> Box<dyn Session> {
    connect(partner, "peaceful").await.unwrap()
}

async fn connect(partner: &str, setting: &str) -> Result<Box<dyn Session>, TransportError> {
    let settings = toml::Table::from_iter([(setting.to_owned(), true.into())]);
    let name = partner.parse().unwrap();
    unruly()
        .connect(Partner {
            name,
            settings,
            source_address: None,
            ours: ferryway_mocks::conformance::introduction(),
        })
        .await
}

async fn fetch(
    session: &mut dyn Session,
    sink: impl ByteSink + 'static,
) -> (Result<u64, TransportError>, Arc<Meter>) {
    let (sink, meter) = (Sink::new(sink), Meter::new());
    let download = Download { path: path("any"), offset: 0, sink, meter: Arc::clone(&meter) };
    (session.fetch(download).await, meter)
}

async fn store(
    session: &mut dyn Session,
    source: impl ByteSource + 'static,
) -> (Result<Stored, TransportError>, Arc<Meter>) {
    let (source, meter) = (Source::new(source), Meter::new());
    let path = path("any");
    let upload = Upload { path, offset: 0, length: 2500, source, meter: Arc::clone(&meter) };
    (session.store(upload).await, meter)
}

async fn in_log(texts: &'static [&'static str]) -> String {
    tokio::task::spawn_blocking(|| Log::watch().wait_for(texts)).await.unwrap()
}

fn path(text: &str) -> RemotePath {
    text.parse().unwrap()
}

struct Collect(std::sync::mpsc::Sender<Vec<u8>>);

impl ByteSink for Collect {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.0.send(chunk.to_vec()).map_err(io::Error::other)
    }
}

struct Ends {
    after: usize,
}

impl ByteSource for Ends {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let read = self.after.min(chunk.len());
        self.after -= read;
        Ok(read)
    }
}

struct Fails;

impl ByteSink for Fails {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("the disk is full"))
    }
}

struct Panics;

impl ByteSink for Panics {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        panic!("a fault of the host's sink")
    }
}

impl ByteSource for Panics {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("a fault of the host's source")
    }
}
