//! The operator's log.

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use ferryway_core::{
    DefinitionId, InstanceName,
    message::{Language, Message, Severity},
};
use jiff::Zoned;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::file::LogFile;
use crate::config::LogSettings;

/// Tells the time of a line, in the zone that the operator reads.
pub type Clock = Arc<dyn Fn() -> Zoned + Send + Sync>;

/// The machine's clock in the machine's zone.
pub fn system_clock() -> Clock {
    Arc::new(Zoned::now)
}

/// How long a line waits for others to be written with.
const GATHER: Duration = Duration::from_millis(5);

/// Lines that may wait for the disk. More are lost, and counted. They take memory only while they wait.
const WAITING_LINES: usize = 16 * 1024;

/// The operator's log of an instance; clones write to the same one.
///
/// A thread of its own writes, so that a slow or full disk holds up nobody: a line that
/// cannot be written is counted, said on the standard error output, and told in the log as
/// soon as it works again. Every message is a tracing event too.
#[derive(Clone)]
pub struct OperatorLog {
    instance: InstanceName,
    clock: Clock,
    settings: Arc<Mutex<LogSettings>>,
    lost: Arc<AtomicU64>,
    queue: Sender<Entry>,
}

enum Entry {
    Line { time: Zoned, subject: String, message: Message },
    Flush(SyncSender<()>),
}

