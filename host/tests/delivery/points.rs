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
    hook: Hook,
    struck: watch::Sender<bool>,
    image: Arc<Mutex<Option<TempDir>>>,
    effects: Arc<Effects>,
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
        let mut trap = Self {
            kind,
            fault: None,
            hook: Hook::default(),
            struck: watch::Sender::new(false),
            image: Arc::default(),
            effects: Arc::clone(&lab.effects),
        };
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
                lab.effects.hold(at, nth);
                return trap;
            }
            Kind::Journal(_) | Kind::Torn | Kind::HalfCopied => {
                trap.hook = trap.in_journal(lab, nth);
                return trap;
            }
        };
        trap.fault = Some(server.faults().add(rule));
        trap
    }

    /// What the node's journal is started with.
    pub fn hook(&self) -> Hook {
        self.hook.clone()
    }

    /// Waits until the point is reached.
    pub async fn struck(&self) {
        if let Kind::Exit(_) = self.kind {
            return self.effects.held().await;
        }
        if let Some(fault) = &self.fault {
            while fault.wait(LIMIT).await.is_err() {}
            return;
        }
        let mut struck = self.struck.subscribe();
        struck.wait_for(|&struck| struck).await.expect("the sender lives in self");
    }

    /// Whether the point was reached.
    pub fn has_struck(&self) -> bool {
        match self.kind {
            Kind::Exit(_) => self.effects.holds(),
            _ => self.fault.as_ref().map_or(*self.struck.borrow(), |fault| fault.fired() > 0),
        }
    }

    /// Whether the last command of the dead node is still to be executed.
    pub fn is_late(&self) -> bool {
        self.kind == Kind::Late
    }

    /// The disk as it was at that moment.
    pub fn image(&self, lab: &Lab) -> TempDir {
        self.image.lock().unwrap().take().unwrap_or_else(|| lab.image())
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

    /// Fails the journal at a point, and takes an image of the disk there.
    fn in_journal(&self, lab: &Lab, nth: u32) -> Hook {
        let (kind, camera) = (self.kind, lab.camera());
        let (struck, image) = (self.struck.clone(), Arc::clone(&self.image));
        let (passed, log_before) = (AtomicU32::new(0), AtomicU64::new(0));
        let at = match kind {
            Kind::Journal(point) => point,
            Kind::HalfCopied => Point::Copied,
            _ => Point::Committed,
        };
        let disk = lab.path().to_owned();
        Hook::new(move |point| {
            if kind == Kind::Torn && point == Point::Executed {
                log_before.store(log_of(&disk).1, Ordering::SeqCst);
            }
            if point != at || passed.fetch_add(1, Ordering::SeqCst) + 1 != nth {
                return Ok(());
            }
            let taken = camera();
            match kind {
                Kind::Torn => halve(log_of(taken.path()), log_before.load(Ordering::SeqCst)),
                Kind::HalfCopied => halve_copy(taken.path()),
                _ => {}
            }
            *image.lock().unwrap() = Some(taken);
            struck.send_replace(true);
            Err(std::io::Error::other("the node is dead, as planned"))
        })
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
