//! What this host does for a visitor follows from what is durable: a disk that breaks down in the
//! write before leaves nothing done.

use std::sync::atomic::Ordering;

use ferryway_core::Direction;

use crate::{
    exits::{self, written},
    house::{House, Plugged},
    notices::{BYTES, HOST, announce, delivered, publish, store, tell},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_put_in_place_before_that_is_on_record() {
    let house = House::new(Plugged::Linked);
    let open = house.open().await;
    let mut session = open.session(HOST, 1).await;
    tell(&mut *session, announce(1, Direction::Send)).await;
    store(&mut *session).await;
    house.broken.store(true, Ordering::Release);
    session.rename("part".parse().unwrap(), "a".parse().unwrap()).await.unwrap_err();
    assert!(!house.received().join("a").exists());
    assert!(house.received().join("part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_exit_starts_before_that_is_on_record() {
    for exit in ["pre", "post"] {
        let house = exits::house("exit 0", "exit 0");
        let open = house.open().await;
        let mut session = open.session(HOST, 1).await;
        let mut notice = announce(1, Direction::Send);
        if exit == "post" {
            tell(&mut *session, notice).await;
            store(&mut *session).await;
            publish(&mut *session).await;
            notice = delivered(1, BYTES);
        }
        house.broken.store(true, Ordering::Release);
        session.tell(notice).await.unwrap_err();
        open.shared.receiving.exits_ended().await;
        assert!(written(&house, exit).is_empty(), "the {exit}-exit ran");
    }
}
