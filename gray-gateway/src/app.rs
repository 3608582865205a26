//! The composition root: the whole wiring, top to bottom.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use arc_swap::ArcSwap;
use gray_common::{
    config_source::ConfigSource,
    control::ControlPlane,
    registry::{Registry, ServiceState},
    service::{Registration, SHARED_DOCUMENT, ServiceError, StopSignals, check_config},
    settings::{LiveSettings, SettingsState},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    admin::{self, Access, Admin},
    args::{DEFAULT_PORT, DEFAULT_TLS_PORT, GatewayArgs, SERVICE},
    control::{CitySource, ControlLoop, GatewayConfig},
    proxy::{self, AccessLogError, ListenError, ProxyOptions, Stats, TlsListener, Workers},
    record::{self, RecordCollector},
    snapshot::Snapshot,
    tls,
};

/// The gateway's own document.
const OWN_DOCUMENT: &str = "gateway-app.yaml";
/// Who gets which lane; optional, the settings stand for rules of their own.
pub(crate) const RULES_DOCUMENT: &str = "gray-rules.yaml";
/// What is read; later ones win.
const DOCUMENTS: [&str; 3] = [SHARED_DOCUMENT, OWN_DOCUMENT, RULES_DOCUMENT];
/// Limit of the deregistration; a stop must not hang on the registry.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(2);

/// A gateway that listens already. It answers 503 until its configuration has arrived.
#[derive(Debug)]
pub struct Application {
    workers: Workers,
    registration: Registration,
    stopping: watch::Sender<bool>,
    admin_address: SocketAddr,
    background: JoinSet<io::Result<()>>,
    drain_wait: Duration,
    drain: Duration,
}

impl Application {
    /// Binds the ports, then connects the control plane in the background. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A port in use, a certificate that cannot be used, an access log that cannot be opened, flags that contradict each other; never an unreachable
    /// registry.
    pub async fn build(args: &GatewayArgs) -> anyhow::Result<Self> {
        let service = &args.service;
        let (server_tls, upstream_tls) = args.tls.load()?;
        // Ports first: the mistake that is made most often is reported before anything is connected.
        let bind = SocketAddr::new(service.bind, service.port.unwrap_or(DEFAULT_PORT));
        let mut options = ProxyOptions::new(bind);
        options.workers = args.workers.map_or(options.workers, usize::from);
        let tls_bind = SocketAddr::new(service.bind, args.tls.tls_port.unwrap_or(DEFAULT_TLS_PORT));
        options.tls = server_tls.clone().map(|tls| TlsListener { bind: tls_bind, tls });
        options.upstream_tls = Arc::clone(&upstream_tls);
        let (records, collector) = record::channel(args.replay_buffer as usize).unzip();
        options.records = records;
        options.access_log = args.access_log.options();
        options.limits = args.limits.limits();
        let stats = Stats::new(options.workers);
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let workers = proxy::start(options, Arc::clone(&shared), &stats).map_err(|error| start_error(bind, error))?;
        let admin_bind = SocketAddr::new(args.admin_bind, args.admin_port);
        let admin_listener = TcpListener::bind(admin_bind).await.map_err(|error| bind_error(admin_bind, error));
        let admin_listener = admin_listener.context("the admin side (--admin-port, GRAY_ADMIN_PORT)")?;
        let admin_address = admin_listener.local_addr()?;

        let ControlPlane { registry, config } = service.control.connect(SERVICE)?;
        let settings = follow(Arc::clone(&config), &service.control.prefix);
        let city = CitySource::new(args.city_data.clone());
        let control =
            ControlLoop::new(settings.subscribe(), Arc::clone(&registry), Arc::clone(&shared), city, &service.version)
                .counting(stats.workers());
        let instance = service.instance(workers.local_addr().port());
        let warm = warm(settings.subscribe(), Arc::clone(&registry));
        let registration = Registration::begin(Arc::clone(&registry), SERVICE, instance, warm);
        let (stopping, is_stopping) = watch::channel(false);
        let admin = admin::app(Admin {
            snapshot: shared,
            settings: settings.subscribe(),
            registry: registry.health(),
            config: config.health(),
            registration: registration.state(),
            stats: Arc::new(stats),
            stopping: is_stopping,
            recorder: admin::install_metrics()?,
            access: Access::new(args.admin_token.clone(), admin_address),
            records: collector.as_ref().map(RecordCollector::buffer),
            prefix: service.control.prefix.as_str().into(),
        });

        // A set, because it ends the tasks when the application is dropped.
        let mut background = JoinSet::new();
        background.spawn(async move {
            control.run().await;
            Ok(())
        });
        if let Some(collector) = collector {
            background.spawn(async move {
                collector.run().await;
                Ok(())
            });
        }
        background.spawn(async move { match tls::follow(server_tls, upstream_tls).await {} });
        background.spawn(async move { axum::serve(admin_listener, admin).await });
        tracing::info!(address = %admin_address, "admin side listening");
        Ok(Self {
            workers,
            registration,
            stopping,
            admin_address,
            background,
            drain_wait: Duration::from_millis(service.drain_wait_ms),
            drain: Duration::from_secs(service.drain_secs),
        })
    }

