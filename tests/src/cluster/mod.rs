//! A laboratory with a real cluster: two machines in namespaces with corosync and Pacemaker, a
//! shared disk, a virtual address and a fencing device, or with keepalived and a shared folder;
//! partners outside; and a campaign of faults against all of it.
//!
//! `tests/cluster/README.md` says how to play with it. All of it ends with the process: the
//! machines with the pipe that guards each of them, and with them their mounts, their networks
//! and their ways to the disk.

mod attachment;
mod campaign;
mod fault;
mod furnish;
mod keepalived;
mod lab;
mod machine;
mod manager;
mod operator;
mod pacemaker;
mod power;
mod report;
mod shared_disk;
mod transfers;
mod verdict;
mod watch;
mod way;

pub use campaign::{Campaign, Row};
pub use fault::{Expected, Fault, Fenced};
pub use lab::Lab;
pub use machine::{MOUNT, Machine};
pub use manager::Manager;
pub use power::{Machines, Order, Power};
pub use report::logs;
pub use shared_disk::SharedDisk;
pub use transfers::Transfers;
pub use verdict::{Damage, Past};
pub use watch::Watch;
