//! Assembles the connector from its configuration, runs it until it is told to stop, and drains it.

use std::{
    collections::BTreeMap,
    future::Future,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::{BuildError, SharedTarget, TargetConfig, tls::RELOAD_INTERVAL};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::{JoinError, JoinSet},
};
use tracing::{info, warn};

use crate::{
    admin::{self, DestinationView, Readiness, View, WindowGauge},
    config::{self, Config, Destination, ServerTls, Service},
    connection::{ASSEMBLING_BYTES_MAX, Http, Limits, Shared},
    dead_letter::Places,
    delivered::Delivered,
    lane::{self, Lane},
    listener::{self, Listener, Reception},
    logging::{self, LogHandle},
    metrics::Metrics,
    ordering::LutCache,
    recorder::Recorder,
    retry::RetryPolicy,
    route::{RouteError, Router},
    service_manager::ServiceManager,
    tls::{Acceptor, Side},
    window::Window,
    wire::info::{self as wire_info, NodeFacts},
};

/// Requests at once to one destination, whatever connections and streams would allow.
const WORKERS_MAX: usize = 1024;

/// The build that info answers name: a server version all clients accept.
const BUILD: &str = "8.1.0.0";

/// Bound sockets.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For XDR.
    pub xdr: Vec<Listener>,
    /// For the management endpoint.
    pub manage: Vec<Listener>,
}

/// What a run has beside its configuration.
#[derive(Debug)]
pub struct Options {
    /// Raw traffic goes here.
    pub recorder: Option<Arc<Recorder>>,
    /// Log levels that the management endpoint may change.
    pub logs: LogHandle,
    /// How often the files of certificates are looked at.
    pub tls_reload: Duration,
    /// Is told when records are taken, and that all is well.
    pub service_manager: ServiceManager,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recorder: None,
            logs: LogHandle::detached(),
            tls_reload: RELOAD_INTERVAL,
            service_manager: ServiceManager::none(),
        }
    }
}

/// Why the connector cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port cannot be opened.
    #[error(transparent)]
    Bind(#[from] listener::BindError),
    /// TLS cannot be set up.
    #[error("{path}.{error}")]
    Tls {
        /// Where its settings stand.
        path: &'static str,
        /// What is wrong with them.
        error: BuildError,
    },
    /// The routes do not fit the destinations.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A part of the connector panicked. Everything it held is shipped again by XDR.
    #[error("a part of the connector failed: {0}")]
    Panicked(JoinError),
}

/// Opens the ports that `service` names.
pub async fn bind(service: &Service) -> Result<Listeners, RunError> {
    let mut xdr = listener::bind(&service.addresses, &service.ports, None).await?;
    xdr.extend(bind_tls(Side::of(service.protocol), service.tls.as_ref()).await?);
    let mut manage = Vec::new();
    if let Some(settings) = &service.manage {
        manage = listener::bind(&settings.addresses, &settings.ports, None).await?;
        manage.extend(bind_tls(Side::Manage, settings.tls.as_ref()).await?);
    }
    Ok(Listeners { xdr, manage })
}

async fn bind_tls(side: Side, settings: Option<&ServerTls>) -> Result<Vec<Listener>, RunError> {
    let Some(settings) = settings else { return Ok(Vec::new()) };
    let acceptor =
        Acceptor::new(side, settings).map_err(|error| RunError::Tls { path: side.path(), error })?;
    Ok(listener::bind(&settings.addresses, &settings.ports, Some(&Arc::new(acceptor))).await?)
}

/// The acceptors of all listeners, each once: several ports share one.
fn acceptors(listeners: &Listeners) -> Vec<Arc<Acceptor>> {
    let mut acceptors: Vec<_> =
        listeners.xdr.iter().chain(&listeners.manage).filter_map(|listener| listener.tls.clone()).collect();
    acceptors.dedup_by(|one, other| Arc::ptr_eq(one, other));
    acceptors
}

