//! One order for several jobs.

use ferryway_core::JobId;
use ferryway_host::control::api::{Command, JobView};
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::{
    exit::{Exit, Failure, Result},
    render::{self, FaultShape, JobShape},
    source::recorded,
};

/// Gives the order for each job in turn. One that is refused does not keep the others from
/// theirs; without a host there is nothing to go on with.
pub(super) async fn run(jobs: &[JobId], command: Command, context: &Context) -> Result<Exit> {
    let mut results = Vec::new();
    for id in jobs {
        let result = context.client.command(id, command).await.map(recorded).map_err(Failure::from);
        match result {
            Err(failure) if failure.exit == Exit::HostDown => {
                tell(&results, context)?;
                return Err(failure);
            }
            result => results.push((id, result)),
        }
    }
    tell(&results, context)?;
    let failed = results.iter().find_map(|(_, result)| result.as_ref().err());
    Ok(failed.map_or(Exit::Ok, |failure| failure.exit))
}

type Ordered<'a> = (&'a JobId, Result<JobView>);

/// What became of the order for one job.
#[derive(Serialize)]
struct Shape<'a> {
    id: &'a JobId,
    ok: bool,
    job: Option<JobShape<'a>>,
    error: Option<FaultShape<'a>>,
}

fn tell(results: &[Ordered<'_>], context: &Context) -> Result<()> {
    if context.json {
        let jobs: Vec<Shape<'_>> = results.iter().map(shape).collect();
        return render::print_json(&json!({ "jobs": jobs }));
    }
    for (id, result) in results {
        match result {
            Ok(view) => render::print(&format!("{id}: {}\n", view.job.status))?,
            Err(failure) => {
                let message = format!("{id}: {}", failure.message);
                render::failure(&Failure { message, ..failure.clone() }, false);
            }
        }
    }
    Ok(())
}

fn shape<'a>((id, result): &'a Ordered<'_>) -> Shape<'a> {
    let (job, error) = match result {
        Ok(view) => (Some(view.into()), None),
        Err(failure) => (None, Some(failure.into())),
    };
    Shape { id, ok: result.is_ok(), job, error }
}
