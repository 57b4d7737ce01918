//! What the demo plays on: a folder that goes away, the file to send, the partner's server and
//! the install directory.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

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
        install, wire,
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

/// Everything the demo needs beside the sending hosts. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    pub(super) partner: Partner,
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
        let (partner, receiver) = match script.transport {
            Transport::Ftp => (Partner::ftp(&root, rate).await?, None),
            Transport::Socket => {
                places.furnish(Side::Receiving, &receiving(&root, &secret), "")?;
                let gamma = Side::Receiving.first();
                let owner = places.open(Side::Receiving, gamma, deadline).await?;
                let door = hosts::door(&places.install(Side::Receiving), 1, deadline).await?;
                (Partner::host(&root, door, rate)?, Some(owner))
            }
        };
        let sending = sending(script.transport, partner.addr(), &secret);
        places.furnish(Side::Sending, &sending, &definition())?;
        let stage = Self { folder, partner, script, rate, size };
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

    /// Starts the host of a node of this side, and waits until it owns the instance.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn open(
        &self,
        side: Side,
        node: &'static str,
        deadline: Deadline,
    ) -> Result<Owner, Failure> {
        self.places().open(side, node, deadline).await
    }

    /// Leads the partner's address to the standby.
    ///
    /// # Errors
    /// When its door does not open.
    pub(super) async fn lead_to_standby(&self, deadline: Deadline) -> Result<(), Failure> {
        let install = self.places().install(Side::Receiving);
        self.partner.lead_to(hosts::door(&install, 2, deadline).await?);
        Ok(())
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
    let how = match transport {
        Transport::Ftp => "user = \"ferry\"\npassword = \"demo\"\ntls = \"off\"\n".to_owned(),
        Transport::Socket => format!("security = \"secret\"\nsecret = \"{secret}\"\n"),
    };
    format!(
        "[instance]\nname = \"{INSTANCE}\"\n\n[roots]\nsend = [\"data\"]\n\n\
         [partners.bank]\ntransport = \"{transport}\"\nhost = \"{}\"\nport = {}\n{how}\n\
         [partners.bank.retry]\nfirst_s = 1\n",
        partner.ip(),
        partner.port(),
    )
}

/// The installation that receives below `root`.
fn receiving(root: &Path, secret: &str) -> String {
    let root = root.display();
    format!(
        "[instance]\nname = \"bank\"\n\n[roots]\nreceive = [\"{root}\"]\n\n\
         [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n\
         security = \"secret\"\nsecret = \"{secret}\"\n\n\
         [listen.visitors.shop]\nhost_name = \"{}\"\ninstance = \"{INSTANCE}\"\n\
         may = [\"send\"]\n",
        Side::Sending.host_name(),
    )
}

fn definition() -> String {
    format!(
        "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"bank\"\ndirection = \"send\"\n\
         local = \"{FILE}\"\nremote = \"{TARGET}\"\n"
    )
}
