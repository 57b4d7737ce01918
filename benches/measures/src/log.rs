//! The least that makes records durable for many writers: a log that is appended to, with one
//! `fdatasync` for all records that came meanwhile. Nothing can be found in it again.

use std::{fs::File, io::Write, path::Path, thread};

use tokio::sync::{mpsc, oneshot};

use crate::Failure;

/// Records that may wait before their writers have to; as in the journal's line.
const CAPACITY: usize = 4096;

/// Records to one `fdatasync`; as in the journal.
const GROUP: usize = 1024;

type Waiting = (Record, oneshot::Sender<()>);

/// What is made durable.
#[derive(Clone, Debug)]
pub struct Record {
    /// The job that it is of, from 0.
    pub job: usize,
    /// Which one of the job it is, from 1.
    pub number: u64,
    /// What the log has of it.
    pub bytes: Vec<u8>,
}

/// A log, and the thread that writes it.
#[derive(Debug)]
pub struct Log {
    line: mpsc::Sender<Waiting>,
    writer: thread::JoinHandle<Result<(), Failure>>,
}

impl Log {
    /// Makes the file of a log, or empties it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let (mut file, mut bytes) = (File::create(path)?, Vec::new());
        Self::start(move |group| {
            bytes.clear();
            for record in group {
                bytes.extend_from_slice(&record.bytes);
            }
            file.write_all(&bytes)?;
            Ok(file.sync_data()?)
        })
    }

    /// Starts a thread with another way to make a group of records durable.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(
        durable: impl FnMut(&mut dyn Iterator<Item = &Record>) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        let (line, waiting) = mpsc::channel(CAPACITY);
        let writer =
            thread::Builder::new().name("log".to_owned()).spawn(|| write(durable, waiting))?;
        Ok(Self { line, writer })
    }

    /// Appends a record; durable on `Ok`.
    ///
    /// # Errors
    /// When the writer has ended.
    pub async fn append(&self, record: Record) -> Result<(), Failure> {
        let (durable, receipt) = oneshot::channel();
        self.line.send((record, durable)).await?;
        Ok(receipt.await?)
    }

    /// Ends the writer.
    ///
    /// # Errors
    /// What ended it before.
    pub fn close(self) -> Result<(), Failure> {
        let Self { line, writer } = self;
        drop(line);
        writer.join().map_err(|_| "the log's writer broke")?
    }
}

fn write(
    mut durable: impl FnMut(&mut dyn Iterator<Item = &Record>) -> Result<(), Failure>,
    mut line: mpsc::Receiver<Waiting>,
) -> Result<(), Failure> {
    let mut group = Vec::with_capacity(GROUP);
    while line.blocking_recv_many(&mut group, GROUP) > 0 {
        durable(&mut group.iter().map(|(record, _)| record))?;
        for (_, durable) in group.drain(..) {
            // A writer that has gone does not wait.
            let _gone = durable.send(());
        }
    }
    Ok(())
}
