//! The life of a host: takes the instance over, moves its jobs, stops when told to, and ends
//! at once when the instance is no longer its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::{Span, Timestamp};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    config::{Config, Fault, InstallDir, PartnerConfig, Told},
    control::{Operations, server, socket::ControlSocket},
    durable::blocking,
    exits,
    journal::{JournalError, JournalStore, NodeName, Options, SqliteJournal, Takeover},
    loader::{Loader, Plugins},
    notices::Notices,
    platform::{Order, orders::Orders},
    reception::Register,
    recovery,
    scheduler::{Desk, End, Scheduler, Shared},
    services::StartWith,
    supervisor,
};

/// How often finished jobs that are too old are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// A question to the scheduler that a stop does not wait for.
const QUICK: Duration = Duration::from_secs(1);

/// How to run a host.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The install directory.
    pub install: PathBuf,
    /// This node's name; the configured host name when it is `None`.
    pub node: Option<String>,
    /// Whether to replace a living host of this node.
    pub take_over: bool,
    /// The services to start.
    pub services: StartWith,
}

/// Why a host did not start, or ended otherwise than told.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The configuration has faults.
    #[error("the configuration has {} faults", .0.len())]
    Config(Vec<Fault>),
    /// The instance is another owner's now, or its journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The door for other hosts cannot be opened.
    #[error("[listen]: {0}")]
    Listen(String),
    /// The control API cannot be offered.
    #[error("the control API: {0}")]
    Control(String),
    /// The system refused something basic.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}

impl ServiceError {
    /// The exit code of the process: 1 for a configuration that cannot be used, 3 when the
    /// host lost the instance, 4 for a failed journal, 5 for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 1,
            Self::Journal(JournalError::Fenced { .. }) => 3,
            Self::Journal(_) => 4,
            Self::Listen(_) | Self::Control(_) | Self::System { .. } => 5,
        }
    }
}

/// Runs a host until SIGTERM or SIGINT, or the loss of the instance.
///
/// # Errors
/// Why it did not start or had to end.
pub async fn run(options: RunOptions) -> Result<(), ServiceError> {
    let config = Config::load(&options.install).map_err(ServiceError::Config)?;
    let plugins = Loader::of_installation(&options.install).load();
    let warnings = check_transports(&config, &plugins).map_err(ServiceError::Config)?;
    let notices = Arc::new(Notices::open(&config));
    notices.plugins(&plugins);
    notices.config_warnings(config.warnings.iter().chain(&config.lacking).chain(&warnings));
    let node = options.node.clone().unwrap_or_else(|| config.host_name.clone());
    // A living host that is to be replaced keeps its socket until the instance is ours.
    let socket = match options.take_over {
        true => None,
        false => Some(ControlSocket::bind(&config.run_dir).await.map_err(control)?),
    };
    let result = serve(config, plugins, socket, &options, node, &notices).await;
    match &result {
        Ok(()) => notices.stopped(),
        Err(error) => notices.ended(error),
    }
    result
}

