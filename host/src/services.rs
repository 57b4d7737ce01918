//! The two services of a host: `socket`, by which other hosts come in and are told things, and
//! `transfer`, which moves jobs. `socket` is started first and stopped last.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    control::api::{Reason, Refusal, Service, ServiceOrder, ServiceState},
    locks::lock,
    reception::{self, OpenDoor},
    scheduler::{Desk, Shared},
    service::ServiceError,
};

ferryway_core::words! {
    /// The services that a host starts with.
    StartWith {
        /// Others can come; no job moves before `transfer` is started.
        Socket = "socket",
        /// Both.
        Both = "socket,transfer",
    }
}

/// Which services of a host run.
#[derive(Debug, Default)]
pub struct Services {
    /// The door of `socket`, where the configuration asks for one. Locked for the whole of an
    /// order: there is one at a time.
    door: tokio::sync::Mutex<Option<OpenDoor>>,
    running: Mutex<BTreeSet<Service>>,
}

impl Services {
    /// The services that run, in the order of their start.
    pub fn running(&self) -> Vec<Service> {
        lock(&self.running).iter().copied().collect()
    }

    /// Starts the services of a host that begins: visitors can come on return.
    ///
    /// # Errors
    /// When the door cannot be opened.
    pub async fn open(
        &self,
        with: StartWith,
        shared: &Arc<Shared>,
        desk: &Desk,
    ) -> Result<(), ServiceError> {
        *self.door.lock().await = reception::open(shared, desk).await?;
        self.began(Service::Socket, shared);
        desk.greet().await;
        // A scheduler that is gone says itself why.
        if with == StartWith::Both && desk.let_move(true).await.is_ok() {
            self.began(Service::Transfer, shared);
        }
        Ok(())
    }

    /// Ends what visitors do here who are not let in any more as they were.
    pub async fn review(&self) {
        if let Some(door) = &*self.door.lock().await {
            door.review();
        }
    }

    /// Closes the door, at the end of the host.
    pub async fn close(&self) {
        if let Some(door) = self.door.lock().await.take() {
            door.close().await;
        }
    }

    /// Starts or stops a service, unless it is so already. When `transfer` has stopped, no job
    /// moves any more, and each is on record where it is.
    ///
    /// # Errors
    /// When the other service does not allow it, or it cannot be done; it is as it was, but for
    /// a `transfer` whose jobs did not stop in time.
    pub async fn carry_out(
        &self,
        service: Service,
        order: ServiceOrder,
        shared: &Arc<Shared>,
        desk: &Desk,
    ) -> Result<ServiceState, Refusal> {
        let mut door = self.door.lock().await;
        let (runs, wanted) = (self.runs(service), order == ServiceOrder::Start);
        if runs == wanted {
            return Ok(ServiceState { service, running: runs, changed: false });
        }
        self.check(service, order)?;
        match (service, order) {
            (Service::Socket, ServiceOrder::Start) => {
                let opened = reception::open(shared, desk).await;
                *door = opened.map_err(unavailable)?;
                desk.greet().await;
            }
            (Service::Socket, ServiceOrder::Stop) => {
                if let Some(door) = door.take() {
                    door.close().await;
                }
            }
            (Service::Transfer, ServiceOrder::Start) => desk.let_move(true).await?,
            (Service::Transfer, ServiceOrder::Stop) => {
                stop_moving(desk, shared.config().limits.stop_timeout).await?;
            }
        }
        match order {
            ServiceOrder::Start => self.began(service, shared),
            ServiceOrder::Stop => {
                lock(&self.running).remove(&service);
                shared.notices.service_stopped(service);
            }
        }
        Ok(ServiceState { service, running: wanted, changed: true })
    }

    fn runs(&self, service: Service) -> bool {
        lock(&self.running).contains(&service)
    }

    fn began(&self, service: Service, shared: &Shared) {
        lock(&self.running).insert(service);
        shared.notices.service_started(service);
    }

    /// `transfer` runs within `socket`.
    fn check(&self, service: Service, order: ServiceOrder) -> Result<(), Refusal> {
        let text = match (service, order) {
            (Service::Transfer, ServiceOrder::Start) if !self.runs(Service::Socket) => {
                "`transfer` needs `socket`, which is stopped: `ferryway service start socket` first"
            }
            (Service::Socket, ServiceOrder::Stop) if self.runs(Service::Transfer) => {
                "`transfer` runs and needs `socket`: `ferryway service stop transfer` first"
            }
            _ => return Ok(()),
        };
        Err(Refusal::new(Reason::Conflict, text))
    }
}

async fn stop_moving(desk: &Desk, limit: Duration) -> Result<(), Refusal> {
    timeout(limit, desk.let_move(false)).await.unwrap_or_else(|_| {
        let text = format!(
            "no job is started any more, but not all had stopped within {} s; ask again",
            limit.as_secs()
        );
        Err(Refusal::new(Reason::Unavailable, text))
    })
}

fn unavailable(error: ServiceError) -> Refusal {
    Refusal::new(Reason::Unavailable, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: [(Service, ServiceOrder); 4] = [
        (Service::Socket, ServiceOrder::Start),
        (Service::Socket, ServiceOrder::Stop),
        (Service::Transfer, ServiceOrder::Start),
        (Service::Transfer, ServiceOrder::Stop),
    ];

    /// Services of which these run.
    fn with(running: &[Service]) -> Services {
        let services = Services::default();
        lock(&services.running).extend(running);
        services
    }

    #[test]
    fn an_order_is_refused_only_where_transfer_would_be_without_socket() {
        let [socket, transfer] = [Service::Socket, Service::Transfer];
        let refused = |running: &[Service]| {
            let services = with(running);
            let refused = |(service, order): &(_, _)| services.check(*service, *order).is_err();
            ORDERS.into_iter().filter(refused).collect::<Vec<_>>()
        };
        assert_eq!(refused(&[]), [(transfer, ServiceOrder::Start)]);
        assert_eq!(refused(&[socket]), []);
        assert_eq!(refused(&[socket, transfer]), [(socket, ServiceOrder::Stop)]);
    }

    #[test]
    fn a_refusal_says_what_to_do_first() {
        let start = with(&[]).check(Service::Transfer, ServiceOrder::Start).unwrap_err();
        assert_eq!(start.reason, Reason::Conflict);
        assert!(start.message.contains("`ferryway service start socket` first"), "{start:?}");
        let running = with(&[Service::Socket, Service::Transfer]);
        let stop = running.check(Service::Socket, ServiceOrder::Stop).unwrap_err();
        assert!(stop.message.contains("`ferryway service stop transfer` first"), "{stop:?}");
    }

    #[test]
    fn they_are_told_in_the_order_of_their_start() {
        let services = with(&[Service::Transfer, Service::Socket]);
        assert_eq!(services.running(), [Service::Socket, Service::Transfer]);
    }
}
