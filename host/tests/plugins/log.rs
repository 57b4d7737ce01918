//! The host's log, as the plugins write into it.

use std::{
    fmt,
    sync::{Condvar, LazyLock, Mutex},
    time::{Duration, Instant},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// Events of all tests of this process: one a line, with its level, its spans and its fields.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    /// The log, which is the process's subscriber from the first call on.
    pub(crate) fn watch() -> &'static Self {
        static LOG: LazyLock<&'static Log> = LazyLock::new(|| {
            let log: &'static Log = Box::leak(Box::default());
            let subscriber = tracing_subscriber::registry().with(Recorder(log));
            tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
            log
        });
        *LOG
    }

    /// Waits for a line with all of these texts, and returns it.
    pub(crate) fn wait_for(&self, texts: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut lines = self.lines.lock().unwrap();
        loop {
            let wanted = |line: &&String| texts.iter().all(|text| line.contains(text));
            if let Some(line) = lines.iter().find(wanted) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seen = lines.clone();
                // A panic with the lock held would fail every other test, too.
                drop(lines);
                panic!("no line with {texts:?} in {seen:#?}");
            }
            lines = self.grown.wait_timeout(lines, left).unwrap().0;
        }
    }
}

struct Recorder(&'static Log);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = event.metadata().level().to_string();
        for span in context.event_scope(event).into_iter().flatten() {
            line += &format!(" in:{}", span.name());
        }
        event.record(&mut Line(&mut line));
        self.0.lines.lock().unwrap().push(line);
        self.0.grown.notify_all();
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        *self.0 += &format!(" {}={value:?}", field.name());
    }
}
