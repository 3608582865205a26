//! Serving, and the orderly way out.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use gray_core::instance::Instance;
use gray_live::SettingsState;
use gray_registry::Health;
use gray_settings::GraySettings;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time,
};

use super::{
    GrayService, Needs, Phase, Readiness, Registration, ServiceError, Stoppable,
    health::{Surrounded, Traffic},
    leave::leave,
    metrics::{Metrics, recorder},
};
use crate::{client::ServiceView, control::ControlPlane, layer::Hop, server::Server};

impl GrayService {
    /// Serves until SIGTERM, SIGINT or SIGQUIT, then leaves in order: see the [module](super).
    pub async fn serve(self, app: Router) -> Result<(), ServiceError> {
        let Self { name, args, listener, instance, control, settings, views, mut signals, trust: _ } = self;
        let traffic = Arc::new(Traffic::default());
        let warm = warm(settings.subscribe(), views.clone());
        let space = args.control.register_in.as_ref().map(|space| space.to_string().into());
        let hop = Hop::new(&name, Instance { space, ..instance.clone() }, settings.shared());
        let registration = Registration::begin(Arc::clone(&control.registry), &name, instance, warm);
        let readiness = readiness(&traffic, settings.subscribe(), &control, views, &registration);
        let mut watching = JoinSet::new();
        watching.spawn(readiness.clone().watch());
        let server = Server::new(args.limits());
        let metrics = recorder().map(|recorder| Metrics {
            service: Arc::clone(&name),
            recorder,
            traffic: Arc::clone(&traffic),
            readiness: readiness.clone(),
            settings: settings.subscribe(),
            server: server.clone(),
        });
        let app = Surrounded::new(app, readiness, Arc::clone(&traffic), metrics, hop);
        let (close, closed) = oneshot::channel::<()>();
        // A set, because it ends the server when this future is dropped.
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve(listener, app, async { drop(closed.await) }).await });

        let (config, registry) = (Arc::clone(&control.config), Arc::clone(&control.registry));
        signals.on_reload(move || {
            config.refresh();
            registry.refresh();
        });
        let signal = tokio::select! {
            signal = signals.next() => signal,
            ended = serving.join_next() => return served(ended),
        };
        leave(Serving { traffic, close: Some(close), serving }, registration, args.stop_limits(), signal, &mut signals)
            .await
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

/// What is to be stopped.
struct Serving {
    traffic: Arc<Traffic>,
    /// Tells the server to accept no more.
    close: Option<oneshot::Sender<()>>,
    serving: JoinSet<()>,
}

impl Stoppable for Serving {
    type Error = ServiceError;

    fn enter(&mut self, phase: Phase) {
        self.traffic.enter(phase);
    }

    fn counter(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let traffic = Arc::clone(&self.traffic);
        move || traffic.in_flight() as u64
    }

    async fn finish(&mut self, limit: Duration) -> Result<u64, ServiceError> {
        if self.close.take().is_some_and(|close| close.send(()).is_err()) {
            tracing::debug!("the server has ended by itself");
        }
        match time::timeout(limit, self.serving.join_next()).await {
            Ok(ended) => served(ended).map(|()| 0),
            // A connection may be between two requests.
            Err(_) => Ok((self.traffic.in_flight() as u64).max(1)),
        }
    }
}

fn served(ended: Option<Result<(), tokio::task::JoinError>>) -> Result<(), ServiceError> {
    match ended {
        Some(Ok(())) | None => Ok(()),
        Some(Err(error)) => Err(ServiceError::Serve { source: std::io::Error::other(error) }),
    }
}

/// Through when settings are known and the registry has answered for every called service: an instance that
/// registers before that is sent requests that it cannot pass on properly.
async fn warm(mut settings: watch::Receiver<SettingsState<GraySettings>>, views: Vec<ServiceView>) {
    // An error means that no settings can come any more; then waiting is of no use, `/readyz` has the reason.
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
        move || settings.borrow().refused.as_ref().map(ToString::to_string)
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