/// Runs until `shutdown` ends, with the built `targets` of the configuration's destinations; then answers what can be answered within the grace period.
///
/// Returns early only when something panicked: a restart is easier to reason about than a half-alive connector.
pub async fn run(
    config: Config,
    targets: BTreeMap<String, SharedTarget>,
    listeners: Listeners,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let router = Arc::new(Router::new(&config, Instant::now())?);
    let metrics = Arc::new(Metrics::default());
    let mut workers = JoinSet::new();
    let lanes = start_lanes(&config, targets, &router, &mut workers)?;
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared {
        window: Window::new(
            config.service.max_concurrent_records.get(),
            config.service.max_concurrent_bytes.get(),
        ),
        lanes: lanes.clone(),
        delivered: memory(&config.service),
        metrics: Arc::clone(&metrics),
        limits: limits(&config.service),
        assembling: Semaphore::new(ASSEMBLING_BYTES_MAX),
        stop: stopping.clone(),
    });

    let acceptors = acceptors(&listeners);
    let mut reloading = JoinSet::new();
    for acceptor in &acceptors {
        acceptor.introduce();
        reloading.spawn(acceptor.watch(options.tls_reload));
    }
    let view = Arc::new(view(
        &config,
        &shared,
        &options,
        acceptors,
        router.lut_caches().cloned().collect(),
        &stopping,
    ));
    for listener in &listeners.manage {
        if let Ok(address) = listener.local_addr() {
            info!(%address, tls = listener.tls.is_some(), "listening for management requests");
        }
    }
    let (admin_stop, admin_stopping) = oneshot::channel::<()>();
    let admin = tokio::spawn(admin::serve(listeners.manage, Arc::clone(&view), async {
        let _ = admin_stopping.await;
    }));
    let http = Http::new(&config.service, &view).map(Arc::new);
    let ticker = tokio::spawn(logging::ticker(view, config.logging.ticker_interval));

    let mut accepting = JoinSet::new();
    for listener in listeners.xdr {
        let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        info!(%address, tls = listener.tls.is_some(), "listening for XDR");
        let reception = Arc::new(Reception {
            router: Arc::clone(&router),
            facts: facts(&config, address),
            recorder: options.recorder.clone(),
            http: http.clone(),
            shared: Arc::clone(&shared),
        });
        accepting.spawn(listener::accept(listener, reception, stopping.clone()));
    }

    let manager = options.service_manager;
    let watched = lanes.clone();
    // A task like those that carry records: where they no longer run, it does not either.
    let watchdog = tokio::spawn(manager.watch(move || watched.iter().for_each(|lane| lane.touch())));
    manager.ready();

    let panicked = tokio::select! {
        () = shutdown => None,
        Some(Err(error)) = workers.join_next() => Some(RunError::Panicked(error)),
        Some(Err(error)) = accepting.join_next() => Some(RunError::Panicked(error)),
    };
    info!(records = shared.window.records(), "stopping: no new records are read");
    manager.stopping(config.service.shutdown_grace);
    let _ = stop.send(true);
    drain(&mut accepting, &shared, config.service.shutdown_grace).await;
    lanes.iter().for_each(|lane| lane.close());
    workers.shutdown().await;
    ticker.abort();
    let _ = admin_stop.send(());
    let _ = admin.await;
    watchdog.abort();
    info!("stopped");
    panicked.map_or(Ok(()), Err)
}

/// Waits for the open connections to answer what they owe.
async fn drain(accepting: &mut JoinSet<()>, shared: &Shared, grace: Duration) {
    let all = async { while accepting.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        let records = shared.window.records();
        warn!(records, "the grace period ended; XDR ships what is unanswered again");
        accepting.shutdown().await;
    }
}

