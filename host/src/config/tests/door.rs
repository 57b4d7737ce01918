//! The door and its visitors.

use ferryway_core::{Epoch, reception::Introduction};

use super::{HOST, Install};
use crate::config::May;

const DOOR: &str = "[listen]\ntransport = \"socket\"\naddress = \"0.0.0.0\"\n\
                    security = \"plain\"\n";

#[test]
fn a_door_knows_its_visitors_by_host_and_instance() {
    let text = format!(
        "{HOST}{DOOR}[listen.visitors.TOKYO]\nhost_name = \"Files.Tokyo.example\"\n\
         instance = \"day\"\nmay = [\"send\"]\n"
    );
    let config = Install::new(&text, &[]).load().unwrap();
    let listen = config.listen.unwrap();
    assert_eq!((listen.address.port(), listen.sessions), (7045, 64));
    assert_eq!(listen.transport.settings.keys().collect::<Vec<_>>(), ["security"]);
    let who = |host: &str, instance: &str| Introduction {
        host: host.to_owned(),
        instance: instance.parse().unwrap(),
        epoch: Epoch::FIRST,
    };
    let (name, visitor) = listen.visitor(&who("files.tokyo.EXAMPLE", "day")).unwrap();
    assert_eq!(name.as_str(), "TOKYO");
    assert!(visitor.may(May::Send) && !visitor.may(May::Fetch));
    assert!(listen.visitor(&who("files.tokyo.example", "night")).is_none());
    assert!(listen.visitor(&who("tokyo.example", "day")).is_none());
}

#[test]
fn a_door_without_a_place_and_visitors_without_rights_are_faults() {
    let visitor = |name: &str, rest: &str| {
        format!("[listen.visitors.{name}]\nhost_name = \"h\"\ninstance = \"i\"\n{rest}\n")
    };
    let text = format!(
        "{HOST}[listen]\nadress = \"::\"\nport = 70000\n{}{}{}",
        visitor("A", ""),
        visitor("B", "may = [\"sned\"]"),
        visitor("C", "may = [\"send\"]\nmust = 1"),
    );
    let faults = Install::new(&text, &[]).load().unwrap_err();
    let said: Vec<_> = faults.iter().map(|fault| format!("{} {fault}", fault.key)).collect();
    for key in ["listen.transport", "listen.address", "listen.port", "listen.visitors.A.may"] {
        assert!(said.iter().any(|text| text.starts_with(&format!("{key} "))), "{key}: {said:#?}");
    }
    assert!(said.iter().any(|text| text.contains("use `send`")), "{said:#?}");
    assert!(said.iter().any(|text| text.starts_with("listen.visitors.C.must ")), "{said:#?}");
}
