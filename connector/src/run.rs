//! Assembles the connector from its configuration, runs it until it is told to stop, and drains it.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use adapters::{BuildError, SharedTarget, tls::RELOAD_INTERVAL, world};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinError},
    time::Instant,
};
use tracing::{error, info, warn};

use self::{
    fleet::{Built, Fleet, secrets},
    ports::{Common, Plan, Ports},
    settings::{facts, limits},
};
use crate::{
    admin::{Office, Readiness, View, WindowGauge},
    config::{self, Config, ServerTls, Service},
    connection::{ASSEMBLING_BYTES_MAX, Http, Shared, Terms},
    delivered::Delivered,
    lane::Lane,
    listener::{self, Listener},
    logging::{self, LogHandle},
    metrics::Metrics,
    ordering::LutCache,
    recorder::Recorder,
    reload::{self, Changes, Refusal, Reloads, Source, changes},
    route::{RouteError, Router},
    service_manager::ServiceManager,
    tls::{Acceptor, Side},
    watch,
    window::Window,
};

mod fleet;
mod ports;
mod settings;

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
    /// Has the configuration read again, from the [`Source`] that came with it.
    pub reloads: Reloads,
    /// `None` where the configuration is no file.
    pub source: Option<Source>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recorder: None,
            logs: LogHandle::detached(),
            tls_reload: RELOAD_INTERVAL,
            service_manager: ServiceManager::none(),
            reloads: Reloads::none(),
            source: None,
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

