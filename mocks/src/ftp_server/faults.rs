//! What goes wrong, and exactly when.
//!
//! A [`FaultPlan`] holds [`Rule`]s; each names a command, which of its occurrences, and a
//! point in its execution. Rules may be added while the server runs, and the [`Fault`] that
//! adding one returns tells when it fires, so that a test neither sleeps nor passes without
//! having met its fault.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::disk::Disk;

/// The faults of a server; a handle on shared state.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan(Arc<Mutex<Vec<Fault>>>);

/// One fault to come.
#[derive(Clone, Debug)]
pub struct Rule {
    command: String,
    path: Option<String>,
    nth: u32,
    times: u32,
    when: When,
    action: Action,
}

/// A point in the execution of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The command has arrived and nothing is done.
    Before,
    /// Everything is done and the final reply is not sent.
    After,
    /// The final reply is sent.
    Reply,
    /// So many bytes have passed the data connection and are stored, or sent.
    DataByte(u64),
}

/// What happens there.
#[derive(Clone, Debug)]
pub enum Action {
    /// The session ends: control and data connection, in this manner.
    Cut(Cut),
    /// The session freezes, its locks and sockets held, until [`Fault::release`]; then it goes
    /// on as if nothing had been.
    Stall,
    /// Nothing: the fault only tells that the point was reached.
    Mark,
    /// This reply. At [`When::Before`] instead of doing anything; at [`When::After`] instead
    /// of the true reply; at [`When::DataByte`] the transfer stops there.
    Reply(u16, String),
    /// At [`When::DataByte`]: the data connection ends there and the reply is 226, as when
    /// something on the path has cut it.
    EndOfData,
    /// At [`When::DataByte`]: the next byte is inverted.
    Corrupt,
    /// At [`When::Before`] of SIZE, MLST, MLSD or LIST: this is told as the size.
    WrongSize(u64),
    /// The disk changes.
    Disk(Disk),
    /// The server loses its power and starts again at once: the latest rename is undone,
    /// acknowledged or not, and every session ends in this manner.
    PowerLoss(Cut),
}

/// The manner in which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Closed, as by a process that ends. Linux sends a reset all the same when bytes are
    /// left unread.
    Fin,
    /// Reset.
    Rst,
    /// Kept open and mute, as when packets are dropped; locks stay held. Ends with the
    /// server or with [`FtpServer::cut_all`](super::FtpServer::cut_all).
    Silence,
    /// As when the client's machine has lost its power: nothing is heard of it any more.
    /// Locks stay held until the server gives up, after the behaviour's `data_timeout` in a
    /// transfer and its `idle_timeout` else.
    HalfOpen,
}

impl Rule {
    /// At this point of the first `command` (in capitals; `CONNECT` stands for the greeting,
    /// `*` for any) do `action`.
    pub fn new(command: &str, when: When, action: Action) -> Self {
        Self { command: command.to_owned(), path: None, nth: 1, times: 1, when, action }
    }

    /// The `nth` command that fits, from 1, instead of the first.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.nth = nth;
        self
    }

    /// So many commands in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// This and every later command.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Only commands whose argument fits the pattern, in which `*` stands for any text.
    #[must_use]
    pub fn on_path(mut self, pattern: &str) -> Self {
        self.path = Some(pattern.to_owned());
        self
    }

    /// The command gets this reply and has no effect.
    pub fn refuse(command: &str, code: u16, text: &str) -> Self {
        Self::new(command, When::Before, Action::Reply(code, text.to_owned()))
    }

    /// The session is cut when a transfer has moved `bytes`.
    pub fn cut_at(command: &str, bytes: u64, cut: Cut) -> Self {
        Self::new(command, When::DataByte(bytes), Action::Cut(cut))
    }

    /// The transfer ends early with a 226.
    pub fn early_226(command: &str, bytes: u64) -> Self {
        Self::new(command, When::DataByte(bytes), Action::EndOfData)
    }

    /// Everything is done, and the connection is lost before the final reply.
    pub fn lost_reply(command: &str) -> Self {
        Self::new(command, When::After, Action::Cut(Cut::Fin))
    }

    /// All data is taken and kept, and the final reply is 451.
    pub fn late_451(command: &str) -> Self {
        Self::new(command, When::After, Action::Reply(451, "Failure writing to file.".to_owned()))
    }

    /// The rename is acknowledged, and undone by a loss of power right after it.
    pub fn undone_rnto(cut: Cut) -> Self {
        Self::new("RNTO", When::Reply, Action::PowerLoss(cut))
    }

    /// RNTO gets 550.
    pub fn refuse_rnto() -> Self {
        Self::refuse("RNTO", 550, "Rename failed.")
    }

    /// SIZE tells a wrong size.
    pub fn wrong_size(size: u64) -> Self {
        Self::new("SIZE", When::Before, Action::WrongSize(size))
    }

    fn fits(&self, command: &str, argument: &str) -> bool {
        (self.command == "*" || self.command == command)
            && self.path.as_ref().is_none_or(|pattern| fits(pattern, argument))
    }
}

