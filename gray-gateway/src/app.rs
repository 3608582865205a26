//! The composition root: the whole wiring, top to bottom.

use std::{
    collections::BTreeMap,
    io,
    net::{self, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use gray_common::{
    control::ControlPlane,
    descriptors,
    documents::DocumentPlan,
    service::{Phase, Readiness, Registration, ServiceError, StopSignals, UsageError},
};
use gray_core::Instance;
use gray_document::Reading;
use gray_live::{LiveSettings, SettingsState};
use gray_registry::{NoRegistry, Registry};
use gray_settings::Caller;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    admin::{self, Admin, Gate, Sources},
    args::{DEFAULT_PORT, DEFAULT_TLS_PORT, EgressAddress, GatewayArgs},
    config::{self, GatewayConfig, SERVICE},
    control::{ControlLoop, Warmth},
    geo::CitySource,
    handover::{Listening, Predecessor},
    keys::{KeyFollower, Pace},
    life::{Life, OnSignal},
    proxy::{self, AccessLogError, Limits, ListenError, ProxyOptions, Stats, TlsListener, Workers, is_at},
    record::{self, RecordCollector},
    route::Configuration,
    snapshot::Snapshot,
    tls::{self, ServerTls, UpstreamTls},
};

/// A gateway that listens already. It answers 503 until its configuration has arrived; when it takes over from another
/// (`--handover`), that one answers until then.
#[derive(Debug)]
pub struct Application {
    admin_address: SocketAddr,
    life: Life,
}

impl Application {
    /// Binds the ports, then connects the control plane in the background. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A port in use, an admin side open to the network by mistake, a certificate that cannot be used, an access log that cannot be opened, flags that contradict each
    /// other, a running gateway that refuses to pass its sockets on; never an unreachable registry.
    pub async fn build(args: &GatewayArgs) -> anyhow::Result<Self> {
        let service = &args.service;
        // Ports first: the mistake that is made most often is reported before anything is connected.
        let egress = args.egress.listen().map_err(UsageError)?;
        let local = Local::open(args).await?;
        let control_plane = service.control.connect(&args.program())?;
        let plan = match egress {
            None => config::plan(&service.control, args.routes_document.as_deref())?,
            Some((_, caller)) => config::egress_plan(&service.control, caller)?,
        };
        if let Some(directory) = &service.control.config_dir
            && egress.is_none()
            && let Some(hint) = plan.hint(directory, &Configuration::needed())
        {
            tracing::warn!("there is no {}; {hint}", plan.usual());
        }
        let settings = follow(&control_plane, &plan, &service.control.prefix, egress.is_some());
        let (on_signal, reloaded) = on_signal(&control_plane, &local.workers);
        let control = control_loop(args, &local, &control_plane, settings.subscribe()).reloading(reloaded.clone());
        let (warmth, registry) = (control.warmth(), control_plane.registry.health());
        let (opened, is_open) = watch::channel(false);
        let instance = service.instance(local.workers.local_addr().port());
        let registry_of_own: Arc<dyn Registry> = match egress {
            None => Arc::clone(&control_plane.registry),
            // Only its service calls it, by an address of its own.
            Some(_) => NoRegistry::new(),
        };
        let registration = register(registry_of_own, instance, warmth.clone(), is_open.clone());
        let (phase, phase_now) = watch::channel(Phase::default());
        let (admin_closed, is_admin_closed) = watch::channel(false);
        let (refused, refused_files) = watch::channel(BTreeMap::new());
        let readiness = admin::readiness(Sources {
            control: &control_plane,
            settings: settings.subscribe(),
            snapshot: Arc::clone(&local.shared),
            warmth: warmth.clone(),
            registration: registration.state(),
            phase: phase_now,
            needs_routes: egress.is_none(),
        });
        let watching = readiness.clone().watch();
        let (newest, reading) = (settings.subscribe(), plan.reading.into());
        let routes = admin::app(local.admin(args, control_plane, (newest, reading), readiness, refused_files)?);
        let Local { certificates: (server_tls, upstream_tls), workers, collector, admin_listener, .. } = local;
        let admin_address = admin_listener.local_addr()?;

        // A set, because it ends the tasks when the application is dropped.
        let mut background = JoinSet::new();
        background.spawn(endless(control.run()));
        background.spawn(endless(watching));
        if let Some(collector) = collector {
            background.spawn(endless(collector.run()));
        }
        background.spawn(async move { match tls::follow(server_tls, upstream_tls, reloaded, refused).await {} });
        background.spawn(serve_admin(routes, TcpListener::from_std(admin_listener)?, is_open, is_admin_closed));
        tracing::info!(address = %admin_address, "admin side listening");
        let mut life = Life {
            workers,
            registration,
            warmth,
            registry,
            opened,
            phase,
            admin_closed,
            background,
            limits: service.stop_limits(),
            stats: local.stats,
            predecessor: local.predecessor,
            handover: local.handover,
            offer: None,
            on_signal: Some(on_signal),
        };
        life.begin()?;
        Ok(Self { admin_address, life })
    }

    /// Where clients come in.
    pub fn address(&self) -> SocketAddr {
        self.life.workers.local_addr()
    }

    /// Where clients come in by TLS, if they may.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.life.workers.local_tls_addr()
    }

    /// Where the admin side listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until a signal that stops it (others: [`StopSignals`]), then leaves in order: `/readyz` 503, deregister, wait until others have heard of it, stop
    /// accepting, finish what is in flight. A second signal cuts the wait short. Or until a successor has taken over: then
    /// it stops accepting at once and finishes what is in flight.
    pub async fn run_until_stopped(self, signals: StopSignals) {
        self.life.run(signals).await;
    }
}

