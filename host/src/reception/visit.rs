//! A visitor's session: the operations of the contract over this host's own folders.

use std::sync::Arc;

use async_trait::async_trait;
use ferryway_core::{
    Algorithm, Digest, Direction, Event, Operation, RemotePath, TransportError,
    notice::{Notice, Standing},
    transport::{
        Capabilities, Download, EntryKind, Rename, Result, Resume, Session, Stat, Stored, Upload,
    },
};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinHandle, spawn_blocking},
};

use super::{
    Watch, arrival, departure,
    fence::Pass,
    hashed::Hashed,
    jobs::{Receiver, Teller, Written},
    ownership::Ownership,
    refusal::Refusal,
    room::{Guest, Room},
    tree::Tree,
};
use crate::{
    config::LocalFile,
    journal::record,
    scheduler::{Desk, Shared},
};

/// Bytes that are taken from a visitor, or given to it, at a time.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// The session of a visitor that was let in.
pub(super) struct Visit {
    pub(super) tree: Tree,
    pub(super) who: record::Fence,
    pub(super) pass: Pass,
    pub(super) shared: Arc<Shared>,
    pub(super) ownership: Arc<Ownership>,
    pub(super) watch: Arc<Watch>,
    pub(super) desk: Desk,
    /// The job that was announced last: what is stored from there on is for it.
    pub(super) announced: Option<Arc<Receiver>>,
    /// Of the file that came in last, or was asked about; its bytes are durable.
    pub(super) hashed: Option<Hashed>,
    /// Of the file that went out last. It proves what the visitor fetched, and nothing else: its
    /// bytes may not be durable.
    pub(super) departed: Option<Hashed>,
    pub(super) open: bool,
    pub(super) guest: Guest,
    /// How many rooms there are for the visitor.
    pub(super) rooms: usize,
}

/// What a piece of work for a visitor goes by. It may outlive the session, and keeps its room.
pub(super) struct Errand {
    pub(super) tree: Tree,
    pub(super) pass: Pass,
    pub(super) room: Arc<Room>,
}

/// The hash of a file's first bytes.
enum Known {
    /// As they went out.
    Departed(Hashed),
    /// As they came in or were read, durable.
    Durable(Hashed),
}

/// Steps that are under way at a time, for all visitors together: twice as many as the visitors that a
/// door serves unless it is told otherwise, so that disks that hang leave some to others.
static STEPS: Semaphore = Semaphore::const_new(STEPS_AT_A_TIME);

const STEPS_AT_A_TIME: usize = 128;

/// Where no more than so many are under way, they keep their threads while they wait for visitors: the way
/// to a thread and back for each piece costs a large file a tenth of its speed.
const FEW_STEPS: usize = 16;

/// Whether a step may wait for its visitor.
pub(super) fn may_wait() -> bool {
    STEPS_AT_A_TIME - STEPS.available_permits() <= FEW_STEPS
}

/// Does a step of a longer piece of work where it may block.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    step: impl FnOnce() -> std::result::Result<T, Refusal> + Send + 'static,
) -> std::result::Result<T, Refusal> {
    // It is never closed.
    let turn = STEPS.acquire().await;
    let step = move || {
        let _turn = turn;
        step()
    };
    spawn_blocking(step).await.unwrap_or_else(|error| Err(broke(&error)))
}

fn broke(error: &JoinError) -> Refusal {
    tracing::error!(%error, "the work for a visitor broke");
    Refusal::NotNow("the work broke".to_owned())
}

