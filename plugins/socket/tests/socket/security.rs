//! Who does not belong here is refused on both sides, for good, and with its cause.

use ferryway_core::{Class, Kind, TransportError, reception::Cause, transport::Transport};
use ferryway_mocks::{authority::Authority, conformance::introduction};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::ends::{Ends, SECRET, Settings};

async fn refused(ends: &Ends, settings: &str) -> TransportError {
    let refused = ends.socket.connect(ends.partner_with(settings)).await;
    let error = refused.err().expect("the visitor is let in");
    assert_eq!(ends.house.memory.partner().files(), Vec::<String>::new());
    // The door still works for whom it is for.
    ends.session().await.ping().await.unwrap();
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret() {
    let ends = Ends::new(Settings::secret()).await;
    let wrong = SECRET.replace('0', "1");
    let error = refused(&ends, &format!("security = 'secret'\nsecret = '{wrong}'")).await;
    assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
    let rebuff = ends.house.turned_away(Cause::Proof).await;
    assert!(rebuff.detail.contains("does not know the secret"), "{rebuff:?}");
    assert!(!format!("{error:?}{rebuff:?}").contains(&wrong));
}

/// A host that goes away in the middle of the handshake refuses nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_before_the_proof_is_tried_again() {
    let ends = Ends::new(Settings::secret()).await;
    let dying = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = dying.local_addr().unwrap().port();
    let host = tokio::spawn(async move {
        let (mut line, _) = dying.accept().await.unwrap();
        let mut greeting = [0; 48];
        line.read_exact(&mut greeting).await.unwrap();
        line.write_all(&greeting).await.unwrap();
        line.read_exact(&mut [0; 32]).await.unwrap();
    });
    let mut partner = ends.partner();
    partner.settings.insert("port".to_owned(), i64::from(port).into());
    let error = ends.socket.connect(partner).await.err().expect("there is no host");
    host.await.unwrap();
    assert_eq!(error.kind(), Kind::Connection, "{error}");
    assert!(matches!(error.class(), Class::Retryable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_security() {
    let ends = Ends::new(Settings::secret()).await;
    let error = refused(&ends, "security = 'plain'").await;
    assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent));
    assert!(error.to_string().contains("\"secret\""), "{error}");
    ends.house.turned_away(Cause::Proof).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    let name = introduction().host;
    let settings = Settings {
        door: ours.identity("localhost"),
        visitor: format!("{}server_name = 'localhost'\n", ours.identity(&name)),
    };
    let ends = Ends::new(settings).await;
    // It trusts the door, and the door not it.
    let foreign = other.identity_that_trusts(&name, &ours);
    let error = refused(&ends, &format!("{foreign}server_name = 'localhost'\n")).await;
    assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error:?}");
    ends.house.turned_away(Cause::Proof).await;
    // The other way round.
    let wary = ours.identity_that_trusts(&name, &other);
    let error = refused(&ends, &format!("{wary}server_name = 'localhost'\n")).await;
    assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let settings = Settings {
        door: authority.identity("localhost"),
        visitor: format!("{}server_name = 'localhost'\n", authority.identity(&introduction().host)),
    };
    let ends = Ends::new(settings.clone()).await;
    // A partner that proves another name than the one we wanted to reach.
    let elsewhere = settings.visitor.replace("'localhost'", "'elsewhere.example'");
    let error = refused(&ends, &elsewhere).await;
    assert_eq!(error.class(), Class::Permanent, "{error}");
    // A visitor that proves another name than it says.
    let liar = authority.identity("somebody.example");
    let error = refused(&ends, &format!("{liar}server_name = 'localhost'\n")).await;
    assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
    assert!(error.to_string().contains(&introduction().host), "{error}");
    // The door may have told of the other one before.
    while !ends.house.turned_away(Cause::Proof).await.detail.contains(&introduction().host) {}
}
