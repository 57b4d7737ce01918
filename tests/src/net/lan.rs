//! A network of the test's own: a hub and some nodes on one bridge, each in a network namespace.
//! A node can be cut off without anybody being told, and an address can move between nodes.

use std::{fs::File, io, net::Ipv4Addr};

use super::{DEVICE, Namespace, Place, link, namespace::move_thread};
use crate::Unavailable;

/// How the namespaces differ from the system's defaults. Little fits into the buffers between
/// two ends, so that a transfer is about as far as its receiver. What is lost is sent again every
/// second, where the system can be told so. And a standby node's server listens at the virtual
/// address before it is there.
const SETTINGS: &str = "cd /proc/sys/net/ipv4 && \
    echo 4096 65536 131072 >tcp_rmem && echo 4096 65536 131072 >tcp_wmem && \
    { [ ! -e tcp_rto_max_ms ] || echo 1000 >tcp_rto_max_ms; } && echo 1 >ip_nonlocal_bind";

/// A network with a hub and nodes 1, 2, and so on. Making one needs root.
#[derive(Debug)]
pub struct Lan {
    hub: Namespace,
    nodes: Vec<Namespace>,
    // Where the thread of the test was before.
    outside: File,
}

impl Lan {
    /// The hub's address.
    pub const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

    /// The address that moves between the nodes.
    pub const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

    /// Makes a network with `nodes` nodes and moves the calling thread to its hub, with
    /// everything that it starts from then on; dropping the network moves the thread back.
    ///
    /// # Errors
    /// This process is not root, or the system has no namespaces, bridges or `ip`.
    pub fn enter(nodes: u8) -> Result<Self, Unavailable> {
        let unavailable = |error: io::Error| Unavailable::new("a network of the test's own", error);
        let lan = Self {
            hub: Namespace::new()?,
            nodes: (0..nodes).map(|_| Namespace::new()).collect::<Result<_, _>>()?,
            outside: File::open("/proc/thread-self/ns/net").map_err(unavailable)?,
        };
        lan.set_up().map_err(unavailable)?;
        lan.hub().enter().map_err(unavailable)?;
        Ok(lan)
    }

    /// Like [`Lan::enter`]; where it cannot be the test is skipped visibly (`None`), or fails
    /// where `CI` is set.
    pub fn enter_or_skip(nodes: u8) -> Option<Self> {
        Self::enter(nodes).inspect_err(Unavailable::skip).ok()
    }

    /// The hub's place.
    pub fn hub(&self) -> Place {
        self.hub.place()
    }

    /// A node's place.
    pub fn node(&self, number: u8) -> Place {
        self.nodes[usize::from(number) - 1].place()
    }

    /// Takes a node off the bridge. What it sends from now on is lost without a word, to it and
    /// to all others, so that its connections stay half open.
    ///
    /// # Errors
    /// The system refuses.
    pub fn cut(&self, number: u8) -> io::Result<()> {
        self.hub().shell(&format!("ip link set node{number} nomaster"))
    }

    /// Puts a node that was cut off back on the bridge.
    ///
    /// # Errors
    /// The system refuses.
    pub fn heal(&self, number: u8) -> io::Result<()> {
        self.hub().shell(&format!("ip link set node{number} master bridge"))
    }

    /// Keeps a node from hearing the other nodes that are isolated, and being heard by them, or lets
    /// it be. The hub hears all of them.
    ///
    /// # Errors
    /// There is no such node, or the system refuses.
    pub fn isolate(&self, number: u8, isolated: bool) -> io::Result<()> {
        let isolated = if isolated { "on" } else { "off" };
        self.hub().shell(&format!("ip link set node{number} type bridge_slave isolated {isolated}"))
    }

