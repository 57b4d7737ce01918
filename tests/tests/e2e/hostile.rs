//! Strangers and visitors that do what they should not, at the door of a real host: each is
//! refused within its limits and told of once, while a transfer goes on beside them, and the
//! host's memory stays bounded.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use ferryway_core::{
    Epoch, Kind, TransportError,
    bytes::Meter,
    reception::Introduction,
    transport::{Partner, Session, Transport, Upload},
};
use ferryway_mocks::streams;
use ferryway_socket::Socket;
use ferryway_tests::{
    content::Content,
    peers::{Peers, Security, Setup, seconds},
    scene::MIB,
    wait::{LIMIT, wait_until},
};
use tokio::runtime::Runtime;

/// Connections of the crowd.
const CROWD: usize = 5_000;

/// How many of them stay open at this end; the first are those that the host keeps.
const KEPT: usize = 100;

/// What the host may need at most beyond what it had.
const MEMORY: u64 = 64 * MIB;

/// A greeting of this version without protection.
fn greeting(version: u8) -> Vec<u8> {
    let mut bytes = b"FERRYWAY".to_vec();
    bytes.extend([0, version, 0, 0, 0, 0, 0x75, 0x30]);
    bytes.resize(48, 7);
    bytes
}

/// Says something and then nothing more, until the host hangs up; how long that took.
fn say(door: SocketAddr, words: &[u8]) -> f64 {
    let (began, mut stream) = (Instant::now(), TcpStream::connect(door).unwrap());
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(words).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        // A connection that is cut with words unread is reset.
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("the door does not hang up")
        }
        _ => seconds(began),
    }
}

/// Comes as night in this ownership.
fn visit(
    runtime: &Runtime,
    door: SocketAddr,
    epoch: u64,
) -> Result<Box<dyn Session>, TransportError> {
    let settings =
        format!("host = 'localhost'\nport = {}\nsecurity = 'plain'\ntimeout_s = 5\n", door.port());
    let ours = Introduction {
        host: "night.example".to_owned(),
        instance: "night".parse().unwrap(),
        epoch: Epoch::new(epoch).unwrap(),
    };
    let name = "DAY".parse().unwrap();
    let settings = settings.parse().unwrap();
    let partner = Partner { name, settings, source_address: None, ours };
    runtime.block_on(Socket::default().connect(partner))
}

