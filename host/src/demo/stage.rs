//! What the demo plays on: a folder that goes away, the file to send, the partner's server and
//! the install directory.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ferryway_core::Epoch;
use tempfile::TempDir;

use super::{
    partner::Partner,
    script::{Script, Side},
};
use crate::{
    control::api::Health,
    laboratory::{
        Deadline, Failure, Transport,
        hosts::{self, HostProcess, Place},
        install,
        relay::{Line, Relay},
        wire,
    },
};

/// The instance's name, which is part of the names that the partner sees.
pub(super) const INSTANCE: &str = "demo";
/// The transfer definition.
pub(super) const DEFINITION: &str = "DEMO01";
/// The file's name on our side.
pub(super) const FILE: &str = "ledger.dat";
/// The file's name on the partner's side.
pub(super) const TARGET: &str = "in/ledger.dat";

/// How long the upload would take without interruption: long enough that it is cut in the
/// middle, whatever the machine.
const UPLOAD_SECONDS: u64 = 4;

/// The message that tells of a visitor with a new ownership.
const VISITOR_CAME: &str = "0502I";

/// Everything the demo needs beside the sending hosts. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    pub(super) partner: Partner,
    /// The address of the sending cluster, where the partner is a host, which says there that it
    /// is back.
    own_address: Option<Relay>,
    pub(super) script: Script,
    /// Bytes in a second that get through to the partner.
    pub(super) rate: u64,
    /// Size of the file in bytes.
    pub(super) size: u64,
}

/// A host that owns its instance.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) host: HostProcess,
    pub(super) health: Health,
}

/// The folders and names of a demo, from which everything else is made.
#[derive(Debug)]
struct Places(PathBuf);

impl Stage {
    /// Sets all up, with a file of `size` bytes made from `seed`, and the receiving host, where
    /// the partner is one.
    ///
    /// # Errors
    /// When the system refuses something, or the receiving host does not come up.
    pub(super) async fn set_up(
        script: Script,
        size: u64,
        seed: u64,
        keep: bool,
        deadline: Deadline,
    ) -> Result<(Self, Option<Owner>), Failure> {
        let mut folder = tempfile::Builder::new()
            .prefix("ferryway-demo-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| Failure::io("make a folder in", &env::temp_dir(), error))?;
        folder.disable_cleanup(keep);
        let places = Places(folder.path().to_owned());
        for inner in ["partner/in", "run"] {
            let inner = folder.path().join(inner);
            fs::create_dir_all(&inner).map_err(|error| Failure::io("make", &inner, error))?;
        }
        let (root, rate) = (places.partner(), size / UPLOAD_SECONDS);
        let secret = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
        let (partner, own_address, receiver) = match script.transport {
            Transport::Ftp => (Partner::ftp(&root, rate).await?, None, None),
            Transport::Socket => {
                let own = Relay::start(Ipv4Addr::LOCALHOST, 0, None, Line::UNLIMITED);
                let own = own.map_err(|error| {
                    Failure(format!("no address for the sending cluster: {error}"))
                })?;
                places.furnish(Side::Receiving, &receiving(&root, own.addr(), &secret), "")?;
                let gamma = Side::Receiving.first();
                let owner = places.open(Side::Receiving, gamma, deadline).await?;
                let door = places.door(Side::Receiving, gamma, deadline).await?;
                (Partner::host(&root, door, rate)?, Some(own), Some(owner))
            }
        };
        let sending = sending(script.transport, partner.addr(), &secret);
        places.furnish(Side::Sending, &sending, &definition())?;
        let stage = Self { folder, partner, own_address, script, rate, size };
        let source = stage.source();
        let made = tokio::task::spawn_blocking({
            let source = source.clone();
            move || install::make_file(&source, size, seed)
        });
        made.await
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(|error| Failure::io("write", &source, error))?;
        Ok((stage, receiver))
    }

    /// The folder of it all.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the host of a node of this side, waits until it owns the instance, and leads the
    /// side's address to its door, where it has one.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn open(
        &self,
        side: Side,
        node: &'static str,
        deadline: Deadline,
    ) -> Result<Owner, Failure> {
        let owner = self.places().open(side, node, deadline).await?;
        if let Some(address) = self.address(side) {
            address.lead_to(self.places().door(side, node, deadline).await?);
        }
        Ok(owner)
    }

    /// The address of a side is nobody's: new connections wait until another node has it.
    pub(super) fn lead_nowhere(&self, side: Side) {
        if let Some(address) = self.address(side) {
            address.lead_nowhere();
        }
    }

    /// Whether the partner's host of this ownership has come to the sending side's door, which it
    /// does to say that it is back.
    pub(super) fn heard_back(&self, epoch: Epoch) -> bool {
        let word = format!("Epoch({epoch})");
        hosts::told(&self.places().install(Side::Sending), VISITOR_CAME, &word)
    }

    fn address(&self, side: Side) -> Option<&Relay> {
        match side {
            Side::Sending => self.own_address.as_ref(),
            Side::Receiving => self.partner.address(),
        }
    }

