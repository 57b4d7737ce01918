//! The other side as FTP servers: `partner` is one, `cluster` two behind an address. They are the
//! mock server of `mocks/`, which locks, or not, as real ones do.

mod cluster;
mod partner;

use std::path::Path;

use ferryway_mocks::ftp_server::{Behaviour, FtpServer, FtpServerBuilder, Lock, Rename};

use super::{held::Held, moment::Moment, rows::LockMode, settings::TARGET};
use crate::laboratory::{Failure, relay, wire};

pub(super) use cluster::FtpCluster;
pub(super) use partner::FtpPartner;

/// A server on a folder. It offers no hashes, as most do not: the sizes alone must not
/// deceive us. What is under way to it is less than the rest of the file.
fn server(root: &Path, lock: LockMode) -> FtpServerBuilder {
    let lock = match lock {
        LockMode::None => Lock::None,
        LockMode::Refuse => Lock::refuse(),
        LockMode::Block => Lock::BlockThenTruncate,
    };
    FtpServer::builder(root)
        .behaviour(Behaviour::proftpd().with_lock(lock))
        .receive_buffer_bytes(relay::BUFFER_BYTES)
}

fn hold(server: &FtpServer, moment: &Moment) -> Result<Held, Failure> {
    let rule = moment.rule().ok_or_else(|| Failure(format!("no FTP server knows {moment}")))?;
    Ok(Held::Session(server.faults().add(rule)))
}

/// How often the target was published.
fn published(renames: &[Rename]) -> u32 {
    renames.iter().map(|rename| u32::from(wire::below_root(&rename.to) == TARGET)).sum()
}
