//! The receiving end of the host: lets visitors in, and answers each with a session over our
//! own folders.
//!
//! `fence` keeps former owners of a visitor's instance out, `ownership` keeps this host from effects
//! that are another's by now, `tree` says what a visitor may reach, `room` bounds the work for it,
//! `visit` is its session, `arrival` a file that comes in, `refusal` what it is told when something
//! is not done, `jobs` are those that visitors announce, `book` keeps the operator's log short.

mod arrival;
mod book;
mod departure;
mod fence;
mod hashed;
mod jobs;
mod ownership;
mod refusal;
mod room;
mod tree;
mod visit;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use ferryway_core::{
    Kind, Operation, PartnerName, TransportError,
    error::Reply,
    plugin::lend_reception,
    reception::{Cause, Listening, Rebuff, Reception, Visitor},
    transport::{Result, Session},
};
use tokio::runtime::Handle;

use crate::{
    causes::chain,
    config::{ListenConfig, VisitorConfig},
    journal::record,
    locks::lock,
    notices::Notices,
    scheduler::{Desk, Shared},
    service::ServiceError,
};
use book::Book;
use fence::{Entry, Fences, Outdated};
pub use jobs::Register;
use ownership::Ownership;
use refusal::Refusal;
use room::{Room, Rooms};
use tree::Tree;
use visit::Visit;

/// The longest of a stranger's words in the log, in characters.
const WORDS: usize = 200;

/// The open door of this host.
pub struct OpenDoor {
    listening: Box<dyn Listening>,
    front: Arc<FrontDesk>,
}

/// Opens the door that the configuration asks for, if it does. Visitors can come on return; what
/// they tell goes to the desk.
///
/// # Errors
/// When the transport cannot listen there, or the journal cannot be read.
pub async fn open(
    shared: &Arc<Shared>,
    desk: &Desk,
) -> std::result::Result<Option<OpenDoor>, ServiceError> {
    let config = shared.config();
    let Some(listen) = &config.listen else { return Ok(None) };
    let cannot = |reason: String| ServiceError::Listen(reason);
    let door = config.door(listen).map_err(|error| cannot(error.to_string()))?;
    let transport = shared.plugins.transport(&listen.transport.name);
    let listener = transport.and_then(|transport| transport.listener());
    let listener = listener
        .ok_or_else(|| cannot(format!("no plugin listens as `{}` does", listen.transport.name)))?;
    let front = Arc::new(FrontDesk::new(Arc::clone(shared), desk.clone(), listen).await?);
    let reception = Arc::clone(&front) as Arc<dyn Reception>;
    let reception = lend_reception(reception, Handle::current());
    let listening = listener.listen(door, reception).await.map_err(|e| cannot(chain(&e)))?;
    shared.notices.door_open(&listen.transport.name, listening.address());
    Ok(Some(OpenDoor { listening, front }))
}

impl OpenDoor {
    /// Where visitors come to.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Shows out whom the configuration in force does not know as it was let in, in the middle of
    /// what it does; it may try to come in again.
    pub fn review(&self) {
        self.front.review();
    }

    /// Closes it, and ends what visitors do. What they were not answered they find out.
    pub async fn close(mut self) {
        if let Err(error) = self.listening.stop().await {
            tracing::warn!(%error, "the door did not close in time");
        }
    }
}

impl std::fmt::Debug for OpenDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenDoor").field(&self.address()).finish()
    }
}

/// Decides who comes in.
struct FrontDesk {
    shared: Arc<Shared>,
    desk: Desk,
    fences: Fences,
    rooms: Arc<Rooms>,
    inside: Mutex<Vec<Inside>>,
    ownership: Arc<Ownership>,
    rebuffs: Book<(IpAddr, Cause)>,
    unknown: Book<(IpAddr, String)>,
    watch: Arc<Watch>,
}

/// Who is in, and what it was let in with.
struct Inside {
    name: PartnerName,
    entry: VisitorConfig,
    room: Weak<Room>,
}

/// Tells the operator of former owners, whether they come to the door or are in, and of those who
/// want more than they may have.
struct Watch {
    notices: Arc<Notices>,
    outdated: Book<record::Fence>,
    overreach: Book<(PartnerName, &'static str)>,
}

impl Watch {
    /// Hears of everything that a visitor was refused.
    fn refused(&self, who: &record::Fence, refusal: &Refusal) {
        if let Refusal::Outdated(outdated) = refusal {
            self.saw(who, *outdated);
        }
        if let Some((cause, mut reason)) = refusal.overreach()
            && self.overreach.is_news((who.visitor.clone(), cause))
        {
            if let Some((end, _)) = reason.char_indices().nth(WORDS) {
                reason.truncate(end);
            }
            self.notices.visitor_overreached(&who.visitor, &reason);
        }
    }