/// A value of `/proc/PID/status` in bytes.
fn memory(process: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// Opens connections that say nothing.
fn crowd(door: SocketAddr) -> Vec<TcpStream> {
    let mut kept = Vec::new();
    for _ in 0..CROWD {
        let stream = TcpStream::connect(door).unwrap();
        if kept.len() < KEPT {
            kept.push(stream);
        }
    }
    kept
}

#[test]
fn nothing_that_comes_to_the_door_disturbs_a_transfer() {
    let mut peers = Peers::build(Setup { rate: 2 * MIB, retry_s: 1, security: Security::Plain });
    let door = peers.day.start(0);
    // A former owner of night was here, so that there is one to come back.
    peers.night.start(0);
    peers.day.await_line("0502I", &["NIGHT", "Epoch(1)"]);
    peers.night.nodes[0].kill();
    peers.night.start(0);
    peers.day.await_line("0502I", &["NIGHT", "Epoch(2)"]);
    let content = Content::new(130, 48 * MIB);
    let job = peers.send("a.bin", content);
    let host = peers.day.nodes[0].process().unwrap();
    wait_until(LIMIT, "the job moves", || {
        ferryway_tests::scene::largest(&peers.day.incoming()) > 0
    });
    let (before, began) = (memory(host, "VmRSS:"), Instant::now());

    let oversized = [&greeting(2)[..], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1], &[0; 16]].concat();
    let half = [&greeting(2)[..], &[0, 0, 0, 1, 0, 0, 0, 1, 0], &[0; 5]].concat();
    let silences = [half, b"FERRY".to_vec()].map(|words| thread::spawn(move || say(door, &words)));
    for (what, words, limit) in [
        ("garbage", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\n".repeat(2), 2.0),
        ("another version", greeting(9), 2.0),
        ("an oversized frame", oversized, 2.0),
    ] {
        let took = say(door, &words);
        println!("{what}: refused after {took:.3} s");
        assert!(took < limit, "{what}: {took} s");
    }
    let runtime = Runtime::new().unwrap();
    let refused = visit(&runtime, door, 1).err().expect("a former owner is refused");
    assert_eq!(refused.kind(), Kind::Fenced, "{refused}");
    let mut session = visit(&runtime, door, 2).unwrap();
    for path in ["/etc/ferryway-was-here", "/tmp/../etc/x", "in/../../x"] {
        let Ok(path) = path.parse() else { continue };
        let bytes = b"x";
        let (source, length) = (streams::source(bytes), bytes.len() as u64);
        let upload = Upload { path, offset: 0, length, source, meter: Meter::new() };
        let refused = runtime.block_on(session.store(upload)).expect_err("it leads out");
        assert_eq!(refused.kind(), Kind::Denied, "{refused}");
    }
    drop(session);
    let kept = crowd(door);
    println!("{CROWD} connections came within {:.1} s of the first stranger", seconds(began));
    for silence in silences {
        let took = silence.join().unwrap();
        println!("half a frame, or half a greeting, and silence: refused after {took:.1} s");
        assert!(took < 15.0, "{took} s");
    }
    drop(kept);

    // The job has not noticed.
    let job = peers.delivered(&job, "a.bin", content);
    assert_eq!(job.state.attempts, 1, "the transfer was disturbed");
    let (peak, after) = (memory(host, "VmHWM:"), memory(host, "VmRSS:"));
    println!(
        "resident: {} KiB before, {} KiB at most, {} KiB after",
        before >> 10,
        peak >> 10,
        after >> 10
    );
    assert!(peak < before + MEMORY && after < before + MEMORY, "{before} {peak} {after}");
    for cause in ["garbage", "version", "silence", "crowd"] {
        let lines = peers.day.lines("0503W");
        let told = lines.iter().filter(|line| line.contains(&format!("Cause({cause})")));
        assert_eq!(told.count(), 1, "{cause}: {lines:#?}");
    }
    assert_eq!(peers.day.lines("0505W").len(), 1);
    // Its doors are open to others again.
    wait_until(Duration::from_secs(15), "a visitor comes in", || visit(&runtime, door, 2).is_ok());
}

#[test]
fn a_reload_ends_the_visit_of_who_is_not_expected_any_more() {
    let mut peers = Peers::build(Setup { rate: 2 * MIB, retry_s: 1, security: Security::Plain });
    peers.day.start(0);
    peers.night.start(0);
    let content = Content::new(131, 16 * MIB);
    let job = peers.send("a.bin", content);
    let incoming = peers.day.incoming();
    wait_until(LIMIT, "the job moves", || ferryway_tests::scene::largest(&incoming) > MIB);
    let file = peers.day.install.path().join("ferryway.toml");
    let whole = fs::read_to_string(&file).unwrap();
    let without = whole.replace("[listen.visitors.NIGHT]", "[listen.visitors.OTHER]");
    let without = without.replace("host_name = \"night.example\"", "host_name = \"other\"");
    assert_ne!(whole, without);
    let retry = without.replace("first_s = 1", "first_s = 2").replace("max_s = 1", "max_s = 2");
    fs::write(&file, retry).unwrap();
    let reloaded = peers.day.nodes[0].ftprel(&["reload"]).unwrap();
    let said = String::from_utf8_lossy(&reloaded.stdout).into_owned();
    assert!(said.contains("partners.NIGHT.retry"), "what counts later is said: {said}");
    peers.day.await_line("0111W", &["partners.NIGHT.retry"]);
    // The next try meets a door that does not know it.
    peers.night.await_line("0207E", &[job.as_str()]);
    assert!(ferryway_tests::scene::largest(&incoming) < content.size(), "it was shown out");
    fs::write(&file, whole).unwrap();
    assert!(peers.day.nodes[0].ftprel(&["reload"]).unwrap().status.success());
    let released = peers.night.nodes[0].ftprel(&["restart", job.as_str()]).unwrap();
    assert!(released.status.success(), "{released:?}");
    peers.delivered(&job, "a.bin", content);
}
