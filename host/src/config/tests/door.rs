//! The door and its visitors.

use ferryway_core::{Epoch, reception::Introduction};

use super::{HOST, Install};
use crate::config::{May, Told};

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

#[test]
fn a_reception_is_of_a_visitor_and_a_partner_names_who_is_told() {
    let visitor =
        "[listen.visitors.NIGHT]\nhost_name = \"h\"\ninstance = \"i\"\nmay = [\"send\"]\n";
    let text = format!("{HOST}notices = \"tokyo\"\n{DOOR}{visitor}");
    let table = |id: &str, visitor: &str, rest: &str| {
        format!("[[reception]]\nid = \"{id}\"\nvisitor = \"{visitor}\"\n{rest}")
    };
    let exit = "files = \"ftp\"\n[reception.post_exit]\ncommand = [\"load.sh\"]\n";
    let install = Install::new(&text, &[("a.toml", &table("PRDY01", "NIGHT", exit))]);
    let config = install.load().unwrap();
    let told = config.partners.values().next().unwrap().notices.clone();
    assert_eq!(told, Some(Told::Partner("tokyo".parse().unwrap())));
    let (visitor, id) = ("NIGHT".parse().unwrap(), "PRDY01".parse().unwrap());
    let reception = config.reception(&visitor, &id).unwrap();
    assert_eq!(reception.files.as_deref(), Some(&*config.install.path().join("ftp")));
    assert!(reception.exits.pre.is_none() && reception.exits.post.is_some());
    assert!(config.reception(&"DAY".parse().unwrap(), &id).is_none());

    let text = text.replace("notices = \"tokyo\"", "notices = \"tokio\"");
    let tables = table("A", "NIGHT", "") + &table("A", "NIGHT", "") + &table("B", "DAY", "");
    let faults = Install::new(&text, &[("a.toml", &tables)]).load().unwrap_err();
    let said: Vec<_> = faults.iter().map(|fault| fault.to_string()).collect();
    let expected = [
        "partners.tokyo.notices: there is no partner `tokio`; did you mean `tokyo`?",
        "reception.id: jobs A of NIGHT have a table already, at ",
        "reception.visitor: there is no visitor `DAY`; there are `NIGHT`",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for expected in expected {
        assert!(said.iter().any(|said| said.contains(expected)), "{expected}: {said:#?}");
    }
}
