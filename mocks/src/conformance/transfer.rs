//! Moving bytes.

use ferryway_core::{
    bytes::{CHUNK_BYTES, Meter},
    transport::Resume,
};

use super::{
    Outcome, Subject, Verdict, ensure,
    look::ODD_NAMES,
    room::{Room, download, expect_refusal, same, shows, upload},
};
use crate::streams::{Collected, Then, content, source, source_then};

pub(super) async fn every_size_round_trips(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "sizes").await?;
    let around = [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1];
    for size in [0, 1, 2, 1459, 65_536].into_iter().chain(around).chain([5_000_001]) {
        let bytes = content(size, size as u64);
        let path = room.put(&size.to_string(), &bytes).await?;
        room.expect(&path, &bytes).await?;
    }
    Ok(Verdict::Passed)
}

pub(super) async fn every_byte_survives(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "bytes").await?;
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend(b"\r\n\n\r\r\n.\r\n\xff\xf4\xff\xf2ABOR\r\n\x1a\0");
    let path = room.put("all", &bytes).await?;
    room.expect(&path, &bytes).await?;
    if room.capabilities().size {
        let size = room.session.stat(path).await?.size;
        ensure!(size == Some(bytes.len() as u64), "the partner's file has {size:?} bytes");
    }
    Ok(Verdict::Passed)
}

pub(super) async fn odd_names_round_trip(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "odd").await?;
    for name in ODD_NAMES {
        let path = room.exactly(&format!("{name} (odd)"))?;
        room.put_at(&path, name.as_bytes()).await?;
        room.expect(&path, name.as_bytes()).await?;
        room.session.stat(path.clone()).await?;
        room.session.remove(path.clone()).await?;
        room.expect_absent(&path).await?;
    }
    Ok(Verdict::Passed)
}

pub(super) async fn the_sources_chunks_do_not_matter(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "chunks").await?;
    for step in [1, 7, 4093] {
        let bytes = content(step * 300, 9);
        let path = room.path(&step.to_string())?;
        let source = source_then(bytes.clone(), step, Then::End);
        room.session.store(upload(&path, 0, bytes.len() as u64, source)).await?;
        room.expect(&path, &bytes).await?;
    }
    Ok(Verdict::Passed)
}

pub(super) async fn the_length_is_only_a_hint(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "hint").await?;
    let bytes = content(100_000, 3);
    for length in [0, 99_999, 200_000] {
        let path = room.path(&length.to_string())?;
        let stored = room.session.store(upload(&path, 0, length, source(bytes.clone()))).await?;
        ensure!(stored.bytes == 100_000, "{stored:?} is told of 100,000 bytes");
        room.expect(&path, &bytes).await?;
    }
    Ok(Verdict::Passed)
}

pub(super) async fn a_store_at_zero_replaces_a_longer_file(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "shorter").await?;
    let path = room.put("file", &content(300_000, 1)).await?;
    room.put_at(&path, b"short").await?;
    room.expect(&path, b"short").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_store_at_an_offset_goes_on(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "resume").await?;
    if room.capabilities().resume == Resume::Unsupported {
        return Ok(Verdict::Skipped("no resume"));
    }
    let bytes = content(1_200_000, 4);
    let path = room.put("file", &bytes[..700_001]).await?;
    let rest = &bytes[700_001..];
    let stored =
        room.session.store(upload(&path, 700_001, rest.len() as u64, source(rest))).await?;
    ensure!(stored.bytes == rest.len() as u64, "{stored:?} is told of {} bytes", rest.len());
    shows(&stored, &bytes)?;
    room.expect(&path, &bytes).await?;
    // A restart offset must not leak into the next transfer.
    room.put_at(&path, b"fresh").await?;
    room.expect(&path, b"fresh").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_fetch_at_an_offset_gives_the_rest(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "offset").await?;
    if room.capabilities().resume == Resume::Unsupported {
        return Ok(Verdict::Skipped("no resume"));
    }
    let bytes = content(1_000_000, 5);
    let path = room.put("file", &bytes).await?;
    for offset in [1, 524_288, 999_999] {
        let rest = room.take_from(&path, offset).await?;
        let result = same(&rest, &bytes[usize::try_from(offset).unwrap_or(0)..]);
        ensure!(result.is_ok(), "from {offset} the fetch {}", result.err().unwrap_or_default());
    }
    room.expect(&path, &bytes).await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_fetch_at_the_end_gives_nothing(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "end").await?;
    if room.capabilities().resume == Resume::Unsupported {
        return Ok(Verdict::Skipped("no resume"));
    }
    let path = room.put("file", &content(10_000, 6)).await?;
    let rest = room.take_from(&path, 10_000).await?;
    ensure!(rest.is_empty(), "{} bytes came from behind the end", rest.len());
    Ok(Verdict::Passed)
}

pub(super) async fn a_fetch_of_an_absent_file_fails(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "absent").await?;
    let path = room.path("no such file")?;
    let collected = Collected::new();
    let fetched = room.session.fetch(download(&path, 0, collected.sink())).await;
    expect_refusal(fetched, "fetching an absent file")?;
    ensure!(collected.bytes().is_empty(), "an absent file has bytes");
    // A refusal does not end the session.
    let path = room.put("file", b"x").await?;
    room.expect(&path, b"x").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_store_into_an_absent_folder_fails(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "nowhere").await?;
    let path = room.path("no such folder/file")?;
    let stored = room.session.store(upload(&path, 0, 1, source("x"))).await;
    expect_refusal(stored, "storing into an absent folder")?;
    let path = room.put("file", b"x").await?;
    room.expect(&path, b"x").await?;
    Ok(Verdict::Passed)
}

pub(super) async fn the_meter_counts_every_byte(subject: &Subject) -> Outcome {
    let mut room = Room::open(subject, "meter").await?;
    let bytes = content(1_300_000, 8);
    let path = room.path("file")?;
    let mut up = upload(&path, 0, bytes.len() as u64, source(bytes.clone()));
    let meter = Meter::new();
    up.meter = meter.clone();
    room.session.store(up).await?;
    ensure!(meter.bytes() == 1_300_000, "the meter of the store has {}", meter.bytes());
    let collected = Collected::new();
    let mut down = download(&path, 0, collected.sink());
    let meter = Meter::new();
    down.meter = meter.clone();
    room.session.fetch(down).await?;
    ensure!(meter.bytes() == 1_300_000, "the meter of the fetch has {}", meter.bytes());
    Ok(Verdict::Passed)
}
