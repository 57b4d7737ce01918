//! The service control manager. Where it did not start the process nobody listens, and nothing is
//! told.

use std::{sync::OnceLock, time::Duration};

use windows_service::{
    service::{ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType},
    service_control_handler::ServiceStatusHandle,
};

/// The manager's ear, in a process that it started. A process is one service.
static MANAGER: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// The longest that a start may take before the manager takes the service for hung: that of a
/// host may wait for a disk, and copies a journal.
const START_LIMIT: Duration = Duration::from_secs(300);

/// What a stop may take beside the jobs' own limit.
const STOP_REST: Duration = Duration::from_secs(30);

/// Begins to tell the manager, first that the service starts.
pub(crate) fn starting(manager: ServiceStatusHandle) {
    // A process is started as a service once.
    let _again = MANAGER.set(manager);
    tell(ServiceState::StartPending, START_LIMIT, ServiceExitCode::NO_ERROR);
}

/// Tells that the host works.
pub(crate) fn ready(_status: &str) {
    tell(ServiceState::Running, Duration::ZERO, ServiceExitCode::NO_ERROR);
}

/// Tells that the host stops, which takes no longer than `within`.
pub(crate) fn stopping(within: Duration) {
    tell(ServiceState::StopPending, within + STOP_REST, ServiceExitCode::NO_ERROR);
}

/// Tells that the service has ended, with a code of its own that is 0 after a stop.
pub(crate) fn ended(code: u8) {
    let code = match code {
        0 => ServiceExitCode::NO_ERROR,
        code => ServiceExitCode::ServiceSpecific(code.into()),
    };
    tell(ServiceState::Stopped, Duration::ZERO, code);
}

/// Nothing: the manager knows of no reload.
pub(crate) fn reloading() {}

/// Nothing: the manager knows of no reload.
pub(crate) fn reloaded() {}

/// `None`: the manager waits for no sign of life.
pub(crate) fn watchdog() -> Option<Duration> {
    None
}

/// Nothing: nobody waits for a sign of life.
pub(crate) fn alive() {}

fn tell(current_state: ServiceState, wait_hint: Duration, exit_code: ServiceExitCode) {
    let Some(manager) = MANAGER.get() else { return };
    let controls_accepted = match current_state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
        _ => ServiceControlAccept::empty(),
    };
    let told = manager.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service control manager was not told");
    }
}
