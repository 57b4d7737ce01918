//! A door with a partner in memory behind it, and what it takes to come to it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ferryway_core::{
    async_trait,
    reception::{Cause, Door, Listening, Rebuff, Reception, Visitor},
    transport::{Partner, Result, Session, Transport},
};
use ferryway_mocks::{
    authority::Authority,
    conformance::introduction,
    memory_transport::{MemoryPartner, MemoryTransport},
};
use ferryway_socket::Socket;

/// Nothing here takes as long.
pub const LIMIT: Duration = Duration::from_secs(30);

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What both ends are set to.
#[derive(Clone)]
pub struct Settings {
    pub door: String,
    pub visitor: String,
}

impl Settings {
    pub fn same(text: &str) -> Self {
        Self { door: text.to_owned(), visitor: text.to_owned() }
    }

    pub fn plain() -> Self {
        Self::same("security = 'plain'\n")
    }

    pub fn secret() -> Self {
        Self::same(&format!("security = 'secret'\nsecret = '{SECRET}'\n"))
    }

    pub fn tls() -> Self {
        let authority = Authority::new();
        let visitor = authority.identity(&introduction().host);
        Self {
            door: authority.identity("localhost"),
            visitor: format!("{visitor}server_name = 'localhost'\n"),
        }
    }
}

/// A host that lets everybody in.
pub struct OpenHouse {
    pub memory: MemoryTransport,
    rebuffs: Mutex<Vec<Rebuff>>,
}

#[async_trait]
impl Reception for OpenHouse {
    async fn admit(&self, visitor: Visitor) -> Result<Box<dyn Session>> {
        assert_eq!(visitor.introduction, introduction());
        let name = "MEMORY".parse().unwrap();
        let (settings, ours) = (toml::Table::new(), introduction());
        self.memory.connect(Partner { name, settings, source_address: None, ours }).await
    }

    fn turned_away(&self, rebuff: Rebuff) {
        self.rebuffs.lock().unwrap().push(rebuff);
    }
}

impl OpenHouse {
    /// Waits until somebody was turned away for this cause, and takes that from the
    /// [rebuffs](Self::rebuffs): the next wait is for the next one.
    pub async fn turned_away(&self, cause: Cause) -> Rebuff {
        let started = Instant::now();
        loop {
            let taken = {
                let mut rebuffs = self.rebuffs.lock().unwrap();
                let place = rebuffs.iter().position(|rebuff| rebuff.cause == cause);
                place.map(|place| rebuffs.remove(place))
            };
            if let Some(taken) = taken {
                return taken;
            }
            assert!(started.elapsed() < LIMIT, "nobody for {cause}: {:?}", self.rebuffs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Who was turned away and not waited for, so far.
    pub fn rebuffs(&self) -> Vec<Rebuff> {
        self.rebuffs.lock().unwrap().clone()
    }
}

/// Both ends.
pub struct Ends {
    pub house: Arc<OpenHouse>,
    pub listening: Box<dyn Listening>,
    pub socket: Arc<Socket>,
    pub settings: Settings,
}

impl Ends {
    pub async fn new(settings: Settings) -> Self {
        Self::with_sessions(settings, 64).await
    }

    pub async fn with_sessions(settings: Settings, sessions: usize) -> Self {
        let partner = MemoryPartner::new();
        partner.make_folders("in");
        let memory = MemoryTransport::new(partner);
        let house = Arc::new(OpenHouse { memory, rebuffs: Mutex::default() });
        let socket = Arc::new(Socket::default());
        let listener = socket.listener().unwrap();
        let door_settings: toml::Table = settings.door.parse().unwrap();
        assert_eq!(listener.check_config(&door_settings), []);
        let address = "127.0.0.1:0".parse().unwrap();
        let door = Door { address, sessions, settings: door_settings };
        let reception = Arc::clone(&house) as Arc<dyn Reception>;
        let listening = listener.listen(door, reception).await.unwrap();
        Self { house, listening, socket, settings }
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    pub fn partner(&self) -> Partner {
        self.partner_with(&self.settings.visitor)
    }

    pub fn partner_with(&self, settings: &str) -> Partner {
        let port = self.address().port();
        let settings = format!("host = '127.0.0.1'\nport = {port}\n{settings}");
        let settings = settings.parse().unwrap();
        let name = "HOUSE".parse().unwrap();
        Partner { name, settings, source_address: None, ours: introduction() }
    }

    pub async fn session(&self) -> Box<dyn Session> {
        self.socket.connect(self.partner()).await.unwrap()
    }
}
