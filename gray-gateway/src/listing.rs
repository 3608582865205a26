//! Whether a service without instances has none registered, or was not listed yet.

use std::time::Duration;

use gray_live::ServiceFollower;
use gray_registry::Health;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Time from the registry's first answer to the last of its lists: of several registries, one that is up answers for a
/// service that another one has not been asked about yet.
const LISTING: Duration = Duration::from_secs(5);

/// How far the registry has got.
#[derive(Debug)]
pub(crate) struct Listing {
    health: watch::Receiver<Health>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// It does not answer: what it has not listed, it may know.
    Away,
    /// It has begun to, and has until then.
    Until(Instant),
    /// What it does not list, it does not know.
    Complete,
}

impl Listing {
    pub(crate) fn new(mut health: watch::Receiver<Health>) -> Self {
        // One that is up from the start has no server to wait for.
        let state = if is_up(&mut health) { State::Complete } else { State::Away };
        Self { health, state }
    }

    /// Whether no instance of this service is missing only because it is early.
    pub(crate) fn is_complete(&self, service: &ServiceFollower) -> bool {
        service.is_settled() && (self.is_over() || !service.set().known().is_empty())
    }

    /// Whether the registry has listed all that it knows.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Returns when it has got further, or fallen back. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let until = match self.state {
            State::Until(at) => Some(at),
            State::Away | State::Complete => None,
        };
        let listed = async {
            match until {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.health.changed() => match changed {
                Ok(()) if is_up(&mut self.health) => self.state = State::Until(Instant::now() + LISTING),
                Ok(()) => self.state = State::Away,
                Err(_) => std::future::pending().await,
            },
            () = listed => self.state = State::Complete,
        }
    }
}

fn is_up(health: &mut watch::Receiver<Health>) -> bool {
    *health.borrow_and_update() == Health::Up
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gray_registry::{MemoryRegistry, Registry};
    use gray_settings::{Caller, GraySettings};
    use tokio::{sync::Notify, time};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_is_missing_only_when_the_registry_has_had_time_to_list_it() {
        let registry: Arc<dyn Registry> = MemoryRegistry::new();
        let mut service = ServiceFollower::new(registry, Caller::default(), "order-app", Arc::new(Notify::new()));
        service.update(&GraySettings::default());
        assert!(service.is_settled() && service.set().known().is_empty(), "one of the registries has answered");
        let health = watch::Sender::new(Health::Down("not yet".into()));
        let mut listing = Listing::new(health.subscribe());
        assert!(!listing.is_complete(&service));
        assert!(time::timeout(10 * LISTING, listing.changed()).await.is_err(), "as long as it may take");
        health.send_replace(Health::Up);
        listing.changed().await;
        assert!(!listing.is_complete(&service), "it has just begun");
        let began = Instant::now();
        listing.changed().await;
        assert!(listing.is_complete(&service) && began.elapsed() >= LISTING);
        health.send_replace(Health::Down("lost".into()));
        listing.changed().await;
        assert!(!listing.is_complete(&service));
        assert!(
            Listing::new(watch::Sender::new(Health::Up).subscribe()).is_complete(&service),
            "there is no instance to wait for"
        );
    }
}
