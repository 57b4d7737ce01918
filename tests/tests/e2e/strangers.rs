//! Ends that cannot prove who they are, or ask for another kind of proof: both hosts say so once,
//! with the cause, the job waits for an operator, and others move on.

use std::{fs, io::Write};

use ferryway_core::Status;
use ferryway_mocks::authority::Authority;
use ferryway_tests::{
    content::Content,
    peers::{Peers, Security, Setup, secret},
    wait::{LIMIT, wait_until},
};

/// Night has a second table for day with these keys, by which day and night do not get together.
#[track_caller]
fn refused(security: Security, keys: impl FnOnce(&Authority) -> String, cause: &str) {
    let mut peers = Peers::build(Setup { rate: 1 << 30, retry_s: 1, security });
    let (port, keys) = (peers.day.line.address().port(), keys(&peers.authority));
    let table = format!(
        "[partners.OTHER]\ntransport = \"socket\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         timeout_s = 5\n{keys}"
    );
    let configuration = peers.night.install.path().join("ferryway.toml");
    let mut file = fs::File::options().append(true).open(configuration).unwrap();
    file.write_all(table.as_bytes()).unwrap();
    let definition = "[[definition]]\nid = \"SEND2\"\npartner = \"OTHER\"\n\
                      direction = \"send\"\nremote = \"{name}\"\n";
    peers.night.install.write("definitions/other.toml", definition).unwrap();
    peers.day.start(0);
    peers.night.start(0);
    let (content, other) = (Content::new(140, 100_000), Content::new(141, 100_000));
    let refused = peers.send_by("SEND2", "refused.bin", content);
    let said = peers.night.await_line("0207E", &[refused.as_str()]);
    assert!(said.contains(cause), "{cause} is to be in: {said}");
    assert_eq!(peers.job(&refused).status, Status::Suspended);
    let told = peers.day.await_line("0503W", &["Cause(proof)", "127.0.0.1"]);
    // Another job by the same table is refused as well, and by the right one all is as it was.
    let again = peers.send_by("SEND2", "again.bin", content);
    peers.night.await_line("0207E", &[again.as_str()]);
    let job = peers.send("right.bin", other);
    peers.delivered(&job, "right.bin", other);
    wait_until(LIMIT, "one line a job", || peers.night.lines("0207E").len() == 2);
    assert_eq!(peers.day.lines("0503W"), [told], "an address and cause are told of once");
    let unseen = ["refused.bin", "again.bin"].map(|name| peers.day.incoming().join(name));
    assert!(unseen.iter().all(|path| !path.exists()));
}

/// What a partner's table has besides where the other end proves its name.
const SERVER_NAME: &str = "server_name = \"day.example\"\n";

#[test]
fn a_client_certificate_of_another_authority() {
    let foreign = |trusted: &Authority| {
        Authority::new().identity_that_trusts("night.example", trusted) + SERVER_NAME
    };
    refused(Security::Tls, foreign, "no secure channel");
}

#[test]
fn a_client_certificate_for_another_name() {
    let liar = |authority: &Authority| authority.identity("somebody.example") + SERVER_NAME;
    refused(Security::Tls, liar, "certificate");
}

#[test]
fn a_server_certificate_of_another_authority() {
    let wary = |authority: &Authority| {
        authority.identity_that_trusts("night.example", &Authority::new()) + SERVER_NAME
    };
    refused(Security::Tls, wary, "certificate");
}

#[test]
fn a_wrong_secret() {
    refused(Security::Secret, |_| secret('1'), "secret");
}

#[test]
fn plain_against_certificates() {
    refused(Security::Tls, |_| "security = \"plain\"\n".to_owned(), "\"tls\"");
}

#[test]
fn certificates_against_plain() {
    let keys = |authority: &Authority| authority.identity("night.example") + SERVER_NAME;
    refused(Security::Plain, keys, "\"plain\"");
}
