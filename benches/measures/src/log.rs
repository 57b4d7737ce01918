//! The least that makes records durable for many writers: a log that is appended to, with one
//! `fdatasync` for all records that came meanwhile. Nothing can be found in it again.

use std::{fs::File, io::Write, path::Path, thread};

use tokio::sync::{mpsc, oneshot};

use crate::Failure;

/// Records that may wait before their writers have to; as in the journal's line.
const CAPACITY: usize = 4096;

/// Records to one `fdatasync`; as in the journal.
const GROUP: usize = 1024;

type Waiting = (Vec<u8>, oneshot::Sender<()>);

/// A log in a file of its own, and the thread that writes it.
#[derive(Debug)]
pub struct Log {
    line: mpsc::Sender<Waiting>,
    writer: thread::JoinHandle<std::io::Result<()>>,
}

impl Log {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path)?;
        let (line, waiting) = mpsc::channel(CAPACITY);
        let writer =
            thread::Builder::new().name("log".to_owned()).spawn(|| write(file, waiting))?;
        Ok(Self { line, writer })
    }

    /// Appends a record; durable on `Ok`.
    ///
    /// # Errors
    /// When the writer has ended.
    pub async fn append(&self, record: Vec<u8>) -> Result<(), Failure> {
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
        Ok(writer.join().map_err(|_| "the log's writer broke")??)
    }
}

fn write(mut file: File, mut line: mpsc::Receiver<Waiting>) -> std::io::Result<()> {
    let (mut group, mut bytes) = (Vec::with_capacity(GROUP), Vec::new());
    while line.blocking_recv_many(&mut group, GROUP) > 0 {
        bytes.clear();
        for (record, _) in &group {
            bytes.extend_from_slice(record);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        for (_, durable) in group.drain(..) {
            // A writer that has gone does not wait.
            let _gone = durable.send(());
        }
    }
    Ok(())
}
