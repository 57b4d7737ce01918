//! The mock FTP server, spoken to over raw TCP.

// Integration tests may unwrap: a failure is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod client;
mod commands;
mod disks;
mod fault_points;
mod faults;
mod transfers;
mod two_writers;
mod under_tls;

use std::{fs, path::Path, time::Duration};

use ferryway_mocks::ftp_server::{Behaviour, FtpServer};
use tempfile::TempDir;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A server of this kind on an empty folder.
async fn serve(behaviour: Behaviour) -> (FtpServer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = FtpServer::builder(folder.path()).behaviour(behaviour).start().await.unwrap();
    (server, folder)
}

/// The names in a folder on disk, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}
