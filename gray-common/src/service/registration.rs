//! Being in the registry: from the first attempt to the taking back.

use std::{future::Future, sync::Arc, time::Duration};

use gray_core::instance::Instance;
use gray_registry::{Registry, RegistryError};
use tokio::{sync::watch, task::JoinHandle, time};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How far a [`Registration`] has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// What has to be known before has not been heard of yet; nothing was sent to the registry.
    Waiting,
    /// The last attempt failed for this reason; the next one follows.
    Failing(String),
    /// The registry answers, and does not take it: the user has no right to register, say. The next attempt follows.
    Refused(String),
    /// The registry has it.
    Registered,
    /// There is no registry ([`RegistryError::NoRegistry`]): callers know this instance from elsewhere, or not at all.
    NoRegistry,
}

/// Registers an instance, for as long as it takes, and takes it back in the end. Dropping it ends the attempts.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<dyn Registry>,
    service: Arc<str>,
    instance: Instance,
    state: watch::Receiver<RegistrationState>,
    task: JoinHandle<()>,
}

impl Registration {
    /// Registers as soon as `warm` is through, and tries for ever. Must be called within a tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "a control task, not part of any request")]
    pub fn begin(
        registry: Arc<dyn Registry>,
        service: &str,
        instance: Instance,
        warm: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (sender, state) = watch::channel(RegistrationState::Waiting);
        let (to, service, what) = (Arc::clone(&registry), Arc::<str>::from(service), instance.clone());
        let name = Arc::clone(&service);
        let task = tokio::spawn(async move {
            warm.await;
            register(&*to, &name, &what, &sender).await;
        });
        Self { registry, service, instance, state, task }
    }

    /// How far it has got.
    pub fn state(&self) -> watch::Receiver<RegistrationState> {
        self.state.clone()
    }

    /// Why it is not registered, if it is not.
    pub fn reason(state: &watch::Receiver<RegistrationState>) -> Option<String> {
        match &*state.borrow() {
            RegistrationState::Waiting => Some("not registered yet".to_owned()),
            RegistrationState::Failing(reason) | RegistrationState::Refused(reason) => {
                Some(format!("not registered: {reason}"))
            }
            RegistrationState::Registered | RegistrationState::NoRegistry => None,
        }
    }

    /// Ends the attempts, and leaves the instance to another process that has announced the same address: it is not taken
    /// back. What a registry knows by our connection (Nacos) goes when this process ends.
    pub async fn leave_to_successor(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
        tracing::info!(service = &*self.service, instance = self.instance.authority(), "left to the successor");
    }

    /// What is announced.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Ends the attempts and takes the instance back within `limit`. Says whether callers may have known of it.
    pub async fn end(mut self, limit: Duration) -> bool {
        self.task.abort();
        // Its end is waited for: an attempt that comes after the taking back would undo it.
        drop((&mut self.task).await);
        match &*self.state.borrow() {
            RegistrationState::Waiting => return false,
            // Callers that know this address ask `/readyz`, and needs the time to do so.
            RegistrationState::NoRegistry => return true,
            RegistrationState::Failing(_) | RegistrationState::Refused(_) | RegistrationState::Registered => {}
        }
        let (service, instance) = (&*self.service, self.instance.authority());
        match time::timeout(limit, self.registry.deregister(service, &self.instance)).await {
            Ok(Ok(())) => tracing::info!(service, instance, "deregistered"),
            Ok(Err(error)) => {
                tracing::warn!(service, instance, %error, "not deregistered: the registry drops it later")
            }
            Err(_) => {
                tracing::warn!(service, instance, ?limit, "not deregistered in time: the registry drops it later");
            }
        }
        true
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn register(
    registry: &dyn Registry,
    service: &str,
    instance: &Instance,
    state: &watch::Sender<RegistrationState>,
) {
    let mut pause = FIRST_PAUSE;
    let mut attempts = 1u64;
    while let Err(error) = registry.register(service, instance).await {
        if matches!(error, RegistryError::NoRegistry) {
            tracing::info!(service, "serving without being registered anywhere");
            state.send_replace(RegistrationState::NoRegistry);
            return;
        }
        report(service, instance, &error, state);
        // Jitter, so that a fleet does not come back in step after an outage of the registry.
        time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        attempts += 1;
    }
    tracing::info!(service, instance = instance.authority(), version = instance.version(), attempts, "registered");
    state.send_replace(RegistrationState::Registered);
}

/// Logs once per change of the reason, not once per attempt.
fn report(service: &str, instance: &Instance, error: &RegistryError, state: &watch::Sender<RegistrationState>) {
    let failing = match error {
        RegistryError::Refused { .. } => RegistrationState::Refused(error.to_string()),
        _ => RegistrationState::Failing(error.to_string()),
    };
    let is_new = state.send_if_modified(|old| std::mem::replace(old, failing.clone()) != failing);
    if is_new {
        tracing::warn!(service, instance = instance.authority(), %error, "cannot register; trying again until it works");
    }
}