/// Runs until `shutdown` ends, with the built `targets` of the configuration's destinations; then answers what can be answered within the grace period.
///
/// Returns early only when something panicked: a restart is easier to reason about than a half-alive connector.
pub async fn run(
    config: Config,
    targets: BTreeMap<String, SharedTarget>,
    listeners: Listeners,
    mut options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let router = Router::new(&config, Instant::now().into_std())?;
    if let Some(name) = config.destinations.keys().find(|name| !targets.contains_key(*name)) {
        return Err(RouteError::UnknownDestination(name.clone()).into());
    }
    let plan = Plan::of(&config.service, listeners.xdr, listeners.manage);
    let mut source = options.source.take();
    let manager = options.service_manager;
    let secrets = secrets(&config);
    let mut running = Running::start(Built { config, router, targets, secrets }, plan, options);
    let watched = running.lanes.subscribe();
    // A task like those that carry records: where they no longer run, it does not either.
    let watchdog = tokio::spawn(manager.watch(move || watched.borrow().iter().for_each(|lane| lane.touch())));
    manager.ready();

    let mut shutdown = std::pin::pin!(shutdown);
    let panicked = loop {
        let order = async {
            match &mut source {
                Some(source) => source.orders.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break None,
            ended = running.fleet.ended() => match ended {
                Ok(lane) => running.forget(&lane),
                Err(error) => break Some(RunError::Panicked(error)),
            },
            Err(error) = running.ports.ended() => break Some(RunError::Panicked(error)),
            Some(order) = order => {
                let Some(source) = &mut source else { continue };
                tokio::select! {
                    biased;
                    () = &mut shutdown => break None,
                    // Large, and seldom there.
                    result = Box::pin(running.reload(source)) => drop(order.answer.send(result)),
                }
            }
        }
    };
    // Whoever asks for a reload now is told that it is too late.
    drop(source);
    running.stop().await;
    watchdog.abort();
    info!("stopped");
    panicked.map_or(Ok(()), Err)
}

/// All that runs on one configuration, and goes on with the next.
struct Running {
    /// Number of the configuration, from 1.
    number: u64,
    config: Config,
    router: Router,
    fleet: Fleet,
    ports: Ports,
    shared: Arc<Shared>,
    lanes: watch::Sender<Arc<[Arc<Lane>]>>,
    views: watch::Sender<Arc<View>>,
    /// Last-update times forgotten in caches that are gone.
    lut_forgotten: u64,
    stop: watch::Sender<bool>,
    ticker: AbortHandle,
    options: Options,
}

impl Running {
    fn start(mut built: Built, plan: Plan, options: Options) -> Self {
        let service = &built.config.service;
        let shared = Arc::new(Shared {
            window: Window::new(service.max_concurrent_records.get(), service.max_concurrent_bytes.get()),
            delivered: memory(service),
            metrics: Arc::new(Metrics::default()),
            assembling: Semaphore::new(ASSEMBLING_BYTES_MAX),
        });
        let mut fleet = Fleet::default();
        fleet.follow(&mut built);
        let Built { config, router, .. } = built;
        let (stop, _) = watch::channel(false);
        let view = view(&config, &router, &fleet, &shared, &options, &stop);
        let (views, shown) = watch::channel(Arc::new(view));
        let ports = Ports::new(Common {
            recorder: options.recorder.clone(),
            shared: Arc::clone(&shared),
            office: Arc::new(Office::new(shown.clone())),
            http: Http::new(&config.service, shown.clone()).map(Arc::new),
            tls_reload: options.tls_reload,
        });
        let ticker = tokio::spawn(logging::ticker(shown, config.logging.ticker_interval)).abort_handle();
        let lanes = watch::Sender::new(fleet.lanes());
        let (number, lut_forgotten) = (1, 0);
        let mut running = Self {
            number,
            config,
            router,
            fleet,
            ports,
            shared,
            lanes,
            views,
            lut_forgotten,
            stop,
            ticker,
            options,
        };
        running.post(plan);
        running
    }

    /// Reads the file again and goes on with what it says, or as before when something is wrong with it.
    async fn reload(&mut self, source: &mut Source) -> Result<Changes, Refusal> {
        self.options.service_manager.reloading();
        let result = self.try_reload(source).await;
        let history = self.options.reloads.history();
        match &result {
            Ok(changes) => {
                history.taken();
                info!(config = %source.path.display(), "the configuration was reloaded: {changes}");
            }
            Err(refusal) => {
                history.refused();
                let problems = refusal.to_string().replace('\n', "; ");
                error!("the configuration is not reloaded, and the one that runs goes on: {problems}");
            }
        }
        self.options.service_manager.reloaded(result.is_ok());
        result
    }

    async fn try_reload(&mut self, source: &mut Source) -> Result<Changes, Refusal> {
        // All that can fail comes first.
        let path = source.path.clone();
        let read = world::blocking(move || {
            let loaded = config::load(&path)?;
            let targets = loaded.targets()?;
            let secrets = secrets(&loaded.config);
            Ok((loaded, targets, secrets))
        });
        let wrong = |message: String| Refusal::Wrong(reload::problem(source, "", message));
        let (loaded, targets, secrets) = match read.await {
            Ok(read) => read.map_err(Refusal::Wrong)?,
            Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
        };
        let mut config = loaded.config.clone();
        let needs_restart = changes::keep_what_needs_restart(&self.config, &mut config);
        let router = self.router.followed_by(&config, Instant::now().into_std());
        let router = router.map_err(|error| wrong(error.to_string()))?;
        let plan = self.ports.plan(&config.service).await;
        let plan = plan.map_err(|error| wrong(error.to_string()))?;
        logging::check_levels(&config.logging.levels).map_err(|error| wrong(error.to_string()))?;

        // And from here on nothing does.
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let outline = loaded.outline();
        let mut changes = Changes::of_keys(source.outline.differences(&outline));
        source.outline = outline;
        changes.needs_restart = needs_restart;
        let mut built = Built { config, router, targets, secrets };
        changes.destinations = self.fleet.follow(&mut built);
        let Built { config, router, .. } = built;
        self.lut_forgotten += forgotten(&self.router, &router);
        self.router = router;
        let before = std::mem::replace(&mut self.config, config);
        self.number += 1;
        changes.ports = self.post(plan);
        self.adjust(&before);
        Ok(changes)
    }

    /// Posts the terms of the configuration at its ports, and shows it.
    fn post(&mut self, plan: Plan) -> changes::Ports {
        let lanes = self.fleet.lanes();
        let (config, router, number) = (&self.config, &self.router, self.number);
        let changes = self.ports.follow(plan, |address, tls| Terms {
            number,
            routes: router.for_port(address.port()),
            lanes: Arc::clone(&lanes),
            limits: limits(&config.service),
            manages: config.service.manage.is_none(),
            facts: facts(config, address),
            tls,
            closing: false,
        });
        self.lanes.send_replace(lanes);
        self.show();
        changes
    }

    /// What follows from settings that are about the whole.
    fn adjust(&mut self, before: &Config) {
        let (service, logging) = (&self.config.service, &self.config.logging);
        let (records_max, bytes_max) = (service.max_concurrent_records, service.max_concurrent_bytes);
        self.shared.window.set_limits(records_max.get(), bytes_max.get());
        // What was changed while running stays, unless the file says something else than before.
        if logging.levels != before.logging.levels
            && let Err(error) = self.options.logs.replace_levels(&logging.levels)
        {
            warn!(%error, "the log levels stay as they are");
        }
        if logging.ticker_interval != before.logging.ticker_interval {
            self.ticker.abort();
            let ticker = logging::ticker(self.views.subscribe(), logging.ticker_interval);
            self.ticker = tokio::spawn(ticker).abort_handle();
        }
    }

    /// A lane is over that another one took the place of, or none.
    fn forget(&mut self, over: &Arc<Lane>) {
        self.fleet.forget(over);
        self.show();
    }

    fn show(&self) {
        let Self { config, router, fleet, shared, options, stop, .. } = self;
        let view = View {
            tls: self.ports.acceptors(),
            lut_forgotten: self.lut_forgotten,
            ..view(config, router, fleet, shared, options, stop)
        };
        self.views.send_replace(Arc::new(view));
    }

    /// Answers what can be answered within the grace period, and ends everything.
    async fn stop(mut self) {
        let (shared, grace) = (&self.shared, self.config.service.shutdown_grace);
        info!(records = shared.window.records(), "stopping: no new records are read");
        self.options.service_manager.stopping(grace);
        self.stop.send_replace(true);
        self.ports.close_xdr();
        if tokio::time::timeout(grace, self.ports.drained()).await.is_err() {
            let records = shared.window.records();
            warn!(records, "the grace period ended; XDR ships what is unanswered again");
            self.ports.cut().await;
        }
        self.fleet.close();
        self.fleet.shutdown().await;
        self.ticker.abort();
        self.ports.close_manage().await;
    }
}

/// Last-update times that were forgotten in caches of `before` that are not among those of `after`.
fn forgotten(before: &Router, after: &Router) -> u64 {
    let is_gone = |cache: &&Arc<LutCache>| !after.lut_caches().any(|known| Arc::ptr_eq(known, cache));
    before.lut_caches().filter(is_gone).map(|cache| cache.forgotten()).sum()
}

/// The memory of partial success, unless it is off.
fn memory(service: &Service) -> Option<Arc<Delivered>> {
    let records_max = service.remember_partial_success;
    (records_max > 0).then(|| Arc::new(Delivered::new(records_max)))
}

fn view(
    config: &Config,
    router: &Router,
    fleet: &Fleet,
    shared: &Arc<Shared>,
    options: &Options,
    stop: &watch::Sender<bool>,
) -> View {
    let window = Arc::clone(shared);
    let in_process = Arc::clone(shared);
    let stopping = stop.subscribe();
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
        destinations: fleet.views(),
        ready: Arc::new(move || {
            if *stopping.borrow() { Readiness::NotReady("stopping".to_owned()) } else { Readiness::Ready }
        }),
        tls: Vec::new(),
        lut_caches: router.lut_caches().cloned().collect(),
        lut_forgotten: 0,
        delivered: shared.delivered.clone(),
        logs: options.logs.clone(),
        reloads: options.reloads.clone(),
    }
}
