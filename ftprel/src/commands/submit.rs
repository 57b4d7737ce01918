//! `ftprel submit`.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{self, Path, PathBuf},
    time::Duration,
};

use ferryway_core::JobId;
use ferryway_host::control::{
    api::{BATCH_LIMIT, BODY_LIMIT, JobView, SubmitRequest},
    client::ClientError,
};
use serde_json::json;
use tokio::time::Instant;

use super::Context;
use crate::{
    args::SubmitArgs,
    exit::{Exit, Failure, Result},
    follow::{Which, follow},
    progress::Show,
    render::{self, JobShape},
    source::recorded,
};

pub(super) async fn run(args: SubmitArgs, context: &Context) -> Result<Exit> {
    let requests = requests(&args)?;
    let mut accepted = Vec::new();
    for batch in batches(&requests) {
        match context.client.submit(batch).await {
            Ok(jobs) => {
                if !context.json {
                    let ids: String = jobs.iter().map(|job| format!("{}\n", job.id)).collect();
                    render::print(&ids)?;
                }
                accepted.extend(jobs.into_iter().map(recorded));
            }
            Err(error) => {
                if context.json && !accepted.is_empty() {
                    print_jobs(&accepted)?;
                }
                return Err(partly(error, accepted.len(), requests.len(), &args));
            }
        }
    }
    if !args.wait {
        if context.json {
            print_jobs(&accepted)?;
        }
        return Ok(Exit::Ok);
    }
    let ids: Vec<JobId> = accepted.into_iter().map(|view| view.job.id).collect();
    let limit = args.timeout.map(|seconds| Duration::from_secs(seconds.into()));
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut show = Show::beside_output(context.json);
    let followed = follow(&context.client, Which::Named(ids), deadline, &mut show).await?;
    drop(show);
    if context.json {
        print_jobs(&followed.views)?;
    }
    followed.finish()
}

fn print_jobs(views: &[JobView]) -> Result<()> {
    let jobs: Vec<JobShape<'_>> = views.iter().map(JobShape::from).collect();
    render::print_json(&json!({ "jobs": jobs }))
}

/// What the jobs of earlier batches mean for whoever tries again.
fn partly(error: ClientError, accepted: usize, of: usize, args: &SubmitArgs) -> Failure {
    let unknown = matches!(error, ClientError::Timeout { .. } | ClientError::Connection { .. });
    let failure = Failure::from(error);
    if accepted == 0 && !unknown {
        return failure;
    }
    let message = format!("{} ({accepted} of {of} jobs were accepted)", failure.message);
    let hint = match &args.key {
        Some(key) => format!("submit the same again: the key `{key}` keeps it from doubling"),
        None if unknown => "more may have been accepted: look with `ftprel list`; submissions \
                            with --key can be repeated safely"
            .to_owned(),
        None => "submit the rest again".to_owned(),
    };
    Failure { message, ..failure }.hint(hint)
}

/// The jobs that the command line asks for, in its order.
fn requests(args: &SubmitArgs) -> Result<Vec<SubmitRequest>> {
    let mut files = args.files.clone();
    if let Some(list) = &args.from_file {
        files.extend(read_list(list)?);
        if files.is_empty() {
            let text = format!("`{}` lists no file", list.display());
            return Err(Failure::new(Exit::Usage, text));
        }
    }
    let definition = &args.definition;
    if files.is_empty() {
        let (remote, key) = (args.remote.clone(), args.key.clone());
        if remote.as_ref().is_some_and(|remote| remote.ends_with('/')) {
            let text = "--remote names a folder, and no FILE tells the name in it";
            return Err(Failure::new(Exit::Usage, text));
        }
        let definition = definition.clone();
        return Ok(vec![SubmitRequest { definition, local: None, remote, key }]);
    }
    let several = files.len() > 1;
    let request = |file: PathBuf| {
        let local = absolute(&file)?;
        let key = args.key.as_ref().map(|key| match several {
            true => format!("{key}:{}", local.display()),
            false => key.clone(),
        });
        let remote = args.remote.as_deref().map(|remote| remote_of(remote, &local, several));
        let (definition, remote) = (definition.clone(), remote.transpose()?);
        Ok(SubmitRequest { definition, local: Some(local), remote, key })
    };
    files.into_iter().map(request).collect()
}

fn absolute(file: &Path) -> Result<PathBuf> {
    let failed = |reason: &str| {
        Failure::new(Exit::Usage, format!("cannot submit `{}`: {reason}", file.display()))
    };
    let absolute = path::absolute(file).map_err(|error| failed(&error.to_string()))?;
    if absolute.to_str().is_none() {
        return Err(failed("its name is not UTF-8, which JSON cannot carry; rename it"));
    }
    Ok(absolute)
}

/// The remote path of one file: `remote` itself, or the file's name in it if it is a folder.
fn remote_of(remote: &str, local: &Path, several: bool) -> Result<String> {
    if let Some(folder) = remote.strip_suffix('/') {
        let name = local.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        return Ok(format!("{folder}/{name}"));
    }
    if several {
        let text = format!("--remote `{remote}` would put all the files onto one");
        return Err(Failure::new(Exit::Usage, text).hint("end it with `/` to name a folder"));
    }
    Ok(remote.to_owned())
}

fn read_list(list: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Usage, format!("cannot read the list `{}`: {error}", list.display()))
    };
    let reader: Box<dyn BufRead> = match list.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(list).map_err(failed)?)),
    };
    let lines = reader.lines().map(|line| line.map_err(failed));
    let files = lines.filter(|line| !line.as_ref().is_ok_and(String::is_empty));
    files.map(|line| line.map(PathBuf::from)).collect()
}

/// Submissions that the host takes at once: not too many, and not too long.
fn batches(requests: &[SubmitRequest]) -> Vec<&[SubmitRequest]> {
    // JSON may write a byte of a name as six.
    let size = |request: &SubmitRequest| {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let local = request.local.as_ref().map_or(0, |local| local.as_os_str().len());
        100 + 6 * (local + text(&request.remote) + text(&request.key))
    };
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, request) in requests.iter().enumerate() {
        let size = size(request);
        if at > start && (at - start == BATCH_LIMIT || bytes + size > BODY_LIMIT) {
            batches.push(&requests[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    batches.push(&requests[start..]);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: usize) -> SubmitRequest {
        let definition = "A".parse().unwrap();
        SubmitRequest { definition, local: None, remote: None, key: Some("k".repeat(key)) }
    }

    #[test]
    fn batches_are_bounded_in_number_and_size() {
        let sizes = |requests: &[SubmitRequest]| -> Vec<usize> {
            batches(requests).into_iter().map(<[_]>::len).collect()
        };
        assert_eq!(sizes(&vec![request(1); 2_001]), [1_000, 1_000, 1]);
        assert_eq!(sizes(&vec![request(1 << 20); 3]), [1, 1, 1]);
        assert_eq!(sizes(&[request(1)]), [1]);
        for batch in batches(&vec![request(100_000); 40]) {
            assert!(serde_json::to_vec(batch).unwrap().len() <= BODY_LIMIT);
        }
    }

    #[test]
    fn several_files_never_share_one_remote_name() {
        let local = Path::new("/data/a.csv");
        assert_eq!(remote_of("in/", local, true).unwrap(), "in/a.csv");
        assert_eq!(remote_of("in/x", local, false).unwrap(), "in/x");
        assert_eq!(remote_of("in/x", local, true).unwrap_err().exit, Exit::Usage);
    }
}
