//! Keeps one client connected, and knows whether the server answers.
//!
//! The SDK reconnects by itself, and its [`Relay`](super::relay::Relay) sees to it that this works. A client that does not
//! answer on a good connection all the same is replaced.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use gray_registry::{CallError, Health};
use nacos_sdk::api::naming::NamingService;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    NacosOptions,
    client::{Dialer, Wired},
    relay::{Relay, Remedy},
};

/// How often a healthy connection is asked whether it still is.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How often an unhealthy one is.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait between attempts to build a client on a server that accepts connections but does not answer.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// The SDK cannot end a client for good; after so many replacements its own reconnecting has to do.
pub(super) const MAX_REPLACEMENTS: u32 = 64;

/// What can be kept connected.
#[async_trait]
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// What is connected, for the log.
    const NAME: &'static str;

    /// Opens one.
    async fn dial(dialer: &Dialer) -> Result<Self, CallError>;

    /// Its way to the servers.
    fn relay(&self) -> &Relay;

    /// Asks the server for something small.
    async fn probe(&self, dialer: &Dialer) -> Result<(), CallError>;
}

#[async_trait]
impl Client for Wired<NamingService> {
    const NAME: &'static str = "registry";

    async fn dial(dialer: &Dialer) -> Result<Self, CallError> {
        dialer.naming().await
    }

    fn relay(&self) -> &Relay {
        &self.relay
    }

    async fn probe(&self, dialer: &Dialer) -> Result<(), CallError> {
        let (client, group) = (self.sdk.clone(), Some(dialer.options().group.clone()));
        let call = async move { client.get_service_list(1, 1, group).await };
        dialer.call(dialer.options().read_timeout, call).await.map(drop)
    }
}

/// A client that is kept connected by [`Connection::keep`].
#[derive(Debug)]
pub(crate) struct Connection<C> {
    dialer: Arc<Dialer>,
    client: watch::Sender<Option<C>>,
    health: watch::Sender<Health>,
    doubt: Notify,
}

impl<C: Client> Connection<C> {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Arc<Self> {
        let health = Health::Down(format!("connecting to Nacos at {}", dialer.options().server));
        let (client, health) = (watch::Sender::new(None), watch::Sender::new(health));
        Arc::new(Self { dialer, client, health, doubt: Notify::new() })
    }

    pub(crate) fn dialer(&self) -> &Arc<Dialer> {
        &self.dialer
    }

    /// The client to use; another one when it was replaced.
    pub(crate) fn client(&self) -> watch::Receiver<Option<C>> {
        self.client.subscribe()
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// A call on the client failed: find out now whether the server still answers.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Connects, probes, replaces; never ends.
    pub(crate) async fn keep(self: Arc<Self>) {
        let client = self.first().await;
        self.client.send_replace(Some(client.clone()));
        self.report(Ok(()));
        let mut client = client;
        let mut silent_since: Option<Instant> = None;
        let mut is_well = true;
        let mut replacements = 0;
        loop {
            match is_well {
                // Either way it is time to probe.
                true => drop(timeout(PROBE_INTERVAL, self.doubt.notified()).await),
                false => sleep(RETRY_INTERVAL).await,
            }
            // Without a server there is nothing to wait for.
            let probed = match client.relay().trouble() {
                Some(trouble) => Err(CallError::Failed(trouble)),
                None => client.probe(&self.dialer).await,
            };
            is_well = probed.is_ok();
            self.report(probed.as_ref().copied());
            if matches!(probed, Ok(()) | Err(CallError::Refused(_))) {
                // It answers; another connection would be answered the same.
                silent_since = None;
                continue;
            }
            let since = *silent_since.get_or_insert_with(Instant::now);
            if client.relay().remedy(since) != Remedy::Replace || replacements >= MAX_REPLACEMENTS {
                continue;
            }
            match C::dial(&self.dialer).await {
                Ok(fresh) => {
                    replacements += 1;
                    client = fresh;
                    self.client.send_replace(Some(client.clone()));
                    silent_since = None;
                }
                Err(failure) => self.report(Err(&failure)),
            }
        }
    }

    async fn first(&self) -> C {
        let mut wait = RETRY_INTERVAL;
        loop {
            match C::dial(&self.dialer).await {
                Ok(client) => return client,
                Err(failure) => {
                    self.report(Err(&failure));
                    // A refused connection costs nothing to try again; a client that was half built does.
                    wait = if matches!(failure, CallError::Timeout(_)) {
                        MAX_BACKOFF.min(wait * 2)
                    } else {
                        RETRY_INTERVAL
                    };
                }
            }
            sleep(wait).await;
        }
    }

    /// Publishes the state; one line in the log for each change between up and down, none for another failed attempt.
    fn report(&self, outcome: Result<(), &CallError>) {
        let NacosOptions { server, namespace, .. } = self.dialer.options();
        let now = match outcome {
            Ok(()) => Health::Up,
            Err(failure) => Health::Down(format!("Nacos at {server} cannot be used, retrying: {failure}")),
        };
        let mut before = now.clone();
        // Told when it changes: every other probe that succeeds would look like the end of an outage.
        self.health.send_if_modified(|health| {
            before = std::mem::replace(health, now.clone());
            before != now
        });
        let is_refused = matches!(outcome, Err(CallError::Refused(_)));
        match (&before, &now) {
            (Health::Down(_), Health::Up) => tracing::info!(nacos = %server, namespace, what = C::NAME, "connected"),
            (Health::Up, Health::Down(reason)) => {
                tracing::warn!(nacos = %server, namespace, what = C::NAME, "connection lost, keeping what is known: {reason}");
            }
            // Not while it starts, say: then an operator has to act.
            (Health::Down(before), Health::Down(reason)) if is_refused && before != reason => {
                tracing::warn!(nacos = %server, namespace, what = C::NAME, "refused: {reason}");
            }
            (Health::Down(before), Health::Down(reason)) if before.starts_with("connecting") => {
                tracing::warn!(nacos = %server, namespace, what = C::NAME, "not connected yet: {reason}");
            }
            _ => {}
        }
    }
}
