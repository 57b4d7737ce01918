//! What goes wrong on the host's side, and several sessions at a time.

use ferryway_core::{Kind, TransportError};

use super::{
    Failure, Outcome, Subject, Verdict, ensure,
    room::{Room, download, upload},
};
use crate::streams::{Collected, Gate, Then, content, source, source_then};

/// More than any socket buffers hold, so that the partner is in mid-transfer.
const MUCH: usize = 12 << 20;

pub(super) async fn a_failing_sink_is_a_local_error(subject: &Subject) -> Outcome {
    broken_sink(subject, "sink", Then::Fail).await
}

pub(super) async fn a_panicking_sink_is_a_local_error(subject: &Subject) -> Outcome {
    broken_sink(subject, "sink panic", Then::Panic).await
}

pub(super) async fn a_failing_source_is_a_local_error(subject: &Subject) -> Outcome {
    broken_source(subject, "source", Then::Fail).await
}

pub(super) async fn a_panicking_source_is_a_local_error(subject: &Subject) -> Outcome {
    broken_source(subject, "source panic", Then::Panic).await
}

pub(super) async fn a_cancelled_store_leaves_other_sessions_working(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "cancelled store").await?;
    let (path, gate) = (room.path("file")?, Gate::new());
    let source = source_then(content(MUCH / 8, 2), usize::MAX, Then::Wait(gate.clone()));
    let cancelled = tokio::select! {
        stored = room.session.store(upload(&path, 0, MUCH as u64, source)) => Err(stored),
        () = gate.reached(1) => Ok(()),
    };
    let usable = room.expect_usable().await;
    // Only now: a session must not wait for a thread that the host's source blocks.
    gate.open();
    ensure!(cancelled.is_ok(), "the store did not wait for its source: {cancelled:?}");
    usable?;
    closed_or_working(&mut room).await
}

pub(super) async fn a_cancelled_fetch_leaves_other_sessions_working(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "cancelled fetch").await?;
    let path = room.put("file", &content(MUCH, 2)).await?;
    let gate = Gate::new();
    let sink = Collected::new().sink_then(1000, Then::Wait(gate.clone()));
    let cancelled = tokio::select! {
        fetched = room.session.fetch(download(&path, 0, sink)) => Err(fetched),
        () = gate.reached(1) => Ok(()),
    };
    let usable = room.expect_usable().await;
    gate.open();
    ensure!(cancelled.is_ok(), "the fetch did not wait for its sink: {cancelled:?}");
    usable?;
    closed_or_working(&mut room).await
}

pub(super) async fn two_sessions_work_at_the_same_time(subject: &Subject) -> Outcome {
    let mut one = Room::open(subject, "two").await?;
    let mut two = one.another().await?;
    let (first, second) = (one.path("first")?, two.path("second")?);
    let (gate, bytes) = (Gate::new(), content(700_000, 3));
    let waiting = || source_then(bytes.clone(), usize::MAX, Then::Wait(gate.clone()));
    let both = async {
        // Neither source ends before both have been asked to.
        gate.reached(2).await;
        gate.open();
    };
    let (stored, other, ()) = tokio::join!(
        one.session.store(upload(&first, 0, 700_000, waiting())),
        two.session.store(upload(&second, 0, 700_000, waiting())),
        both,
    );
    stored?;
    other?;
    one.expect(&second, &bytes).await?;
    two.expect(&first, &bytes).await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_closed_session_stays_closed(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "closed").await?;
    let path = room.put("file", b"x").await?;
    room.session.close().await?;
    closed(room.session.stat(path.clone()).await)?;
    closed(room.session.list(room.folder()).await)?;
    closed(room.session.store(upload(&path, 0, 0, source(""))).await)?;
    closed(room.session.fetch(download(&path, 0, Collected::new().sink())).await)?;
    closed(room.session.rename(path.clone(), path.clone()).await)?;
    closed(room.session.remove(path.clone()).await)?;
    closed(room.session.ping().await)?;
    let mut room = room.another().await?;
    room.expect(&path, b"x").await?;
    Ok(Verdict::Passed)
}

async fn broken_sink(subject: &Subject, case: &'static str, then: Then) -> Outcome {
    let mut room = Room::open(subject, case).await?;
    let bytes = content(MUCH, 1);
    let path = room.put("file", &bytes).await?;
    for room_for in [0, 1_000_000] {
        let mut room = room.another().await?;
        let collected = Collected::new();
        let sink = collected.sink_then(room_for, then.clone());
        let fetched = room.session.fetch(download(&path, 0, sink)).await;
        local(fetched.map(|_| "the fetch"))?;
        ensure!(bytes.starts_with(&collected.bytes()), "the sink has other bytes");
        room.expect_usable().await?;
    }
    room.expect(&path, &bytes).await?;
    Ok(Verdict::Passed)
}

async fn broken_source(subject: &Subject, case: &'static str, then: Then) -> Outcome {
    for given in [0, 1_000_000, MUCH] {
        let mut room = Room::open(subject, case).await?;
        let path = room.path(&given.to_string())?;
        let source = source_then(content(given, 1), 300_000, then.clone());
        let stored = room.session.store(upload(&path, 0, MUCH as u64 + 1, source)).await;
        local(stored.map(|_| "the store"))?;
        room.expect_usable().await?;
    }
    Ok(Verdict::Passed)
}

fn local(result: Result<&str, TransportError>) -> Result<(), Failure> {
    match result {
        Ok(what) => Err(Failure::new(format!("{what} succeeded without its bytes"))),
        Err(error) if error.kind() == Kind::Local => Ok(()),
        Err(error) => Err(Failure::new(format!("not a local error: {}", Failure::from(error)))),
    }
}

fn closed<T>(result: Result<T, TransportError>) -> Result<(), Failure> {
    match result {
        Ok(_) => Err(Failure::new("a closed session works")),
        Err(error) if error.kind() == Kind::Closed => Ok(()),
        Err(error) => Err(Failure::new(format!("not told as closed: {}", Failure::from(error)))),
    }
}

/// After a cancelled operation the session is closed, or in a state to go on.
async fn closed_or_working(room: &mut Room<'_>) -> Outcome {
    match room.session.ping().await {
        Err(error) if error.kind() != Kind::Closed => Err(error.into()),
        _ => Ok(Verdict::Passed),
    }
}
