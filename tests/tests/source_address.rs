//! Where connections come from, as the partner sees it: a host and an FTP server on machines of
//! their own, the host's with a fixed address and a virtual one on one interface.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper functions fail the test")]

use std::{collections::BTreeSet, fs, net::IpAddr};

use ferryway_core::{JobId, Status};
use ferryway_host::control::{api::SubmitRequest, client::Client};
use ferryway_mocks::ftp_server::{Entry, FtpServer, Side};
use ferryway_tests::{
    Unavailable,
    host::{Install, Node},
    net::{DEVICE, Namespace, link},
    wait::{LIMIT, holds_within},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const FILE: &str = "tools/master/SrcAdr.dat";

/// The definitions, each with its partner: one server, four ways to it.
const PASSIVE: &str = "PASV1";
const ACTIVE: &str = "PORT1";
const FIXED_PASSIVE: &str = "PASV2";
const FIXED_ACTIVE: &str = "PORT2";
const WAYS: [(&str, &str, &str); 4] = [
    (PASSIVE, "passive", "virtual"),
    (ACTIVE, "active", "virtual"),
    (FIXED_PASSIVE, "passive", "fixed"),
    (FIXED_ACTIVE, "active", "fixed"),
];

/// The addresses of one network.
#[derive(Clone, Copy, Debug)]
struct Net {
    prefix: u8,
    fixed: &'static str,
    virtual_: &'static str,
    partner: &'static str,
    /// Nobody's, unless a test gives it to somebody.
    free: &'static str,
}

const IPV4: Net = Net {
    prefix: 24,
    fixed: "192.0.2.1",
    virtual_: "192.0.2.10",
    partner: "192.0.2.2",
    free: "192.0.2.99",
};
const IPV6: Net = Net {
    prefix: 64,
    fixed: "2001:db8::1",
    virtual_: "2001:db8::10",
    partner: "2001:db8::2",
    free: "2001:db8::99",
};

#[test]
fn an_edit_moves_every_connection_to_the_address_over_ipv4() {
    let Some(mut lab) = Lab::new(IPV4) else { return };
    lab.has(IPV4.virtual_);
    lab.node.start().unwrap();
    lab.moves_with_edits();
}

#[test]
fn an_edit_moves_every_connection_to_the_address_over_ipv6() {
    let Some(mut lab) = Lab::new(IPV6) else { return };
    lab.has(IPV6.virtual_);
    lab.node.start().unwrap();
    lab.moves_with_edits();
}

#[test]
fn nothing_connects_before_the_address_is_here_and_then_jobs_go_on_by_themselves() {
    for net in [IPV4, IPV6] {
        let Some(mut lab) = Lab::new(net) else { return };
        // The owner starts before its virtual address moves in.
        lab.write(net.virtual_);
        lab.node.start().unwrap();
        lab.await_line(&["0109W", net.virtual_, "SrcAdr.dat:3"]);
        let waiting = [PASSIVE, ACTIVE].map(|definition| lab.submit(definition));
        for job in &waiting {
            lab.waits(job, "is not one of this machine's");
        }
        // Who leaves from the machine's own address is not held up.
        assert_eq!(lab.deliver(FIXED_PASSIVE).from, only(net.fixed));
        let before = lab.seen(0);
        assert_eq!(before.from, only(net.fixed), "{}", lab.server.transcript());

        let mark = lab.mark();
        lab.has(net.virtual_);
        lab.completes(&waiting);
        assert_eq!(lab.seen(mark).from, only(net.virtual_), "{}", lab.server.transcript());
        lab.await_line(&["0107I", net.virtual_, "SrcAdr.dat:3"]);
    }
}

#[test]
fn a_session_whose_address_has_left_is_not_used_and_the_job_outlasts_it() {
    let Some(mut lab) = Lab::new(IPV4) else { return };
    lab.has(IPV4.virtual_);
    lab.write(IPV4.virtual_);
    lab.node.start().unwrap();
    assert_eq!(lab.deliver(PASSIVE).from, only(IPV4.virtual_));
    let virtual_ = IPV4.virtual_.parse().unwrap();
    lab.cluster.remove_address(virtual_, IPV4.prefix).unwrap();
    let job = lab.submit(PASSIVE);
    lab.waits(&job, "is not one of this machine's");
    lab.has(IPV4.virtual_);
    lab.completes(&[job]);
}

#[test]
fn a_fault_of_the_file_is_named_and_mending_it_is_enough() {
    let Some(mut lab) = Lab::new(IPV4) else { return };
    lab.has(IPV4.virtual_);
    lab.node.start().unwrap();
    assert_eq!(lab.deliver(PASSIVE).from, only(IPV4.fixed));
    lab.install.write(FILE, "[Common]\r\nS_Adress=192. 0. 2. 10\r\n").unwrap();
    let mark = lab.mark();
    let job = lab.submit(PASSIVE);
    let fault = "SrcAdr.dat:2:1: S_Adress: unknown key; did you mean `S_Address`?";
    lab.await_line(&["0110E", fault]);
    lab.waits(&job, fault);
    assert!(lab.seen(mark).from.is_empty(), "{}", lab.server.transcript());
    let check = lab.node.ferryway(&["check"]).unwrap();
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(String::from_utf8_lossy(&check.stderr).contains(fault), "{check:?}");

    lab.write(IPV4.free);
    lab.await_line(&["0109W", IPV4.free]);
    let check = lab.node.ferryway(&["check"]).unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success() && said.contains("SrcAdr.dat:3:1: the source"), "{said}");

    lab.write(IPV4.virtual_);
    lab.completes(&[job]);
    assert_eq!(lab.seen(mark).from, only(IPV4.virtual_), "{}", lab.server.transcript());
}

