//! The service `socket`: the host.

use std::path::PathBuf;

use crate::{
    causes,
    service::{self, RunOptions, ServiceError},
    services::StartWith,
};

/// Runs the host until it is to stop, and tells the exit code.
pub(super) async fn run(install: PathBuf) -> u8 {
    let services = StartWith::Socket;
    let options = RunOptions { install, node: None, take_over: false, services };
    let Err(error) = service::run(options).await else { return 0 };
    if let ServiceError::Config(faults) = &error {
        for fault in faults {
            tracing::error!("{fault}");
        }
    }
    tracing::error!("{}", causes::chain(&error));
    error.exit_code()
}
