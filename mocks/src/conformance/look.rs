//! Looking at a partner without changing it.

use ferryway_core::{
    Kind,
    transport::{EntryKind, Rename, Resume},
};

use super::{
    Failure, Outcome, Subject, Verdict, ensure,
    room::{Room, expect_refusal},
};

pub(super) async fn settings_without_faults_connect(subject: &Subject) -> Outcome {
    let faults = subject.transport.check_config(&subject.partner.settings);
    ensure!(faults.is_empty(), "the partner's settings are refused: {faults:?}");
    ensure!(!subject.transport.name().is_empty(), "the transport has no name");
    let mut room = Room::open(subject, "connect").await?;
    room.session.close().await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_session_offers_no_more_than_its_transport(subject: &Subject) -> Outcome {
    let most = subject.transport.capabilities();
    let room = Room::open(subject, "offers").await?;
    let offered = room.capabilities();
    let more = offered.checksums.iter().find(|algorithm| !most.checksums.contains(algorithm));
    ensure!(more.is_none(), "the session offers {more:?}, the transport does not");
    let grown = (most.resume == Resume::Unsupported && offered.resume != Resume::Unsupported)
        || (most.rename == Rename::Unsupported && offered.rename != Rename::Unsupported)
        || (offered.size && !most.size)
        || (offered.folders && !most.folders)
        || (offered.lists_hidden && !most.lists_hidden)
        || (offered.epoch_fencing && !most.epoch_fencing)
        || (offered.notices && !most.notices)
        || offered.rooms > most.rooms;
    ensure!(!grown, "the session offers {offered:?}, the transport {most:?}");
    Ok(Verdict::Passed)
}

pub(super) async fn a_ping_is_answered(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "ping").await?;
    room.session.ping().await?;
    room.session.ping().await?;
    Ok(Verdict::Passed)
}

pub(super) async fn stat_tells_a_file(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "stat").await?;
    for bytes in [&b"twelve bytes"[..], b""] {
        let path = room.put(&bytes.len().to_string(), bytes).await?;
        let stat = room.session.stat(path).await?;
        ensure!(stat.kind == EntryKind::File, "a file is told to be {stat:?}");
        let expected = room.capabilities().size.then_some(bytes.len() as u64);
        ensure!(stat.size == expected, "the size is {:?} instead of {expected:?}", stat.size);
    }
    Ok(Verdict::Passed)
}

pub(super) async fn stat_tells_a_folder(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "stat").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    let path = room.make_folder("folder").await?;
    let stat = room.session.stat(path).await?;
    ensure!(stat.kind == EntryKind::Folder, "a folder is told to be {stat:?}");
    Ok(Verdict::Passed)
}

pub(super) async fn an_absent_name_is_proved_absent(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "absent").await?;
    let path = room.path("nothing here")?;
    room.expect_absent(&path).await?;
    // The proof must tell the difference.
    room.put_at(&path, b"").await?;
    let present = room.expect_absent(&path).await;
    ensure!(present.is_err(), "an empty file counts as absent");
    room.session.ping().await?;
    Ok(Verdict::Passed)
}

pub(super) async fn an_empty_folder_lists_nothing(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "empty").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    let path = room.make_folder("folder").await?;
    let names = room.session.list(Some(path)).await?;
    ensure!(names.is_empty(), "an empty folder lists {names:?}");
    Ok(Verdict::Passed)
}

pub(super) async fn an_absent_folder_is_not_an_empty_one(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "absent").await?;
    let path = room.path("no such folder")?;
    let error = expect_refusal(room.session.list(Some(path)).await, "listing an absent folder")?;
    let kinds = [Kind::NotFound, Kind::Unavailable];
    ensure!(kinds.contains(&error.kind()), "the error is {}", Failure::from(error));
    room.session.ping().await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_list_has_every_name(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "list").await?;
    let before = room.session.list(room.folder()).await?;
    let mut expected = Vec::new();
    for name in ODD_NAMES {
        expected.push(room.put(name, name.as_bytes()).await?.name().to_owned());
    }
    if room.capabilities().folders {
        expected.push(room.make_folder("sub folder").await?.name().to_owned());
    }
    let mut names = room.session.list(room.folder()).await?;
    names.retain(|name| !before.contains(name));
    names.sort();
    expected.sort();
    ensure!(names == expected, "the list has {names:?} instead of {expected:?}");
    Ok(Verdict::Passed)
}

pub(super) async fn a_list_has_hidden_names(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "hidden").await?;
    if !room.capabilities().lists_hidden {
        return Ok(Verdict::Skipped("hidden names are not listed"));
    }
    let path = room.exactly(".hidden file")?;
    room.put_at(&path, b"x").await?;
    let names = room.session.list(room.folder()).await?;
    ensure!(names.iter().any(|name| name == path.name()), "no `{}` in {names:?}", path.name());
    ensure!(!names.iter().any(|name| name == "." || name == ".."), "dots in {names:?}");
    Ok(Verdict::Passed)
}

pub(super) async fn a_folder_with_a_leading_dash_is_listed(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "dash").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    // Some servers read such a name as an option.
    let folder = room.exactly("-la folder")?;
    room.session.make_folder(folder.clone()).await?;
    let path = folder.join("-d").map_err(|error| Failure::new(error.to_string()))?;
    room.put_at(&path, b"x").await?;
    let names = room.session.list(Some(folder)).await?;
    ensure!(names == ["-d"], "the list has {names:?}");
    room.expect(&path, b"x").await?;
    Ok(Verdict::Passed)
}

/// Names that a careless parser of listings or replies trips over.
pub(super) const ODD_NAMES: &[&str] = &[
    "plain.csv",
    "two words",
    "two  spaces",
    "月次レポート.csv",
    "single 'quotes'",
    "double \"quotes\"",
    "-leading dash",
    "type=dir; size=1;",
    "arrow -> target",
    "back\\slash",
    "percent %20 #1 & co.",
    "Jan 01 00:00 name",
    "226 Transfer complete.",
];
