//! What Windows has on record of the services.

use std::{ffi::OsString, io, path::PathBuf};

use ferryway_core::InstanceName;
use windows_service::{
    Error,
    service::{
        ServiceAccess, ServiceDependency, ServiceErrorControl, ServiceInfo, ServiceStartType,
        ServiceType,
    },
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use crate::control::api::Service;

/// Who is registered.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    /// The instance.
    pub(crate) name: &'a InstanceName,
    /// The program, on this machine.
    pub(crate) program: PathBuf,
    /// The install directory; absolute.
    pub(crate) install: PathBuf,
    /// The user; `None` is the system.
    pub(crate) account: Option<String>,
}

/// `ERROR_SERVICE_DOES_NOT_EXIST`.
const UNKNOWN: i32 = 1060;

/// The names of an instance's services, in the order of their start.
pub(crate) fn names(instance: &InstanceName) -> [String; 2] {
    [Service::Socket, Service::Transfer].map(|service| name(instance, service))
}

/// Registers both services, or changes what is on record of them. They are started on demand
/// only.
///
/// # Errors
/// When Windows refuses, as it does to all but administrators.
pub(crate) fn install(registration: &Registration<'_>) -> io::Result<()> {
    let manager = manager(ServiceManagerAccess::CREATE_SERVICE)?;
    for service in [Service::Socket, Service::Transfer] {
        let info = registration.info(service);
        let access = ServiceAccess::CHANGE_CONFIG;
        let entry = match manager.open_service(&info.name, access) {
            Ok(entry) => {
                entry.change_config(&info).map_err(refused("change the service"))?;
                entry
            }
            Err(error) if code(&error) == Some(UNKNOWN) => {
                manager.create_service(&info, access).map_err(refused("register the service"))?
            }
            Err(error) => return Err(refused("open the service")(error)),
        };
        entry.set_description(description(service)).map_err(refused("describe the service"))?;
    }
    Ok(())
}

/// Takes both services off the record. One that is not there is no failure.
///
/// # Errors
/// When Windows refuses, as it does to all but administrators.
pub(crate) fn remove(instance: &InstanceName) -> io::Result<()> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let [socket, transfer] = names(instance);
    for name in [transfer, socket] {
        match manager.open_service(name, ServiceAccess::DELETE) {
            Err(error) if code(&error) == Some(UNKNOWN) => {}
            opened => {
                let entry = opened.map_err(refused("open the service"))?;
                entry.delete().map_err(refused("remove the service"))?;
            }
        }
    }
    Ok(())
}

/// The name of a service of an instance.
pub(super) fn name(instance: &InstanceName, service: Service) -> String {
    format!("ferryway-{instance}-{service}")
}

/// The error of a library whose own text has no reason.
pub(super) fn refused(action: &'static str) -> impl FnOnce(Error) -> io::Error {
    move |error| match error {
        Error::Winapi(source) => {
            io::Error::new(source.kind(), format!("cannot {action}: {source}"))
        }
        error => io::Error::other(format!("cannot {action}: {error}")),
    }
}

impl Registration<'_> {
    fn info(&self, service: Service) -> ServiceInfo {
        let arguments = ["windows", "run", service.as_str(), "--name", self.name.as_str()];
        let mut launch_arguments: Vec<OsString> = arguments.map(OsString::from).to_vec();
        launch_arguments.push(self.install.clone().into());
        let dependencies = match service {
            Service::Socket => Vec::new(),
            Service::Transfer => {
                vec![ServiceDependency::Service(name(self.name, Service::Socket).into())]
            }
        };
        ServiceInfo {
            name: name(self.name, service).into(),
            display_name: format!("Ferryway {} {service}", self.name).into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::OnDemand,
            error_control: ServiceErrorControl::Normal,
            executable_path: self.program.clone(),
            launch_arguments,
            dependencies,
            account_name: self.account.clone().map(OsString::from),
            account_password: None,
        }
    }
}

fn description(service: Service) -> &'static str {
    match service {
        Service::Socket => "Owns the instance, and lets other hosts in. Started first.",
        Service::Transfer => "Moves the jobs of the instance. Started last, stopped first.",
    }
}

fn manager(access: ServiceManagerAccess) -> io::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT | access)
        .map_err(refused("reach the service control manager"))
}

fn code(error: &Error) -> Option<i32> {
    match error {
        Error::Winapi(source) => source.raw_os_error(),
        _ => None,
    }
}
