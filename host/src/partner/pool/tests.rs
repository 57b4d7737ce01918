use ferryway_core::{Kind, error::Reply, transport::Capabilities};
use ferryway_mocks::memory_transport::{Effect, MemoryPartner, MemoryTransport};
use tokio::task::yield_now;

use super::*;
use crate::partner::source_address::tests::Lab;

fn pool(limit: usize) -> Arc<Pool> {
    let sources = Lab::new().sources;
    Pool::new(transport(), partner(), SourceChoice::Fixed, sources, limit)
}

fn transport() -> Arc<dyn Transport> {
    Arc::new(MemoryTransport::new(MemoryPartner::new()))
}

/// A pool of one session, with a partner whose sessions share a connection and that has so many
/// rooms.
fn roomy_pool(rooms: usize) -> (Arc<Pool>, MemoryTransport) {
    let transport = MemoryTransport::new(MemoryPartner::new());
    let capabilities = Capabilities { rooms, ..transport.capabilities() };
    let transport = transport.with_capabilities(capabilities);
    let sources = Lab::new().sources;
    let shared = Arc::new(transport.clone());
    (Pool::new(shared, partner(), SourceChoice::Fixed, sources, 1), transport)
}

fn partner() -> Partner {
    let name = "BANK".parse().unwrap();
    let ours = ferryway_mocks::conformance::introduction();
    Partner { name, settings: toml::Table::new(), source_address: None, ours }
}

async fn lend(pool: &Arc<Pool>, stay: Stay) -> Lease {
    pool.slot(stay).await.unwrap().connect().await.unwrap()
}

/// Asks for a session, and goes as far as it gets without one.
async fn ask(pool: &Arc<Pool>, stay: Stay) -> tokio::task::JoinHandle<Lease> {
    let pool = Arc::clone(pool);
    let asking = tokio::spawn(async move { lend(&pool, stay).await });
    settle().await;
    asking
}

