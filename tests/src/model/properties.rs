//! What must hold in every state when files are delivered with `publish = "atomic"`.

use super::{
    Setting, State,
    explore::Property,
    names::{TARGET, whole},
};

/// The properties. That a zombie's later acts change nothing is in each of them: they are asked
/// in the states after the last job's end as well.
pub const PROPERTIES: [Property<Setting>; 5] = [
    ("the target is absent or one whole version", whole_or_absent),
    ("each job is published at most once, in order", once_and_in_order),
    ("a job that is done was published, with the bytes that were verified", done_was_published),
    ("after the last job the target is its file", last_file_stays),
    ("an owner whose folder was taken away publishes nothing", revoked_is_over),
];

fn whole_or_absent(setting: &Setting, state: &State) -> bool {
    state.server.content(TARGET).is_none_or(|content| setting.is_whole(content))
}

fn once_and_in_order(setting: &Setting, state: &State) -> bool {
    let published = &state.server.published;
    let jobs = usize::from(setting.world.jobs);
    let of_job = |(job, content): (usize, &Vec<u8>)| {
        let job = u8::try_from(job).unwrap_or(u8::MAX);
        (0..=1).any(|version| *content == whole(job, version, setting.world.chunks))
    };
    published.len() <= jobs && published.iter().enumerate().all(of_job)
}

fn done_was_published(setting: &Setting, state: &State) -> bool {
    (0..).zip(&state.journal.jobs).all(|(job, record)| match record.delivered {
        None => true,
        Some(version) => {
            let content = whole(job, version, setting.world.chunks);
            state.server.published.contains(&content)
        }
    })
}

fn last_file_stays(setting: &Setting, state: &State) -> bool {
    let jobs = (0..).zip(&state.journal.jobs);
    let Some((job, record)) = jobs.last() else { return true };
    let Some(version) = record.delivered else { return true };
    let expected = whole(job, version, setting.world.chunks);
    match state.server.content(TARGET) {
        Some(content) => *content == expected,
        None => setting.world.consumer,
    }
}

fn revoked_is_over(_: &Setting, state: &State) -> bool {
    !state.seen.published_after
}