/// A rule in a plan: tells whether it fired, and lets a stalled session go on.
#[derive(Clone)]
pub struct Fault(Arc<State>);

struct State {
    rule: Rule,
    seen: AtomicU32,
    fired: watch::Sender<u32>,
    released: watch::Sender<bool>,
}

/// A fault that was waited for did not fire.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the fault {rule:?} did not fire within {limit:?}")]
pub struct NeverFired {
    rule: Rule,
    limit: Duration,
}

impl Fault {
    /// How often the fault fired.
    pub fn fired(&self) -> u32 {
        *self.0.fired.borrow()
    }

    /// Waits until the fault has fired.
    ///
    /// # Errors
    /// When it has not after `limit`.
    pub async fn wait(&self, limit: Duration) -> Result<(), NeverFired> {
        let mut fired = self.0.fired.subscribe();
        match timeout(limit, fired.wait_for(|&fired| fired > 0)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(NeverFired { rule: self.0.rule.clone(), limit }),
        }
    }

    /// Lets sessions that this fault stalls go on, now and later.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    /// Waits for [`release`](Self::release), for ever if need be.
    pub(super) async fn released(&self) {
        let mut released = self.0.released.subscribe();
        // The sender lives as long as `self`.
        let _released = released.wait_for(|&released| released).await;
    }

    pub(super) fn action(&self) -> &Action {
        &self.0.rule.action
    }

    /// Whether this occurrence of a command is one that the rule means.
    fn takes(&self, command: &str, argument: &str) -> bool {
        let rule = &self.0.rule;
        if !rule.fits(command, argument) {
            return false;
        }
        let seen = self.0.seen.fetch_add(1, Ordering::Relaxed) + 1;
        seen >= rule.nth && seen - rule.nth < rule.times
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, fired {} times", self.0.rule, self.fired())
    }
}

impl FaultPlan {
    /// A plan without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule; it counts commands from now on.
    pub fn add(&self, rule: Rule) -> Fault {
        let fault = Fault(Arc::new(State {
            rule,
            seen: AtomicU32::new(0),
            fired: watch::Sender::new(0),
            released: watch::Sender::new(false),
        }));
        self.lock().push(fault.clone());
        fault
    }

    /// Removes all rules; sessions that they stall go on.
    pub fn clear(&self) {
        self.lock().drain(..).for_each(|fault| fault.release());
    }

    /// The faults that fired.
    pub fn fired(&self) -> Vec<Fault> {
        self.lock().iter().filter(|fault| fault.fired() > 0).cloned().collect()
    }

    /// The faults that did not fire; a test that planned them asserts that there are none.
    pub fn unfired(&self) -> Vec<Fault> {
        self.lock().iter().filter(|fault| fault.fired() == 0).cloned().collect()
    }

    /// The faults that wait in the execution of a command that has just arrived.
    pub(super) fn arm(&self, command: &str, argument: &str) -> Armed {
        let faults = self.lock();
        Armed(faults.iter().filter(|fault| fault.takes(command, argument)).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults of one execution of a command, each of which fires once.
#[derive(Debug, Default)]
pub(super) struct Armed(Vec<Fault>);

impl Armed {
    /// Takes the next fault of this point, which fires by that.
    pub(super) fn fire(&mut self, when: When) -> Option<Fault> {
        let at = self.0.iter().position(|fault| fault.0.rule.when == when)?;
        let fault = self.0.remove(at);
        fault.0.fired.send_modify(|fired| *fired += 1);
        Some(fault)
    }

    /// How many bytes may pass the data connection before a fault is due.
    pub(super) fn distance(&self, moved: u64) -> Option<u64> {
        let due = self.0.iter().filter_map(|fault| match fault.0.rule.when {
            When::DataByte(byte) => byte.checked_sub(moved),
            _ => None,
        });
        due.min()
    }
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((lead, rest)) => text.strip_prefix(lead).is_some_and(|text| {
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| fits(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a.csv", "a.csv", true),
            ("*.csv", "in/月次.csv", true),
            ("*.part", "a.csv", false),
            ("in/*/a*", "in/e3/a.part", true),
            ("in/*/a*", "in/a.part", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_fires_on_the_occurrence_it_names() {
        let plan = FaultPlan::new();
        let fault = plan.add(Rule::new("STOR", When::Before, Action::Mark).nth(2).on_path("*.a"));
        assert!(plan.arm("STOR", "x.a").fire(When::Before).is_none());
        assert!(plan.arm("STOR", "x.b").fire(When::Before).is_none());
        assert_eq!(plan.unfired().len(), 1);
        assert!(plan.arm("STOR", "x.a").fire(When::Before).is_some());
        assert!(plan.arm("STOR", "x.a").fire(When::Before).is_none());
        assert_eq!(fault.fired(), 1);
        assert!(plan.unfired().is_empty());
    }
}
