//! A measurement; run with `--release -- --ignored --nocapture speed`. Others of the journal are in
//! `benches/`.

use std::time::{Duration, Instant};

use ferryway_host::journal::{JournalStore, NodeName, Options, SqliteJournal};

use crate::spec;

fn options(install: &std::path::Path, node: &str) -> Options {
    Options::new(install, NodeName(node.into()), "night".parse().unwrap())
}

/// What a request with a key costs beside a long history: looked for there, and known to be the
/// first with its key.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn keys() {
    const ASKS: u32 = 200;
    let install = tempfile::tempdir().unwrap();
    for owners in [0, 12, 48] {
        for _ in 0..owners {
            let mut options = options(install.path(), "alpha");
            (options.keep_recent, options.replace) = (0, true);
            let (journal, _) = SqliteJournal::take_over(options).unwrap();
            let mut jobs = journal.accept(vec![spec("OLD"); 400]).await.unwrap();
            let last = jobs.pop().unwrap();
            for job in &jobs {
                crate::finish(&journal, job).await;
            }
            crate::until("the move to the history", async || {
                let hot = install.path().join("journal").join(format!("hot.{}", journal.epoch()));
                let connection = rusqlite::Connection::open(hot.join("journal.db")).unwrap();
                let ended = "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL";
                connection.query_row(ended, [], |row| row.get::<_, i64>(0)).unwrap() == 0
            })
            .await;
            crate::finish(&journal, &last).await;
            journal.close().await.unwrap();
        }
        let mut options = options(install.path(), "beta");
        options.replace = true;
        let (journal, _) = SqliteJournal::take_over(options).unwrap();
        let files = std::fs::read_dir(install.path().join("journal/hist")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files = names.filter(|name| name.ends_with(".db")).count();
        let mut took = [Duration::ZERO; 2];
        for ask in 0..ASKS {
            for (first, took) in took.iter_mut().enumerate() {
                let key = format!("{owners} {first} {ask}");
                let request = vec![crate::keyed("NEW", &key)];
                let start = Instant::now();
                match first {
                    0 => journal.accept(request).await.unwrap(),
                    _ => journal.accept_first(request).await.unwrap(),
                };
                *took += start.elapsed();
            }
        }
        let [looked_for, first] = took.map(|took| took / ASKS);
        println!("{files} history files: {looked_for:?} when looked for, {first:?} when the first");
        journal.close().await.unwrap();
    }
}
