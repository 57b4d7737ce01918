//! The connections to partners: made when the first session needs one, shared by all sessions
//! of a partner, closed with the last.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use ferryway_core::{PartnerName, transport::Partner};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

use crate::{config::PartnerSettings, failure::Failure, handshake, link::Link, window::Stock};

/// The connections in use.
#[derive(Default)]
pub(crate) struct Connections {
    lines: Mutex<HashMap<PartnerName, Arc<Line>>>,
    stock: Stock,
}

/// The connection to one partner. Locked while it is made: sessions that need one at the same
/// time share it.
type Line = tokio::sync::Mutex<Option<Made>>;

struct Made {
    link: Weak<Link>,
    /// What it was made for; another address or certificate needs another connection.
    settings: toml::Table,
    source_address: Option<IpAddr>,
}

impl Connections {
    /// The connection to a partner.
    ///
    /// # Errors
    /// None could be made.
    pub(crate) async fn link(
        &self,
        partner: &Partner,
        settings: &PartnerSettings,
    ) -> Result<Arc<Link>, Failure> {
        let line = self.line(&partner.name);
        let mut line = line.lock().await;
        if let Some(made) = &*line
            && made.settings == partner.settings
            && made.source_address == partner.source_address
            && let Some(link) = made.link.upgrade()
            && !link.is_broken()
        {
            return Ok(link);
        }
        let link = Arc::new(dial(settings, partner.source_address, &self.stock).await?);
        *line = Some(Made {
            link: Arc::downgrade(&link),
            settings: partner.settings.clone(),
            source_address: partner.source_address,
        });
        Ok(link)
    }

    fn line(&self, partner: &PartnerName) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(partner.clone()).or_default())
    }
}

/// Connects to the first address that answers, and shakes hands.
async fn dial(
    settings: &PartnerSettings,
    source: Option<IpAddr>,
    stock: &Stock,
) -> Result<Link, Failure> {
    let limit = settings.connect_limit;
    let addresses = timeout(limit, lookup_host((settings.host.as_str(), settings.port)))
        .await
        .map_err(|_| Failure::Silent("while its name was looked up"))??;
    let mut last = None;
    for address in addresses.filter(|a| source.is_none_or(|s| s.is_ipv4() == a.is_ipv4())) {
        match connect(address, source, limit).await {
            Ok(stream) => return shake_hands(stream, settings, stock.clone()).await,
            Err(failure @ Failure::SourceAddress(_)) => return Err(failure),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::other("the name has no address of the source address's family").into()
    }))
}

async fn shake_hands(
    stream: TcpStream,
    settings: &PartnerSettings,
    stock: Stock,
) -> Result<Link, Failure> {
    let visit = handshake::visit(stream, &settings.security, &settings.server_name, settings.limit);
    let ready = timeout(settings.connect_limit, visit)
        .await
        .map_err(|_| Failure::Silent("before it was ready"))??;
    Ok(Link::of_visitor(ready, settings.limit, stock))
}

async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
) -> Result<TcpStream, Failure> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrNotAvailable => Failure::SourceAddress(Arc::new(error)),
            _ => error.into(),
        })?;
    }
    match timeout(limit, socket.connect(address)).await {
        Ok(stream) => {
            let stream = stream?;
            prepare(&stream)?;
            Ok(stream)
        }
        Err(_) => Err(Failure::Silent("while a connection was made")),
    }
}

/// Words go out at once, and the system notices a dead machine even while nobody waits.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