/// The warnings that only the transports can give about the settings of the partners and the
/// door.
///
/// # Errors
/// What keeps one of them from being used.
pub fn check_transports(config: &Config, plugins: &Plugins) -> Result<Vec<Fault>, Vec<Fault>> {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for partner in config.partners.values() {
        let Some(transport) = plugins.transport(&partner.transport.name) else {
            let fault = partner.transport.unknown(plugins.names());
            // A partner that no definition needs keeps nothing from starting.
            let needed = config.definitions.values().any(|d| d.partner == partner.name);
            if needed {
                faults.push(fault)
            } else {
                warnings.push(fault)
            }
            continue;
        };
        let checked = config.check_partner(partner, &*transport);
        faults.extend(checked.faults);
        warnings.extend(checked.warnings);
        faults.extend(untellable(config, plugins, partner));
    }
    if let Some(listen) = &config.listen {
        let transport = plugins.transport(&listen.transport.name);
        let listener = transport.as_ref().map(|transport| transport.listener());
        match listener {
            None => faults.push(listen.transport.unknown(plugins.names())),
            Some(None) => faults.push(listen.transport.without_listener()),
            Some(Some(listener)) => {
                let checked = config.check_door(listen, &*listener);
                faults.extend(checked.faults);
                warnings.extend(checked.warnings);
            }
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

/// What keeps the partner that is told of another's jobs from hearing of them.
fn untellable(config: &Config, plugins: &Plugins, partner: &PartnerConfig) -> Option<Fault> {
    let Some(Told::Partner(name)) = &partner.notices else { return None };
    let told = config.partners.get(name)?;
    let transport = plugins.transport(&told.transport.name)?;
    (!transport.capabilities().notices).then(|| {
        let message = format!(
            "partner `{name}` takes no notices: its transport is `{}`; name a partner by socket, \
             or `none`",
            told.transport.name
        );
        partner.transport.fault("notices", message)
    })
}

async fn serve(
    config: Config,
    plugins: Plugins,
    socket: Option<ControlSocket>,
    options: &RunOptions,
    node: String,
    notices: &Arc<Notices>,
) -> Result<(), ServiceError> {
    let mut orders = Orders::listen()
        .map_err(|source| ServiceError::System { what: "cannot listen to signals", source })?;
    let started_at = Timestamp::now();
    let limits = config.limits;
    let (keep_days, install) = (config.history.keep_days, config.install.clone());
    let began = std::time::Instant::now();
    let (journal, takeover) = open_journal(&config, options, &node).await?;
    let socket = match socket {
        Some(socket) => socket,
        None => ControlSocket::replace(&config.run_dir).map_err(control)?,
    };
    notices.took_over(&takeover, &config.host_name, &node, began.elapsed());
    let serving = format!("instance {}, node {node}, epoch {}", config.instance, takeover.epoch);
    let (restarted, settled) = recovery::count(&takeover.in_flight);
    let (jobs, written) = recovery::take_up(&*journal, takeover.in_flight, notices).await?;
    let store = Arc::clone(&journal) as Arc<dyn JournalStore>;
    let (receiving, jobs) =
        Register::take_up(&config, Arc::clone(&store), Arc::clone(notices), jobs);
    let shared = Arc::new(Shared {
        config: std::sync::RwLock::new(Arc::new(config)),
        plugins: Arc::new(plugins),
        journal: store,
        notices: Arc::clone(notices),
        receiving: Arc::clone(&receiving),
        node,
        started_at,
    });
    // The lines are formed while the disk works. What leaves this host comes after.
    let (scheduler, desk) = Scheduler::new(shared, jobs).await?;
    written.durable().await?;
    receiving.resume_exits().await?;
    let mut scheduler = tokio::spawn(scheduler.at_rest().run());
    // Whoever waits for our files comes before our own jobs, and is left after them.
    desk.open(options.services).await?;
    let (stop_control, control) = serve_control(socket, desk.clone());
    let watchdog = tokio::spawn(supervisor::feed(desk.clone()));
    let pruner = tokio::spawn(prune(Arc::clone(&journal), install, keep_days, Arc::clone(notices)));
    notices.ready(restarted, settled);
    supervisor::ready(&serving);
    let result = tokio::select! {
        ended = &mut scheduler => flatten(ended),
        () = until_stopped(&mut orders, &desk) => {
            stop(&desk, scheduler, limits.stop_timeout, notices).await
        }
    };
    watchdog.abort();
    pruner.abort();
    if result.is_ok() {
        desk.close().await;
        if timeout(limits.stop_timeout, receiving.exits_ended()).await.is_err() {
            tracing::warn!("an exit of a received job did not end in time");
        }
        stop_control.send_replace(true);
        if timeout(server::GRACE, control).await.is_err() {
            tracing::warn!("the control API did not end in time");
        }
        // What is acknowledged is durable without this.
        match timeout(limits.stop_timeout, journal.close()).await {
            Ok(closed) => closed?,
            Err(_) => tracing::warn!("the journal did not close in time"),
        }
    }
    Ok(result?)
}

fn control(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Control(error.to_string())
}

async fn open_journal(
    config: &Config,
    options: &RunOptions,
    node: &str,
) -> Result<(Arc<SqliteJournal>, Takeover), ServiceError> {
    let mut journal =
        Options::new(config.install.path(), NodeName(node.to_owned()), config.instance.clone());
    journal.replace = options.take_over;
    journal.unreachable_after = Some(config.limits.journal_unreachable);
    let opened = tokio::task::spawn_blocking(move || SqliteJournal::take_over(journal)).await;
    let (journal, takeover) = opened.map_err(|error| ServiceError::System {
        what: "the takeover of the journal broke",
        source: std::io::Error::other(error),
    })??;
    Ok((Arc::new(journal), takeover))
}

fn serve_control(socket: ControlSocket, desk: Desk) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, mut stopped) = watch::channel(false);
    let stopped = async move {
        // A sender that is gone means the same.
        let _gone = stopped.wait_for(|stop| *stop).await;
    };
    let operations: Arc<dyn Operations> = Arc::new(desk);
    (stop, tokio::spawn(server::serve(socket, operations, stopped)))
}

/// Parks all jobs, within the limit.
async fn stop(
    desk: &Desk,
    mut scheduler: JoinHandle<End>,
    limit: Duration,
    notices: &Notices,
) -> End {
    let moving = timeout(QUICK, desk.health()).await.map_or(0, |health| health.moving);
    notices.stopping(moving);
    supervisor::stopping(limit);
    let parked = async {
        desk.stop().await;
        flatten((&mut scheduler).await)
    };
    match timeout(limit, parked).await {
        Ok(result) => result,
        Err(_) => {
            // What is on the wire is cut off; its record says where it is.
            scheduler.abort();
            notices.stop_took_too_long(moving, limit);
            Ok(())
        }
    }
}

async fn prune(
    journal: Arc<SqliteJournal>,
    install: InstallDir,
    keep_days: u32,
    notices: Arc<Notices>,
) {
    loop {
        let before = Timestamp::now().checked_sub(Span::new().hours(24 * i64::from(keep_days)));
        if let Ok(before) = before {
            match journal.prune(before).await {
                Ok(0) => {}
                Ok(jobs) => notices.pruned(jobs, before),
                Err(error) => tracing::warn!(%error, "finished jobs were not pruned"),
            }
            let install = install.clone();
            if let Err(error) = blocking(move || exits::prune(&install, before)).await {
                tracing::warn!(%error, "the outputs of user exits were not pruned");
            }
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

fn flatten(ended: Result<End, tokio::task::JoinError>) -> End {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "the scheduler broke");
        Err(JournalError::Closed)
    })
}

/// Resolves when the host is to stop; reloads the configuration as often as it is told to.
async fn until_stopped(orders: &mut Orders, desk: &Desk) {
    while orders.next().await == Order::Reload {
        if let Err(refusal) = desk.reload().await {
            tracing::warn!(%refusal, "the configuration was not reloaded");
        }
    }
}