impl Visit {
    /// Does file work where it may block, unless a newer owner was here.
    async fn work<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Errand) -> std::result::Result<T, Refusal> + Send + 'static,
    ) -> Result<T> {
        let errand = self.errand(operation)?;
        let work = move || {
            errand.pass.check()?;
            work(&errand)
        };
        self.done(operation, spawn_blocking(work)).await
    }

    /// What a piece of work goes by.
    fn errand(&self, operation: Operation) -> Result<Errand> {
        self.check_open(operation)?;
        let (tree, pass, room) = (self.tree.clone(), self.pass.clone(), self.guest.room());
        Ok(Errand { tree, pass, room })
    }

    /// What came of a piece of work, which goes on when nobody waits for it any more.
    async fn done<T>(
        &self,
        operation: Operation,
        work: JoinHandle<std::result::Result<T, Refusal>>,
    ) -> Result<T> {
        let done = work.await.unwrap_or_else(|error| Err(broke(&error)));
        done.map_err(|refusal| {
            // Whoever was shown out by a newer owner hears of that, and not of what it met then.
            let refusal = self.pass.check().err().map_or(refusal, Refusal::from);
            self.refuse(refusal, operation)
        })
    }

    /// # Errors
    /// Whoever was shown out finds no session here, and may try to open another. Whoever a newer
    /// owner has shown out does not hear of it here: it hears of that.
    fn check_open(&self, operation: Operation) -> Result<()> {
        let is_out = !self.guest.is_welcome() && self.pass.check().is_ok();
        if !self.open || is_out {
            return Err(TransportError::closed(operation));
        }
        Ok(())
    }

    /// What the visitor hears when something is not done; the operator hears what is news.
    fn refuse(&self, refusal: Refusal, operation: Operation) -> TransportError {
        self.watch.refused(&self.who, &refusal);
        refusal.into_error(operation)
    }

    /// Changes names, and makes that durable in the folders of all places that come back. It is
    /// one piece of work: the second half happens also when the visitor leaves meanwhile.
    async fn change(
        &self,
        operation: Operation,
        change: impl FnOnce(&Tree) -> std::result::Result<Vec<LocalFile>, Refusal> + Send + 'static,
    ) -> Result<()> {
        self.work(operation, move |Errand { tree, pass, .. }| {
            let effect = pass.effect()?;
            let mut places = change(tree)?;
            drop(effect);
            places.dedup_by(|one, other| one.path().parent() == other.path().parent());
            places.iter().try_for_each(|place| Ok(place.sync_folder()?))
        })
        .await
    }

    /// Puts on record that a job's file is put in place: before a rename, and after a store that
    /// goes there at once.
    async fn intend(&self, operation: Operation, receiver: &Arc<Receiver>) -> Result<()> {
        let recorded = match self.pass.check() {
            Ok(()) => self.shared.receiving.publishing(receiver).await,
            Err(outdated) => Err(outdated.into()),
        };
        match recorded.map_err(|refusal| refusal.into_error(operation))? {
            // Its acknowledgement came with a look at the ownership.
            Written::Now => Ok(()),
            Written::Before => self.ownership.now(operation).await,
        }
    }

    /// The job that what goes on in this session is for: the one of the file itself, where that
    /// goes from here, else the one whose partial comes in.
    fn job_of(&self, path: &RemotePath, direction: Direction) -> Option<Arc<Receiver>> {
        self.shared.receiving.of_file(&self.who.visitor, path, direction)
    }

    /// Shows how far a job is. Nothing depends on it.
    async fn show(&self, receiver: Option<&Arc<Receiver>>, event: Event) {
        let Some(receiver) = receiver.filter(|_| self.pass.check().is_ok()) else { return };
        if let Err(error) = self.shared.receiving.walk(receiver, event).await {
            tracing::warn!(%error, job = %receiver.id(), "a job's progress is not recorded");
        }
    }

    /// The hash of a file's first bytes: one that is known, if it is of these, else as they are read.
    /// `departed` proves no more than what went out.
    async fn hash(
        &self,
        (path, length): (RemotePath, u64),
        departed: Option<Hashed>,
        durable: Option<Hashed>,
    ) -> Result<Known> {
        self.work(Operation::Checksum, move |Errand { tree, room, .. }| {
            let place = tree.to_read(&path)?;
            let file = place.open_read()?;
            let is_of_it = |known: &Hashed| known.is_of(place.path(), &file, length);
            if let Some(known) = departed.filter(is_of_it) {
                return Ok(Known::Departed(known));
            }
            let known = durable.filter(is_of_it);
            known.map_or_else(|| Hashed::read(&place, file, length, room), Ok).map(Known::Durable)
        })
        .await
    }

    async fn hear(&mut self, notice: Notice) -> std::result::Result<Option<Standing>, Refusal> {
        let from = Teller {
            who: self.who.clone(),
            pass: self.pass.clone(),
            tree: self.tree.clone(),
            room: self.guest.room(),
            config: self.shared.config(),
        };
        let receiving = &self.shared.receiving;
        match notice {
            Notice::Announce(what) => {
                let sends = what.direction == Direction::Send;
                let (standing, receiver) = receiving.announced(from, what).await?;
                self.announced = Some(receiver).filter(|_| sends);
                Ok(Some(standing))
            }
            Notice::Delivered(what) => receiving.delivered(from, what).await.map(Some),
            Notice::Withdraw(what) => receiving.withdrawn(from, what).await,
            Notice::Back => {
                from.pass.check()?;
                let returned = self.desk.returned(self.who.visitor.clone()).await;
                returned.map(|()| None).map_err(|refusal| Refusal::NotNow(refusal.message))
            }
        }
    }
}