/// One lane for each destination, in the router's order.
fn start_lanes(
    config: &Config,
    mut targets: BTreeMap<String, SharedTarget>,
    router: &Router,
    workers: &mut JoinSet<()>,
) -> Result<Vec<Arc<Lane>>, RunError> {
    let mut lanes = Vec::new();
    let places = Places::new(config, router.letter_policy());
    for (position, (name, destination)) in config.destinations.iter().enumerate() {
        let target = targets.remove(name).ok_or_else(|| RouteError::UnknownDestination(name.clone()))?;
        let limits = lane::Limits {
            batch_max: router.batch_max(position),
            ..lane_limits(destination, target.concurrency(), &config.service)
        };
        let policies = Arc::clone(router.batch_policies());
        let letters = places.dead_letters(destination.dead_letter.as_ref());
        let lane = Lane::new(name.clone(), target, limits, policies, letters, Instant::now());
        places.open(&lane);
        lane.start(workers);
        lanes.push(lane);
    }
    Ok(lanes)
}

/// The memory of partial success, unless it is off.
fn memory(service: &Service) -> Option<Arc<Delivered>> {
    let records_max = service.remember_partial_success;
    (records_max > 0).then(|| Arc::new(Delivered::new(records_max)))
}

fn lane_limits(destination: &Destination, concurrency: NonZeroUsize, service: &Service) -> lane::Limits {
    let workers = destination.workers.map_or(concurrency, |workers| workers.min(concurrency));
    lane::Limits {
        workers: workers.get().min(WORKERS_MAX),
        batch_max: 1,
        held_max: destination.max_queued.min(service.max_concurrent_records.get()),
        held_bytes_max: service.max_concurrent_bytes.get(),
        retry: RetryPolicy::new(destination.max_attempts),
        give_up_on: give_up_on(&destination.target),
    }
}

/// `http-permanent-status-codes`.
fn give_up_on(target: &TargetConfig) -> Vec<u16> {
    let codes = match target {
        TargetConfig::AwsLambda(lambda) => Some(&lambda.http_permanent_status_codes),
        other => config::http_settings(other).map(|http| &http.http_permanent_status_codes),
    };
    codes.cloned().unwrap_or_default()
}

fn limits(service: &Service) -> Limits {
    Limits {
        frame_bytes_max: service.max_frame_bytes,
        read_bytes: service.receive_buffer_bytes,
        ack_buffering: service.ack_buffering,
        accept_client_writes: service.accept_client_writes,
    }
}

/// What the connector says of itself to info requests. Every configured namespace is served, so that a client that
/// insists on finding a cluster finds one.
fn facts(config: &Config, address: std::net::SocketAddr) -> NodeFacts {
    NodeFacts {
        node_id: wire_info::node_id(&address.to_string()),
        build: BUILD.to_owned(),
        cluster_name: config.service.cluster_name.clone(),
        namespaces: config.namespaces.keys().cloned().collect(),
        address,
    }
}

fn view(
    config: &Config,
    shared: &Arc<Shared>,
    options: &Options,
    tls: Vec<Arc<Acceptor>>,
    lut_caches: Vec<Arc<LutCache>>,
    stopping: &watch::Receiver<bool>,
) -> View {
    let window = Arc::clone(shared);
    let in_process = Arc::clone(shared);
    let stopping = stopping.clone();
    View {
        metrics: Arc::clone(&shared.metrics),
        cluster_name: config.service.cluster_name.clone().unwrap_or_else(|| "esp-connector".to_owned()),
        jvm_compat: config.jvm_compat,
        in_process: Arc::new(move || in_process.window.records() as u64),
        window: Arc::new(move || {
            let (records_max, bytes_max) = window.window.limits();
            WindowGauge {
                records: window.window.records() as u64,
                bytes: window.window.bytes() as u64,
                records_limit: records_max as u64,
                bytes_limit: bytes_max as u64,
            }
        }),
        destinations: shared
            .lanes
            .iter()
            .map(|lane| DestinationView {
                name: lane.name().to_owned(),
                target: Arc::clone(lane.target()),
                lane: Arc::clone(lane.stats()),
            })
            .collect(),
        ready: Arc::new(move || {
            if *stopping.borrow() { Readiness::NotReady("stopping".to_owned()) } else { Readiness::Ready }
        }),
        tls,
        lut_caches,
        delivered: shared.delivered.clone(),
        logs: options.logs.clone(),
    }
}