    /// Connects a machine as this node. It knows of no other address than its own.
    ///
    /// # Errors
    /// There is such a node, or the system refuses.
    pub fn join(&self, machine: Place, number: u8) -> io::Result<()> {
        let port = format!("node{number}");
        link((self.hub(), &port), (machine, DEVICE))?;
        self.hub().shell(&format!("ip link set {port} master bridge"))?;
        machine.shell(&format!("{SETTINGS} && ip addr add 10.77.0.{number}/24 dev {DEVICE}"))
    }

    /// Takes a node's interface out of its machine, with every address on it.
    ///
    /// # Errors
    /// There is no such node.
    pub fn leave(&self, number: u8) -> io::Result<()> {
        self.hub().shell(&format!("ip link del node{number}"))
    }

    /// Pulls the cable of a node: both ends see that there is no signal.
    ///
    /// # Errors
    /// The system refuses.
    pub fn unplug(&self, number: u8) -> io::Result<()> {
        self.hub().shell(&format!("ip link set node{number} down"))
    }

    /// Puts the cable of a node back.
    ///
    /// # Errors
    /// The system refuses.
    pub fn plug(&self, number: u8) -> io::Result<()> {
        self.hub().shell(&format!("ip link set node{number} up"))
    }

    /// Moves the virtual address to a node: away from any other, and the hub's traffic with it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn move_address(&self, number: u8) -> io::Result<()> {
        let address = Self::VIRTUAL;
        for other in (1..).take(self.nodes.len()).filter(|other| *other != number) {
            let remove = format!("ip addr del {address}/24 dev {DEVICE} 2>/dev/null || true");
            self.node(other).shell(&remove)?;
        }
        self.node(number).shell(&format!("ip addr add {address}/24 dev {DEVICE}"))?;
        // What the new holder's gratuitous ARP does elsewhere.
        self.hub().shell("ip neigh flush dev bridge")
    }

    fn set_up(&self) -> io::Result<()> {
        // The bridge has an address of its own: with that of a port, which it takes by itself, a
        // port off the bridge would still be heard.
        self.hub().shell(&format!(
            "{SETTINGS} && ip link add bridge type bridge && \
             ip link set bridge address 02:00:00:00:00:fe && ip addr add {}/24 dev bridge && \
             ip link set bridge up",
            Self::HUB
        ))?;
        for (number, node) in (1..).zip(&self.nodes) {
            self.join(node.place(), number)?;
        }
        Ok(())
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // A thread that cannot go back is of no use to another test, which will fail by itself.
        move_thread(&self.outside).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        process::Command,
        time::Duration,
    };

    use super::*;
    use crate::{
        process::ProcessTree,
        wait::{LIMIT, wait_until},
    };

    #[test]
    fn a_node_that_is_cut_off_is_silent_until_it_is_back() {
        let Some(lan) = Lan::enter_or_skip(1) else { return };
        let listener = TcpListener::bind((Lan::HUB, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut talker = Command::new("python3");
        talker.args(["-uc", TALKER, &Lan::HUB.to_string(), &port.to_string()]);
        let talker = lan.node(1).inside(&talker);
        let _talker = ProcessTree::spawn(&talker, &folder.path().join("log")).unwrap();
        let (mut stream, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), Ipv4Addr::new(10, 77, 0, 1));
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut buffer = [0; 65_536];
        let mut heard = |stream: &mut TcpStream| stream.read(&mut buffer).is_ok_and(|n| n > 0);
        wait_until(LIMIT, "the node talks", || heard(&mut stream));
        lan.cut(1).unwrap();
        wait_until(LIMIT, "the node is silent", || !heard(&mut stream));
        lan.heal(1).unwrap();
        wait_until(LIMIT, "the node talks again", || heard(&mut stream));
        stream.write_all(b"enough").unwrap();
    }

    const TALKER: &str = "import socket, sys\n\
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
        s.settimeout(0.001)\n\
        while True:\n\
        \x20   s.settimeout(None); s.sendall(b'x'); s.settimeout(0.001)\n\
        \x20   try:\n\
        \x20       if s.recv(9): break\n\
        \x20   except TimeoutError: pass\n";
}
