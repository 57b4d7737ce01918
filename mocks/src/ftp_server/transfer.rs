//! STOR, APPE and RETR, and how a listing is sent.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    sync::Arc,
};

use super::{
    behaviour::{Lock, RestBeyondEnd},
    locks,
    pump::{Outcome, Pump},
    reply::Reply,
    session::{Ended, Session},
    upload::{Start, Upload},
};

impl Session {
    /// RFC 959 section 4.1.3; RFC 3659 section 5 for the restart.
    pub(super) async fn store(&mut self, verb: &str, argument: &str) -> Result<Reply, Ended> {
        let start = match (verb, self.restart) {
            ("APPE", _) => Start::Append,
            (_, 0) => Start::Empty,
            (_, offset) => Start::At(offset),
        };
        let shared = Arc::clone(&self.shared);
        let behaviour = &shared.behaviour;
        let place = self.place(argument);
        let absent = !place.as_ref().is_ok_and(|place| place.exists());
        if matches!(start, Start::At(_)) && behaviour.lock == Lock::HiddenTemporary && absent {
            return Ok(Reply::new(501, "REST not compatible with server configuration."));
        }
        let place = match place {
            Ok(place) => place,
            Err(reply) => return Ok(reply.with_code(behaviour.store_refusal)),
        };
        let mut upload = match Upload::open(&shared, &place, argument, start).await {
            Ok(upload) => upload,
            Err(reply) => return Ok(reply),
        };
        let mut wire = match self.open_data("Ok to send data.").await? {
            Ok(wire) => wire,
            Err(reply) => return Ok(reply),
        };
        let line = shared.ledger.open(self.control.session(), verb, argument, self.restart);
        let mut pump = Pump::new(&shared, &self.condition, &mut self.armed, &mut wire, self.ascii)
            .account(line);
        let Some(outcome) = self.control.unless_aborted(pump.receive(&mut upload)).await else {
            drop(upload);
            return self.aborted().await;
        };
        drop(pump);
        let outcome = outcome?;
        // The client learns from the reply, not from the data connection's end.
        drop(wire);
        Ok(match outcome {
            Ok(()) => match upload.finish() {
                Err(error) if behaviour.lock != Lock::AtomicTemporary => {
                    Reply::new(550, format!("{argument}: {error}."))
                }
                _ => Reply::new(226, "Transfer complete."),
            },
            Err(reply) => reply,
        })
    }

    /// RFC 959 section 4.1.3; RFC 3659 section 5 for the restart.
    pub(super) async fn retrieve(&mut self, argument: &str) -> Result<Reply, Ended> {
        let file = match self.open_file(argument).await {
            Ok(file) => file,
            Err(reply) => return Ok(reply),
        };
        let shared = Arc::clone(&self.shared);
        let mut wire = match self.open_data("Opening data connection.").await? {
            Ok(wire) => wire,
            Err(reply) => return Ok(reply),
        };
        let line = shared.ledger.open(self.control.session(), "RETR", argument, self.restart);
        let mut pump = Pump::new(&shared, &self.condition, &mut self.armed, &mut wire, self.ascii)
            .account(line);
        let Some(outcome) = self.control.unless_aborted(pump.send_file(file)).await else {
            return self.aborted().await;
        };
        drop(pump);
        let outcome = outcome?;
        Ok(sent(outcome, wire.finish().await.is_ok()))
    }

    pub(super) async fn send_listing(&mut self, text: String) -> Result<Reply, Ended> {
        let shared = Arc::clone(&self.shared);
        let mut wire = match self.open_data("Here comes the directory listing.").await? {
            Ok(wire) => wire,
            Err(reply) => return Ok(reply),
        };
        // The text has the wire's line ends already, whatever the type.
        let mut pump = Pump::new(&shared, &self.condition, &mut self.armed, &mut wire, false);
        let Some(outcome) = self.control.unless_aborted(pump.send_text(text)).await else {
            return self.aborted().await;
        };
        let outcome = outcome?;
        Ok(sent(outcome, wire.finish().await.is_ok()))
    }

    async fn open_file(&self, argument: &str) -> Result<File, Reply> {
        let place = self.place(argument)?;
        let failed = |error| Reply::file_error(argument, &error);
        let mut file = File::open(place).map_err(|_| Reply::no_file(argument))?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Reply::new(550, format!("{argument}: not a regular file.")));
        }
        if self.shared.behaviour.lock == Lock::BlockThenTruncate {
            self.shared.locks.free(locks::identity(&metadata)).await;
        }
        let beyond = self.restart > metadata.len();
        if beyond && self.shared.behaviour.rest_beyond_end != RestBeyondEnd::Hole {
            return Err(Reply::beyond_end());
        }
        file.seek(SeekFrom::Start(self.restart)).map_err(failed)?;
        Ok(file)
    }

    /// RFC 959 section 4.1.3: ABOR during a transfer gets two replies, 426 for the transfer
    /// and 226 for itself.
    async fn aborted(&mut self) -> Result<Reply, Ended> {
        self.control.send(&Reply::new(426, "Transfer aborted.")).await?;
        Ok(Reply::new(226, "ABOR successful."))
    }
}

fn sent(outcome: Outcome, finished: bool) -> Reply {
    match outcome {
        Ok(()) if finished => Reply::new(226, "Transfer complete."),
        Ok(()) => Reply::new(426, "Failure writing network stream."),
        Err(reply) => reply,
    }
}
