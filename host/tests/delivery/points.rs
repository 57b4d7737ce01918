//! The points of a run at which a node can die: every command on the wire and every write of
//! the journal, each before, inside and after.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use ferryway_core::Publish;
use ferryway_host::journal::{Hook, Point};
use ferryway_mocks::ftp_server::{Action, Cut, Fault, FtpServer, Rule, When};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{
    effects::{At, Effects},
    lab::{LIMIT, Lab, Setup},
};

/// A kind of point; a run passes each so and so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A command has arrived and is never executed.
    Before,
    /// A command is executed, and its reply never leaves.
    After,
    /// The reply has left.
    Reply,
    /// A command has arrived, and is executed when the successor has done everything.
    Late,
    /// So many bytes of a command's data have passed.
    Data(&'static str, u64),
    /// The journal passes this point.
    Journal(Point),
    /// A commit of the journal is half written.
    Torn,
    /// The copy of the predecessor's journal is half written.
    HalfCopied,
    /// An exit is at this place.
    Exit(At),
}

/// Where a node is to die, armed in the server or the journal.
pub struct Trap {
    kind: Kind,
    fault: Option<Fault>,
    snare: Snare,
    effects: Arc<Effects>,
}

/// Where a node is to die in its journal, and its disk as it was there.
#[derive(Clone)]
pub struct Snare {
    hook: Hook,
    struck: watch::Sender<bool>,
    image: Arc<Mutex<Option<TempDir>>>,
}

impl Kind {
    /// All kinds that runs of this setup have.
    pub fn all(setup: &Setup) -> Vec<Self> {
        let size = setup.size as u64;
        let mut kinds = vec![Self::Before, Self::After, Self::Reply, Self::Torn, Self::HalfCopied];
        kinds.extend(Point::EACH.map(Self::Journal));
        for verb in ["STOR", "RETR"] {
            kinds.extend([0, 1, size / 2, size - 1, size].map(|at| Self::Data(verb, at)));
        }
        kinds.extend(Self::of_exits(setup));
        kinds
    }

    /// The kinds between which there is nothing but the node's own thoughts: where the same is
    /// on all disks, the same follows. With exits, only those of the exits and of the writes
    /// around them: on the wire such a setup passes what one without them passes.
    pub fn apart(setup: &Setup) -> Vec<Self> {
        if !setup.exits.is_empty() {
            let mut kinds = Self::of_exits(setup);
            kinds.extend([Point::Executed, Point::Committed].map(Self::Journal));
            return kinds;
        }
        let half = setup.size as u64 / 2;
        let mut kinds = vec![Self::Before, Self::After, Self::Data("STOR", half)];
        kinds.extend([Self::Data("RETR", half), Self::Torn]);
        kinds.extend(Point::EACH.map(Self::Journal));
        kinds
    }

    /// Before and after what an exit is for. Before its start and after its end come the writes
    /// of the journal.
    fn of_exits(setup: &Setup) -> Vec<Self> {
        match setup.exits {
            "" => Vec::new(),
            _ => [At::Before, At::After].map(Self::Exit).to_vec(),
        }
    }
}

impl Trap {
    /// Arms the `nth` point of a kind.
    pub fn set(lab: &Lab, server: &FtpServer, kind: Kind, nth: u32) -> Self {
        let snare = Snare::set(kind, nth, lab.path(), lab.camera());
        let mut trap = Self { kind, fault: None, snare, effects: Arc::clone(&lab.effects) };
        let stall = |command: &str, when| Rule::new(command, when, Action::Stall).nth(nth);
        let rule = match kind {
            Kind::Before | Kind::Late => stall("*", When::Before),
            Kind::After => stall("*", When::After),
            Kind::Reply => stall("*", When::Reply),
            // Probes, bars and marks are too short for most points.
            Kind::Data("STOR", at) if lab.setup.publish == Publish::Atomic => {
                stall("STOR", When::DataByte(at)).on_path("*part")
            }
            Kind::Data(verb, at) => stall(verb, When::DataByte(at)),
            Kind::Exit(at) => {
                lab.effects.hold(at, nth).unwrap();
                return trap;
            }
            Kind::Journal(_) | Kind::Torn | Kind::HalfCopied => return trap,
        };
        trap.fault = Some(server.faults().add(rule));
        trap
    }

    /// What the node's journal is started with.
    pub fn hook(&self) -> Hook {
        self.snare.hook()
    }

    /// Waits until the point is reached.
    pub async fn struck(&self) {
        match (&self.fault, self.kind) {
            (_, Kind::Exit(_)) => self.effects.held().await,
            (Some(fault), _) => while fault.wait(LIMIT).await.is_err() {},
            (None, _) => self.snare.strikes().await,
        }
    }

