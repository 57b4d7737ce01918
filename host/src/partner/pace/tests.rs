//! The pace by a clock that only sleeps move.

use ferryway_core::{
    Epoch,
    bytes::Meter,
    reception::Introduction,
    transport::{Partner, Transport},
};
use ferryway_mocks::{
    memory_transport::{MemoryPartner, MemoryTransport},
    streams::{Then, source_then},
};

use super::*;

const RATE: u64 = 100_000;

/// Stands still but for those who sleep.
struct StillClock {
    start: Instant,
    slept: Mutex<Vec<Duration>>,
}

impl StillClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), slept: Mutex::default() })
    }

    fn passed(&self) -> Duration {
        lock(&self.slept).iter().sum()
    }

    fn longest(&self) -> Duration {
        lock(&self.slept).iter().max().copied().unwrap_or_default()
    }
}

impl Clock for StillClock {
    fn now(&self) -> Instant {
        self.start + self.passed()
    }

    fn alarm(&self, time: Duration) -> Alarm {
        self.sleep(time);
        Box::pin(std::future::ready(()))
    }

    fn sleep(&self, time: Duration) {
        lock(&self.slept).push(time);
    }
}

/// Stands still, and nobody may block.
struct Stopped(Instant);

impl Clock for Stopped {
    fn now(&self) -> Instant {
        self.0
    }

    fn alarm(&self, _: Duration) -> Alarm {
        Box::pin(std::future::pending())
    }

    fn sleep(&self, time: Duration) {
        assert!(time.is_zero(), "a thread is held");
    }
}

fn pace(clock: &Arc<StillClock>) -> Pace {
    Pace::new(NonZeroU64::new(RATE).unwrap(), Arc::clone(clock) as Arc<dyn Clock>)
}

fn close(passed: Duration, seconds: f64) -> bool {
    (passed.as_secs_f64() - seconds).abs() < 1e-3
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_and_all_sessions_share_one_rate() {
    let clock = StillClock::new();
    let transport = PacedTransport {
        transport: Arc::new(MemoryTransport::new(MemoryPartner::default())),
        pace: pace(&clock),
    };
    let ours = Introduction {
        host: "night.example".to_owned(),
        instance: "night".parse().unwrap(),
        epoch: Epoch::new(1).unwrap(),
    };
    let partner = Partner {
        name: "P".parse().unwrap(),
        settings: toml::Table::new(),
        source_address: None,
        ours,
    };
    let content: Vec<u8> = (0..250_000_u32).map(|n| n as u8).collect();
    let path: RemotePath = "a".parse().unwrap();
    let mut one = transport.connect(partner.clone()).await.unwrap();
    let source = Source::of_bytes(content.clone());
    let (length, meter) = (content.len() as u64, Meter::new());
    let upload = Upload { path: path.clone(), offset: 0, length, source, meter };
    one.store(upload).await.unwrap();
    assert!(close(clock.passed(), 2.5), "{:?}", clock.passed());
    let mut other = transport.connect(partner).await.unwrap();
    let (sink, kept) = Sink::in_memory(content.len());
    other.fetch(Download { path, offset: 0, sink, meter: Meter::new() }).await.unwrap();
    assert!(kept.take() == content, "other bytes arrived");
    assert!(close(clock.passed(), 5.0), "{:?}", clock.passed());
    // Who comes in between waits for a piece, not for a file.
    assert!(clock.longest() <= Duration::from_millis(126), "{:?}", clock.longest());
}

#[test]
fn a_pause_saves_nothing_up() {
    let clock = StillClock::new();
    let pace = pace(&clock);
    clock.sleep(Duration::from_secs(1000));
    let mut turns = Turns::new(pace);
    for _ in 0..10 {
        assert_eq!(turns.take(RATE as usize / 10), RATE as usize / 10);
    }
    assert!(close(clock.passed(), 1001.0), "{:?}", clock.passed());
}

fn source(bytes: usize, pace: &Pace) -> Source {
    let (source, left) = (Source::of_bytes(vec![7; bytes]), bytes as u64);
    Source::new(PacedSource { source, left, turns: Turns::new(pace.clone()) })
}

#[test]
fn who_is_not_ready_yet_can_be_asked_again_and_holds_no_thread() {
    let pace = Pace::new(NonZeroU64::new(RATE).unwrap(), Arc::new(Stopped(Instant::now())));
    let (mut source, mut ended) = (source(10_000, &pace), source(0, &pace));
    let (sink, kept) = Sink::in_memory(10_000);
    let mut sink = Sink::new(PacedSink { sink, turns: Turns::new(pace.clone()) });
    for _ in 0..3 {
        assert_eq!((source.ready_now(500), sink.ready_now(500)), (None, None));
    }
    // Each is asked as often as one likes, and has one turn.
    let paid = lock(&pace.paid).duration_since(pace.clock.now());
    assert!(close(paid, 2.0 * 500.0 / RATE as f64), "{paid:?}");
    assert_eq!(ended.read(&mut [0; 9]).unwrap(), 0, "the end waits for nobody's turn");
    drop((source, sink, kept));
    assert_eq!(*lock(&pace.paid), pace.clock.now(), "a turn that is not used is another's");
}

#[tokio::test]
async fn who_was_waited_for_moves_at_once() {
    let clock = StillClock::new();
    let pace = pace(&clock);
    let mut source = source(30_000, &pace);
    let (sink, kept) = Sink::in_memory(30_000);
    let mut sink = Sink::new(PacedSink { sink, turns: Turns::new(pace.clone()) });
    let (mut chunk, mut moved) = (vec![0; 40_000], 0);
    while moved < 30_000 {
        let ready = source.ready(chunk.len()).await;
        assert!(ready <= pace.piece(), "{ready}");
        let before = clock.passed();
        let read = source.read(&mut chunk).unwrap();
        assert_eq!((clock.passed(), read), (before, ready));
        moved += read;
        let mut piece = &chunk[..read];
        while !piece.is_empty() {
            let ready = sink.ready(piece.len()).await;
            let before = clock.passed();
            sink.write(&piece[..ready]).unwrap();
            assert_eq!(clock.passed(), before);
            piece = &piece[ready..];
        }
    }
    assert_eq!(source.ready(chunk.len()).await, chunk.len(), "the end is no wait");
    assert_eq!(source.read(&mut chunk).unwrap(), 0);
    assert_eq!(kept.take().len(), 30_000);
    assert!(close(clock.passed(), 0.6), "{:?}", clock.passed());
}

#[tokio::test]
async fn of_a_turn_no_more_is_paid_for_than_is_used() {
    let clock = StillClock::new();
    let pace = pace(&clock);
    let few = source_then(vec![7; 10_000], 1000, Then::End);
    let turns = Turns::new(pace.clone());
    let mut source = Source::new(PacedSource { source: few, left: 10_000, turns });
    assert_eq!(source.ready(10_000).await, 10_000);
    assert_eq!(source.read(&mut [0; 3000]).unwrap(), 1000, "less than was asked for");
    drop(source);
    let paid = lock(&pace.paid).duration_since(clock.start);
    assert!(close(paid, 1000.0 / RATE as f64), "{paid:?}");
}
