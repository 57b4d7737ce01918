//! What a new owner does with its predecessor's jobs, as the table of statuses says.

use ferryway_core::{Status, status::AtTakeover};

use crate::{
    exits::{Onward, after_takeover},
    journal::{JournalStore, Receipt, Result, record::Job},
    notices::Notices,
    scheduler::events_at_takeover,
};

/// The writes that take jobs up, in line at the journal.
#[derive(Debug)]
#[must_use = "nothing may be done for the jobs before their writes are durable"]
pub struct Written(Option<Receipt<Job>>);

impl Written {
    /// Resolves when all of them are durable.
    ///
    /// # Errors
    /// When the journal takes no more writes.
    pub async fn durable(self) -> Result<()> {
        match self.0 {
            Some(last) => last.await.map(drop),
            None => Ok(()),
        }
    }
}

/// Brings every job in flight to where it can be taken up, and tells the operator of each. Jobs whose
/// post-exit had started stay as they are: [`after_takeover`] says how they go on, if they do.
/// Nothing may leave this host for one of the jobs before what is [`Written`] is durable.
///
/// # Errors
/// When the journal takes no more writes.
pub async fn take_up(
    journal: &dyn JournalStore,
    mut jobs: Vec<Job>,
    notices: &Notices,
) -> Result<(Vec<Job>, Written)> {
    let mut last = None;
    for job in &mut jobs {
        tell(job, notices);
        // The predecessor's back-off was about its own connections.
        job.state.not_before = None;
        let events = events_at_takeover(job.status);
        if events.is_empty() {
            continue;
        }
        let note = format!("taken over in status {} ({})", job.status.code(), job.status.meaning());
        let moved = job
            .current_checkpoint()
            .filter(|_| job.status == Status::Transferring)
            .map_or(0, |checkpoint| checkpoint.moved_bytes);
        let (next, step) = job.step(events, Some(note), |state| {
            state.moved_bytes += moved;
        })?;
        last = Some(journal.queue(step).await?);
        *job = next;
    }
    // When the last is durable, all before it are.
    Ok((jobs, Written(last)))
}

/// Tells the operator what becomes of a job.
fn tell(job: &Job, notices: &Notices) {
    match job.status.row().at_takeover {
        AtTakeover::Nothing => {}
        AtTakeover::Restart | AtTakeover::Settle => notices.taken_up(job),
        AtTakeover::Ask => match after_takeover(job) {
            Onward::Ask => notices.cannot_recover(job),
            Onward::Failed => notices.exit_waits(job),
            Onward::Skip => notices.exit_skipped(job),
            Onward::Rerun | Onward::GoOn => notices.taken_up(job),
        },
    }
}