    /// Whether the point was reached.
    pub fn has_struck(&self) -> bool {
        match (&self.fault, self.kind) {
            (_, Kind::Exit(_)) => self.effects.holds(),
            (Some(fault), _) => fault.fired() > 0,
            (None, _) => self.snare.has_struck(),
        }
    }

    /// Whether the last command of the dead node is still to be executed.
    pub fn is_late(&self) -> bool {
        self.kind == Kind::Late
    }

    /// The disk as it was at that moment.
    pub fn image(&self, lab: &Lab) -> TempDir {
        self.snare.image().unwrap_or_else(|| lab.image())
    }

    /// Ends the connections of the dead node, unless its last command is still to come.
    pub async fn cut(&self, server: &FtpServer) {
        if self.kind != Kind::Late {
            server.cut_all(Cut::Fin);
            assert!(server.wait_for_sessions(0, LIMIT).await, "dead sessions end");
            server.faults().clear();
        }
    }

    /// Lets the last command of the dead node be executed, when nobody else is connected.
    pub async fn let_go(&self, server: &FtpServer) {
        server.faults().clear();
        assert!(server.wait_for_sessions(0, LIMIT).await, "the late session ends");
    }
}

impl Snare {
    /// Fails the journal on this disk at the `nth` point of a kind, where that is one of a
    /// journal, and takes an image of the disk there.
    pub fn set(
        kind: Kind,
        nth: u32,
        disk: &Path,
        camera: impl Fn() -> TempDir + Send + Sync + 'static,
    ) -> Self {
        let struck = watch::Sender::new(false);
        let image = Arc::default();
        let at = match kind {
            Kind::Journal(point) => point,
            Kind::HalfCopied => Point::Copied,
            Kind::Torn => Point::Committed,
            _ => return Self { hook: Hook::default(), struck, image },
        };
        let disk = disk.to_owned();
        let (passed, log_before) = (AtomicU32::new(0), AtomicU64::new(0));
        let (strikes, taken) = (struck.clone(), Arc::clone(&image));
        let hook = Hook::new(move |point| {
            if kind == Kind::Torn && point == Point::Executed {
                log_before.store(log_of(&disk).1, Ordering::SeqCst);
            }
            if point != at || passed.fetch_add(1, Ordering::SeqCst) + 1 != nth {
                return Ok(());
            }
            let photo = camera();
            match kind {
                Kind::Torn => halve(log_of(photo.path()), log_before.load(Ordering::SeqCst)),
                Kind::HalfCopied => halve_copy(photo.path()),
                _ => {}
            }
            *taken.lock().unwrap() = Some(photo);
            strikes.send_replace(true);
            Err(std::io::Error::other("the node is dead, as planned"))
        });
        Self { hook, struck, image }
    }

    /// What the journal is started with.
    pub fn hook(&self) -> Hook {
        self.hook.clone()
    }

    /// Waits until the point is reached.
    pub async fn strikes(&self) {
        let mut struck = self.struck.subscribe();
        struck.wait_for(|&struck| struck).await.expect("the sender lives in self");
    }

    /// Whether the point was reached.
    pub fn has_struck(&self) -> bool {
        *self.struck.borrow()
    }

    /// The disk as it was at that moment; `None` when the point is none of the journal's.
    pub fn image(&self) -> Option<TempDir> {
        self.image.lock().unwrap().take()
    }
}

/// The newest epoch's write-ahead log and its length.
fn log_of(disk: &Path) -> (std::path::PathBuf, u64) {
    let hot = newest_hot(disk);
    let log = hot.join("journal.db-wal");
    let length = fs::metadata(&log).map_or(0, |facts| facts.len());
    (log, length)
}

fn newest_hot(disk: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(disk.join("journal")).unwrap().flatten();
    let epoch = |entry: &fs::DirEntry| -> Option<u64> {
        entry.file_name().to_str()?.strip_prefix("hot.")?.parse().ok()
    };
    let newest = entries.filter_map(|entry| Some((epoch(&entry)?, entry.path()))).max();
    newest.expect("an epoch is claimed").1
}

/// Takes back half of what was written since the log was `before` bytes long.
fn halve((log, after): (std::path::PathBuf, u64), before: u64) {
    assert!(after > before, "a commit writes: {before} to {after} bytes of {}", log.display());
    let file = fs::OpenOptions::new().write(true).open(log).unwrap();
    file.set_len(before.midpoint(after)).unwrap();
}

fn halve_copy(disk: &Path) {
    let copy = newest_hot(disk).join("new.db");
    // A first epoch copies nothing.
    if let Ok(file) = fs::OpenOptions::new().write(true).open(copy) {
        let length = file.metadata().unwrap().len();
        file.set_len(length / 2).unwrap();
    }
}
