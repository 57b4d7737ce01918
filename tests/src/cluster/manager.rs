//! The cluster managers that a laboratory can have.

use std::{fmt, str::FromStr};

/// A cluster manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// Corosync and Pacemaker with a fencing device: one machine at a time has the shared disk.
    #[default]
    Pacemaker,
    /// keepalived, which fences nobody: both machines reach the shared folder all the time, each by
    /// a mount of its own, and neither sees the other one's locks.
    Keepalived,
}

impl Manager {
    const ALL: [Self; 2] = [Self::Pacemaker, Self::Keepalived];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pacemaker => "pacemaker",
            Self::Keepalived => "keepalived",
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Manager {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(" and ");
        let found = Self::ALL.into_iter().find(|manager| manager.name() == name);
        found.ok_or_else(|| format!("no cluster manager is called {name}; there are {}", known()))
    }
}
