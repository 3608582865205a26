//! Announces one instance and keeps its lease.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gray_core::instance::Instance;
use gray_registry::{Announcer, CallError};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    Shared,
    http::Question,
    record::{Status, announcement, app_name, instance_id},
};

/// How soon a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The task behind one address of one service.
pub(crate) struct Registration {
    shared: Arc<Shared>,
    service: String,
    announced: Option<Instance>,
    /// What may have reached a server although it was not confirmed.
    tried: Option<Instance>,
    /// When it was last changed, by the clock of this machine in milliseconds, never the same twice.
    dirty: u64,
    renewed: Instant,
    failures: u32,
    back: watch::Receiver<u64>,
}

impl Announcer for Registration {
    async fn register(&mut self, instance: Instance) -> Result<(), CallError> {
        if let Some(before) = &self.announced
            && Status::of(before) != Status::of(&instance)
        {
            // A server takes the status of an instance that it knows for its operator's.
            self.cancel(before).await?;
        }
        self.tried = Some(instance.clone());
        self.announce(&instance).await?;
        self.announced = self.tried.take();
        self.shared.wake.notify_one();
        Ok(())
    }

    async fn deregister(&mut self, instance: Instance) -> Result<(), CallError> {
        let Some(announced) = self.announced.take().or(self.tried.take()) else { return Ok(()) };
        self.doubt(&instance, None);
        let outcome = self.cancel(&announced).await;
        self.shared.wake.notify_one();
        outcome
    }

    fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// Waits, then renews the lease once; announces the instance again where it is not known.
    async fn keep(&mut self) {
        let pause = if self.failures == 0 { self.shared.client.options.renew_interval } else { RETRY };
        // Another server, or one that has begun anew, may not know us.
        drop(timeout(pause, self.back.changed()).await);
        let Some(instance) = self.announced.clone() else { return };
        let outcome = self.renew(&instance).await;
        let Err(failure) = outcome else { return };
        self.failures = self.failures.saturating_add(1);
        let (service, address) = (&self.service, instance.authority());
        if self.failures == 1 {
            tracing::warn!(%service, %address, "Eureka does not renew the lease of our instance; trying again: {failure}");
        }
        // Half of the lease is left: until then it is certain to be listed.
        if self.renewed.elapsed() >= self.shared.client.options.lease / 2 {
            self.doubt(&instance, Some(failure.to_string()));
        }
    }
}

impl Registration {
    pub(crate) fn new(shared: Arc<Shared>, service: String) -> Self {
        let back = shared.back.subscribe();
        Self { shared, service, announced: None, tried: None, dirty: 0, renewed: Instant::now(), failures: 0, back }
    }

    async fn announce(&mut self, instance: &Instance) -> Result<(), CallError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
        self.dirty = u64::try_from(now).unwrap_or(u64::MAX).max(self.dirty + 1);
        let options = &self.shared.client.options;
        let lease = (options.renew_interval.as_secs().max(1), options.lease.as_secs().max(1));
        let body = announcement(&self.service, (instance, options.zone.as_deref()), lease, self.dirty).to_string();
        let path = format!("apps/{}", escaped(&app_name(&self.service)));
        self.ask(Method::POST, path, Some(body), &[]).await?;
        (self.renewed, self.failures) = (Instant::now(), 0);
        self.doubt(instance, None);
        Ok(())
    }

    async fn renew(&mut self, instance: &Instance) -> Result<(), CallError> {
        let status = Status::of(instance).name();
        let path = format!("{}?status={status}&lastDirtyTimestamp={}", self.path_of(instance), self.dirty);
        let answer = self.ask(Method::PUT, path, None, &[StatusCode::NOT_FOUND]).await?;
        if answer == StatusCode::NOT_FOUND {
            self.announce(instance).await?;
            let (service, address) = (&self.service, instance.authority());
            tracing::info!(%service, %address, "Eureka had lost our instance; announced again");
            return Ok(());
        }
        if self.failures > 0 {
            tracing::info!(service = %self.service, "Eureka renews the lease of our instance again");
        }
        (self.renewed, self.failures) = (Instant::now(), 0);
        self.doubt(instance, None);
        Ok(())
    }

    async fn cancel(&self, instance: &Instance) -> Result<(), CallError> {
        self.ask(Method::DELETE, self.path_of(instance), None, &[StatusCode::NOT_FOUND]).await.map(drop)
    }

    fn path_of(&self, instance: &Instance) -> String {
        instance_path(&app_name(&self.service), &instance_id(&self.service, instance))
    }

    async fn ask(
        &self,
        method: Method,
        path: String,
        body: Option<String>,
        taken: &'static [StatusCode],
    ) -> Result<StatusCode, CallError> {
        let limit = self.shared.client.options.request_timeout;
        self.shared.client.ask(&Question { method, path, body, limit, taken }).await.map(|answer| answer.status)
    }

    fn doubt(&self, instance: &Instance, reason: Option<String>) {
        self.shared.doubts.set(&self.service, &instance.authority(), reason);
    }
}

/// Where one instance of an application is asked for.
pub(crate) fn instance_path(app: &str, id: &str) -> String {
    format!("apps/{}/{}", escaped(app), escaped(id))
}

/// A part of a path.
fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Everything but what is plain in a path.
const ESCAPED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b':');