    /// The last lines of what the hosts printed, under their names.
    pub(super) fn logs(&self) -> String {
        Side::EACH
            .iter()
            .flat_map(|side| [side.first(), side.standby()])
            .map(|node| (node, hosts::tail(&self.places().log(node))))
            .filter(|(_, text)| !text.is_empty())
            .map(|(node, text)| format!("--- the end of {node}'s log ---\n{text}\n"))
            .collect()
    }

    /// The file to send.
    pub(super) fn source(&self) -> PathBuf {
        self.places().install(Side::Sending).join("data").join(FILE)
    }

    /// What the partner's users see as `/`.
    pub(super) fn partner_root(&self) -> PathBuf {
        self.places().partner()
    }

    /// The file as it arrives.
    pub(super) fn target(&self) -> PathBuf {
        self.partner_root().join(TARGET)
    }

    /// How much of the file is at the partner.
    pub(super) fn arrived(&self) -> u64 {
        wire::largest(&self.partner_root())
    }

    fn places(&self) -> Places {
        Places(self.folder().to_owned())
    }
}

impl Places {
    fn partner(&self) -> PathBuf {
        self.0.join("partner")
    }

    /// The install directory of a side, which stands for its shared disk.
    fn install(&self, side: Side) -> PathBuf {
        self.0.join(match side {
            Side::Sending => "install",
            Side::Receiving => "receiving-install",
        })
    }

    fn log(&self, node: &str) -> PathBuf {
        self.0.join(format!("{node}.log"))
    }

    /// Where the host of a node of this side listens.
    async fn door(
        &self,
        side: Side,
        node: &'static str,
        deadline: Deadline,
    ) -> Result<SocketAddr, Failure> {
        let doors = if node == side.first() { 1 } else { 2 };
        hosts::door(&self.install(side), doors, deadline).await
    }

    fn furnish(&self, side: Side, configuration: &str, definitions: &str) -> Result<(), Failure> {
        let install = self.install(side);
        let data = install.join("data");
        fs::create_dir_all(&data).map_err(|error| Failure::io("make", &data, error))?;
        install::furnish(&install, configuration, definitions)
            .map_err(|error| Failure::io("furnish", &install, error))
    }

    async fn open(
        &self,
        side: Side,
        node: &'static str,
        deadline: Deadline,
    ) -> Result<Owner, Failure> {
        let mut host = HostProcess::start(Place {
            node,
            install: &self.install(side),
            run_dir: &self.0.join("run").join(node),
            log: &self.log(node),
            // The nodes of a cluster go by one name.
            variables: &[("HOSTNM", side.host_name())],
        })?;
        let health = host.ready(deadline).await?;
        Ok(Owner { host, health })
    }
}

/// The installation that sends.
fn sending(transport: Transport, partner: SocketAddr, secret: &str) -> String {
    let (how, door) = match transport {
        Transport::Ftp => {
            ("user = \"ferry\"\npassword = \"demo\"\ntls = \"off\"\n".to_owned(), None)
        }
        Transport::Socket => {
            (security(secret), Some(door((Side::Receiving, "bank", "bank"), secret)))
        }
    };
    format!(
        "[instance]\nname = \"{INSTANCE}\"\n\n[roots]\nsend = [\"data\"]\n\n\
         [partners.bank]\ntransport = \"{transport}\"\nhost = \"{}\"\nport = {}\n{how}\n\
         [partners.bank.retry]\nfirst_s = 1\n\n{}",
        partner.ip(),
        partner.port(),
        door.unwrap_or_default(),
    )
}

/// The installation that receives below `root`, and knows the sender by its address.
fn receiving(root: &Path, sender: SocketAddr, secret: &str) -> String {
    format!(
        "[instance]\nname = \"bank\"\n\n[roots]\nreceive = [\"{}\"]\n\n{}\n\
         [partners.shop]\ntransport = \"socket\"\nhost = \"{}\"\nport = {}\n{}",
        root.display(),
        door((Side::Sending, "shop", INSTANCE), secret),
        sender.ip(),
        sender.port(),
        security(secret),
    )
}

/// A door for the hosts of a side, which come under this name and have this instance.
fn door((side, name, instance): (Side, &str, &str), secret: &str) -> String {
    // Those that receive only say that they are back.
    let may = match side {
        Side::Sending => "send",
        Side::Receiving => "fetch",
    };
    format!(
        "[listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n{}\n\
         [listen.visitors.{name}]\nhost_name = \"{}\"\ninstance = \"{instance}\"\n\
         may = [\"{may}\"]\n",
        security(secret),
        side.host_name(),
    )
}

fn security(secret: &str) -> String {
    format!("security = \"secret\"\nsecret = \"{secret}\"\n")
}

fn definition() -> String {
    format!(
        "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"bank\"\ndirection = \"send\"\n\
         local = \"{FILE}\"\nremote = \"{TARGET}\"\n"
    )
}
