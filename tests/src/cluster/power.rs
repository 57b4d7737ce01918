//! The fencing device: it takes orders about the power of machines from the cluster manager, and
//! others from whoever plays with the laboratory.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::Machine;
use crate::net::Lan;

/// How long a held order waits at most.
const HELD_LIMIT: Duration = Duration::from_secs(30);

/// Both machines, and what they are connected to.
pub type Machines = [Mutex<Machine>; 2];

/// A device with a plug for each machine, at a Unix socket.
#[derive(Debug)]
pub struct Power {
    machines: Arc<Machines>,
    lan: Arc<Lan>,
    refuses: AtomicBool,
    /// Whether orders to turn a machine off wait.
    held: Mutex<bool>,
    released: Condvar,
    orders: Mutex<Vec<Order>>,
}

/// What the device was asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// When it came.
    pub at: Instant,
    /// Such as `off`.
    pub action: String,
    /// The machine.
    pub machine: u8,
    /// What was answered, and how long after it came.
    pub answered: Option<(Duration, String)>,
}

impl Order {
    /// It in one line, for somebody who reads it at a time.
    pub fn line(&self, now: Instant) -> String {
        let Self { at, action, machine, answered } = self;
        let ago = now.saturating_duration_since(*at);
        let answer = match answered {
            Some((took, answer)) => format!("{answer}, after {took:.1?}"),
            None => "no answer yet".to_owned(),
        };
        format!("{ago:.1?} ago: {action} node{machine}: {answer}")
    }
}

impl Power {
    /// Serves at `socket` from now on, until the process ends.
    ///
    /// # Errors
    /// The system refuses.
    pub fn serve(machines: Arc<Machines>, lan: Arc<Lan>, socket: &Path) -> io::Result<Arc<Self>> {
        let power = Arc::new(Self {
            machines,
            lan,
            refuses: AtomicBool::new(false),
            held: Mutex::new(false),
            released: Condvar::new(),
            orders: Mutex::new(Vec::new()),
        });
        let listener = UnixListener::bind(socket)?;
        let device = Arc::downgrade(&power);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(power) = device.upgrade() else { return };
                // The status of one machine is asked while another order is under way.
                thread::spawn(move || power.answer(&stream).ok());
            }
        });
        Ok(power)
    }

    /// Refuses to turn machines off, or does as it is told again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Lets orders to turn a machine off wait until [`Power::release`], for a limited time.
    pub fn hold(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Carries out the orders that wait.
    pub fn release(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.released.notify_all();
    }

    /// Every order so far that was about a machine's power.
    pub fn orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, stream: &UnixStream) -> io::Result<()> {
        let mut order = String::new();
        BufReader::new(stream).read_line(&mut order)?;
        let mut words = order.split_whitespace();
        let action = words.next().unwrap_or_default().to_owned();
        let machine = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let noted = matches!(&*action, "off" | "reboot").then(|| self.note(&action, machine));
        let answer = match self.obey(&action, machine) {
            Ok(answer) => answer.to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        if let Some(number) = noted {
            self.conclude(number, &answer);
        }
        writeln!(&*stream, "{answer}")
    }

    fn obey(&self, action: &str, number: u8) -> io::Result<&'static str> {
        if action == "monitor" {
            return Ok("ok");
        }
        let index = usize::from(number).wrapping_sub(1);
        let machine = self.machines.get(index);
        let machine = machine.ok_or_else(|| io::Error::other(format!("no machine {number}")))?;
        let machine = || machine.lock().unwrap_or_else(PoisonError::into_inner);
        match action {
            "status" if machine().is_on() => {}
            "status" => return Ok("off"),
            "on" => machine().power_on(&self.lan)?,
            "off" | "reboot" => {
                self.wait_for_release();
                if self.refuses.load(Ordering::SeqCst) {
                    return Err(io::Error::other("the device refuses"));
                }
                machine().power_off(&self.lan)?;
                if action == "reboot" {
                    machine().power_on(&self.lan)?;
                }
            }
            "freeze" => machine().freeze()?,
            "thaw" => machine().thaw(),
            "break-disk" => machine().break_disk()?,
            "unplug" => self.lan.unplug(number)?,
            "plug" => self.lan.plug(number)?,
            "cut" => self.lan.cut(number)?,
            "heal" => self.lan.heal(number)?,
            _ => return Err(io::Error::other(format!("no order {action}"))),
        }
        Ok("ok")
    }

    /// Puts an order on record; the number is for [`Power::conclude`].
    fn note(&self, action: &str, machine: u8) -> usize {
        let (at, action) = (Instant::now(), action.to_owned());
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(Order { at, action, machine, answered: None });
        orders.len() - 1
    }

    fn conclude(&self, number: usize, answer: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = orders.get_mut(number) {
            order.answered = Some((order.at.elapsed(), answer.to_owned()));
        }
    }

    fn wait_for_release(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let released = self.released.wait_timeout_while(held, HELD_LIMIT, |held| *held);
        drop(released.unwrap_or_else(PoisonError::into_inner));
    }
}
