//! Renaming, removing, folders and checksums.

use ferryway_core::{Algorithm, Digest, Kind, transport::Rename};
use sha2::Digest as _;

use super::{
    Failure, Outcome, Subject, Verdict, ensure,
    room::{Room, expect_refusal, final_refusal},
};
use crate::streams::content;

pub(super) async fn a_rename_moves_a_file(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "rename").await?;
    if room.capabilities().rename == Rename::Unsupported {
        return Ok(Verdict::Skipped("no rename"));
    }
    let from = room.put("from", b"content").await?;
    let to = room.path("to 月次 \"1\"")?;
    room.session.rename(from.clone(), to.clone()).await?;
    room.expect_absent(&from).await?;
    room.expect(&to, b"content").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_rename_over_a_file_does_as_declared(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "over").await?;
    let declared = room.capabilities().rename;
    if declared == Rename::Unsupported {
        return Ok(Verdict::Skipped("no rename"));
    }
    let from = room.put("from", b"new").await?;
    let to = room.put("to", b"older content").await?;
    let renamed = room.session.rename(from.clone(), to.clone()).await;
    match declared {
        Rename::Replaces => ensure!(renamed.is_ok(), "it is refused: {renamed:?}"),
        Rename::RefusesExisting => ensure!(renamed.is_err(), "it replaced the file"),
        Rename::Unknown | Rename::Unsupported => {}
    }
    if renamed.is_ok() {
        room.expect_absent(&from).await?;
        room.expect(&to, b"new").await?;
    } else {
        expect_refusal(renamed, "a rename over a file")?;
        room.expect(&from, b"new").await?;
        room.expect(&to, b"older content").await?;
    }
    Ok(Verdict::Passed)
}

pub(super) async fn a_rename_moves_a_folder_with_its_files(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "move").await?;
    let capabilities = room.capabilities();
    if !capabilities.folders || capabilities.rename == Rename::Unsupported {
        return Ok(Verdict::Skipped("no folders or no rename"));
    }
    let from = room.make_folder("from").await?;
    let invalid = |error| Failure::new(format!("{error}"));
    let file = from.join("file").map_err(invalid)?;
    room.put_at(&file, b"content").await?;
    let to = room.path("to")?;
    room.session.rename(from.clone(), to.clone()).await?;
    room.expect_absent(&from).await?;
    room.expect(&to.join("file").map_err(invalid)?, b"content").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_rename_of_an_absent_file_fails(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "ghost").await?;
    if room.capabilities().rename == Rename::Unsupported {
        return Ok(Verdict::Skipped("no rename"));
    }
    let (from, to) = (room.path("from")?, room.put("to", b"stays").await?);
    let renamed = room.session.rename(from, to.clone()).await;
    let error = final_refusal(renamed, "renaming an absent file")?;
    ensure!(!error.outcome_unknown(), "the refusal counts as no answer");
    room.expect(&to, b"stays").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_removed_file_is_absent(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "remove").await?;
    let path = room.put("file", b"x").await?;
    room.session.remove(path.clone()).await?;
    room.expect_absent(&path).await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_removal_of_an_absent_file_fails(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "remove").await?;
    let path = room.path("no such file")?;
    let error = expect_refusal(room.session.remove(path).await, "removing an absent file")?;
    ensure!(!error.outcome_unknown(), "the refusal counts as no answer");
    room.session.ping().await?;
    Ok(Verdict::Passed)
}

pub(super) async fn folders_come_and_go(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "folders").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    let outer = room.make_folder("outer 月").await?;
    let inner = outer.join("inner \"1\"").map_err(|error| Failure::new(error.to_string()))?;
    room.session.make_folder(inner.clone()).await?;
    let names = room.session.list(Some(outer.clone())).await?;
    ensure!(names == ["inner \"1\""], "the folder lists {names:?}");
    room.session.remove_folder(inner.clone()).await?;
    room.expect_absent(&inner).await?;
    room.session.remove_folder(outer.clone()).await?;
    room.expect_absent(&outer).await?;
    Ok(Verdict::Passed)
}

pub(super) async fn an_existing_folder_is_not_made_again(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "again").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    let path = room.make_folder("folder").await?;
    let made = room.session.make_folder(path).await;
    let error = final_refusal(made, "making an existing folder")?;
    let known = error.kind() == Kind::Unavailable;
    ensure!(known, "the error is {}", Failure::from(error));
    // A file in a folder's place is what keeps a former owner out.
    let file = room.put("file", b"x").await?;
    expect_refusal(room.session.make_folder(file.clone()).await, "a folder over a file")?;
    room.expect(&file, b"x").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_folder_with_files_is_not_removed(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "full").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    let folder = room.make_folder("folder").await?;
    let file = folder.join("file").map_err(|error| Failure::new(error.to_string()))?;
    room.put_at(&file, b"x").await?;
    final_refusal(room.session.remove_folder(folder).await, "removing a full folder")?;
    room.expect(&file, b"x").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_checksum_is_the_contents(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "checksum").await?;
    let algorithms = room.capabilities().checksums;
    if algorithms.is_empty() {
        return Ok(Verdict::Skipped("no checksums"));
    }
    let bytes = content(1_000_000, 7);
    let path = room.put("file with 2 3", &bytes).await?;
    for algorithm in algorithms {
        for length in [1_000_000, 999_999, 1] {
            let told = room.session.checksum(path.clone(), algorithm, length).await?;
            let prefix = &bytes[..usize::try_from(length).unwrap_or(0)];
            let expected = digest(algorithm, prefix);
            ensure!(told == expected, "of {length} bytes: {told} instead of {expected}");
        }
    }
    Ok(Verdict::Passed)
}

pub(super) async fn an_unknown_checksum_is_unsupported(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "unknown").await?;
    let path = room.put("file", b"x").await?;
    let offered = room.capabilities().checksums;
    for algorithm in [Algorithm::Crc32, Algorithm::Sha256, Algorithm::Blake3] {
        if offered.contains(&algorithm) {
            continue;
        }
        let error = room.session.checksum(path.clone(), algorithm, 1).await.err();
        let kind = error.map(|error| error.kind());
        ensure!(kind == Some(Kind::Unsupported), "{algorithm} gives {kind:?}");
    }
    room.session.ping().await?;
    Ok(Verdict::Passed)
}

pub(super) fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    match algorithm {
        Algorithm::Crc32 => Digest::from_bytes(algorithm, &crc32fast::hash(bytes).to_be_bytes()),
        Algorithm::Sha256 => Digest::from_bytes(algorithm, &sha2::Sha256::digest(bytes)),
        Algorithm::Blake3 => Digest::from_bytes(algorithm, blake3::hash(bytes).as_bytes()),
    }
}
