//! Announces one instance and keeps it announced, on a client of its own.
//!
//! One client holds at most one instance per service. The SDK announces again after a reconnect, but late after a
//! long outage, and not at all when a server that was still starting refused it. So we read back now and then.

use std::{sync::Arc, time::Duration};

use gray_core::instance::{CLUSTER_KEY, Instance, Metadata};
use gray_registry::{Announcer, CallError, Doubts};
use nacos_sdk::api::naming::NamingService;
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{Dialer, Wired, read_instances, to_wire},
    connection::MAX_REPLACEMENTS,
    console,
    relay::Remedy,
};

/// How often an announced instance is read back.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The same, while something is wrong.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a new one may take to be listed.
const READ_BACK: Duration = Duration::from_secs(2);
/// How often it is looked for meanwhile.
const READ_BACK_INTERVAL: Duration = Duration::from_millis(50);
/// Missing in so many lists in a row, it is announced again; then after twice as many, and so on. When that fails, with
/// every list.
const FIRST_REPAIR: u32 = 2;
/// After so many refusals in a row a new token does not help, and there is no hurry.
const HASTY: u32 = 5;
/// If it is not seen in the registry for so long, its registration counts as doubtful.
const DOUBTFUL: Duration = Duration::from_secs(15);

/// The task behind one address of one service.
pub(super) struct Registration {
    dialer: Arc<Dialer>,
    service: String,
    client: Option<Wired<NamingService>>,
    announced: Option<Instance>,
    /// What of its metadata was listed otherwise when that was last looked at.
    other: Vec<String>,
    silent_since: Option<Instant>,
    misses: u32,
    next_repair: u32,
    refusals: u32,
    replacements: u32,
    /// When it was last known to be in the registry.
    confirmed: Instant,
    doubts: Arc<Doubts>,
}

impl Announcer for Registration {
    async fn register(&mut self, instance: Instance) -> Result<(), CallError> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(self.dialer.naming().await?).clone(),
        };
        self.announce(&client, &instance).await?;
        self.announced = Some(instance.clone());
        (self.silent_since, self.confirmed) = (None, Instant::now());
        self.found(true);
        if timeout(READ_BACK, self.listed(&client, &instance)).await.is_err() {
            let (service, address) = (&self.service, instance.authority());
            tracing::warn!(%service, %address, "nacos took our instance, but does not list it yet; looking again later");
        }
        Ok(())
    }

    async fn deregister(&mut self, instance: Instance) -> Result<(), CallError> {
        let Some(client) = self.client.take() else { return Ok(()) };
        let instance = self.announced.take().unwrap_or(instance);
        self.doubts.set(&self.service, &instance.authority(), None);
        let options = self.dialer.options();
        let (service, group, wire) = (self.service.clone(), Some(options.group.clone()), to_wire(&instance, options));
        let sdk = client.sdk.clone();
        let call = async move { sdk.deregister_instance(service, group, wire).await };
        // With the client goes its connection, and with that the instance, should the call have failed.
        self.dialer.call(options.deregister_timeout, call).await
    }

    fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// Waits, then checks once.
    async fn keep(&mut self) {
        let is_due = (1..=FIRST_REPAIR).contains(&self.misses) || (1..=HASTY).contains(&self.refusals);
        let is_calm = self.silent_since.is_none() && !is_due;
        sleep(if is_calm { CHECK_INTERVAL } else { TROUBLE_INTERVAL }).await;
        let (Some(client), Some(instance)) = (self.client.clone(), self.announced.clone()) else { return };
        let doubt = self.check(&client, &instance).await.err();
        if doubt.is_none() {
            self.confirmed = Instant::now();
        }
        if doubt.is_none() || self.confirmed.elapsed() >= DOUBTFUL {
            self.doubts.set(&self.service, &instance.authority(), doubt.map(|doubt| doubt.to_string()));
        }
    }
}

impl Registration {
    pub(super) fn new(dialer: Arc<Dialer>, service: String, doubts: Arc<Doubts>) -> Self {
        Self {
            dialer,
            service,
            client: None,
            announced: None,
            other: Vec::new(),
            silent_since: None,
            misses: 0,
            next_repair: FIRST_REPAIR,
            refusals: 0,
            replacements: 0,
            confirmed: Instant::now(),
            doubts,
        }
    }

    /// Returns when Nacos lists it: from then on callers can find it.
    async fn listed(&self, client: &Wired<NamingService>, instance: &Instance) {
        loop {
            if let Ok(list) = read_instances(&self.dialer, &client.sdk, self.dialer.options(), &self.service).await
                && self.is_known(&list, instance).await
            {
                return;
            }
            sleep(READ_BACK_INTERVAL).await;
        }
    }

    /// Whether it is in this list; or not listed, but there: an operator disabled it, and that is not ours to change.
    async fn is_known(&self, list: &[Instance], instance: &Instance) -> bool {
        list.iter().any(|other| other.is_at_address_of(instance))
            || console::is_registered(&self.dialer, &self.service, instance).await
    }