/// On a runtime of one thread every other task gets its turns.
async fn settle() {
    for _ in 0..16 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_paused_session_serves_who_has_little_and_comes_back_first() {
    let pool = pool(1);
    let first = lend(&pool, Stay::Long).await;
    let second = ask(&pool, Stay::Short).await;
    assert!(!second.is_finished());
    let paused = first.pause();
    let second = second.await.unwrap();
    let third = ask(&pool, Stay::Short).await;
    let back = tokio::spawn(paused.go_on());
    settle().await;
    assert!(!third.is_finished() && !back.is_finished());
    let paused = second.pause();
    let first = back.await.unwrap().unwrap();
    settle().await;
    assert!(!third.is_finished());
    first.give_back();
    third.await.unwrap().give_back();
    assert_eq!(pool.permits.available_permits(), 0);
    paused.go_on().await.unwrap().give_back();
    assert_eq!(lock(&pool.idle).len(), 1);
    assert_eq!(pool.permits.available_permits(), 1);
}

#[tokio::test]
async fn nobody_uses_a_paused_session_for_long_or_while_somebody_waits_for_that() {
    let pool = pool(1);
    let paused = lend(&pool, Stay::Long).await.pause();
    let long = ask(&pool, Stay::Long).await;
    let short = ask(&pool, Stay::Short).await;
    assert!(!long.is_finished() && !short.is_finished());
    paused.go_on().await.unwrap().give_back();
    long.await.unwrap().give_back();
    short.await.unwrap().give_back();
}

#[tokio::test]
async fn a_session_lost_in_between_is_made_anew() {
    let pool = pool(1);
    let paused = lend(&pool, Stay::Long).await.pause();
    drop(lend(&pool, Stay::Short).await);
    let mut again = paused.go_on().await.unwrap();
    again.session().ping().await.unwrap();
    again.give_back();
    assert_eq!(lock(&pool.idle).len(), 1);
}

#[tokio::test]
async fn sessions_of_former_settings_or_another_address_are_not_used_again() {
    let lab = Lab::new();
    let sources = Arc::clone(&lab.sources);
    let pool = Pool::new(transport(), partner(), SourceChoice::Virtual, sources, 2);
    lend(&pool, Stay::Long).await.give_back();
    assert!(pool.slot(Stay::Long).await.unwrap().at_hand().await.is_ok(), "as long as all is same");

    lend(&pool, Stay::Long).await.give_back();
    assert_eq!(lock(&pool.idle).len(), 1);
    lab.configure("127.0.0.7");
    assert!(pool.slot(Stay::Long).await.unwrap().at_hand().await.is_err());
    let lease = lend(&pool, Stay::Long).await;
    assert_eq!(lock(&pool.idle).len(), 0, "the one from elsewhere is closed");

    pool.change(partner(), SourceChoice::Virtual);
    lease.give_back();
    assert_eq!(lock(&pool.idle).len(), 0, "the one by former settings is closed");
}

#[tokio::test]
async fn a_paused_session_from_elsewhere_serves_its_own_job_only() {
    let lab = Lab::new();
    let sources = Arc::clone(&lab.sources);
    let pool = Pool::new(transport(), partner(), SourceChoice::Virtual, sources, 1);
    let before = pool.origin().await.unwrap();
    let lease = lend(&pool, Stay::Long).await;
    lab.configure("127.0.0.7");
    let now = pool.origin().await.unwrap();
    let paused = lease.pause();
    assert!(pool.between(now).is_none());
    let lease = paused.go_on().await.unwrap();
    let paused = lease.pause();
    assert!(
        pool.between(before).is_some_and(|lease| {
            drop(lease);
            true
        }),
        "it was there"
    );

    // It is lost with that: its job goes on from where one leaves now.
    let lease = paused.go_on().await.unwrap();
    let paused = lease.pause();
    pool.between(now).expect("it is as a new one").give_back();
    paused.go_on().await.unwrap().give_back();
    assert_eq!(lock(&pool.idle).len(), 1);

    let paused = lend(&pool, Stay::Long).await.pause();
    pool.change(partner(), SourceChoice::Virtual);
    paused.go_on().await.unwrap().give_back();
    assert_eq!(lock(&pool.idle).len(), 0);
}

#[tokio::test]
async fn small_files_use_the_rooms_beyond_the_limit_and_long_ones_do_not() {
    let (pool, _) = roomy_pool(3);
    let first = lend(&pool, Stay::Long).await;
    let [second, third] = [ask(&pool, Stay::Short).await, ask(&pool, Stay::Short).await];
    assert!(second.is_finished() && third.is_finished(), "there is room for three");
    let (second, third) = (second.await.unwrap(), third.await.unwrap());
    let long = ask(&pool, Stay::Long).await;
    let fourth = ask(&pool, Stay::Short).await;
    assert!(!long.is_finished() && !fourth.is_finished());
    second.give_back();
    settle().await;
    assert!(fourth.is_finished() && !long.is_finished(), "a long one needs one of the limit");
    fourth.await.unwrap().give_back();
    first.give_back();
    long.await.unwrap().give_back();
    third.give_back();
    assert_eq!(lock(&pool.idle).len(), 3);
    pool.shed().await;
    assert_eq!(lock(&pool.idle).len(), 1, "the others' rooms are free");
}

#[tokio::test]
async fn who_is_refused_a_room_beyond_the_limit_waits_for_a_session() {
    let (pool, transport) = roomy_pool(2);
    let first = lend(&pool, Stay::Long).await;
    let full = TransportError::retryable(Kind::Refused, Operation::Connect, "every room is taken");
    let full = full.replied(Reply { code: 421, text: "full".to_owned() });
    let refusal = transport.faults().on_nth(Operation::Connect, 1, Effect::Fail(full));
    let second = ask(&pool, Stay::Short).await;
    assert!(refusal.fired() && !second.is_finished());
    first.give_back();
    let second = second.await.unwrap();
    // It is not asked for again.
    let third = ask(&pool, Stay::Short).await;
    assert!(!third.is_finished());
    second.give_back();
    third.await.unwrap().give_back();
}
