//! One of two installations: its nodes, its address, and what came into its folder.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{Keys, Setup};
use crate::{
    host::{Install, Node},
    scene::Arrivals,
    slow_line::SlowLine,
    wait::{LIMIT, wait_until},
};

/// One installation.
#[derive(Debug)]
pub struct Side {
    /// The install directory of the first node, on a disk that both nodes reach unless the test
    /// has others.
    pub install: Install,
    /// The nodes. A failing test prints what the hosts there said.
    pub nodes: [Node; 2],
    /// Its address: what others reach its door by.
    pub line: SlowLine,
    /// What appeared in its folder `in`.
    pub arrivals: Arrivals,
    /// Where the test sees the installation of the active node.
    home: PathBuf,
    active: usize,
    /// Doors whose lines in the log are known.
    doors: usize,
    configuration: [String; 2],
}

impl Side {
    /// A side named `name` at the address `line`, whose partner `other` is at `port`. Its
    /// installation is in `home`, or in a temporary folder.
    pub(super) fn build(
        [name, other]: [&str; 2],
        line: SlowLine,
        port: u16,
        setup: Setup,
        keys: &Keys,
        home: Option<&Path>,
    ) -> Self {
        let partner = other.to_uppercase();
        let Keys { door, partner: partner_keys } = keys;
        let retry_s = setup.retry_s;
        let host = format!(
            "[instance]\nname = \"{name}\"\n[roots]\nreceive = [\"in\"]\nsend = [\"out\"]\n\
             [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\ntimeout_s = 5\n{door}\
             [listen.visitors.{partner}]\nhost_name = \"{other}.example\"\n\
             instance = \"{other}\"\nmay = [\"send\", \"fetch\"]\n\
             [partners.{partner}]\ntransport = \"socket\"\nhost = \"127.0.0.1\"\n\
             port = {port}\ntimeout_s = 5\n{partner_keys}\
             [partners.{partner}.retry]\nfirst_s = {retry_s}\nmax_s = {retry_s}\n"
        );
        let definitions = format!(
            "[[definition]]\nid = \"SEND1\"\npartner = \"{partner}\"\ndirection = \"send\"\n\
             remote = \"{{name}}\"\n\
             [[definition]]\nid = \"FETCH1\"\npartner = \"{partner}\"\ndirection = \"fetch\"\n\
             local = \"{{name}}\"\nremote = \"/offered/{{job}}\"\n"
        );
        let configuration = [host, definitions];
        let install = furnish(&configuration, home);
        let node = |node| {
            let mut node = Node::new(&install, &format!("{name}-{node}")).unwrap();
            node.set_variable("FERRYWAY_LOG", "info,ferryway_host=debug,ferryway_socket=debug");
            // Nodes of a cluster tell one name.
            node.set_variable("HOSTNM", &format!("{name}.example"));
            node
        };
        let nodes = [node("1"), node("2")];
        let home = install.path().to_owned();
        let arrivals = Arrivals::watch(&home.join("in"));
        Self { install, nodes, line, arrivals, home, active: 0, doors: 0, configuration }
    }

    /// Gives the second node an installation of its own in `folder`, like that of the first,
    /// which hosts started there find in its place. Needs root.
    pub fn give_own_installation(&mut self, folder: &Path) {
        furnish(&self.configuration, Some(folder));
        self.nodes[1].give_own_folder(folder, self.install.path());
    }

    /// Looks into the installation as another node has it, from now on.
    pub fn look_at(&mut self, home: &Path) {
        self.home = home.to_owned();
        self.arrivals = Arrivals::watch(&self.incoming());
        self.doors = 0;
    }

    /// Starts the host on a node, and leads the address there once its door is open. Before, the
    /// address is nobody's. The door's own address.
    pub fn start(&mut self, node: usize) -> SocketAddr {
        self.line.lead_nowhere();
        self.doors = self.lines("0501I").len();
        self.nodes[node].start().unwrap();
        self.lead_to(node)
    }

    /// Leads the address to a node where a host runs, once its door is open; the door's own
    /// address.
    pub fn lead_to(&mut self, node: usize) -> SocketAddr {
        self.active = node;
        self.await_door()
    }

    /// Waits for the next line of an open door, and leads the address there; the door's own
    /// address.
    pub fn await_door(&mut self) -> SocketAddr {
        self.doors += 1;
        let mut door = None;
        wait_until(LIMIT, "the line of the open door", || {
            let lines = self.lines("0501I");
            door = lines.get(self.doors - 1).and_then(|line| address_in(line));
            door.is_some()
        });
        let door = door.unwrap();
        self.line.lead_to(door);
        door
    }

    /// The node that has the address.
    pub fn active(&self) -> &Node {
        &self.nodes[self.active]
    }

    /// The installation as the test sees it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folder that files come into.
    pub fn incoming(&self) -> PathBuf {
        self.home.join("in")
    }

    /// The lines of the operator's log with this code.
    pub fn lines(&self, code: &str) -> Vec<String> {
        let log = self.log();
        log.lines().filter(|line| line.contains(&format!(" {code} "))).map(str::to_owned).collect()
    }

    /// Waits for a line of the operator's log with this code and these words.
    #[track_caller]
    pub fn await_line(&self, code: &str, words: &[&str]) -> String {
        let mut found = None;
        wait_until(LIMIT, &format!("a line {code} with {words:?}"), || {
            let said = |line: &String| words.iter().all(|word| line.contains(word));
            found = self.lines(code).into_iter().find(said);
            found.is_some()
        });
        found.unwrap()
    }

    /// What its operator and its hosts were told.
    pub(super) fn explain(&self) -> String {
        let mut text = format!("--- operator's log in {}\n{}", self.home.display(), self.log());
        for node in &self.nodes {
            text += &format!("--- host on {}\n{}", node.name(), node.output());
        }
        text
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.join("logs/ferryway.log")).unwrap_or_default()
    }
}

fn furnish([host, definitions]: &[String; 2], home: Option<&Path>) -> Install {
    let install = match home {
        Some(home) => Install::at(home, host),
        None => Install::new(host),
    };
    let install = install.unwrap();
    install.write("definitions/all.toml", definitions).unwrap();
    for folder in ["out", "in"] {
        fs::create_dir(install.path().join(folder)).unwrap();
    }
    install
}

fn address_in(line: &str) -> Option<SocketAddr> {
    line.rsplit_once("Address(")?.1.trim_end_matches(')').parse().ok()
}