#[async_trait]
impl Session for Visit {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: Resume::AtOffset,
            rename: Rename::Replaces,
            size: true,
            folders: true,
            lists_hidden: true,
            checksums: vec![Algorithm::Blake3],
            epoch_fencing: true,
            notices: true,
            rooms: self.rooms,
        }
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        self.work(Operation::Stat, move |Errand { tree, .. }| {
            let facts = tree.to_read(&path)?.metadata()?;
            let kind = if facts.is_dir() { EntryKind::Folder } else { EntryKind::File };
            let size = facts.is_file().then(|| facts.len());
            Ok(Stat { kind, size, modified: facts.modified().ok().map(|time| time.into_std()) })
        })
        .await
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let list = move |errand: &Errand| Ok(errand.tree.to_list(folder.as_ref())?.list()?);
        self.work(Operation::List, list).await
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        let Download { path, offset, sink, meter } = download;
        let receiver = self.job_of(&path, Direction::Fetch);
        self.show(receiver.as_ref(), Event::Begin).await;
        let errand = self.errand(Operation::Fetch)?;
        let departure = departure::send(path, offset, sink, meter, errand, receiver.is_some());
        let departed = self.done(Operation::Fetch, tokio::spawn(departure)).await?;
        self.departed = departed.hashed;
        Ok(departed.bytes)
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let Upload { path, offset, source, .. } = upload;
        self.show(self.announced.as_ref(), Event::Begin).await;
        self.ownership.lately(Operation::Store).await?;
        let in_place = self.job_of(&path, Direction::Send);
        let earlier = self.hashed.take();
        let errand = self.errand(Operation::Store)?;
        let arrival = arrival::receive(path, offset, source, errand, earlier);
        let arrived = self.done(Operation::Store, tokio::spawn(arrival)).await?;
        self.hashed = arrived.hashed;
        // The visitor learns the hash with this answer, and need not ask for it.
        if let Some((receiver, hashed)) = self.announced.as_ref().zip(self.hashed.as_ref()) {
            receiver.prove(hashed.proof());
        }
        // It may have taken long: a host that has lost its instance meanwhile confirms nothing.
        self.ownership.lately(Operation::Store).await?;
        if let Some(receiver) = in_place {
            self.intend(Operation::Store, &receiver).await?;
        }
        Ok(arrived.stored)
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        let receiver = self.job_of(&to, Direction::Send);
        match &receiver {
            None => self.ownership.now(Operation::Rename).await?,
            Some(receiver) => self.intend(Operation::Rename, receiver).await?,
        }
        // What was proved is durable.
        let proof = receiver.and_then(|receiver| receiver.proof());
        self.change(Operation::Rename, move |tree| {
            let (from, to) = (tree.to_write(&from)?, tree.to_write(&to)?);
            if from.metadata()?.is_file() {
                let file = from.open_read()?;
                if !proof.is_some_and(|proof| proof.is_of(&file)) {
                    from.sync(&file)?;
                }
            }
            from.rename_to(&to)?;
            Ok(vec![to, from])
        })
        .await
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        self.ownership.lately(Operation::Remove).await?;
        self.change(Operation::Remove, move |tree| {
            let place = tree.to_write(&path)?;
            place.remove()?;
            Ok(vec![place])
        })
        .await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        self.ownership.lately(Operation::MakeFolder).await?;
        self.change(Operation::MakeFolder, move |tree| {
            let place = tree.to_write(&path)?;
            place.make_folder()?;
            Ok(vec![place])
        })
        .await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        self.ownership.lately(Operation::RemoveFolder).await?;
        self.change(Operation::RemoveFolder, move |tree| {
            let place = tree.to_write(&path)?;
            place.remove_folder()?;
            Ok(vec![place])
        })
        .await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        let operation = Operation::Checksum;
        if algorithm != Algorithm::Blake3 {
            let message = format!("{algorithm} is not computed here");
            return Err(TransportError::unsupported(operation, message));
        }
        let fetched = self.job_of(&path, Direction::Fetch);
        let departed = self.departed.take().filter(|_| fetched.is_some());
        let receiver = fetched.or_else(|| self.announced.clone());
        self.show(receiver.as_ref(), Event::Verify).await;
        let durable = self.hashed.take();
        let digest = match self.hash((path, length), departed, durable).await? {
            Known::Departed(hashed) => self.departed.insert(hashed).digest(),
            Known::Durable(hashed) => {
                if let Some(receiver) = receiver {
                    receiver.prove(hashed.proof());
                }
                self.hashed.insert(hashed).digest()
            }
        };
        digest.ok_or_else(|| Refusal::NotNow("no hash".to_owned()).into_error(operation))
    }

    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>> {
        self.check_open(Operation::Tell)?;
        let heard = self.hear(notice).await;
        heard.map_err(|refusal| self.refuse(refusal, Operation::Tell))
    }

    async fn ping(&mut self) -> Result<()> {
        self.work(Operation::Ping, |_| Ok(())).await
    }

    async fn close(&mut self) -> Result<()> {
        self.open = false;
        Ok(())
    }
}
