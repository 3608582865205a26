//! The composition root: the whole wiring, top to bottom.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use gray_common::{
    config_source::ConfigSource,
    control::ControlPlane,
    descriptors,
    service::{Phase, Registration, ServiceError, StopSignals, UsageError, check_config},
    settings::{Caller, LiveSettings},
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    admin::{self, Admin, Sources},
    args::{DEFAULT_PORT, DEFAULT_TLS_PORT, GatewayArgs},
    config::{DOCUMENTS, GatewayConfig, OWN_DOCUMENT, SERVICE},
    control::{ControlLoop, Warmth},
    geo::CitySource,
    handover::{Listening, Predecessor},
    life::{Life, OnSignal},
    proxy::{self, AccessLogError, ListenError, ProxyOptions, Stats, TlsListener, is_at},
    record::{self, RecordCollector},
    snapshot::Snapshot,
    tls,
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
        let gate = args.admin_gate().map_err(UsageError)?;
        let (server_tls, upstream_tls) = args.tls.load()?;
        descriptors::raise();
        // From here on things may be counted.
        let recorder = admin::install_metrics()?;
        // Ports first: the mistake that is made most often is reported before anything is connected.
        let bind = SocketAddr::new(service.bind, service.port.unwrap_or(DEFAULT_PORT));
        let mut options = ProxyOptions::new(bind);
        options.workers = args.workers.unwrap_or(options.workers);
        let tls_bind = SocketAddr::new(service.bind, args.tls.tls_port.unwrap_or(DEFAULT_TLS_PORT));
        options.tls = server_tls.clone().map(|tls| TlsListener { bind: tls_bind, tls });
        options.upstream_tls = Arc::clone(&upstream_tls);
        let (records, collector) = record::channel(args.replay_buffer as usize).unzip();
        options.records = records;
        options.access_log = args.access_log.options();
        let limits = args.limits.limits(service, options.workers);
        options.limits = limits.clone();
        let stats = Stats::new(options.workers);
        let shared = Arc::new(ArcSwap::from_pointee(Snapshot::empty()));
        let handed_over = match &args.handover {
            Some(path) => Predecessor::ask(path).await?,
            None => None,
        };
        let (predecessor, listening) = handed_over.unzip();
        let Listening { proxy, admin } = listening.unwrap_or_default();
        let sockets = proxy.or_bind(&options).map_err(|error| start_error(bind, error))?;
        let admin_bind = SocketAddr::new(args.admin_bind, args.admin_port);
        let admin_listener = admin_listener(admin, admin_bind).await?;
        let admin_address = admin_listener.local_addr()?;
        let duplicates =
            || Ok::<_, io::Error>(Listening { proxy: sockets.try_clone()?, admin: vec![admin_listener.try_clone()?] });
        let handover = args.handover.clone().map(|path| Ok::<_, io::Error>((path, duplicates()?))).transpose()?;
        let workers = proxy::start_on(sockets, options, Arc::clone(&shared), &stats);
        let workers = workers.map_err(|error| start_error(bind, error))?;

        let control_plane = service.control.connect(SERVICE)?;
        let ControlPlane { registry, config, disk } = control_plane.clone();
        let settings = follow(Arc::clone(&config), &service.control.prefix);
        let city = CitySource::new(args.city_data.clone());
        let (reload, reloaded) = watch::channel(0);
        let control = ControlLoop::new(
            settings.subscribe(),
            Arc::clone(&registry),
            Arc::clone(&shared),
            city,
            &service.service_version,
        )
        .checking(Arc::clone(&upstream_tls))
        .reloading(reloaded.clone())
        .counting(stats.workers());
        let instance = service.instance(workers.local_addr().port());
        let warmth = control.warmth();
        let (opened, is_open) = watch::channel(false);
        let (warm, open) = (warmth.clone(), is_open.clone());
        let before = async move {
            until(warm, |warmth| *warmth >= Warmth::Warm).await;
            until(open, |open| *open).await;
        };
        let registration = Registration::begin(Arc::clone(&registry), SERVICE, instance, before);
        let (phase, phase_now) = watch::channel(Phase::default());
        let (admin_closed, is_admin_closed) = watch::channel(false);
        let (refused, refused_files) = watch::channel(BTreeMap::new());
        let on_signal = OnSignal {
            config: Arc::clone(&config),
            registry: Arc::clone(&registry),
            reload,
            log: workers.log_reopener(),
        };
        let readiness = admin::readiness(Sources {
            control: &control_plane,
            settings: settings.subscribe(),
            snapshot: Arc::clone(&shared),
            registration: registration.state(),
            phase: phase_now,
        });
        let watching = readiness.clone().watch();
        let routes = admin::app(Admin {
            snapshot: shared,
            settings: settings.subscribe(),
            registry: registry.health(),
            config: config.health(),
            refused_files,
            readiness,
            disk,
            stats: Arc::new(stats),
            recorder,
            gate,
            records: collector.as_ref().map(RecordCollector::buffer),
            prefix: service.control.prefix.as_str().into(),
            caller: Caller { service: SERVICE.into(), version: Some(service.service_version.to_string()) },
            limits,
            judging: Arc::new(Semaphore::new(admin::MAX_JUDGED)),
        });

        // A set, because it ends the tasks when the application is dropped.
        let mut background = JoinSet::new();
        background.spawn(async move {
            control.run().await;
            Ok(())
        });
        background.spawn(async move {
            watching.await;
            Ok(())
        });
        if let Some(collector) = collector {
            background.spawn(async move {
                collector.run().await;
                Ok(())
            });
        }
        background.spawn(async move { match tls::follow(server_tls, upstream_tls, reloaded, refused).await {} });
        let admin_listener = TcpListener::from_std(admin_listener)?;
        background.spawn(async move {
            until(is_open, |open| *open).await;
            let closed = until(is_admin_closed, |closed| *closed);
            let service = routes.into_make_service_with_connect_info::<admin::Peer>();
            axum::serve(admin::bounded(admin_listener), service).with_graceful_shutdown(closed).await
        });
        tracing::info!(address = %admin_address, "admin side listening");
        let mut life = Life {
            workers,
            registration,
            warmth,
            registry: registry.health(),
            opened,
            phase,
            admin_closed,
            background,
            drain_wait: Duration::from_millis(service.drain_wait_ms),
            drain: Duration::from_secs(service.drain_secs),
            predecessor,
            handover,
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

/// Reads the documents once, judges them as the running gateway would, and prints the report to standard error.
///
/// # Errors
/// Every problem in them, by name and line; a certificate that cannot be used.
pub async fn check(args: &GatewayArgs) -> anyhow::Result<()> {
    args.admin_gate().map_err(UsageError)?;
    args.tls.load()?;
    let control = &args.service.control;
    let note = Cell::new(None);
    let read = |documents: &_| {
        let config = GatewayConfig::read(documents, &control.prefix);
        note.set(config.routes.note(proxy::Limits::default().response_timeout));
        config
    };
    let lasting = GatewayConfig::lasting(&control.prefix);
    let report = check_config(control, SERVICE, &DOCUMENTS, OWN_DOCUMENT, &lasting, read).await?;
    eprintln!("{report}");
    if let Some(note) = note.take() {
        eprintln!("{note}");
    }
    Ok(())
}

fn follow(config: Arc<dyn ConfigSource>, prefix: &str) -> LiveSettings<GatewayConfig> {
    let (prefix, lasting) = (prefix.to_owned(), GatewayConfig::lasting(prefix));
    LiveSettings::follow_lasting(config, &DOCUMENTS, lasting, move |documents| GatewayConfig::read(documents, &prefix))
}

/// Returns when it is so.
async fn until<T>(mut state: watch::Receiver<T>, is_so: impl FnMut(&T) -> bool) {
    if state.wait_for(is_so).await.is_err() {
        // Nobody can tell any more.
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
