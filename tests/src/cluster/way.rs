//! The ways by which files move: both transports, both directions, and either host as the one that
//! asks.

use std::path::{Path, PathBuf};

use super::MOUNT;

/// A way, with a definition of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The cluster sends by FTP.
    BankSend,
    /// The cluster fetches by FTP.
    BankFetch,
    /// The cluster sends by socket.
    BranchSend,
    /// The cluster fetches by socket.
    BranchFetch,
    /// The host outside sends to the cluster by socket.
    VisitSend,
    /// The host outside fetches from the cluster by socket.
    VisitFetch,
    /// The cluster sends by socket, with exits on its side that take a while.
    Booked,
    /// The host outside sends to the cluster, which has exits for what it receives that take a
    /// while.
    VisitBooked,
    /// As [`Way::Booked`], and an operator of the cluster is asked about a cut exit.
    Asked,
    /// As [`Way::VisitBooked`], and an operator of the cluster is asked about a cut exit.
    VisitAsked,
}

/// Who asks for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// The cluster's.
    Night,
    /// The one outside.
    Branch,
}

/// Where a file arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The FTP server's folder `drop`.
    Bank,
    /// The folder `in` of a host.
    In(Host),
}

/// Notes that it runs, durably, and takes its time when it does so for the first time.
pub(super) const NOTE: &str = "#!/bin/sh\nset -eu\n\
    echo \"$FERRYWAY_JOB $FERRYWAY_EXIT $FERRYWAY_EXIT_KEY $FERRYWAY_MAY_HAVE_RUN\" >>exit-runs\n\
    sync exit-runs\n\
    [ \"$FERRYWAY_EXIT_RUN\" != 1 ] || sleep \"$1\"\n";

/// Seconds that a run takes which a fault is to meet.
const BOOKING: &str = "1.5";

impl Way {
    /// Those by which files of every size move.
    pub(super) const PLAIN: [Self; 6] = [
        Self::BankSend,
        Self::BankFetch,
        Self::BranchSend,
        Self::BranchFetch,
        Self::VisitSend,
        Self::VisitFetch,
    ];

    /// Those with exits in the cluster.
    pub(super) const BOOKED: [Self; 4] =
        [Self::Booked, Self::VisitBooked, Self::Asked, Self::VisitAsked];

    /// The id of its definition.
    pub(super) const fn definition(self) -> &'static str {
        match self {
            Self::BankSend => "SEND1",
            Self::BankFetch => "FETCH1",
            Self::BranchSend => "SOCK1",
            Self::BranchFetch => "SOCKF1",
            Self::VisitSend => "VISIT1",
            Self::VisitFetch => "VISF1",
            Self::Booked => "BOOK1",
            Self::VisitBooked => "VISB1",
            Self::Asked => "ASK1",
            Self::VisitAsked => "VISA1",
        }
    }

    /// Who asks.
    pub(super) const fn asked_by(self) -> Host {
        match self {
            Self::VisitSend | Self::VisitFetch | Self::VisitBooked | Self::VisitAsked => {
                Host::Branch
            }
            _ => Host::Night,
        }
    }

    /// Whether the other side has a job of its own for each.
    pub(super) const fn is_told(self) -> bool {
        !matches!(self, Self::BankSend | Self::BankFetch)
    }

    /// Where the file arrives.
    pub(super) const fn place(self) -> Place {
        match self {
            Self::BankSend => Place::Bank,
            Self::BranchSend | Self::Booked | Self::Asked | Self::VisitFetch => {
                Place::In(Host::Branch)
            }
            Self::BankFetch
            | Self::BranchFetch
            | Self::VisitSend
            | Self::VisitBooked
            | Self::VisitAsked => Place::In(Host::Night),
        }
    }

    /// The paths of a request on the asking side and on its partner's, for the file `source` that
    /// arrives as `name`. `branch` is the install directory of the host outside.
    pub(super) fn paths(self, source: &str, name: &str, branch: &Path) -> (String, String) {
        let offered = |install: &Path| install.join("out").join(source).display().to_string();
        match self {
            Self::BankSend => (source.to_owned(), format!("drop/{name}")),
            Self::BankFetch => (name.to_owned(), format!("pick/{source}")),
            Self::BranchFetch => (name.to_owned(), offered(branch)),
            Self::VisitFetch => {
                (name.to_owned(), offered(&PathBuf::from("/").join(MOUNT).join("night")))
            }
            _ => (source.to_owned(), name.to_owned()),
        }
    }

    /// What a host has in its definitions: its own, and what it does for those of the other one.
    pub(super) fn definitions(host: Host) -> String {
        let all = Self::PLAIN.into_iter().chain(Self::BOOKED);
        let own: String = all.filter(|way| way.asked_by() == host).map(Self::table).collect();
        own + &match host {
            Host::Night => {
                Self::VisitBooked.reception("BRANCH", BOOKING, "skip")
                    + &Self::VisitAsked.reception("BRANCH", BOOKING, "ask")
            }
            Host::Branch => Self::Booked.reception("NIGHT", "0", "skip"),
        }
    }

    /// What is done for a visitor's transfer by this way.
    fn reception(self, visitor: &str, seconds: &str, on_takeover: &str) -> String {
        let (id, exits) = (self.definition(), exits("reception", seconds, on_takeover));
        format!("[[reception]]\nid = \"{id}\"\nvisitor = \"{visitor}\"\n{exits}")
    }

    fn table(self) -> String {
        let partner = match self {
            Self::BankSend | Self::BankFetch => "BANK",
            _ if self.asked_by() == Host::Night => "BRANCH",
            _ => "NIGHT",
        };
        let direction = match self {
            Self::BankFetch | Self::BranchFetch | Self::VisitFetch => "fetch",
            _ => "send",
        };
        let exits = match self {
            Self::Booked => exits("definition", BOOKING, "rerun"),
            Self::VisitBooked => exits("definition", "0", "rerun"),
            Self::Asked => exits("definition", BOOKING, "ask"),
            _ => String::new(),
        };
        format!(
            "[[definition]]\nid = \"{}\"\npartner = \"{partner}\"\n\
             direction = \"{direction}\"\nremote = \"{{job}}\"\n{exits}",
            self.definition()
        )
    }
}

/// The tables of both exits.
fn exits(of: &str, seconds: &str, on_takeover: &str) -> String {
    format!(
        "[{of}.pre_exit]\ncommand = [\"note\", \"0\"]\n\
         [{of}.post_exit]\ncommand = [\"note\", \"{seconds}\"]\n\
         on_takeover = \"{on_takeover}\"\n"
    )
}