/// What a gateway has before it is connected to anything.
struct Local {
    gate: Gate,
    certificates: Certificates,
    recorder: PrometheusHandle,
    shared: Arc<ArcSwap<Snapshot>>,
    stats: Arc<Stats>,
    limits: Limits,
    collector: Option<RecordCollector>,
    workers: Workers,
    admin_listener: net::TcpListener,
    /// Whose sockets these are, and where they are offered in turn.
    predecessor: Option<Predecessor>,
    handover: Option<(PathBuf, Listening)>,
}

/// Ours, and those that count of instances.
type Certificates = (Option<Arc<ServerTls>>, Arc<UpstreamTls>);

impl Local {
    /// Flags, files and ports; the workers accept when they are told.
    async fn open(args: &GatewayArgs) -> anyhow::Result<Self> {
        let gate = args.admin_gate().map_err(UsageError)?;
        let certificates = args.certificates()?;
        descriptors::raise();
        // From here on things may be counted.
        let recorder = admin::install_metrics()?;
        let (options, collector) = proxy_options(args, &certificates);
        let (bind, limits, stats) = (options.bind, options.limits.clone(), Arc::new(Stats::new(options.workers)));
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let handed_over = match &args.handover {
            Some(path) => Predecessor::ask(path).await?,
            None => None,
        };
        let (predecessor, listening) = handed_over.unzip();
        let Listening { proxy, admin } = listening.unwrap_or_default();
        let sockets = proxy.or_bind(&options).map_err(|error| start_error(bind, error))?;
        let admin_listener = admin_listener(admin, SocketAddr::new(args.admin_bind, args.admin_port)).await?;
        let duplicates =
            || Ok::<_, io::Error>(Listening { proxy: sockets.try_clone()?, admin: vec![admin_listener.try_clone()?] });
        let handover = args.handover.clone().map(|path| Ok::<_, io::Error>((path, duplicates()?))).transpose()?;
        let workers = proxy::start_on(sockets, options, Arc::clone(&shared), &stats);
        let workers = workers.map_err(|error| start_error(bind, error))?;
        Ok(Self {
            gate,
            certificates,
            recorder,
            shared,
            stats,
            limits,
            collector,
            workers,
            admin_listener,
            predecessor,
            handover,
        })
    }

    /// What the admin side looks at.
    fn admin(
        &self,
        args: &GatewayArgs,
        control_plane: ControlPlane,
        (settings, reading): (watch::Receiver<SettingsState<GatewayConfig>>, Arc<Reading>),
        readiness: Readiness,
        refused_files: tls::Refused,
    ) -> io::Result<Admin> {
        let service = &args.service;
        Ok(Admin {
            snapshot: Arc::clone(&self.shared),
            settings,
            reading,
            registry: control_plane.registry.health(),
            config: Arc::clone(&control_plane.config),
            refused_files,
            readiness,
            disk: control_plane.disk,
            stats: Arc::clone(&self.stats),
            recorder: self.recorder.clone(),
            gate: self.gate.clone(),
            records: self.collector.as_ref().map(RecordCollector::buffer),
            prefix: service.control.prefix.as_str().into(),
            caller: Caller {
                service: args.egress.service.as_deref().unwrap_or(SERVICE).into(),
                version: Some(service.service_version.to_string()),
                cluster: service.control.cluster.clone(),
            },
            limits: self.limits.clone(),
            judge: admin::Judge::start()?,
        })
    }
}

fn proxy_options(args: &GatewayArgs, (server, upstream): &Certificates) -> (ProxyOptions, Option<RecordCollector>) {
    let service = &args.service;
    let bind = SocketAddr::new(service.bind, service.port.unwrap_or(DEFAULT_PORT));
    let egress = args.egress.egress.map(|EgressAddress(address)| address);
    let mut options = ProxyOptions::new(egress.unwrap_or(bind));
    options.workers = args.workers.unwrap_or(options.workers);
    let tls_bind = SocketAddr::new(service.bind, args.tls.tls_port.unwrap_or(DEFAULT_TLS_PORT));
    options.tls = server.clone().map(|tls| TlsListener { bind: tls_bind, tls });
    options.upstream_tls = Arc::clone(upstream);
    options.shared_rates = args.redis.shared(upstream);
    let (records, collector) = record::channel(args.replay_buffer as usize).unzip();
    options.records = records;
    options.access_log = args.access_log.options();
    options.limits = args.limits.limits(service, options.workers);
    (options, collector)
}

