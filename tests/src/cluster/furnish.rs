//! What the laboratory is furnished with: the partners outside, and the shared disk with the
//! cluster's installation on it.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use super::way::{Host, NOTE, Way};
use crate::{
    content::Content,
    host::{Install, Node},
    net::Lan,
    process::{said, system},
    scene::{Kind, MIB, Server},
    servers::{ServerKind, Site},
};

/// The port of the partner's door and of the cluster's.
pub(super) const DOOR: u16 = 7045;

/// The files that move. Slow enough that there is a middle to meet each in.
pub(super) const BIG: Content = Content::new(90, 36 * MIB);
/// See [`BIG`].
pub(super) const SMALL: Content = Content::new(91, 20_000);

/// Bytes per second of each transfer by FTP.
const RATE: u64 = 4 * MIB;

/// Bytes per second of all transfers by socket that a host asks for.
const SOCKET_RATE: u64 = 2 * RATE;

/// Bytes of the shared disk; the file behind it has holes.
const DISK: u64 = 1024 * MIB;

const SECRET: &str = "security = \"secret\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

/// The agent for the cluster manager.
const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster/ocf/ferryway");

/// Starts the FTP server.
pub(super) fn start_bank(root: &Path) -> io::Result<Server> {
    for folder in ["drop", "pick"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for (name, content) in [("big", BIG), ("small", SMALL)] {
        content.write_to(&root.join("pick").join(name))?;
    }
    let site = Site { address: Lan::HUB, ..Site::default() };
    let runtime = tokio::runtime::Runtime::new()?;
    let kind = Kind::Real(ServerKind::Proftpd);
    Server::start(kind, root, site, Some(RATE), runtime.handle()).map_err(io::Error::other)
}

/// Makes the partner with a host of its own, which visits the cluster and is visited.
pub(super) fn furnish_branch(folder: &Path, lan: &Lan) -> io::Result<(Install, Node)> {
    fs::create_dir_all(folder)?;
    let keys = instance("branch", &Lan::HUB.to_string(), "NIGHT", "night")
        + &partner("NIGHT", &Lan::VIRTUAL.to_string());
    let install = furnish(folder, &keys, Host::Branch)?;
    let mut node = Node::new(&install, "branch").map_err(io::Error::other)?;
    node.set_variable("HOSTNM", "branch.example");
    node.put_at(lan.hub());
    Ok((install, node))
}

/// Makes the cluster's installation in an empty folder.
pub(super) fn furnish_night(folder: &Path, bank: &Server) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let keys = instance("night", &Lan::VIRTUAL.to_string(), "BRANCH", "branch")
        + &partner("BRANCH", &Lan::HUB.to_string())
        + &format!(
            "[partners.BANK]\ntransport = \"ftp\"\nsessions = 8\ntimeout_s = 5\n{}{}",
            bank.keys(),
            retry("BANK")
        );
    furnish(folder, &keys, Host::Night)?;
    // The host finds those beside its program.
    for library in fs::read_dir(folder.join("plugins"))? {
        fs::remove_file(library?.path())?;
    }
    Ok(())
}

/// Makes an ext4 disk image with what is in a folder.
pub(super) fn make_image(image: &Path, content: &Path) -> io::Result<()> {
    fs::File::create(image)?.set_len(DISK)?;
    let mut make = system("mkfs.ext4");
    make.args(["-q", "-F", "-m", "0", "-E", "root_owner=0:0", "-d"]).arg(content).arg(image);
    said(&mut make).map(drop)
}

/// Puts the agent where the cluster manager looks for those of a provider.
pub(super) fn offer_agent(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let agent = folder.join("ferryway");
    fs::copy(AGENT, &agent)?;
    fs::set_permissions(agent, fs::Permissions::from_mode(0o755))
}

/// Makes an installation with files to send and the program of its exits.
fn furnish(folder: &Path, keys: &str, host: Host) -> io::Result<Install> {
    let install = Install::at(folder, keys).map_err(io::Error::other)?;
    for folder in ["out", "in"] {
        fs::create_dir_all(install.path().join(folder))?;
    }
    for (name, content) in [("big", BIG), ("small", SMALL)] {
        content.write_to(&install.path().join("out").join(name))?;
    }
    install.write("definitions/all.toml", &Way::definitions(host))?;
    install.write("exits/note", NOTE)?;
    let program = install.path().join("exits/note");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    Ok(install)
}

/// The tables of an instance with a door at `address` for one visitor.
fn instance(name: &str, address: &str, visitor: &str, visitors: &str) -> String {
    format!(
        "[instance]\nname = \"{name}\"\nhost_name = \"{name}.example\"\n\
         [roots]\nsend = [\"out\"]\nreceive = [\"in\"]\n\
         [listen]\ntransport = \"socket\"\naddress = \"{address}\"\nport = {DOOR}\n\
         timeout_s = 5\n{SECRET}\
         [listen.visitors.{visitor}]\nhost_name = \"{visitors}.example\"\n\
         instance = \"{visitors}\"\nmay = [\"send\", \"fetch\"]\n"
    )
}

fn partner(name: &str, address: &str) -> String {
    format!(
        "[partners.{name}]\ntransport = \"socket\"\nhost = \"{address}\"\nport = {DOOR}\n\
         sessions = 8\nbytes_per_second = {SOCKET_RATE}\ntimeout_s = 5\n{SECRET}{}",
        retry(name)
    )
}

fn retry(name: &str) -> String {
    format!("[partners.{name}.retry]\nattempts = 200\nfirst_s = 1\nmax_s = 1\n")
}
