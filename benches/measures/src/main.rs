//! What the journal and the host take as the work grows.
//!
//!     measures transitions FOLDER ROUNDS SECONDS    durable transitions, beside an appended log
//!     measures history INSTALL COUNT                adds finished jobs to a journal
//!     measures flight INSTALL COUNT                 adds jobs in flight to a journal
//!     measures takeover INSTALL PROGRAMS ROUNDS JOBS   lets hosts take over, and then move jobs
//!     measures fixed NAME FOLDER                    does a fixed amount of work

use std::{env, path::Path, time::Duration};

use measures::{Failure, fixed, jobs, takeover, transitions};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["transitions", folder, rounds, seconds] => {
            let slice = Duration::try_from_secs_f64(seconds.parse()?)?;
            transitions::compare(Path::new(folder), rounds.parse()?, slice).await
        }
        ["history", install, count] => jobs::add_history(Path::new(install), count.parse()?).await,
        ["flight", install, count] => jobs::add_in_flight(Path::new(install), count.parse()?).await,
        ["takeover", install, programs, rounds, jobs] => {
            let (install, programs) = (Path::new(install), Path::new(programs));
            takeover::measure(install, programs, rounds.parse()?, jobs.parse()?).await
        }
        ["fixed", name, folder] => fixed::work(name, Path::new(folder)).await,
        _ => Err("usage: measures transitions FOLDER ROUNDS SECONDS, history INSTALL COUNT, \
                  flight INSTALL COUNT, takeover INSTALL PROGRAMS ROUNDS JOBS, or fixed NAME FOLDER"
            .into()),
    }
}