/// A host on one machine, an FTP server on another.
struct Lab {
    net: Net,
    // Hosts end before the server, and both before their machines.
    node: Node,
    server: FtpServer,
    install: Install,
    runtime: Runtime,
    cluster: Namespace,
    _partner: Namespace,
    _root: TempDir,
}

/// What the server saw of some transfers.
struct Seen {
    /// The sessions that moved bytes.
    sessions: BTreeSet<u64>,
    /// The addresses of those sessions' control and data connections, and those told in PORT
    /// and EPRT.
    from: BTreeSet<IpAddr>,
    /// How many addresses were told.
    told: usize,
}

impl Lab {
    /// Everything but a running host; `None` where there are no namespaces.
    fn new(net: Net) -> Option<Self> {
        Self::build(net).inspect_err(Unavailable::skip).ok()
    }

    fn build(net: Net) -> Result<Self, Unavailable> {
        let (cluster, partner) = (Namespace::new()?, Namespace::new()?);
        let at = net.partner.parse::<IpAddr>().unwrap();
        let runtime = link((cluster.place(), DEVICE), (partner.place(), DEVICE))
            .and_then(|()| cluster.add_address(net.fixed.parse().unwrap(), net.prefix))
            .and_then(|()| partner.add_address(at, net.prefix))
            .and_then(|()| partner.runtime())
            .map_err(|error| Unavailable::new("two machines and a cable", error))?;
        let root = tempfile::tempdir().unwrap();
        let builder = FtpServer::builder(root.path());
        let server = runtime.spawn(async move { builder.start_on((at, 0).into()).await });
        let server = runtime.block_on(server).unwrap().unwrap();
        let install = Install::new(&configuration(&server))?;
        install.write("out/a.bin", &"a".repeat(10_000)).unwrap();
        let definition = |(id, _, _)| {
            format!(
                "[[definition]]\nid = \"{id}\"\npartner = \"{id}\"\ndirection = \"send\"\n\
                 local = \"a.bin\"\nremote = \"{{job}}.bin\"\n"
            )
        };
        let definitions: String = WAYS.into_iter().map(definition).collect();
        install.write("definitions/all.toml", &definitions).unwrap();
        let mut node = Node::new(&install, "alpha")?;
        node.put_at(cluster.place());
        let (_partner, _root) = (partner, root);
        Ok(Self { net, node, server, install, runtime, cluster, _partner, _root })
    }

