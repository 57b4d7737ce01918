//! The status machine against its table and against random walks.

use ferryway_core::{
    Event, IllegalTransition, Outcome, Status, apply,
    status::{AtTakeover, Side, TABLE},
};
use proptest::prelude::*;

const EVENTS: [Event; 21] = [
    Event::Prepare,
    Event::Connect,
    Event::Begin,
    Event::Verify,
    Event::Publish,
    Event::Settle,
    Event::Void,
    Event::Published,
    Event::Delivered,
    Event::StartExit,
    Event::Confirm,
    Event::Complete,
    Event::Retry,
    Event::Suspend,
    Event::Fail,
    Event::Cancel,
    Event::Release,
    Event::Restart,
    Event::ForceRestart,
    Event::TakeOver,
    Event::RerunExit,
];

fn walk(start: Status, events: &[Event]) -> Result<Vec<&'static str>, IllegalTransition> {
    let mut status = start;
    let mut codes = vec![status.code()];
    for &event in events {
        status = apply(status, event)?;
        codes.push(status.code());
    }
    Ok(codes)
}

#[test]
fn a_delivery_walks_the_senders_table() {
    use Event as E;
    let events = [
        E::Prepare,
        E::Connect,
        E::Begin,
        E::Verify,
        E::Publish,
        E::Published,
        E::StartExit,
        E::Complete,
    ];
    let codes = walk(Status::Accepted, &events).unwrap();
    assert_eq!(codes, ["01", "02", "03", "04", "06", "07", "08", "09", "00"]);
    let direct = [E::Prepare, E::Connect, E::Begin, E::Verify, E::Delivered, E::Complete];
    assert_eq!(
        walk(Status::Accepted, &direct).unwrap(),
        ["01", "02", "03", "04", "06", "08", "00"]
    );
}

#[test]
fn an_announced_job_walks_the_receivers_table() {
    use Event as E;
    let events = [
        E::Prepare,
        E::Connect,
        E::Begin,
        E::Verify,
        E::Publish,
        E::StartExit,
        E::Confirm,
        E::Complete,
    ];
    let codes = walk(Status::ReceiverAnnounced, &events).unwrap();
    assert_eq!(codes, ["01", "02", "03", "04", "05", "06", "07", "08", "00"]);
}

/// The restart behaviour that products before this one had and that operators rely on: on the
/// sender's side 00, 05 and 09 are not restarted, on the receiver's 00 and 07; only 09 and 07
/// are reported.
#[test]
fn a_takeover_leaves_alone_what_the_table_says() {
    let left_alone = |side, what: &[AtTakeover]| {
        let rows = TABLE.iter().filter(|row| row.side == side && what.contains(&row.at_takeover));
        rows.map(|row| row.code).collect::<Vec<_>>()
    };
    let not_restarted = [AtTakeover::Nothing, AtTakeover::Ask];
    assert_eq!(left_alone(Side::Sender, &not_restarted), ["00", "05", "09"]);
    assert_eq!(left_alone(Side::Receiver, &not_restarted), ["00", "07"]);
    assert_eq!(left_alone(Side::Sender, &[AtTakeover::Ask]), ["09"]);
    assert_eq!(left_alone(Side::Receiver, &[AtTakeover::Ask]), ["07"]);
}

#[test]
fn a_takeover_moves_a_status_as_its_row_says() {
    for status in Status::EACH {
        let next = apply(status, Event::TakeOver).unwrap();
        match status.row().at_takeover {
            AtTakeover::Nothing | AtTakeover::Ask => assert_eq!(next, status),
            // What is settled stays where it is or starts over; nothing is skipped.
            AtTakeover::Settle | AtTakeover::Restart => {
                assert!(next == status || next.code() == "01", "{status:?} became {next:?}");
            }
        }
    }
}

#[test]
fn an_open_intent_is_never_failed_or_cancelled() {
    for event in [Event::Fail, Event::Cancel, Event::Complete] {
        assert!(apply(Status::Publishing, event).is_err(), "{event:?}");
    }
}

#[test]
fn a_job_that_is_done_takes_nothing_but_a_forced_restart() {
    let done = Status::Idle(Outcome::Completed);
    for event in EVENTS {
        let next = apply(done, event);
        match event {
            Event::ForceRestart => assert_eq!(next, Ok(Status::Accepted)),
            Event::TakeOver => assert_eq!(next, Ok(done)),
            _ => assert!(next.is_err(), "{event:?} gave {next:?}"),
        }
    }
}

#[test]
fn every_status_in_flight_can_still_end() {
    for start in Status::EACH.into_iter().filter(|status| status.in_flight()) {
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(&status) = reached.get(next) {
            next += 1;
            for event in EVENTS {
                match apply(status, event) {
                    Ok(to) if !reached.contains(&to) => reached.push(to),
                    _ => {}
                }
            }
        }
        let ends = |status: &Status| status.outcome() == Some(Outcome::Completed);
        assert!(reached.iter().any(ends), "{start:?} never completes");
    }
}

proptest! {
    /// Whatever happens, a job stays on its side, and a refused event names where it stood.
    #[test]
    fn random_walks_stay_on_their_side(events in prop::collection::vec(0..EVENTS.len(), 0..60)) {
        for start in [Status::Accepted, Status::ReceiverAnnounced] {
            let mut status = start;
            for &event in &events {
                let event = EVENTS[event];
                match apply(status, event) {
                    Ok(next) => status = next,
                    Err(refused) => prop_assert_eq!((refused.status, refused.event), (status, event)),
                }
                prop_assert_eq!(status.row().side, start.row().side);
            }
        }
    }
}
