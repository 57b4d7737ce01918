//! The service `transfer`: has the host move jobs for as long as it runs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    config::{Environment, InstallDir},
    control::{
        api::{Service, ServiceOrder},
        client::{Client, ClientError},
    },
    platform::{Order, manager, orders::Orders},
};

/// How often it is looked whether the host still moves jobs.
const LOOK: Duration = Duration::from_secs(2);

/// Looks in a row that find a host that does not answer, until it counts as one that hangs.
const PATIENCE: u32 = 3;

/// What a stop may take, beside what the manager is told for every service: the jobs' own limit
/// is known to the host alone.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The exit codes are those of `ferryway service`.
const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const NO_HOST: u8 = 3;
const FAILED: u8 = 5;

/// Starts the host's service, waits until it is to stop or ends by itself, and tells the exit
/// code.
pub(super) async fn run(install: PathBuf) -> u8 {
    let (client, mut orders) = match prepare(&install) {
        Ok(prepared) => prepared,
        Err((text, code)) => {
            tracing::error!("{text}");
            return code;
        }
    };
    if let Err(error) = client.service(Service::Transfer, ServiceOrder::Start).await {
        return failed("start", &error);
    }
    manager::ready("moves jobs");
    tokio::select! {
        code = gone(&client) => code,
        () = told_to_stop(&mut orders) => {
            manager::stopping(STOP_LIMIT);
            match client.service(Service::Transfer, ServiceOrder::Stop).await {
                // A host that has ended moves nothing.
                Ok(_) | Err(ClientError::NotRunning { .. }) => 0,
                Err(error) => failed("stop", &error),
            }
        }
    }
}

fn prepare(install: &Path) -> Result<(Client, Orders), (String, u8)> {
    let usage = |text: String| (text, USAGE);
    let install = InstallDir::new(install).map_err(|error| usage(error.to_string()))?;
    let run_dir = install.run_dir(&Environment::of_process()).map_err(usage)?;
    let orders = Orders::listen().map_err(|error| (error.to_string(), FAILED))?;
    Ok((Client::new(&run_dir), orders))
}

async fn told_to_stop(orders: &mut Orders) {
    while orders.next().await != Order::Stop {}
}

/// Resolves when the host does not move jobs any more.
async fn gone(client: &Client) -> u8 {
    let mut unanswered = 0;
    loop {
        sleep(LOOK).await;
        match client.health().await {
            Ok(health) if health.services.contains(&Service::Transfer) => unanswered = 0,
            Ok(_) => {
                tracing::info!("somebody stopped the service at the host");
                return 0;
            }
            Err(error) => {
                unanswered += 1;
                tracing::warn!(%error, unanswered, "the host does not answer");
                if unanswered == PATIENCE {
                    return failed("look at", &error);
                }
            }
        }
    }
}

fn failed(action: &str, error: &ClientError) -> u8 {
    tracing::error!("cannot {action} the host's service: {error}");
    match error {
        ClientError::NotRunning { .. } => NO_HOST,
        ClientError::Refused(_) => REFUSED,
        _ => FAILED,
    }
}