/// What signals do, and what tells that files are to be read again.
fn on_signal(control_plane: &ControlPlane, workers: &Workers) -> (OnSignal, watch::Receiver<u64>) {
    let (reload, reloaded) = watch::channel(0);
    let (config, registry) = (Arc::clone(&control_plane.config), Arc::clone(&control_plane.registry));
    (OnSignal { config, registry, reload, log: workers.log_reopener() }, reloaded)
}

fn control_loop(
    args: &GatewayArgs,
    local: &Local,
    control_plane: &ControlPlane,
    settings: watch::Receiver<SettingsState<GatewayConfig>>,
) -> ControlLoop {
    let (registry, shared) = (Arc::clone(&control_plane.registry), Arc::clone(&local.shared));
    let control = ControlLoop::new(
        settings,
        registry,
        shared,
        CitySource::new(args.city_data.clone()),
        &args.service.service_version,
    );
    let control = match args.egress_options(local.workers.local_addr(), local.admin_listener.local_addr().ok()) {
        Some(egress) => control.for_egress(egress),
        None => control,
    };
    control
        .checking(Arc::clone(&local.certificates.1))
        .fetching(KeyFollower::new(args.fetcher(&local.certificates.1), Pace::default()))
        .counting(local.stats.workers())
        .in_cluster(args.service.control.cluster.clone())
}

/// Registers as soon as there is enough to serve with, and clients are let in.
fn register(
    registry: Arc<dyn Registry>,
    instance: Instance,
    warmth: watch::Receiver<Warmth>,
    is_open: watch::Receiver<bool>,
) -> Registration {
    let before = async move {
        until(warmth, |warmth| *warmth >= Warmth::Warm).await;
        until(is_open, |open| *open).await;
    };
    Registration::begin(registry, SERVICE, instance, before)
}

async fn serve_admin(
    routes: Router,
    listener: TcpListener,
    is_open: watch::Receiver<bool>,
    is_closed: watch::Receiver<bool>,
) -> io::Result<()> {
    until(is_open, |open| *open).await;
    let closed = until(is_closed, |closed| *closed);
    let service = routes.into_make_service_with_connect_info::<admin::Peer>();
    axum::serve(admin::bounded(listener), service).with_graceful_shutdown(closed).await
}

/// A task that has nothing to say at its end.
async fn endless(task: impl Future<Output = ()>) -> io::Result<()> {
    task.await;
    Ok(())
}

fn follow(
    control_plane: &ControlPlane,
    plan: &DocumentPlan,
    prefix: &str,
    is_egress: bool,
) -> LiveSettings<GatewayConfig> {
    let (source, prefix) = (plan.source(Arc::clone(&control_plane.config)), prefix.to_owned());
    let followed = plan.followed(GatewayConfig::lasting(&prefix));
    LiveSettings::follow_documents(source, followed, move |documents| {
        if is_egress { GatewayConfig::read_egress(documents, &prefix) } else { GatewayConfig::read(documents, &prefix) }
    })
}

/// Returns when it is so.
async fn until<T>(mut state: watch::Receiver<T>, is_so: impl FnMut(&T) -> bool) {
    if state.wait_for(is_so).await.is_err() {
        // There is no sender any more.
        std::future::pending::<()>().await;
    }
}

/// One that was handed over, or a new one.
async fn admin_listener(handed_over: Vec<net::TcpListener>, bind: SocketAddr) -> anyhow::Result<net::TcpListener> {
    if let Some(listener) = handed_over.into_iter().find(|listener| is_at(listener, bind)) {
        return Ok(listener);
    }
    let listener = TcpListener::bind(bind).await.map_err(|error| bind_error(bind, error));
    Ok(listener.context("the admin side (--admin-port, GRAY_ADMIN_PORT)")?.into_std()?)
}

/// Says what it was: the access log, or which of the two ports.
fn start_error(bind: SocketAddr, error: io::Error) -> anyhow::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<AccessLogError>()) {
        return anyhow::Error::new(error).context("--access-log, GRAY_ACCESS_LOG");
    }
    let listen = error.get_ref().and_then(|inner| inner.downcast_ref::<ListenError>());
    let Some(ListenError { address, cause }) = listen else { return bind_error(bind, error).into() };
    // The address is in our own message already.
    let bound = bind_error(*address, io::Error::new(error.kind(), cause.clone()));
    if *address == bind {
        bound.into()
    } else {
        anyhow::Error::new(bound).context("the TLS side (--tls-port, GRAY_TLS_PORT)")
    }
}

fn bind_error(address: SocketAddr, source: io::Error) -> ServiceError {
    ServiceError::bind(address, source)
}
