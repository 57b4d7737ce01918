//! The two services of an instance as services of Windows.
//!
//! `socket` is the host itself, started with that service alone. `transfer` is a small process
//! that has the host start and stop its own service of this name, and ends when the host does, so
//! that a cluster sees it. Windows keeps the order: `transfer` needs `socket`.

mod registration;
mod socket;
mod transfer;

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    sync::{Mutex, mpsc},
};

use ferryway_core::InstanceName;
use tokio::runtime::Handle;
use windows_service::{
    define_windows_service,
    service::ServiceControl,
    service_control_handler::{self, ServiceControlHandlerResult},
    service_dispatcher,
};

use crate::{
    control::api::Service,
    locks::lock,
    platform::{manager, orders},
};

pub(crate) use registration::{Registration, install, names, remove};

/// Runs a service of an instance until Windows stops it, and tells its exit code.
///
/// # Errors
/// When the process was not started by the service control manager.
pub(crate) async fn run(
    service: Service,
    instance: &InstanceName,
    install: PathBuf,
) -> io::Result<u8> {
    let name = registration::name(instance, service);
    let (done, code) = mpsc::channel();
    let work = Work { name: name.clone(), service, install, runtime: Handle::current(), done };
    *lock(&WORK) = Some(work);
    // The dispatcher keeps this thread until the service has ended.
    let dispatched =
        tokio::task::spawn_blocking(move || service_dispatcher::start(name, service_main)).await?;
    dispatched.map_err(registration::refused("reach the service control manager"))?;
    Ok(code.try_recv().unwrap_or_default())
}

/// What the service is about, for [`begin`], which Windows calls on a thread of its own.
struct Work {
    name: String,
    service: Service,
    install: PathBuf,
    runtime: Handle,
    done: mpsc::Sender<u8>,
}

static WORK: Mutex<Option<Work>> = Mutex::new(None);

define_windows_service!(service_main, begin);

fn begin(_arguments: Vec<OsString>) {
    let Some(work) = lock(&WORK).take() else { return };
    match service_control_handler::register(&work.name, handle) {
        Ok(status) => manager::starting(status),
        Err(error) => {
            tracing::error!(%error, "the service control manager does not listen");
            return;
        }
    }
    let code = work.runtime.block_on(async {
        match work.service {
            Service::Socket => socket::run(work.install).await,
            Service::Transfer => transfer::run(work.install).await,
        }
    });
    tracing::info!(code, "the service has ended");
    // Whoever waits for it may be gone.
    let _gone = work.done.send(code);
    manager::ended(code);
}

fn handle(control: ServiceControl) -> ServiceControlHandlerResult {
    match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            orders::stop();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    }
}
