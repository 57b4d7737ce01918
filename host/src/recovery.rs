//! What a new owner does with its predecessor's jobs, as the table of statuses says.

use ferryway_core::{Status, status::AtTakeover};

use crate::{
    journal::{JournalStore, Result, record::Job},
    notices::Notices,
    scheduler::events_at_takeover,
};

/// Brings every job in flight to where it can be taken up. Jobs whose post-exit may have run
/// stay as they are, and the operator is told of each.
///
/// # Errors
/// When the journal takes no more writes.
pub async fn take_up(
    journal: &dyn JournalStore,
    jobs: Vec<Job>,
    notices: &Notices,
) -> Result<Vec<Job>> {
    let mut taken_up = Vec::with_capacity(jobs.len());
    let mut last = None;
    for job in jobs {
        match job.status.row().at_takeover {
            AtTakeover::Nothing => {}
            AtTakeover::Ask => notices.cannot_recover(&job),
            AtTakeover::Restart | AtTakeover::Settle => notices.taken_up(&job),
        }
        let events = events_at_takeover(job.status);
        if events.is_empty() {
            taken_up.push(job);
            continue;
        }
        let note = format!("taken over in status {} ({})", job.status.code(), job.status.meaning());
        let moved = job
            .current_checkpoint()
            .filter(|_| job.status == Status::Transferring)
            .map_or(0, |checkpoint| checkpoint.moved_bytes);
        let (next, step) = job.step(events, Some(note), |state| {
            state.moved_bytes += moved;
            // The predecessor's back-off was about its own connections.
            state.not_before = None;
        })?;
        last = Some(journal.queue(step).await?);
        taken_up.push(next);
    }
    // One is durable, all before it are.
    if let Some(receipt) = last {
        receipt.await?;
    }
    Ok(taken_up)
}

/// How many jobs are restarted, and how many are settled with their partner first.
pub fn count(jobs: &[Job]) -> (usize, usize) {
    let of = |what| jobs.iter().filter(|job| job.status.row().at_takeover == what).count();
    (of(AtTakeover::Restart), of(AtTakeover::Settle))
}
