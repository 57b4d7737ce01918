//! What is played, as data.

use crate::laboratory::Transport;

/// A demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    pub(super) transport: Transport,
    /// Who is killed, in this order.
    pub(super) deaths: &'static [Death],
}

/// The end of a host, whose standby takes over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) side: Side,
    /// How much of the file the sender has sent then.
    pub(super) at_percent: u64,
}

/// One of the two ends. Each has two nodes and an install directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sending,
    Receiving,
}

/// An FTP server, and a cluster that sends to it.
const FTP: Script =
    Script { transport: Transport::Ftp, deaths: &[Death { side: Side::Sending, at_percent: 40 }] };

/// Two installations of Ferryway; the sending one loses a node.
const SOCKET: Script = Script { transport: Transport::Socket, ..FTP };

/// The same, and both lose a node while one file is on its way.
const BOTH: Script = Script {
    transport: Transport::Socket,
    deaths: &[
        Death { side: Side::Receiving, at_percent: 30 },
        Death { side: Side::Sending, at_percent: 65 },
    ],
};

impl Script {
    /// The demo that was asked for.
    pub(super) fn of(transport: Transport, both: bool) -> Self {
        match (transport, both) {
            (_, true) => BOTH,
            (Transport::Ftp, false) => FTP,
            (Transport::Socket, false) => SOCKET,
        }
    }
}

impl Side {
    pub(super) const EACH: [Self; 2] = [Self::Sending, Self::Receiving];

    /// The node that has the instance first.
    pub(super) const fn first(self) -> &'static str {
        match self {
            Self::Sending => "alpha",
            Self::Receiving => "gamma",
        }
    }

    /// The node that takes over.
    pub(super) const fn standby(self) -> &'static str {
        match self {
            Self::Sending => "beta",
            Self::Receiving => "delta",
        }
    }

    /// What the nodes of a side call themselves to others.
    pub(super) const fn host_name(self) -> &'static str {
        match self {
            Self::Sending => "shop.example",
            Self::Receiving => "bank.example",
        }
    }
}