    /// The machine of the host has this address beside its own from now on, as a cluster gives
    /// it: for IPv6 marked as not preferred, else the system would choose the youngest.
    fn has(&self, address: &str) {
        match address.parse().unwrap() {
            address @ IpAddr::V4(_) => self.cluster.add_address(address, self.net.prefix),
            IpAddr::V6(address) => self.cluster.place().shell(&format!(
                "ip addr add {address}/{} dev {DEVICE} nodad preferred_lft 0",
                self.net.prefix
            )),
        }
        .unwrap();
    }

    /// Names the source address, on line 3.
    fn write(&self, address: &str) {
        let text = format!("; virtual\r\n[Common]\r\nS_Address={address}\r\n");
        self.install.write(FILE, &text).unwrap();
    }

    /// The running host follows the file, with sessions at hand that it must not use.
    fn moves_with_edits(&self) {
        let (fixed, virtual_) = (only(self.net.fixed), only(self.net.virtual_));
        for (definition, _, _) in WAYS {
            let first = self.deliver(definition);
            let second = self.deliver(definition);
            assert_eq!((&first.from, &second.from), (&fixed, &fixed), "{definition}");
            assert_eq!(first.sessions, second.sessions, "{definition}: a session is used again");
        }
        self.write(&self.net.virtual_.replace('.', ". "));
        self.expect(&virtual_, &fixed);
        self.await_line(&["0107I", self.net.virtual_, "SrcAdr.dat:3"]);
        // Naming nothing leaves it to the system.
        self.write("");
        self.expect(&fixed, &fixed);
        self.await_line(&["0108I"]);
        self.write(self.net.virtual_);
        self.expect(&virtual_, &fixed);
        fs::remove_file(self.install.path().join(FILE)).unwrap();
        self.expect(&fixed, &fixed);
    }

    /// Delivers by every way, and holds what the server saw against this.
    #[track_caller]
    fn expect(&self, by_default: &BTreeSet<IpAddr>, by_fixed: &BTreeSet<IpAddr>) {
        for (definition, mode, source) in WAYS {
            let seen = self.deliver(definition);
            let expected = if source == "fixed" { by_fixed } else { by_default };
            assert_eq!(&seen.from, expected, "{definition}\n{}", self.server.transcript());
            assert_eq!(seen.told > 0, mode == "active", "{definition}");
        }
    }

    fn deliver(&self, definition: &str) -> Seen {
        let mark = self.mark();
        let output = self.node.ftprel(&["submit", definition, "--wait"]).unwrap();
        assert!(output.status.success(), "{output:?}\n{}", self.operator_log());
        let seen = self.seen(mark);
        assert!(!seen.sessions.is_empty(), "{}", self.server.transcript());
        seen
    }

    fn submit(&self, definition: &str) -> JobId {
        let definition = definition.parse().unwrap();
        let request = SubmitRequest { definition, local: None, remote: None, key: None };
        let jobs = self.runtime.block_on(self.client().submit(&[request])).unwrap();
        jobs.into_iter().map(|job| job.id).next().unwrap()
    }

    /// The job waits for its time, and says why.
    #[track_caller]
    fn waits(&self, job: &JobId, reason: &str) {
        let mut found = None;
        let waits = holds_within(LIMIT, || {
            let view = self.runtime.block_on(self.client().job(job)).unwrap();
            let error = view.job.state.last_error.clone().unwrap_or_default();
            found = Some((view.job.status, view.job.state.failures, error));
            found.as_ref().is_some_and(|(status, failures, error)| {
                (*status, *failures) == (Status::Accepted, 0) && error.contains(reason)
            })
        });
        assert!(waits, "{job}: {found:?}\n{}", self.operator_log());
    }

