//! The door: accepts connections within limits, shakes hands, and serves the streams of those
//! who have proved who they are.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferryway_core::{
    Kind, Operation, TransportError, async_trait,
    reception::{Cause, Door, Listener, Listening, Rebuff, Reception},
    transport::{ConfigFault, Result},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    config::DoorSettings,
    dial::prepare,
    failure::Failure,
    handshake,
    link::{Link, OnOpen, Places},
    relay, unusable,
    window::Stock,
};

/// How long a visitor may take to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections that are not through with that, over all addresses.
const HALF_OPEN: usize = 64;

/// The same from one address: nobody alone keeps the others out.
const HALF_OPEN_EACH: usize = 16;

/// How long to wait for an address that is still in use: a host that is replaced here needs a
/// moment to notice.
const BIND: Duration = Duration::from_secs(5);

/// How long the end may take.
const STOP: Duration = Duration::from_secs(5);

/// A pause after the system refused a connection, such as for want of file handles.
const BREATH: Duration = Duration::from_millis(100);

/// The receiving end of the transport.
#[derive(Debug, Default)]
pub(crate) struct SocketListener;

#[async_trait]
impl Listener for SocketListener {
    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        DoorSettings::parse(settings).err().unwrap_or_default()
    }

    async fn listen(
        &self,
        door: Door,
        reception: Arc<dyn Reception>,
    ) -> Result<Box<dyn Listening>> {
        let settings = DoorSettings::parse(&door.settings)
            .map_err(|faults| unusable(Operation::Listen, &faults))?;
        let (listener, address) = bind(door.address).await.map_err(|error| {
            TransportError::retryable(Kind::Connection, Operation::Listen, "no such door here")
                .at(door.address)
                .caused_by(error)
        })?;
        let (alive, ended) = mpsc::channel(1);
        // The host counts the sessions that it lets in. It has to be asked about more: a new owner
        // comes past those that it is about to shut out.
        let asked = 2 * door.sessions;
        let house = Arc::new(House {
            settings,
            reception,
            connections: asked,
            places: Arc::new(Places::new(asked)),
            stock: Stock::default(),
            crowd: Mutex::default(),
            alive,
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(listener, house, stopped));
        Ok(Box::new(OpenDoor { address, stop, ended }))
    }
}

struct OpenDoor {
    address: SocketAddr,
    /// Dropped, it says the same as `true`.
    stop: watch::Sender<bool>,
    /// Ends when every task of the door has.
    ended: mpsc::Receiver<()>,
}

#[async_trait]
impl Listening for OpenDoor {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn stop(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        match timeout(STOP, self.ended.recv()).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let message = "not every visitor was gone in time";
                Err(TransportError::retryable(Kind::Timeout, Operation::Listen, message))
            }
        }
    }
}

/// What all connections of a door share.
struct House {
    settings: DoorSettings,
    reception: Arc<dyn Reception>,
    /// One session needs one at most.
    connections: usize,
    /// For streams.
    places: Arc<Places>,
    /// For their windows.
    stock: Stock,
    crowd: Mutex<Crowd>,
    alive: mpsc::Sender<()>,
}

/// Who is at the door, and who is in.
#[derive(Default)]
struct Crowd {
    half_open: HashMap<IpAddr, usize>,
    inside: usize,
}

impl House {
    /// A place for one that just came, until it has proved who it is.
    fn step_up(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut crowd = self.crowd();
        let all: usize = crowd.half_open.values().sum();
        let own = crowd.half_open.get(&address).copied().unwrap_or(0);
        if all >= HALF_OPEN || own >= HALF_OPEN_EACH {
            return None;
        }
        crowd.half_open.insert(address, own + 1);
        Some(Place { house: Arc::clone(self), at_the_door: Some(address) })
    }

    fn turn_away(&self, address: IpAddr, cause: Cause, detail: String) {
        self.reception.turned_away(Rebuff { address, cause, detail });
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place in the crowd.
struct Place {
    house: Arc<House>,
    /// `None` when it is inside.
    at_the_door: Option<IpAddr>,
}

impl Place {
    /// Lets the connection in, if there is room.
    fn enter(&mut self) -> std::result::Result<(), Failure> {
        let mut crowd = self.house.crowd();
        if crowd.inside >= self.house.connections {
            return Err(Failure::Crowd);
        }
        if let Some(address) = self.at_the_door.take() {
            crowd.leave_the_door(address);
            crowd.inside += 1;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut crowd = self.house.crowd();
        match self.at_the_door.take() {
            Some(address) => crowd.leave_the_door(address),
            None => crowd.inside -= 1,
        }
    }
}

impl Crowd {
    fn leave_the_door(&mut self, address: IpAddr) {
        if let Some(count) = self.half_open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.half_open.remove(&address);
            }
        }
    }
}

async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let bound = async {
        loop {
            match TcpListener::bind(address).await {
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => sleep(BREATH).await,
                other => return other,
            }
        }
    };
    let listener = timeout(BIND, bound).await.unwrap_or_else(|_| {
        Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another program listens there"))
    })?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: TcpListener, house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    let mut visits = JoinSet::new();
    let stop = async {
        // A door that is gone means the same.
        let _gone = stopped.wait_for(|stop| *stop).await;
    };
    tokio::pin!(stop);
    // One line in the log, however long the system refuses.
    let mut refused = false;
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_ended) = visits.join_next(), if !visits.is_empty() => {}
            came = listener.accept() => match came {
                Ok((stream, from)) => {
                    refused = false;
                    let address = from.ip().to_canonical();
                    match house.step_up(address) {
                        Some(place) => drop(visits.spawn(visit(stream, address, place))),
                        None => {
                            drop(stream);
                            let detail = "too many connections at once".to_owned();
                            house.turn_away(address, Cause::Crowd, detail);
                        }
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut refused, true) {
                        tracing::warn!(%error, "the system refuses connections at the door");
                    }
                    sleep(BREATH).await;
                }
            },
        }
    }
    drop(listener);
    visits.shutdown().await;
}

/// One connection, from its first byte to its end.
async fn visit(stream: TcpStream, address: IpAddr, mut place: Place) {
    let house = Arc::clone(&place.house);
    let failure = match welcome(stream, address, &mut place).await {
        Ok(link) => link.over().await,
        Err(failure) => failure,
    };
    match failure.cause() {
        Some(cause) => house.turn_away(address, cause, failure.to_string()),
        None => tracing::debug!(%address, %failure, "a connection ended"),
    }
}

async fn welcome(
    stream: TcpStream,
    address: IpAddr,
    place: &mut Place,
) -> std::result::Result<Link, Failure> {
    let house = &place.house;
    let DoorSettings { security, limit } = &house.settings;
    prepare(&stream)?;
    let ready = timeout(HANDSHAKE, handshake::receive(stream, security, *limit))
        .await
        .map_err(|_| Failure::Silent("before it had proved who it is"))??;
    let proved = ready.proved.clone();
    let (reception, alive) = (Arc::clone(&house.reception), house.alive.clone());
    let (limit, stock, places) = (*limit, house.stock.clone(), Arc::clone(&house.places));
    place.enter()?;
    let on_open: OnOpen = Box::new(move |stream, opening| {
        let (reception, alive, proved) = (Arc::clone(&reception), alive.clone(), proved.clone());
        tokio::spawn(async move {
            let _alive = alive;
            let served = relay::serve(stream, opening, address, &proved, &*reception).await;
            if let Err(failure) = served {
                tracing::debug!(%address, %failure, "a visitor's session ended");
            }
        });
    });
    Ok(Link::of_host(ready, limit, stock, places, on_open))
}
