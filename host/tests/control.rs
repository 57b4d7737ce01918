//! The two ends of the control API against each other, over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)] // Tests may.

mod fake_operations;

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use fake_operations::FakeOperations;
use ferryway_core::{Event, JobId, Outcome, Status};
use ferryway_host::{
    control::{
        Operations,
        api::{
            BATCH_LIMIT, BODY_LIMIT, Command, Reason, Refusal, Service, ServiceOrder, ServiceState,
            SubmitRequest,
        },
        client::{Client, ClientError},
        server::{self, CONNECTION_LIMIT},
        socket::{BindError, ControlSocket, PATH_LIMIT, socket_path},
    },
    journal::record::HistoryQuery,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    host: Arc<FakeOperations>,
    client: Client,
    run_dir: TempDir,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn start() -> Running {
    let run_dir = TempDir::new().unwrap();
    let socket = ControlSocket::bind(run_dir.path()).await.unwrap();
    let host = Arc::new(FakeOperations::new());
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { drop(stopped.await) };
    let server = tokio::spawn(server::serve(socket, host.clone(), stopped));
    Running { host, client: Client::new(run_dir.path()), run_dir, stop, server }
}

fn request(definition: &str) -> SubmitRequest {
    let definition = definition.parse().unwrap();
    SubmitRequest { definition, local: None, remote: None, key: None }
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Reason {
    match result.unwrap_err() {
        ClientError::Refused(refusal) => refusal.reason,
        other => panic!("not a refusal: {other}"),
    }
}

/// Sends bytes as they are and gives the answer as far as it comes.
async fn raw(run_dir: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket_path(run_dir)).await.unwrap();
    // The server may answer and leave before it has read all.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap());
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn every_request_comes_through_and_back() {
    let running = start().await;
    let client = &running.client;

    let mut named = request("PRDY01");
    named.local = Some("/data/月次.csv".into());
    named.remote = Some("in/月次.csv".to_owned());
    named.key = Some("k1".to_owned());
    let jobs = client.submit(&[named.clone(), request("PRDY02")]).await.unwrap();
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["PRDY011", "PRDY021"]);
    assert_eq!(jobs[0].local(), Path::new("/data/月次.csv"));
    let again = client.submit(&[named]).await.unwrap();
    assert_eq!(again[0].id, jobs[0].id, "the key names the job");

    running.host.transfer(&id("PRDY011"), 7, 10);
    let in_flight = client.jobs().await.unwrap();
    assert_eq!(in_flight.len(), 2);
    assert_eq!(in_flight[0].progress.unwrap().done, 7);
    let view = client.job(&id("PRDY011")).await.unwrap();
    assert_eq!(view, in_flight[0]);
    let entries = client.entries(&id("PRDY011")).await.unwrap();
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[3].event, Some(Event::Begin));

    let held = client.command(&id("PRDY021"), Command::Hold).await.unwrap();
    assert_eq!((held.status, held.state.held), (Status::Suspended, true));
    let order = Command::Restart { force: true };
    let restarted = client.command(&id("PRDY021"), order).await.unwrap();
    assert_eq!(restarted.status, Status::Accepted);
    client.command(&id("PRDY021"), Command::Cancel).await.unwrap();

    let past = client.history(&HistoryQuery { limit: 5, ..HistoryQuery::default() }).await.unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!(past[0].status, Status::Idle(Outcome::Cancelled));
    let health = client.health().await.unwrap();
    assert_eq!((health.in_flight, health.moving, health.node.as_str()), (1, 1, "node1"));
    assert_eq!(client.probe().await.unwrap().took_us, 2_500);
    assert_eq!(client.reload().await.unwrap().message, "2 definitions are in force");
}

