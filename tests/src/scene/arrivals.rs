//! What happened to the names in a folder, told by the kernel.

use std::{
    collections::BTreeMap,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, Weak},
    thread,
    time::Duration,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

/// A watch on one folder, from its making on.
#[derive(Clone, Debug)]
pub struct Arrivals(Arc<Mutex<Watch>>);

/// How often a name came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// By a rename onto it: complete from its first moment.
    pub renamed: u32,
    /// By being made empty: a reader can see it grow.
    pub made: u32,
}

#[derive(Debug)]
struct Watch {
    queue: OwnedFd,
    seen: BTreeMap<String, Arrived>,
}

impl Arrivals {
    /// Watches `folder` from now on.
    pub fn watch(folder: &Path) -> Self {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&queue, folder, WatchFlags::MOVED_TO | WatchFlags::CREATE).unwrap();
        let watch = Arc::new(Mutex::new(Watch { queue, seen: BTreeMap::new() }));
        // The kernel makes one event of equal ones that nobody read in between.
        let read = Arc::downgrade(&watch);
        thread::spawn(move || {
            while let Some(watch) = Weak::upgrade(&read) {
                watch.lock().unwrap().drain();
                drop(watch);
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self(watch)
    }

    /// What happened to a name so far, which is forgotten.
    pub fn take(&self, name: &str) -> Arrived {
        let mut watch = self.0.lock().unwrap();
        watch.drain();
        watch.seen.remove(name).unwrap_or_default()
    }

    /// What happened to a name so far.
    pub fn of(&self, name: &str) -> Arrived {
        let mut watch = self.0.lock().unwrap();
        watch.drain();
        watch.seen.get(name).copied().unwrap_or_default()
    }
}

impl Watch {
    fn drain(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut events = Reader::new(&self.queue, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return,
                Err(error) => panic!("the watch broke: {error}"),
            };
            assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "the watch missed events");
            let Some(Ok(name)) = event.file_name().map(|name| name.to_str()) else { continue };
            let arrived = self.seen.entry(name.to_owned()).or_default();
            if event.events().contains(ReadFlags::MOVED_TO) {
                arrived.renamed += 1;
            } else {
                arrived.made += 1;
            }
        }
    }
}