    async fn announce(&self, client: &Wired<NamingService>, instance: &Instance) -> Result<(), CallError> {
        let options = self.dialer.options();
        let (client, service, group) = (client.sdk.clone(), self.service.clone(), Some(options.group.clone()));
        let wire = to_wire(instance, options);
        let call = async move { client.register_instance(service, group, wire).await };
        self.dialer.call(options.register_timeout, call).await
    }

    /// Looks for it in the registry, and does something about it when it is not there.
    async fn check(&mut self, client: &Wired<NamingService>, instance: &Instance) -> Result<(), CallError> {
        let read = match client.relay.trouble() {
            Some(trouble) => Err(CallError::Failed(trouble)),
            None => read_instances(&self.dialer, &client.sdk, self.dialer.options(), &self.service).await,
        };
        match read {
            Ok(list) => {
                (self.silent_since, self.refusals) = (None, 0);
                let known = self.is_known(&list, instance).await;
                self.found(known);
                if known {
                    self.compare(&list, instance);
                    return Ok(());
                }
                if self.misses >= self.next_repair {
                    self.repair(client, instance).await?;
                }
                Err(CallError::Failed("Nacos does not list it".into()))
            }
            // It answers; another connection would be answered the same.
            Err(refused @ CallError::Refused(_)) => {
                (self.silent_since, self.refusals) = (None, self.refusals.saturating_add(1));
                Err(refused)
            }
            Err(failure) => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                if client.relay.remedy(since) == Remedy::Replace && self.replacements < MAX_REPLACEMENTS {
                    self.replace(instance).await;
                }
                Err(failure)
            }
        }
    }

    /// Says once when callers are told something else of it than it says of itself.
    fn compare(&mut self, list: &[Instance], instance: &Instance) {
        let Some(listed) = list.iter().find(|other| other.is_at_address_of(instance)) else { return };
        let other = differences(&instance.metadata, &listed.metadata);
        if other == self.other {
            return;
        }
        let (service, address) = (&self.service, instance.authority());
        if other.is_empty() {
            tracing::info!(%service, %address, "nacos lists our instance as it was registered again");
        } else {
            tracing::warn!(
                %service, %address, metadata = other.join(", "),
                "nacos lists our instance with other metadata than it was registered with, and callers go by that: it was \
                 changed in Nacos, or this server keeps what an instance at this address said first"
            );
        }
        self.other = other;
    }

    fn found(&mut self, is_known: bool) {
        if is_known {
            (self.misses, self.next_repair) = (0, FIRST_REPAIR);
        } else {
            self.misses = self.misses.saturating_add(1);
        }
    }

    async fn repair(&mut self, client: &Wired<NamingService>, instance: &Instance) -> Result<(), CallError> {
        let (service, address) = (&self.service, instance.authority());
        let outcome = self.announce(client, instance).await;
        match &outcome {
            Ok(()) => {
                self.next_repair = self.misses.saturating_mul(2);
                tracing::info!(%service, %address, "nacos had lost our instance; announced again");
            }
            Err(failure) if self.misses.is_power_of_two() => {
                tracing::warn!(%service, %address, "nacos has lost our instance, and does not take it back: {failure}");
            }
            Err(failure) => tracing::debug!(%service, %address, "nacos does not take our instance back: {failure}"),
        }
        outcome
    }

    async fn replace(&mut self, instance: &Instance) {
        let Ok(fresh) = self.dialer.naming().await else { return };
        self.replacements += 1;
        self.client = Some(fresh.clone());
        self.silent_since = None;
        // From here on the next check repairs what fails below.
        (self.misses, self.next_repair) = (FIRST_REPAIR - 1, FIRST_REPAIR);
        let announced = self.announce(&fresh, instance).await;
        if announced.is_ok() {
            self.misses = 0;
            tracing::info!(service = %self.service, address = %instance.authority(), "announced again after an outage");
        }
    }
}

/// Which of these keys are listed with another value, or not at all: `version: V1 instead of V2`.
fn differences(announced: &Metadata, listed: &Metadata) -> Vec<String> {
    // The usual cluster is not listed as one.
    let other = announced.iter().filter(|&(key, value)| key != CLUSTER_KEY && listed.get(key) != Some(value));
    other.map(|(key, value)| format!("{key}: {} instead of {value}", listed.get(key).unwrap_or("nothing"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_otherwise_is_named() {
        let metadata = |pairs: &[(&'static str, &'static str)]| pairs.iter().copied().collect::<Metadata>();
        let announced = metadata(&[("version", "V2"), ("zone", "a"), (CLUSTER_KEY, "DEFAULT")]);
        for (listed, expect) in [
            (metadata(&[("version", "V2"), ("zone", "a"), ("more", "b")]), &[][..]),
            (metadata(&[("version", "V1"), ("zone", "a")]), &["version: V1 instead of V2"]),
            (metadata(&[("zone", "b")]), &["version: nothing instead of V2", "zone: b instead of a"]),
        ] {
            assert_eq!(differences(&announced, &listed), expect);
        }
    }
}
