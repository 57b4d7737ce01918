//! What an exit finds in its environment.

use std::{env, ffi::OsString, path::PathBuf};

use super::{Runner, When};
use crate::{journal::record::Job, platform::machine::INHERITED};

/// The variables of a run. What is not known yet is not set.
pub(super) fn of(runner: &Runner, job: &Job, when: When) -> Vec<(OsString, OsString)> {
    let starts = when.state(&job.state).starts;
    let delivery = job.reference().delivery;
    let key = format!("{}/{}/{delivery}/{when}", runner.instance, job.id);
    let known = [
        ("JOB", job.id.to_string().into()),
        ("DEFINITION", job.spec.definition.to_string().into()),
        ("PARTNER", job.spec.partner.to_string().into()),
        ("INSTANCE", runner.instance.to_string().into()),
        ("SIDE", job.status.row().side.as_str().into()),
        ("DIRECTION", job.spec.direction.as_str().into()),
        ("REMOTE", job.remote().into()),
        ("EPOCH", runner.epoch.to_string().into()),
        ("ATTEMPT", job.state.attempts.to_string().into()),
        ("EXIT", when.as_str().into()),
        ("EXIT_KEY", key.into()),
        ("EXIT_RUN", starts.to_string().into()),
        ("MAY_HAVE_RUN", if starts > 1 { "1" } else { "0" }.into()),
    ];
    let size = job.state.size.map(|size| ("SIZE", OsString::from(size.to_string())));
    let digest = job.state.digest.as_ref();
    let digest = digest.map(|digest| ("DIGEST", OsString::from(digest.to_string())));
    let local = local(runner, job).map(|local| ("LOCAL", local.into()));
    let own = known.into_iter().chain(local).chain(size).chain(digest);
    let own = own.map(|(name, value)| (format!("FERRYWAY_{name}").into(), value));
    let inherited = INHERITED.iter().filter_map(|name| Some((name.into(), env::var_os(name)?)));
    inherited.chain(own).collect()
}

/// The absolute path of the file on our side; `None` of a receiving job whose file this host does
/// not see.
fn local(runner: &Runner, job: &Job) -> Option<PathBuf> {
    let local = job.local();
    if local.is_absolute() {
        return Some(local);
    }
    if job.spec.origin.is_some() {
        return None;
    }
    let file = runner.roots.resolve(&local, job.spec.direction);
    // A folder that is not there now is for the program to find out.
    Some(file.map_or(local, |file| file.path().to_owned()))
}
