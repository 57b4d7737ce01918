//! What keeps a former owner of a folder out: renamed away, with a file in its place, it can
//! neither be used nor made again. And what a session may not do to a folder.

use ferryway_core::{
    Kind, RemotePath,
    transport::{EntryKind, Rename},
};

use super::{
    Failure, Outcome, Subject, Verdict, ensure,
    room::{Room, final_refusal, upload},
};
use crate::streams::source;

pub(super) async fn a_store_into_a_folder_that_was_renamed_away_fails(
    subject: &Subject,
) -> Outcome {
    let mut former = Room::open(subject, "moved store").await?;
    if !can_move_folders(&former) {
        return Ok(SKIPPED);
    }
    let folder = former.make_folder("e1").await?;
    former.put_at(&below(&folder, "before")?, b"x").await?;
    let refuge = former.path("e2")?;
    let mut owner = former.another().await?;
    owner.session.rename(folder.clone(), refuge.clone()).await?;
    for path in [below(&folder, "before")?, below(&folder, "after")?] {
        let stored = former.session.store(upload(&path, 0, 1, source("y"))).await;
        final_refusal(stored, "storing into a folder that was renamed away")?;
    }
    owner.expect_absent(&folder).await?;
    owner.expect(&below(&refuge, "before")?, b"x").await?;
    owner.expect_absent(&below(&refuge, "after")?).await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_rename_out_of_a_folder_that_was_renamed_away_fails(
    subject: &Subject,
) -> Outcome {
    let mut former = Room::open(subject, "moved rename").await?;
    if !can_move_folders(&former) {
        return Ok(SKIPPED);
    }
    let folder = former.make_folder("e1").await?;
    let partial = below(&folder, "partial")?;
    former.put_at(&partial, b"late").await?;
    let (target, refuge) = (former.put("target", b"newer").await?, former.path("e2")?);
    let mut owner = former.another().await?;
    owner.session.rename(folder.clone(), refuge.clone()).await?;
    let renamed = former.session.rename(partial, target.clone()).await;
    final_refusal(renamed, "renaming by a name that is gone")?;
    owner.expect(&target, b"newer").await?;
    owner.expect(&below(&refuge, "partial")?, b"late").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_file_in_the_place_of_a_folder_bars_it(subject: &Subject) -> Outcome {
    let mut former = Room::open(subject, "bar").await?;
    if !can_move_folders(&former) {
        return Ok(SKIPPED);
    }
    let folder = former.make_folder("e1").await?;
    let partial = below(&folder, "partial")?;
    former.put_at(&partial, b"late").await?;
    let (target, refuge) = (former.put("target", b"newer").await?, former.path("e2")?);
    let mut owner = former.another().await?;
    owner.session.rename(folder.clone(), refuge).await?;
    owner.put_at(&folder, b"").await?;
    let stored = former.session.store(upload(&partial, 0, 1, source("y"))).await;
    final_refusal(stored, "storing below a file")?;
    let renamed = former.session.rename(partial.clone(), target.clone()).await;
    final_refusal(renamed, "renaming from below a file")?;
    let made = former.session.make_folder(folder.clone()).await;
    final_refusal(made, "making a folder where a file is")?;
    let made = former.session.make_folder(below(&folder, "inner")?).await;
    final_refusal(made, "making a folder below a file")?;
    let removed = former.session.remove_folder(folder.clone()).await;
    final_refusal(removed, "removing a file as a folder")?;
    owner.expect(&folder, b"").await?;
    owner.expect(&target, b"newer").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_file_lists_no_names(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "file list").await?;
    let file = room.put("file", b"x").await?;
    for path in [file.clone(), below(&file, "inner")?] {
        let error = final_refusal(room.session.list(Some(path)).await, "listing a file")?;
        let kinds = [Kind::NotFound, Kind::Unavailable];
        ensure!(kinds.contains(&error.kind()), "the error is {}", Failure::from(error));
    }
    let stat = room.session.stat(file.clone()).await?;
    ensure!(stat.kind == EntryKind::File, "a file is told to be {stat:?}");
    room.expect(&file, b"x").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_store_onto_a_folder_fails(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "folder store").await?;
    if !room.capabilities().folders {
        return Ok(Verdict::Skipped("no folders"));
    }
    let folder = room.make_folder("folder").await?;
    let stored = room.session.store(upload(&folder, 0, 1, source("x"))).await;
    final_refusal(stored, "storing onto a folder")?;
    room.put_at(&below(&folder, "file")?, b"x").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_rename_onto_a_folder_fails(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "folder rename").await?;
    if !can_move_folders(&room) {
        return Ok(SKIPPED);
    }
    let (file, folder) = (room.put("file", b"x").await?, room.make_folder("folder").await?);
    room.put_at(&below(&folder, "inner")?, b"y").await?;
    let renamed = room.session.rename(file.clone(), folder.clone()).await;
    final_refusal(renamed, "renaming a file onto a folder")?;
    let renamed = room.session.rename(folder.clone(), file.clone()).await;
    final_refusal(renamed, "renaming a folder onto a file")?;
    room.expect(&file, b"x").await?;
    room.expect(&below(&folder, "inner")?, b"y").await?;
    Ok(Verdict::Passed)
}

const SKIPPED: Verdict = Verdict::Skipped("no folders or no rename");

fn can_move_folders(room: &Room<'_>) -> bool {
    let capabilities = room.capabilities();
    capabilities.folders && capabilities.rename != Rename::Unsupported
}

fn below(folder: &RemotePath, name: &str) -> Result<RemotePath, Failure> {
    folder.join(name).map_err(|error| Failure::new(error.to_string()))
}