    fn saw(&self, who: &record::Fence, outdated: Outdated) {
        if self.outdated.is_news(who.clone()) {
            self.notices.visitor_outdated(who, outdated.newest);
        }
    }
}

impl FrontDesk {
    async fn new(
        shared: Arc<Shared>,
        desk: Desk,
        listen: &ListenConfig,
    ) -> std::result::Result<Self, ServiceError> {
        let fences = Fences::open(Arc::clone(&shared.journal)).await?;
        let notices = Arc::clone(&shared.notices);
        let watch = Watch { notices, outdated: Book::new(), overreach: Book::new() };
        let watch = Arc::new(watch);
        let ownership = Arc::new(Ownership::new(Arc::clone(&shared.journal)));
        Ok(Self {
            shared,
            desk,
            fences,
            rooms: Rooms::new(listen.sessions),
            inside: Mutex::default(),
            ownership,
            rebuffs: Book::new(),
            unknown: Book::new(),
            watch,
        })
    }

    fn review(&self) {
        let config = self.shared.config();
        lock(&self.inside).retain(|Inside { name, entry, room }| {
            let Some(room) = room.upgrade() else { return false };
            let known = config.listen.as_ref().and_then(|listen| listen.visitors.get(name));
            if known != Some(entry) {
                tracing::info!(visitor = %name, "shown out: its table has changed or is gone");
                room.show_out();
            }
            true
        });
    }

    fn stranger(&self, mut visitor: Visitor) -> TransportError {
        let host = &mut visitor.introduction.host;
        *host = host.chars().take(WORDS).collect();
        if self.unknown.is_news((visitor.address, host.clone())) {
            self.shared.notices.visitor_unknown(&visitor);
        }
        let text = "no host of this name and instance is expected here";
        let reply = Reply { code: 530, text: text.to_owned() };
        TransportError::permanent(Kind::Login, Operation::Connect, text).replied(reply)
    }
}

#[async_trait]
impl Reception for FrontDesk {
    async fn admit(&self, visitor: Visitor) -> Result<Box<dyn Session>> {
        // Of the configuration in force: a reload changes who may come.
        let config = self.shared.config();
        let visitors = config.listen.as_ref().map_or(0, |listen| listen.visitors.len());
        let found = config.listen.as_ref().and_then(|l| l.visitor(&visitor.introduction));
        let Some((name, entry)) = found else { return Err(self.stranger(visitor)) };
        let not_now = |text: &str| Refusal::NotNow(text.to_owned()).into_error(Operation::Connect);
        let who = record::Fence {
            visitor: name.clone(),
            instance: entry.instance.clone(),
            epoch: visitor.introduction.epoch,
        };
        let entered = self.fences.enter(&who).await.map_err(|error| {
            tracing::warn!(error = chain(&error), "a visitor cannot be let in");
            not_now("the journal does not answer")
        })?;
        let pass = match entered {
            Entry::Entered { pass, new } => {
                if new {
                    self.shared.notices.visitor_entered(&who, visitor.address);
                }
                pass
            }
            Entry::Outdated(outdated) => {
                self.watch.saw(&who, outdated);
                return Err(Refusal::Outdated(outdated).into_error(Operation::Connect));
            }
        };
        // Now that its former owners have lost theirs.
        let guest = self.rooms.take(name, visitors);
        let guest = guest.ok_or_else(|| not_now("every session is taken"))?;
        pass.moved_in(&guest.room());
        let room = Arc::downgrade(&guest.room());
        lock(&self.inside).push(Inside { name: name.clone(), entry: entry.clone(), room });
        // A reload may have come between the look at the configuration and this.
        self.review();
        Ok(Box::new(Visit {
            tree: Tree::of(entry, config.roots.clone()),
            who,
            pass,
            shared: Arc::clone(&self.shared),
            ownership: Arc::clone(&self.ownership),
            watch: Arc::clone(&self.watch),
            desk: self.desk.clone(),
            announced: None,
            hashed: None,
            departed: None,
            open: true,
            guest,
            rooms: self.rooms.share(visitors),
        }))
    }

    fn turned_away(&self, mut rebuff: Rebuff) {
        if self.rebuffs.is_news((rebuff.address, rebuff.cause)) {
            rebuff.detail = rebuff.detail.chars().take(WORDS).collect();
            self.shared.notices.turned_away(&rebuff);
        }
    }
}
