//! What the install directories say.

use std::path::Path;

use ferryway_core::{Publish, policy::OnTakeover};
use ferryway_mocks::program::Program;

use super::rows::Disk;
use crate::laboratory::Transport;

/// The sending instance's name, which is part of the names that the partner sees.
pub(super) const INSTANCE: &str = "sim";
/// The name by which all nodes of the sending cluster go.
pub(super) const SENDER: &str = "sim.example";
/// The transfer definition.
pub(super) const DEFINITION: &str = "SIMUL1";
/// The file's name on the sending side.
pub(super) const FILE: &str = "ledger.dat";
/// The file's name on the receiving side.
pub(super) const TARGET: &str = "in/ledger.dat";
/// The folder of the sources, on whichever disk.
pub(super) const DATA: &str = "data";
/// The folder of what came in, on whichever disk.
pub(super) const RECEIVED: &str = "received";

const PARTNER: &str = "bank";
/// What the receiving side calls the sending one.
const VISITOR: &str = "shop";
/// A program that is held does not hold up the end of its host for long.
const LIMITS: &str = "[limits]\nstop_timeout_s = 1\n";

/// A cluster that sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) transport: Transport,
    pub(super) policy: Publish,
    /// The disk of the source.
    pub(super) source: Disk,
    /// The port of the partner; its address is each node's own.
    pub(super) port: u16,
    /// Retries before the job is suspended.
    pub(super) retries: u32,
    pub(super) post_exit: Option<OnTakeover>,
}

/// A cluster that receives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiving {
    /// The disk of what comes in.
    pub(super) files: Disk,
    pub(super) post_exit: Option<OnTakeover>,
}

impl Sending {
    pub(super) fn configuration(self) -> String {
        let Self { transport, source, port, retries, .. } = self;
        let root = match source {
            Disk::Shared => DATA.to_owned(),
            // From the instance's folder on the shared disk to the node's own disk.
            Disk::Local => format!("../../local/{DATA}"),
        };
        let how = match transport {
            Transport::Ftp => {
                "user = { env = \"NODE\" }\npassword = \"simulated\"\ntls = \"off\"\n"
            }
            Transport::Socket => "security = \"plain\"\n",
        };
        format!(
            "[instance]\nname = \"{INSTANCE}\"\n\n[roots]\nsend = [\"{root}\"]\n\n\
             [partners.{PARTNER}]\ntransport = \"{transport}\"\n\
             host = {{ env = \"PARTNER_ADDRESS\" }}\nport = {port}\n{how}\
             timeout_s = 1\nconnect_timeout_s = 2\nresume_min_bytes = 65536\n\n\
             [partners.{PARTNER}.retry]\nattempts = {retries}\nfirst_s = 1\nmax_s = 1\n\n{LIMITS}"
        )
    }

    /// With the program that is the post-exit, if there is one.
    pub(super) fn definition(self, program: &Program) -> String {
        let post_exit = post_exit("definition", self.post_exit, program);
        format!(
            "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"{PARTNER}\"\n\
             direction = \"send\"\nlocal = \"{FILE}\"\nremote = \"{TARGET}\"\npublish = \"{}\"\n\
             {post_exit}",
            self.policy
        )
    }
}

impl Receiving {
    /// With the folder that its owner receives in.
    pub(super) fn configuration(self, received: &Path) -> String {
        let root = match self.files {
            // It moves with the instance.
            Disk::Shared => RECEIVED.to_owned(),
            Disk::Local => received.display().to_string(),
        };
        format!(
            "[instance]\nname = \"{PARTNER}\"\nhost_name = \"bank.example\"\n\n\
             [roots]\nreceive = [\"{root}\"]\n\n\
             [listen]\ntransport = \"socket\"\naddress = \"127.0.0.1\"\nport = 0\n\
             security = \"plain\"\ntimeout_s = 2\n\n\
             [listen.visitors.{VISITOR}]\nhost_name = \"{SENDER}\"\ninstance = \"{INSTANCE}\"\n\
             may = [\"send\"]\n\n{LIMITS}"
        )
    }

    /// What it does for the sender's jobs, with the program that is the post-exit, if there is one.
    pub(super) fn reception(self, program: &Program) -> String {
        let post_exit = post_exit("reception", self.post_exit, program);
        format!("[[reception]]\nid = \"{DEFINITION}\"\nvisitor = \"{VISITOR}\"\n{post_exit}")
    }
}

fn post_exit(table: &str, exit: Option<OnTakeover>, program: &Program) -> String {
    let Some(on_takeover) = exit else { return String::new() };
    format!(
        "\n[{table}.post_exit]\ncommand = {}\non_takeover = \"{on_takeover}\"\n",
        program.command()
    )
}
