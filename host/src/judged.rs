//! What the judge of deliveries is told of a job on record.

use ferryway_mocks::oracle;

use crate::journal::record::Job;

impl From<Job> for oracle::Job {
    fn from(job: Job) -> Self {
        let state = job.state;
        let delivered = state.size.zip(state.digest);
        Self {
            id: job.id,
            status: job.status,
            published: state.published,
            unfinished: state.intent.is_some() || state.attempt.is_some(),
            delivered: delivered.map(|(size, digest)| oracle::Content { size, digest }),
        }
    }
}