/// How many jobs are restarted, and how many are settled with their partner first.
pub fn count(jobs: &[Job]) -> (usize, usize) {
    let of = |what| jobs.iter().filter(|job| job.status.row().at_takeover == what).count();
    (of(AtTakeover::Restart), of(AtTakeover::Settle))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use ferryway_core::{Epoch, JobId, PartnerName, RunNumber, policy::Direction};
    use jiff::Timestamp;

    use super::*;
    use crate::{
        config::Config,
        install,
        journal::{
            JournalError, Receipt,
            record::{Checkpoint, Entry, Fence, HistoryQuery, JobSpec, Leftover, Staging, Step},
        },
    };

    mockall::mock! {
        Journal {}

        #[async_trait]
        impl JournalStore for Journal {
            fn epoch(&self) -> Epoch;
            async fn accept(&self, requests: Vec<JobSpec>) -> Result<Vec<Job>>;
            async fn accept_first(&self, requests: Vec<JobSpec>) -> Result<Vec<Job>>;
            async fn queue(&self, step: Step) -> Result<Receipt<Job>>;
            fn checkpoint(&self, job: &JobId, checkpoint: Checkpoint);
            async fn job(&self, id: &JobId) -> Result<Option<Job>>;
            async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>>;
            async fn job_by_key(&self, key: &str) -> Result<Option<Job>>;
            async fn in_flight(&self) -> Result<Vec<Job>>;
            async fn unheard(&self) -> Result<Vec<Job>>;
            async fn history(&self, query: HistoryQuery) -> Result<Vec<Job>>;
            async fn entries(&self, id: &JobId) -> Result<Vec<Entry>>;
            async fn prune(&self, before: Timestamp) -> Result<u64>;
            async fn staging(&self, partner: &PartnerName) -> Result<Vec<Staging>>;
            async fn put_staging(&self, staging: Staging) -> Result<()>;
            async fn leftovers(&self, partner: &PartnerName) -> Result<Vec<Leftover>>;
            async fn put_leftover(&self, leftover: Leftover) -> Result<()>;
            async fn forget_leftover(&self, leftover: Leftover) -> Result<()>;
            async fn fences(&self) -> Result<Vec<Fence>>;
            async fn raise_fence(&self, fence: Fence) -> Result<()>;
            async fn check_ownership(&self) -> Result<()>;
            async fn probe(&self) -> Result<()>;
            async fn closed(&self) -> JournalError;
            async fn close(&self) -> Result<()>;
        }
    }

    fn job(run: u64, status: Status) -> Job {
        let definition = "PRDY01".parse().unwrap();
        Job {
            status,
            version: 3,
            ..Job::accepted(
                JobSpec::plain(definition, "BANK".parse().unwrap(), Direction::Send, ("/a", "a")),
                RunNumber(run),
                run,
                (Epoch::FIRST, Timestamp::UNIX_EPOCH),
            )
        }
    }

    fn notices() -> (tempfile::TempDir, Notices) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("install");
        install::init(&place, &"night".parse().unwrap()).unwrap();
        let notices = Notices::open(&Config::load(&place).unwrap());
        (folder, notices)
    }

    /// One write for each job that moves, none for one that stays as the table says; and none waits
    /// as long as its former owner was to.
    #[tokio::test]
    async fn only_jobs_that_change_are_written_and_all_may_go() {
        let (_folder, notices) = notices();
        let statuses = Status::EACH.into_iter().filter(|status| status.in_flight());
        let mut jobs: Vec<_> = (1..).zip(statuses).map(|(run, status)| job(run, status)).collect();
        for job in &mut jobs {
            job.state.not_before = Some(Timestamp::MAX);
        }
        let moved = jobs.iter().filter(|job| !events_at_takeover(job.status).is_empty()).count();
        assert!(moved > 0 && moved < jobs.len());

        let mut journal = MockJournal::new();
        journal.expect_queue().times(moved).returning(|step| {
            assert_eq!((step.version, step.events.len()), (3, 1));
            let (done, receipt) = Receipt::pair();
            assert!(done.send(Ok(job(1, Status::Accepted))).is_ok());
            Ok(receipt)
        });
        let (taken_up, written) = take_up(&journal, jobs.clone(), &notices).await.unwrap();
        written.durable().await.unwrap();
        assert_eq!(taken_up.len(), jobs.len());
        for (before, after) in jobs.iter().zip(&taken_up) {
            let expected =
                ferryway_core::apply(before.status, ferryway_core::Event::TakeOver).unwrap();
            assert_eq!((after.status, after.state.not_before), (expected, None));
        }
    }

    /// A new owner goes on with its own preparations while the disk works, and no further.
    #[tokio::test]
    async fn jobs_come_back_before_their_writes_are_durable() {
        let (_folder, notices) = notices();
        let jobs = vec![job(1, Status::Connecting), job(2, Status::Connecting)];
        let (sender, at_the_disk) = std::sync::mpsc::channel();
        let mut journal = MockJournal::new();
        journal.expect_queue().times(2).returning(move |_| {
            let (done, receipt) = Receipt::pair();
            sender.send(done).unwrap();
            Ok(receipt)
        });
        let limit = std::time::Duration::from_secs(10);
        let taken_up = tokio::time::timeout(limit, take_up(&journal, jobs, &notices));
        let (_, written) = taken_up.await.expect("the disk is not waited for").unwrap();
        let mut durable = std::pin::pin!(written.durable());
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        for done in at_the_disk.try_iter() {
            assert!(durable.as_mut().poll(&mut context).is_pending());
            // The last one alone is listened to.
            let _unheard = done.send(Ok(job(1, Status::Accepted)));
        }
        durable.await.unwrap();
    }
}
