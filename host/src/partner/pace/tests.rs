//! The pace by a clock that only sleeps move.

use ferryway_core::{
    Epoch,
    bytes::Meter,
    reception::Introduction,
    transport::{Partner, Transport},
};
use ferryway_mocks::memory_transport::{MemoryPartner, MemoryTransport};

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

    fn sleep(&self, time: Duration) {
        lock(&self.slept).push(time);
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
    for _ in 0..10 {
        pace.wait(RATE as usize / 10);
    }
    assert!(close(clock.passed(), 1001.0), "{:?}", clock.passed());
}