    /// Where clients come in.
    pub fn address(&self) -> SocketAddr {
        self.workers.local_addr()
    }

    /// Where clients come in by TLS, if they may.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.workers.local_tls_addr()
    }

    /// Where the admin side listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until a signal, then leaves in order: `/readyz` 503, deregister, wait until others have heard of it, stop
    /// accepting, finish what is in flight. A second signal cuts the wait short.
    pub async fn run_until_stopped(self, mut signals: StopSignals) {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping: deregistering");
        self.stopping.send_replace(true);
        let was_known = self.registration.end(DEREGISTER_LIMIT).await;
        if was_known && !self.drain_wait.is_zero() {
            tracing::info!(wait = ?self.drain_wait, "still accepting until callers have heard of it");
            tokio::select! {
                () = tokio::time::sleep(self.drain_wait) => {}
                signal = signals.next() => tracing::info!(signal, "second signal: not waiting any longer"),
            }
        }
        tracing::info!("no longer accepting; finishing what is in flight");
        let began = Instant::now();
        match self.workers.shutdown(self.drain).await {
            0 => tracing::info!(took = ?began.elapsed(), "stopped"),
            cut_off => tracing::warn!(cut_off, limit = ?self.drain, "time is up: connections were cut off"),
        }
        drop(self.background);
    }
}

/// Reads the documents once, judges them as the running gateway would, and prints the report to standard error.
///
/// # Errors
/// Every problem in them, by name and line; a certificate that cannot be used.
pub async fn check(args: &GatewayArgs) -> anyhow::Result<()> {
    args.tls.load()?;
    let control = &args.service.control;
    let read = |documents: &_| GatewayConfig::read(documents, &control.prefix);
    let report = check_config(control, SERVICE, &DOCUMENTS, OWN_DOCUMENT, read).await?;
    eprintln!("{report}");
    Ok(())
}

fn follow(config: Arc<dyn ConfigSource>, prefix: &str) -> LiveSettings<GatewayConfig> {
    let prefix = prefix.to_owned();
    LiveSettings::follow(config, &DOCUMENTS, move |documents| GatewayConfig::read(documents, &prefix))
}

/// Through when the gateway can serve: it has routes, and has heard of the services they name.
async fn warm(mut settings: watch::Receiver<SettingsState<GatewayConfig>>, registry: Arc<dyn Registry>) {
    let has_routes = |state: &SettingsState<GatewayConfig>| {
        state.current.as_ref().is_some_and(|config| !config.routes.routes().is_empty())
    };
    let Ok(config) = settings.wait_for(has_routes).await.map(|state| state.current.clone()) else {
        // No settings can come any more; `/readyz` has the reason.
        return std::future::pending().await;
    };
    let Some(config) = config else { return };
    let in_settings = |service: &str| config.gray.static_instances.contains_key(service);
    for service in config.routes.services().into_iter().filter(|service| !in_settings(service)) {
        if registry.watch(&service).wait_for(ServiceState::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Says what it was: the access log, or which of the two ports.
fn start_error(bind: SocketAddr, error: io::Error) -> anyhow::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<AccessLogError>()) {
        return anyhow::Error::new(error).context("--access-log, GRAY_ACCESS_LOG");
    }
    let listen = error.get_ref().and_then(|inner| inner.downcast_ref::<ListenError>());
    match listen.map(|error| error.address).filter(|address| *address != bind) {
        None => bind_error(bind, error).into(),
        Some(address) => {
            anyhow::Error::new(bind_error(address, error)).context("the TLS side (--tls-port, GRAY_TLS_PORT)")
        }
    }
}

fn bind_error(address: SocketAddr, source: io::Error) -> ServiceError {
    ServiceError::bind(address, source)
}
