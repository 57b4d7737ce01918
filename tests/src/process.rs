//! A program under test with everything it started.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::{LIMIT, holds_within};

/// Ends the group when standard input closes, which it does however this
/// process ends: an aborted test leaves nothing running. The program takes the
/// shell's place, so its process id is the one we know. The one that waits is no
/// descendant of it once the line is printed, and goes on while the tree is frozen.
const GUARD: &str = r#"exec 3<&0 </dev/null
( (cat <&3 >/dev/null 2>&1; kill -KILL 0) & )
echo >&3
exec 3<&-
exec "$@""#;

/// A running program and all its descendants, killed when dropped.
///
/// Some servers put each session into a process group of its own, so the tree
/// is found by parentage. A process that has outlived its parent is out of reach.
#[derive(Debug)]
pub struct ProcessTree {
    child: Child,
    /// What the guard waits at.
    guard: UnixStream,
    killed: bool,
}

impl ProcessTree {
    /// Starts a program; what it prints goes to the end of the file `log`.
    ///
    /// Program, arguments, environment and folder are taken from `command`. From `Ok` on, what is in
    /// the program's process group ends with this process, even while the tree is frozen.
    ///
    /// # Errors
    /// The log cannot be opened, there is no shell, or it does not start within a time limit. That
    /// `command` itself cannot be run shows as its end, with the reason in the log.
    pub fn spawn(command: &Command, log: &Path) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut guarded = Command::new("/bin/sh");
        guarded.arg("-c").arg(GUARD).arg("sh");
        let mut guarded = through(guarded, command);
        let (guard, theirs) = UnixStream::pair()?;
        guard.set_read_timeout(Some(LIMIT))?;
        guarded.stdin(OwnedFd::from(theirs)).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut tree = Self { child: guarded.spawn()?, guard, killed: false };
        // It holds their end of the pair too, and would hide that the shell is gone.
        drop(guarded);
        // While it is still a descendant, a tree that is frozen would freeze its guard too.
        tree.guard.read_exact(&mut [0]).map_err(|error| {
            io::Error::other(format!("the guard did not start within {LIMIT:?}: {error}"))
        })?;
        Ok(tree)
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the program ended, or `None` while it runs.
    ///
    /// # Errors
    /// Those of waiting for a child.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the program's end; `None` when `limit` passes first.
    ///
    /// # Errors
    /// Those of waiting for a child.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let mut ended = Ok(None);
        holds_within(limit, || {
            ended = self.child.try_wait();
            !matches!(ended, Ok(None))
        });
        ended
    }

    /// Sends a signal to the program alone.
    ///
    /// # Errors
    /// It has ended and was waited for.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Asks the program to end, as a service manager does, and kills what is left of the tree
    /// when `limit` has passed.
    ///
    /// # Errors
    /// The program has ended and was waited for.
    pub fn terminate(&mut self, limit: Duration) -> io::Result<()> {
        // Found while the program lives: it may end before those that it started.
        let members = self.members();
        self.signal(Signal::TERM)?;
        let gone = |process: &Process| Process::read(process.id).is_none_or(|now| now.is_dead());
        holds_within(limit, || members.iter().all(gone));
        members.iter().filter(|process| !gone(process)).for_each(|p| p.signal(Signal::KILL));
        self.kill();
        Ok(())
    }

    /// Stops the whole tree as a suspended machine would be: connections stay
    /// open and silent, locks stay held. On `Ok` no process of it runs any more.
    ///
    /// # Errors
    /// A process did not stop within a time limit; the message names it.
    pub fn freeze(&self) -> io::Result<()> {
        let mut running = Vec::new();
        // A process may have started another before it stopped: look again.
        let stopped = holds_within(LIMIT, || {
            let members = self.members();
            running = members.iter().filter(|process| process.runs()).cloned().collect();
            running.iter().for_each(|process| process.signal(Signal::STOP));
            running.retain(|process| !process.waits_for_a_stopped_child(&members));
            running.is_empty()
        });
        if stopped {
            return Ok(());
        }
        let running: Vec<_> = running.iter().map(ToString::to_string).collect();
        let still = format!("not stopped within {LIMIT:?}: {}", running.join(", "));
        Err(io::Error::new(io::ErrorKind::TimedOut, still))
    }

    /// Lets a frozen tree go on.
    pub fn thaw(&self) {
        self.members().iter().for_each(|process| process.signal(Signal::CONT));
    }

    /// Kills the whole tree at once, as a power cut would.
    pub fn kill(&mut self) {
        // Afterwards the process id may be another program's.
        if std::mem::replace(&mut self.killed, true) {
            return;
        }
        // A stopped tree cannot grow while it is being killed. One that does not
        // stop in time is killed as it is: there is nothing better to be done.
        self.freeze().ok();
        let members = self.members();
        members.iter().for_each(|process| process.signal(Signal::KILL));
        // What a program left behind when it ended by itself is still in its
        // group, which the guard keeps alive.
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        self.child.wait().ok();
        let gone = |process: &Process| Process::read(process.id).is_none_or(|now| now.is_dead());
        holds_within(LIMIT, || members.iter().all(gone));
    }

    /// The living processes of the tree.
    fn members(&self) -> Vec<Process> {
        let all: HashMap<i32, Process> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((id, Process::read(id)?)))
            .collect();
        let root = Pid::from_child(&self.child).as_raw_nonzero().get();
        let descends = |process: &Process| {
            let mut id = process.id;
            while id != root {
                match all.get(&id) {
                    Some(process) => id = process.parent,
                    None => return false,
                }
            }
            true
        };
        all.values().filter(|process| descends(process) && !process.is_dead()).cloned().collect()
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The command `wrapper` with the program and the arguments of `command` as its last arguments,
/// in the environment and the folder of `command`.
pub fn through(mut wrapper: Command, command: &Command) -> Command {
    wrapper.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(key, value),
            None => wrapper.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapper.current_dir(folder);
    }
    wrapper
}