impl OperatorLog {
    /// Begins to write `ferryway.log` in a folder, which should be there. Never fails: see
    /// the type.
    pub fn open(
        folder: &Path,
        instance: InstanceName,
        settings: LogSettings,
        clock: Clock,
    ) -> Self {
        let (queue, entries) = mpsc::channel(WAITING_LINES);
        let settings = Arc::new(Mutex::new(settings));
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            file: LogFile::new(folder),
            instance: instance.clone(),
            clock: Arc::clone(&clock),
            settings: Arc::clone(&settings),
            lost: Arc::clone(&lost),
            complained: false,
        };
        let spawned =
            thread::Builder::new().name("operator-log".to_owned()).spawn(|| writer.run(entries));
        if let Err(error) = spawned {
            complain(format_args!("the operator's log has no thread: {error}"));
        }
        Self { instance, clock, settings, lost, queue }
    }

    /// Records a message about the whole host. Returns at once.
    pub fn host(&self, message: Message) {
        self.record(self.instance.to_string(), message);
    }

    /// Records a message about a job of a definition. Returns at once.
    pub fn job(&self, definition: &DefinitionId, message: Message) {
        self.record(definition.to_string(), message);
    }

    /// Uses other settings for what is written from now on.
    pub fn configure(&self, settings: LogSettings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// How many lines are lost and not yet told of in the log.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until what was recorded before is written or lost, at most so long; tells
    /// whether that came about. Blocks the thread.
    pub fn flush(&self, at_most: Duration) -> bool {
        let (done, written) = sync_channel(1);
        self.queue.try_send(Entry::Flush(done)).is_ok() && written.recv_timeout(at_most).is_ok()
    }

    fn record(&self, subject: String, message: Message) {
        mirror(&subject, &message);
        let entry = Entry::Line { time: (self.clock)(), subject, message };
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for OperatorLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorLog").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// The thread that writes.
struct Writer {
    file: LogFile,
    instance: InstanceName,
    clock: Clock,
    settings: Arc<Mutex<LogSettings>>,
    lost: Arc<AtomicU64>,
    /// The standard error output knows that the disk fails; it is told once.
    complained: bool,
}

impl Writer {
    /// Writes until every handle of the log is gone.
    fn run(mut self, mut entries: Receiver<Entry>) {
        while let Some(first) = entries.blocking_recv() {
            if let Entry::Line { .. } = &first {
                // A line seldom comes alone: one write for all of them, one wake-up for many.
                thread::sleep(GATHER);
            }
            let settings = *self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lines = Vec::new();
            let mut flushed = Vec::new();
            let waiting = std::iter::from_fn(|| entries.try_recv().ok()).take(WAITING_LINES);
            for entry in std::iter::once(first).chain(waiting) {
                match entry {
                    Entry::Line { time, subject, message } => {
                        lines.push(line(&time, &subject, &message, settings.language));
                    }
                    Entry::Flush(done) => flushed.push(done),
                }
            }
            self.write(lines, settings);
            for done in flushed {
                // Whoever waited may have given up.
                let _gone = done.try_send(());
            }
        }
    }

    fn write(&mut self, mut lines: Vec<String>, settings: LogSettings) {
        let told = self.lost.load(Ordering::Relaxed);
        if told > 0 {
            let message = Message::LogLost { lines: told };
            let instance = self.instance.as_str();
            lines.insert(0, line(&(self.clock)(), instance, &message, settings.language));
        }
        let told_lines = usize::from(told > 0);
        match self.file.append(&lines, settings) {
            Ok(()) => {
                self.lost.fetch_sub(told, Ordering::Relaxed);
                self.complained = false;
            }
            Err(unwritten) => {
                if unwritten.written >= 1 {
                    self.lost.fetch_sub(told, Ordering::Relaxed);
                }
                let kept = unwritten.written.max(told_lines);
                self.lost.fetch_add((lines.len() - kept) as u64, Ordering::Relaxed);
                if !std::mem::replace(&mut self.complained, true) {
                    let path = self.file.path();
                    let error = unwritten.error;
                    complain(format_args!(
                        "cannot write {}: {error}; its lines are lost until that works again, \
                         the first being: {}",
                        path.display(),
                        lines.get(kept).map_or("", String::as_str),
                    ));
                }
            }
        }
    }
}

fn line(time: &Zoned, subject: &str, message: &Message, language: Language) -> String {
    message.line(time.strftime("%Y/%m/%d %H:%M:%S"), subject, language)
}

/// Says something on the standard error output, whose own failure leaves nobody to tell.
fn complain(what: std::fmt::Arguments<'_>) {
    let _nobody_hears = writeln!(io::stderr(), "ferryway: {what}");
}

fn mirror(subject: &str, message: &Message) {
    let code = message.code();
    let text = message.text(Language::English);
    match message.severity() {
        Severity::Info => tracing::info!(target: "ferryway::operator", code, subject, "{text}"),
        Severity::Warning => tracing::warn!(target: "ferryway::operator", code, subject, "{text}"),
        Severity::Error => tracing::error!(target: "ferryway::operator", code, subject, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn settings() -> LogSettings {
        LogSettings { language: Language::English, file_bytes: 4096, files: 2 }
    }

    fn open(folder: &Path, settings: LogSettings) -> OperatorLog {
        let time = jiff::civil::date(2000, 3, 1).at(10, 6, 18, 0);
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let clock: Clock = Arc::new(move || time.clone());
        OperatorLog::open(folder, "pay".parse().unwrap(), settings, clock)
    }

    fn cannot_recover() -> Message {
        Message::CannotRecover { job: "PRDY014".parse().unwrap() }
    }

    #[test]
    fn a_message_is_the_line_that_monitoring_products_match() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), settings());
        log.job(&"PRDY01".parse().unwrap(), cannot_recover());
        log.host(Message::HostStopped {});
        assert!(log.flush(WAIT));
        log.configure(LogSettings { language: Language::Japanese, ..settings() });
        log.host(Message::HostStopped {});
        assert!(log.flush(WAIT));
        assert_eq!(
            fs::read_to_string(dir.path().join("ferryway.log")).unwrap(),
            "2000/03/01 10:06:18 PRDY01 0215E Job can not recovery!! Job(PRDY014)\n\
             2000/03/01 10:06:18 pay 0004I Host stopped.\n\
             2000/03/01 10:06:18 pay 0004I ホストを停止しました。\n",
        );
    }

    #[test]
    fn files_are_bounded_in_size_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), settings());
        for _ in 0..400 {
            log.job(&"PRDY01".parse().unwrap(), cannot_recover());
        }
        assert!(log.flush(WAIT));
        assert_eq!(log.lost(), 0);
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["ferryway.log", "ferryway.log.1", "ferryway.log.2"]);
        for name in names {
            let text = fs::read_to_string(dir.path().join(&name)).unwrap();
            assert!(text.len() <= 4096 && text.ends_with("Job(PRDY014)\n"), "{name}");
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_told_of_later() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        let log = open(&folder, settings());
        for _ in 0..3 {
            log.host(Message::HostStopped {});
        }
        assert!(log.flush(WAIT));
        assert_eq!(log.lost(), 3);
        fs::create_dir(&folder).unwrap();
        log.host(Message::HostStopped {});
        assert!(log.flush(WAIT));
        assert_eq!(log.lost(), 0);
        let text = fs::read_to_string(folder.join("ferryway.log")).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(" pay 0408W ") && lines[0].ends_with("Lines(3)"), "{text}");
    }

    #[test]
    fn a_disk_that_hangs_holds_up_nobody() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("ferryway.log");
        // Opening a pipe for writing waits for a reader.
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let log = open(dir.path(), settings());
        let recorded = 3 * WAITING_LINES as u64;
        for _ in 0..recorded {
            log.host(Message::HostStopped {});
        }
        assert!(log.lost() >= recorded - 2 * WAITING_LINES as u64 - 1);
        assert!(!log.flush(Duration::ZERO));
    }
}
