//! Serving, and the orderly way out.

use std::{
    future::{Future, IntoFuture},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, ServiceExt, extract::Request, serve::ListenerExt};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time,
};

use super::{
    GrayService, Needs, Phase, Readiness, Registration, ServiceError,
    health::{Surrounded, Traffic},
    metrics::{Metrics, recorder},
};
use crate::{
    client::ServiceView,
    control::ControlPlane,
    instance::Instance,
    layer::Hop,
    registry::Health,
    settings::{GraySettings, SettingsState},
};

/// Limit of the deregistration; the reliability of a stop must not hang on the registry.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(2);

impl GrayService {
    /// Serves until SIGTERM, SIGINT or SIGQUIT, then leaves in order: see the [module](super).
    pub async fn serve(self, app: Router) -> Result<(), ServiceError> {
        let Self { name, args, listener, instance, control, settings, views, mut signals } = self;
        let traffic = Arc::new(Traffic::default());
        let warm = warm(settings.subscribe(), views.clone());
        let space = args.control.register_in.as_ref().map(|space| space.to_string().into());
        let hop = Hop::new(&name, Instance { space, ..instance.clone() }, settings.shared());
        let registration = Registration::begin(Arc::clone(&control.registry), &name, instance, warm);
        let readiness = readiness(&traffic, settings.subscribe(), &control, views, &registration);
        let mut watching = JoinSet::new();
        watching.spawn(readiness.clone().watch());
        let metrics = recorder().map(|recorder| Metrics {
            service: Arc::clone(&name),
            recorder,
            traffic: Arc::clone(&traffic),
            readiness: readiness.clone(),
            settings: settings.subscribe(),
        });
        let app = Surrounded::new(app, readiness, Arc::clone(&traffic), metrics, hop);
        let app = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(app);

        let (close, closed) = oneshot::channel::<()>();
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY not set");
            }
        });
        // A set, because it ends the server when this future is dropped.
        let mut server = JoinSet::new();
        server
            .spawn(axum::serve(listener, app).with_graceful_shutdown(async move { drop(closed.await) }).into_future());

        let (config, registry) = (Arc::clone(&control.config), Arc::clone(&control.registry));
        signals.on_reload(move || {
            config.refresh();
            registry.refresh();
        });
        let signal = tokio::select! {
            signal = signals.next() => signal,
            ended = server.join_next() => return served(ended),
        };
        tracing::info!(service = &*name, signal, in_flight = traffic.in_flight(), "stopping: deregistering");
        traffic.enter(Phase::Deregistering);
        let was_known = registration.end(DEREGISTER_LIMIT).await;
        traffic.enter(Phase::Leaving);
        let wait = Duration::from_millis(args.drain_wait_ms);
        if was_known && !wait.is_zero() {
            tracing::info!(?wait, "still accepting until callers have heard of it");
            tokio::select! {
                () = time::sleep(wait) => {}
                signal = signals.next() => tracing::info!(signal, "second signal: not waiting any longer"),
                ended = server.join_next() => return served(ended),
            }
        }
        tracing::info!(in_flight = traffic.in_flight(), "no longer accepting; finishing what is in flight");
        traffic.enter(Phase::Draining);
        if close.send(()).is_err() {
            tracing::debug!("the server has ended by itself");
        }
        let limit = Duration::from_secs(args.drain_secs);
        let finished = {
            let mut finished = pin!(time::timeout(limit, server.join_next()));
            tokio::select! {
                finished = &mut finished => Some(finished),
                signal = signals.next() => {
                    tracing::warn!(signal, in_flight = traffic.in_flight(), "second signal: cutting off what is in flight");
                    None
                }
            }
        };
        match finished {
            Some(Ok(ended)) => {
                served(ended)?;
                tracing::info!(service = &*name, "stopped");
            }
            Some(Err(_)) => {
                tracing::warn!(?limit, in_flight = traffic.in_flight(), "time is up: cutting off what is in flight")
            }
            None => {}
        }
        Ok(())
    }

    /// Like [`serve`](Self::serve); `stop` does what a signal does.
    pub async fn serve_until(
        mut self,
        app: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServiceError> {
        self.signals.or(stop);
        self.serve(app).await
    }
}

fn served(ended: Option<Result<std::io::Result<()>, tokio::task::JoinError>>) -> Result<(), ServiceError> {
    match ended {
        Some(Ok(Ok(()))) | None => Ok(()),
        Some(Ok(Err(source))) => Err(ServiceError::Serve { source }),
        Some(Err(error)) => Err(ServiceError::Serve { source: std::io::Error::other(error) }),
    }
}

/// Through when settings are known and the registry has answered for every called service: whoever registers before
/// that is sent requests that it cannot pass on properly.
async fn warm(mut settings: watch::Receiver<SettingsState<GraySettings>>, views: Vec<ServiceView>) {
    // An error means that no settings can come any more; then nobody is helped by waiting, `/readyz` has the reason.
    if settings.wait_for(|state| state.current.is_some()).await.is_err() {
        std::future::pending::<()>().await;
    }
    for view in views {
        if view.known().wait_for(|known| *known).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn readiness(
    traffic: &Arc<Traffic>,
    settings: watch::Receiver<SettingsState<GraySettings>>,
    control: &ControlPlane,
    views: Vec<ServiceView>,
    registration: &Registration,
) -> Readiness {
    let (health, state) = (control.config.health(), registration.state());
    let phase = {
        let (traffic, state) = (Arc::clone(traffic), state.clone());
        move || traffic.phase().with(&state.borrow())
    };
    let refused = {
        let settings = settings.clone();
        move || settings.borrow().refused.as_ref().map(|refused| format!("the newest are refused: {refused}"))
    };
    let settings_reason = {
        let health = health.clone();
        move || {
            let settings = settings.borrow();
            match (&settings.current, &settings.refused, &*health.borrow()) {
                (Some(_), _, _) => None,
                (None, Some(refused), _) => Some(format!("settings refused: {refused}")),
                (None, None, Health::Down(reason)) => Some(format!("settings not known yet: {reason}")),
                (None, None, Health::Up) => Some("settings not known yet".to_owned()),
            }
        }
    };
    let unknown_service = move || {
        let unknown: Vec<_> = views.iter().filter(|view| !view.load().known).map(ServiceView::service).collect();
        (!unknown.is_empty()).then(|| format!("the registry has not answered yet for {}", unknown.join(", ")))
    };
    let doubts = control.registry.doubts();
    Needs::new()
        .requires("settings", settings_reason)
        .requires("services", unknown_service)
        .requires("registration", move || Registration::reason(&state))
        .hears("registry", control.registry.health())
        .hears("settings", health)
        .notes("settings refused", refused)
        .notes("registration", move || doubts.borrow().clone())
        .of(phase)
}