/// A program of the system's administration, of which some are in no user's `PATH`.
pub fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
    command
}

/// What a program printed that ended well, without space around it.
///
/// # Errors
/// It cannot be started, or failed; what it said is in the message.
pub fn said(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(io::Error::other(format!("{command:?}: {}: {}", output.status, text(&output.stderr))))
}

/// What `/proc` says of a process.
#[derive(Clone, Debug)]
struct Process {
    id: i32,
    parent: i32,
    state: char,
}

impl Process {
    fn read(id: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may itself hold spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Self { id, parent: fields.next()?.parse().ok()?, state })
    }

    fn runs(&self) -> bool {
        !self.is_dead() && self.state != 'T'
    }

    /// Whether it waits in the kernel, where no signal stops it, for a child that is stopped. So it
    /// is from vfork(2), with which many programs start others, until the child executes its program
    /// or ends. It does nothing before the child goes on, and stops once it is back.
    fn waits_for_a_stopped_child(&self, members: &[Self]) -> bool {
        let mut children = members.iter().filter(|process| process.parent == self.id);
        self.state == 'D' && children.any(|child| child.state == 'T')
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// A process that is gone by now needs no signal.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.id) {
            kill_process(pid, signal).ok();
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.id)).unwrap_or_default();
        write!(f, "process {} ({}, {})", self.id, name.trim_end(), self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, ProcessTree) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).current_dir(dir.path());
        let tree = ProcessTree::spawn(&command, &dir.path().join("log")).unwrap();
        (dir, tree)
    }

    #[test]
    fn a_frozen_tree_does_nothing_until_it_is_thawed() {
        let (dir, tree) = shell("setsid sh -c 'while :; do echo >>ticks; done'");
        let ticks = || fs::metadata(dir.path().join("ticks")).map_or(0, |m| m.len());
        assert!(holds_within(LIMIT, || ticks() > 0));
        tree.freeze().unwrap();
        let before = ticks();
        assert!(!holds_within(Duration::from_millis(50), || ticks() > before));
        tree.thaw();
        assert!(holds_within(LIMIT, || ticks() > before));
    }

    /// Starts a program whose standard input is a pipe that nobody opens at the other end: the
    /// child waits there before it executes the program, and the parent for the child.
    const STARTS_FOR_EVER: &str = r#"mkfifo pipe && exec python3 -c '
import os
open("starts", "w").close()
os.posix_spawn("/bin/true", ["true"], {},
               file_actions=[(os.POSIX_SPAWN_OPEN, 0, "pipe", os.O_RDONLY, 0)])
open("started", "w").close()
while True: os.getppid()'"#;

    #[test]
    fn a_tree_freezes_while_one_of_it_starts_a_program() {
        let (dir, tree) = shell(STARTS_FOR_EVER);
        assert!(holds_within(LIMIT, || dir.path().join("starts").exists()
            && tree.members().len() == 2
            && tree.members().iter().any(|process| process.state == 'D')));
        tree.freeze().unwrap();
        tree.thaw();
        fs::write(dir.path().join("pipe"), "").unwrap();
        assert!(holds_within(LIMIT, || dir.path().join("started").exists()));
        tree.freeze().unwrap();
        assert!(tree.members().iter().all(|process| !process.runs()));
    }

    #[test]
    fn dropping_kills_descendants_in_sessions_of_their_own() {
        let (_dir, tree) = shell("setsid sleep 1000 & sleep 1000");
        // The shell and both sleeps.
        assert!(holds_within(LIMIT, || tree.members().len() >= 3));
        let members = tree.members();
        drop(tree);
        for process in members {
            assert!(Process::read(process.id).is_none_or(|now| now.is_dead()));
        }
    }

    #[test]
    fn a_frozen_tree_ends_when_its_owner_goes_without_a_word() {
        let (_dir, mut tree) = shell("sleep 1000");
        assert!(holds_within(LIMIT, || tree.members().len() >= 2));
        tree.freeze().unwrap();
        // What the end of this process does, which cannot thaw or kill any more.
        tree.guard.shutdown(Shutdown::Both).unwrap();
        assert!(tree.wait(LIMIT).unwrap().is_some(), "it stays for ever");
    }

    #[test]
    fn output_and_end_are_seen() {
        let (dir, mut tree) = shell("echo said; exit 3");
        assert_eq!(tree.wait(LIMIT).unwrap().unwrap().code(), Some(3));
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "said\n");
    }
}