    #[track_caller]
    fn completes(&self, jobs: &[JobId]) {
        let wait = async { self.client().wait(jobs, LIMIT).await };
        for job in self.runtime.block_on(wait).unwrap() {
            let outcome = job.status.outcome();
            assert!(outcome.is_some(), "{}: {}\n{}", job.id, job.status, self.operator_log());
            assert_eq!(job.status, Status::Idle(ferryway_core::Outcome::Completed));
        }
    }

    fn client(&self) -> Client {
        Client::new(self.node.run_dir())
    }

    /// Where the server's transcript ends now.
    fn mark(&self) -> usize {
        self.server.transcript().entries().len()
    }

    /// What the server saw from a mark on.
    fn seen(&self, mark: usize) -> Seen {
        let all = self.server.transcript().entries();
        let (mut sessions, mut from, mut told) = (BTreeSet::new(), BTreeSet::new(), 0);
        for entry in &all[mark..] {
            if let Some(address) = event(entry, "data connection with ") {
                sessions.insert(entry.session);
                from.insert(address);
            }
            from.extend(event(entry, "control connection from "));
            if let Some(address) = told_address(entry) {
                told += 1;
                from.insert(address);
            }
        }
        // A session may be older than the mark.
        let controls = all.iter().filter(|entry| sessions.contains(&entry.session));
        from.extend(controls.filter_map(|entry| event(entry, "control connection from ")));
        Seen { sessions, from, told }
    }

    #[track_caller]
    fn await_line(&self, words: &[&str]) {
        let found = holds_within(LIMIT, || {
            self.operator_log().lines().any(|line| words.iter().all(|word| line.contains(word)))
        });
        assert!(found, "no line has {words:?}:\n{}", self.operator_log());
    }

    fn operator_log(&self) -> String {
        fs::read_to_string(self.install.path().join("logs/ferryway.log")).unwrap_or_default()
    }
}

/// One server, a partner for each way. What is to heal must not wait for a partner's retries.
fn configuration(server: &FtpServer) -> String {
    let partner = |(name, mode, source)| {
        format!(
            "[partners.{name}]\ntransport = \"ftp\"\nhost = \"{}\"\nport = {}\nuser = \"ferry\"\n\
             password = \"any\"\ntls = \"off\"\nmode = \"{mode}\"\nsource_address = \"{source}\"\n\
             sessions = 1\n[partners.{name}.retry]\nfirst_s = 600\nmax_s = 600\n",
            server.addr().ip(),
            server.addr().port()
        )
    };
    let partners: String = WAYS.into_iter().map(partner).collect();
    format!("[instance]\nname = \"night\"\n[roots]\nsend = [\"out\"]\n{partners}")
}

fn only(address: &str) -> BTreeSet<IpAddr> {
    BTreeSet::from([address.parse().unwrap()])
}

/// The address of an event of the transcript that starts so.
fn event(entry: &Entry, start: &str) -> Option<IpAddr> {
    let peer = (entry.side == Side::Event).then(|| entry.text.strip_prefix(start))??;
    Some(peer.parse::<std::net::SocketAddr>().unwrap().ip().to_canonical())
}

/// The address that a PORT (RFC 959) or an EPRT (RFC 2428) tells.
fn told_address(entry: &Entry) -> Option<IpAddr> {
    match (entry.side, entry.text.split_once(' ')?) {
        (Side::Client, ("EPRT", rest)) => rest.split('|').nth(2)?.parse().ok(),
        (Side::Client, ("PORT", rest)) => {
            let numbers: Vec<_> = rest.split(',').take(4).collect();
            numbers.join(".").parse().ok()
        }
        _ => None,
    }
}