#[tokio::test]
async fn orders_for_services_come_through_and_back() {
    let running = start().await;
    let client = &running.client;
    let runs = async || client.health().await.unwrap().services;
    for (service, order, changed) in [
        (Service::Socket, ServiceOrder::Start, true),
        (Service::Transfer, ServiceOrder::Start, true),
        (Service::Transfer, ServiceOrder::Start, false),
        (Service::Transfer, ServiceOrder::Stop, true),
    ] {
        let state = client.service(service, order).await.unwrap();
        let running = order == ServiceOrder::Start;
        assert_eq!(state, ServiceState { service, running, changed });
    }
    assert_eq!(runs().await, [Service::Socket]);

    let refusal = Refusal::new(Reason::Conflict, "`transfer` needs `socket`");
    running.host.refuse(Some(refusal.clone()));
    match client.service(Service::Transfer, ServiceOrder::Start).await {
        Err(ClientError::Refused(said)) => assert_eq!(said, refusal),
        other => panic!("not refused: {other:?}"),
    }
    running.host.refuse(None);
    for (path, order) in [("mail", "\"start\""), ("socket", "\"restart\""), ("socket", "")] {
        let request = format!(
            "POST /v1/services/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{order}",
            order.len()
        );
        let answer = raw(running.run_dir.path(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path} {order}: {answer}");
    }
    assert_eq!(runs().await, [Service::Socket], "what is no order changes nothing");
}

#[tokio::test]
async fn history_is_filtered_and_paged() {
    let running = start().await;
    running.client.submit(&vec![request("PRDY01"); 120]).await.unwrap();
    running.client.submit(&[request("PRDY02")]).await.unwrap();
    for number in 1..=120 {
        running.host.complete(&id(&format!("PRDY01{number}")));
    }
    running.host.complete(&id("PRDY021"));
    let ask = async |query| running.client.history(&query).await.unwrap();

    assert_eq!(ask(HistoryQuery::default()).await.len(), 100, "the page of those who name none");
    let of_one = HistoryQuery { definition: Some("PRDY02".parse().unwrap()), ..page(50) };
    assert_eq!(ask(of_one).await[0].id, id("PRDY021"));
    let next = HistoryQuery { before_sequence: Some(120), ..page(2) };
    let ids: Vec<JobId> = ask(next).await.into_iter().map(|job| job.id).collect();
    assert_eq!(ids, [id("PRDY01119"), id("PRDY01118")]);
    let now = fake_operations::start();
    assert_eq!(ask(HistoryQuery { since: Some(now), ..page(3) }).await.len(), 3);
    assert_eq!(ask(HistoryQuery { until: Some(now), ..page(3) }).await.len(), 0);
}

fn page(limit: usize) -> HistoryQuery {
    HistoryQuery { limit, ..HistoryQuery::default() }
}

#[tokio::test]
async fn waiting_ends_with_the_jobs_or_with_the_time() {
    let running = start().await;
    let jobs = running.client.submit(&[request("PRDY01"), request("PRDY02")]).await.unwrap();
    let ids: Vec<JobId> = jobs.into_iter().map(|job| job.id).collect();

    let early = running.client.wait(&ids, Duration::from_millis(10)).await.unwrap();
    assert!(early.iter().all(|job| job.status == Status::Accepted));

    let client = running.client.clone();
    let all = ids.clone();
    let waiting = tokio::spawn(async move { client.wait(&all, DEADLINE).await });
    running.host.called(3).await;
    running.host.complete(&ids[0]);
    running.host.advance(&ids[1], &[Event::Suspend], |_| {});
    let late = timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(late[0].status, Status::Idle(Outcome::Completed));
    assert_eq!(late[1].status, Status::Suspended, "a suspended job is not waited for");
}

#[tokio::test]
async fn refusals_keep_their_kind_and_text() {
    let running = start().await;
    let client = &running.client;
    client.submit(&[request("PRDY01")]).await.unwrap();

    assert_eq!(reason(client.submit(&[request("NOPE")]).await), Reason::NotFound);
    assert_eq!(reason(client.job(&id("X1")).await), Reason::NotFound);
    assert_eq!(reason(client.entries(&id("X1")).await), Reason::NotFound);
    assert_eq!(reason(client.command(&id("X1"), Command::Hold).await), Reason::NotFound);
    assert_eq!(reason(client.command(&id("PRDY011"), Command::Release).await), Reason::Conflict);
    assert_eq!(reason(client.wait(&[], DEADLINE).await), Reason::Invalid);
    assert_eq!(reason(client.wait(&[id("X1")], DEADLINE).await), Reason::NotFound);
    assert_eq!(reason(client.submit(&[]).await), Reason::Invalid);
    let too_many = vec![request("PRDY01"); BATCH_LIMIT + 1];
    assert_eq!(reason(client.submit(&too_many).await), Reason::Invalid);

    for kind in [Reason::Invalid, Reason::NotFound, Reason::Conflict, Reason::Unavailable] {
        let refusal = Refusal::new(kind, format!("because of {kind:?}"));
        running.host.refuse(Some(refusal.clone()));
        let job = id("PRDY011");
        let all = [
            client.submit(&[request("PRDY01")]).await.err(),
            client.jobs().await.err(),
            client.job(&job).await.err(),
            client.entries(&job).await.err(),
            client.command(&job, Command::Cancel).await.err(),
            client.wait(std::slice::from_ref(&job), DEADLINE).await.err(),
            client.history(&HistoryQuery::default()).await.err(),
            client.probe().await.err(),
            client.reload().await.err(),
        ];
        for error in all {
            match error {
                Some(ClientError::Refused(got)) => assert_eq!(got, refusal),
                other => panic!("not a refusal: {other:?}"),
            }
        }
    }
    assert!(client.health().await.is_ok(), "health is always told");
}

#[tokio::test]
async fn odd_requests_are_answered_with_a_refusal_and_a_fitting_status() {
    let running = start().await;
    let long = format!("POST /v1/jobs HTTP/1.1\r\ncontent-length: {}\r\n", BODY_LIMIT + 1);
    let endless = "POST /v1/jobs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n900000\r\n";
    let post = |path: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let cases = [
        (format!("{long}\r\n"), 413, "split it"),
        (format!("{endless}{}", " ".repeat(BODY_LIMIT + 1)), 413, "split it"),
        ("GET /v2/jobs HTTP/1.1\r\n\r\n".to_owned(), 404, "the control API has no `/v2/jobs`"),
        ("DELETE /v1/jobs HTTP/1.1\r\n\r\n".to_owned(), 405, "does not take DELETE"),
        ("GET /v1/jobs/a..b HTTP/1.1\r\n\r\n".to_owned(), 400, "job id"),
        ("GET /v1/jobs/%ff HTTP/1.1\r\n\r\n".to_owned(), 400, "UTF-8"),
        ("GET /v1/history?since=soon HTTP/1.1\r\n\r\n".to_owned(), 400, "since"),
        (post("/v1/jobs", "[{"), 400, "not understood"),
        (post("/v1/jobs", r#"[{"definition":"A","colour":1}]"#), 400, "colour"),
        (post("/v1/jobs/A1/command", r#""explode""#), 400, "explode"),
        (post("/v1/wait", "{}"), 400, "missing field"),
    ];
    for (bytes, status, text) in cases {
        let closing = bytes.replacen("\r\n", "\r\nhost: x\r\nconnection: close\r\n", 1);
        let answer = raw(running.run_dir.path(), closing.as_bytes()).await;
        let bytes = &bytes[..bytes.len().min(200)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}\n{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let refusal: Refusal = serde_json::from_str(body).unwrap();
        assert!(refusal.message.contains(text), "{bytes}\n{refusal}");
    }
    let mut big = request("PRDY01");
    big.key = Some("x".repeat(BODY_LIMIT));
    let error = running.client.submit(&[big]).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn what_a_client_asked_for_is_done_though_it_leaves() {
    let running = start().await;
    let gate = running.host.close_gate().await;
    let client = running.client.clone();
    let asking = tokio::spawn(async move { client.submit(&[request("PRDY01")]).await });
    running.host.called(1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    // The server has seen the client leave when it stops without a request under way.
    running.stop.send(()).unwrap();
    timeout(DEADLINE, running.server).await.unwrap().unwrap();
    drop(gate);
    let accepted = async {
        while running.host.jobs().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, accepted).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let running = start().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTION_LIMIT {
        let mut stream = UnixStream::connect(running.client.socket()).await.unwrap();
        // A request that came back proves that the connection has its place.
        stream.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap();
        idle.push(stream);
    }
    let mut health = Box::pin(running.client.health());
    assert!(timeout(Duration::from_millis(100), &mut health).await.is_err());
    drop(idle.pop());
    timeout(DEADLINE, health).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let parent = TempDir::new().unwrap();
    let run_dir = parent.path().join("a").join("b");
    let socket = ControlSocket::bind(&run_dir).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&run_dir), mode(socket.path())), (0o700, 0o600));
    drop(socket);
    assert!(!socket_path(&run_dir).exists());

    let replaced = ControlSocket::bind(&run_dir).await.unwrap();
    fs::remove_file(replaced.path()).unwrap();
    let _others = UnixListener::bind(replaced.path()).unwrap();
    drop(replaced);
    assert!(socket_path(&run_dir).exists(), "what is another's stays");
    fs::remove_file(socket_path(&run_dir)).unwrap();

    fs::set_permissions(&run_dir, Permissions::from_mode(0o770)).unwrap();
    let error = ControlSocket::bind(&run_dir).await.unwrap_err();
    assert!(matches!(error, BindError::Unsafe { mode: 0o770, .. }), "{error}");
}

#[tokio::test]
async fn a_dead_hosts_socket_is_replaced_and_a_living_hosts_is_not() {
    let run_dir = TempDir::new().unwrap();
    let path = socket_path(run_dir.path());
    // Dropping a listener of the standard library leaves its file, as a killed process does.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let error = Client::new(run_dir.path()).health().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");

    let first = ControlSocket::bind(run_dir.path()).await.unwrap();
    let error = ControlSocket::bind(run_dir.path()).await.unwrap_err();
    let ours = format!("another host (process {})", std::process::id());
    assert!(error.to_string().starts_with(&ours), "{error}");
    drop(first);

    let stranger = UnixListener::bind(&path).unwrap();
    let error = ControlSocket::bind(run_dir.path()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { process: None, .. }), "{error}");
    drop(stranger);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let error = ControlSocket::bind(run_dir.path()).await.unwrap_err();
    assert!(matches!(error, BindError::InTheWay { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_host_that_takes_over_replaces_a_living_one() {
    let old = start().await;
    let host = Arc::new(FakeOperations::new());
    let socket = ControlSocket::replace(old.run_dir.path()).unwrap();
    tokio::spawn(server::serve(socket, host.clone(), std::future::pending()));
    old.client.submit(&[request("PRDY01")]).await.unwrap();
    assert_eq!((old.host.calls(), host.calls()), (0, 1), "the newer one is asked");

    old.stop.send(()).unwrap();
    timeout(DEADLINE, old.server).await.unwrap().unwrap();
    assert!(old.client.health().await.is_ok(), "the old one takes only its own socket away");
    let third = ControlSocket::bind(old.run_dir.path()).await;
    assert!(matches!(third, Err(BindError::InUse { process: Some(_), .. })), "{third:?}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_refused_in_words() {
    let run_dir = TempDir::new().unwrap();
    let error = ControlSocket::bind(&run_dir.path().join("x".repeat(PATH_LIMIT))).await;
    assert!(matches!(error, Err(BindError::PathTooLong { .. })));
}

#[tokio::test]
async fn a_stopped_server_answers_what_is_under_way_and_is_gone() {
    let running = start().await;
    let jobs = running.client.submit(&[request("PRDY01")]).await.unwrap();
    let job = jobs[0].id.clone();
    let client = running.client.clone();
    let waiting = tokio::spawn(async move { client.wait(&[job], DEADLINE).await });
    running.host.called(2).await;
    running.stop.send(()).unwrap();
    timeout(DEADLINE, async {
        while socket_path(running.run_dir.path()).exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let error = running.client.health().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
    running.host.complete(&jobs[0].id);
    let answer = timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(answer[0].status, Status::Idle(Outcome::Completed));
    timeout(DEADLINE, running.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_client_tells_silence_from_absence() {
    let run_dir = TempDir::new().unwrap();
    let nobody = Client::new(&run_dir.path().join("none")).health().await.unwrap_err();
    assert!(matches!(nobody, ClientError::NotRunning { .. }), "{nobody}");

    let listener = tokio::net::UnixListener::bind(socket_path(run_dir.path())).unwrap();
    let client = Client::new(run_dir.path());
    let answer = async |bytes: &'static [u8]| {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(bytes).await.unwrap();
    };
    let (error, ()) = tokio::join!(client.health(), answer(b""));
    assert!(matches!(error, Err(ClientError::Connection { .. })), "{error:?}");
    let strange = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let (error, ()) = tokio::join!(client.health(), answer(strange));
    assert!(matches!(error, Err(ClientError::Answer { .. })), "{error:?}");
}
