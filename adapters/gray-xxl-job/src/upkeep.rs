//! What an executor does by itself: registering, following the rules, and reporting how runs ended.

use std::{sync::Arc, time::Duration};

use gray_core::Side;
use tokio::time::sleep;

use crate::{
    scheduler::{Scheduler, Untaken},
    shared::Shared,
    side::{Membership, group, path},
    wire::Registration,
};

/// Who registers, and as what.
pub(crate) struct Identity {
    pub(crate) app: String,
    pub(crate) version: Option<String>,
    /// `http://host:port/`
    pub(crate) address: String,
}

impl Identity {
    fn registration(&self, side: Side) -> Registration {
        Registration {
            registry_group: "EXECUTOR",
            registry_key: group(side, &self.app),
            registry_value: format!("{}{}", self.address, path(side)),
        }
    }
}

/// How often a registration is renewed: schedulers drop one that is 90 s old.
const RENEW: Duration = Duration::from_secs(30);
/// How soon what failed is tried again, and how late.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Registers where the version belongs, for as long as it lives. The new group comes first and the old one goes after, so that
/// at least one executor is listed at any moment.
pub(crate) async fn register(shared: Arc<Shared>, scheduler: Arc<Scheduler>, identity: Arc<Identity>) {
    let mut followed = shared.rules.clone();
    let mut failures = 0_u32;
    let mut is_known = None;
    loop {
        let rules = followed.borrow_and_update().clone();
        if let Some(rules) = &rules {
            let side = rules.policy.side_of(identity.version.as_deref());
            if shared.become_one_of(side) {
                let group = side.map(|side| group(side, &identity.app));
                tracing::info!(
                    group = group.as_deref().unwrap_or("none"),
                    version = identity.version,
                    "executor belongs to"
                );
                is_known = None;
            }
        }
        let outcome = once(&shared, &scheduler, &identity, Membership::OVERLAP_MS).await;
        let is_registered = outcome.is_ok();
        if is_known != Some(is_registered) {
            match &outcome {
                Ok(()) => tracing::info!(address = identity.address, "the scheduler knows this executor"),
                Err(reason) => tracing::warn!(%reason, "not registered at the scheduler: tried again until it works"),
            }
            is_known = Some(is_registered);
        }
        failures = if is_registered { 0 } else { failures.saturating_add(1) };
        let pause = match &outcome {
            Err(_) => backoff(failures),
            Ok(()) if !shared.to_leave(0).is_empty() => RETRY.0,
            Ok(()) => RENEW,
        };
        tokio::select! {
            () = sleep(pause) => {}
            changed = followed.changed() => if changed.is_err() {
                // Its sender is gone: what it said last stays.
                sleep(pause).await;
            },
        }
    }
}

async fn once(shared: &Shared, scheduler: &Scheduler, identity: &Identity, overlap_ms: u64) -> Result<(), Untaken> {
    if let Some(side) = shared.side() {
        scheduler.post("api/registry", &identity.registration(side)).await?;
    }
    for side in shared.to_leave(overlap_ms) {
        scheduler.post("api/registryRemove", &identity.registration(side)).await?;
        shared.told(side);
    }
    Ok(())
}

/// Takes the registration back; tried once.
pub(crate) async fn leave(shared: &Shared, scheduler: &Scheduler, identity: &Identity) {
    shared.become_one_of(None);
    if let Err(reason) = once(shared, scheduler, identity, 0).await {
        tracing::warn!(%reason, "the scheduler does not know that this executor leaves; it forgets it in 90 s");
    }
}

/// Reports how runs ended, until each report is acknowledged.
pub(crate) async fn report(shared: Arc<Shared>, scheduler: Arc<Scheduler>) {
    let mut failures = 0_u32;
    loop {
        let callbacks = shared.to_send();
        if callbacks.is_empty() {
            shared.posted.notified().await;
            continue;
        }
        match scheduler.post("api/callback", &callbacks).await {
            Ok(()) => {
                failures = 0;
                shared.sent(true);
            }
            Err(reason) => {
                failures = failures.saturating_add(1);
                if failures == 1 {
                    tracing::warn!(%reason, waiting = shared.unsent(), "ends of runs are not acknowledged: tried again until they are");
                }
                if matches!(reason, Untaken::Refused(_)) {
                    shared.sent(false);
                }
                sleep(backoff(failures)).await;
            }
        }
    }
}

fn backoff(failures: u32) -> Duration {
    let (first, last) = RETRY;
    first.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let seconds: Vec<_> = [1, 2, 3, 5, 6, 100, u32::MAX].map(|count| backoff(count).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 16, 30, 30, 30]);
    }

    #[test]
    fn each_group_has_an_address_of_its_own() {
        let identity = Identity { app: "order-app".into(), version: None, address: "http://10.0.0.1:9999/".into() };
        let of = |side| {
            let registration = identity.registration(side);
            (registration.registry_key, registration.registry_value)
        };
        assert_eq!(of(Side::Baseline), ("order-app".into(), "http://10.0.0.1:9999/".into()));
        assert_eq!(of(Side::Gray), ("order-app-gray".into(), "http://10.0.0.1:9999/gray/".into()));
    }
}
