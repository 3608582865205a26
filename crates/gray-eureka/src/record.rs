//! One instance: as Eureka has it, and as ours.

use gray_core::{
    entry,
    instance::{CLUSTER_KEY, Instance},
};
use serde_json::{Value, json};

use crate::wire::{Listed, Port};

/// Metadata key of a weight, as Spring Cloud LoadBalancer reads it; Eureka has none of its own.
const WEIGHT_KEY: &str = "weight";
/// Metadata key that says that an instance is to be called over TLS.
const SECURE_KEY: &str = "secure";
/// Metadata key of the zone, as Spring Cloud LoadBalancer reads it.
const ZONE_KEY: &str = "zone";
/// What the other port is said to be, which is switched off.
const USUAL_SECURE_PORT: u16 = 443;
const MAX_WEIGHT: f64 = 10_000.0;

/// What an instance says of itself, or an operator of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Down,
    OutOfService,
    Starting,
    Unknown,
    Up,
}

impl Status {
    /// In the order of their names, in which the server counts them.
    pub(crate) const ALL: [Self; 5] = [Self::Down, Self::OutOfService, Self::Starting, Self::Unknown, Self::Up];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Down => "DOWN",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Starting => "STARTING",
            Self::Unknown => "UNKNOWN",
            Self::Up => "UP",
        }
    }

    pub(crate) fn read(text: &str) -> Self {
        let named = |status: &Self| status.name().eq_ignore_ascii_case(text.trim());
        Self::ALL.into_iter().find(named).unwrap_or(Self::Unknown)
    }

    /// What we announce for an instance.
    pub(crate) fn of(instance: &Instance) -> Self {
        match (instance.enabled, instance.healthy) {
            (false, _) => Self::OutOfService,
            (true, false) => Self::Down,
            (true, true) => Self::Up,
        }
    }
}

/// One instance as a server lists it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) status: Status,
    /// The names by which it is found, in lower case.
    pub(crate) names: Vec<Box<str>>,
    /// `None`: it has no address that could be called. It counts all the same, where the server counts.
    pub(crate) instance: Option<Instance>,
}

impl Record {
    pub(crate) fn read(app: &str, listed: Listed) -> Self {
        let status = Status::read(&listed.status.0);
        let names: Vec<Box<str>> = listed.vip_address.0.split(',').filter_map(service_name).collect();
        let names = if names.is_empty() { service_name(app).into_iter().collect() } else { names };
        Self { status, names, instance: instance(status, listed) }
    }
}

/// A name as it is on our side: lower case. `None` for what cannot be one.
pub(crate) fn service_name(text: &str) -> Option<Box<str>> {
    let name = text.trim().to_lowercase();
    let is_name =
        !name.is_empty() && name.len() <= 200 && !name.contains(|c: char| c.is_control() || c.is_whitespace());
    is_name.then(|| name.into())
}

/// The name of an application at the server.
pub(crate) fn app_name(service: &str) -> String {
    service.to_uppercase()
}

fn instance(status: Status, listed: Listed) -> Option<Instance> {
    // As Spring's: a secure port that is switched on is the one to call.
    let is_secure = listed.secure_port.enabled == Some(true);
    let Port { number, .. } = if is_secure { listed.secure_port } else { listed.port };
    let port = number.0.trim().parse().ok()?;
    let host = [listed.host_name.0, listed.ip_addr.0].into_iter().find(|host| !host.trim().is_empty())?;
    let mut pairs = listed.metadata.0;
    let weight = pairs.iter().find(|(key, _)| key == WEIGHT_KEY).and_then(|(_, value)| weight(value));
    if weight.is_some() {
        pairs.retain(|(key, _)| key != WEIGHT_KEY);
    }
    if is_secure && !pairs.iter().any(|(key, _)| key == SECURE_KEY) {
        pairs.push((SECURE_KEY.to_owned(), "true".to_owned()));
    }
    // A zone is to Eureka what a cluster is to Nacos: one word for both, by which those of the own one are preferred.
    let zone = pairs.iter().find(|(key, value)| key == ZONE_KEY && !value.is_empty()).map(|(_, zone)| zone.clone());
    if let Some(zone) = zone.filter(|_| !pairs.iter().any(|(key, _)| key == CLUSTER_KEY)) {
        pairs.push((CLUSTER_KEY.to_owned(), zone));
    }
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    let instance = Instance {
        weight: weight.unwrap_or(1.0),
        healthy: matches!(status, Status::Up | Status::OutOfService),
        enabled: status != Status::OutOfService,
        metadata: pairs.into_iter().collect(),
        ..Instance::new(host, port)
    };
    entry::check(&instance).is_ok().then_some(instance)
}

fn weight(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|weight: &f64| weight.is_finite() && (0.0..=MAX_WEIGHT).contains(weight))
}

/// The ID under which an instance is announced, as Spring's are.
pub(crate) fn instance_id(service: &str, instance: &Instance) -> String {
    format!("{}:{}:{}", instance.host, service.to_lowercase(), instance.port)
}

/// What is sent to announce an instance in this zone, unless it says one itself. `dirty`: when it was last changed, in milliseconds since
/// 1970.
pub(crate) fn announcement(
    service: &str,
    (instance, zone): (&Instance, Option<&str>),
    lease_secs: (u64, u64),
    dirty: u64,
) -> Value {
    let is_secure = instance.is_secure();
    let mut metadata: serde_json::Map<String, Value> =
        instance.metadata.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    if let (Some(zone), None) = (zone, instance.label(ZONE_KEY)) {
        metadata.insert(ZONE_KEY.to_owned(), zone.into());
    }
    // Exactly 1 is what everybody has who says nothing.
    if instance.weight != 1.0 {
        metadata.insert(WEIGHT_KEY.to_owned(), instance.weight.to_string().into());
    }
    let port = |number: u16, enabled: bool| json!({"$": number, "@enabled": enabled.to_string()});
    let (plain, secure) = if is_secure { (80, instance.port) } else { (instance.port, USUAL_SECURE_PORT) };
    let (renewal, duration) = lease_secs;
    json!({"instance": {
        "instanceId": instance_id(service, instance),
        "hostName": instance.host,
        "app": app_name(service),
        "ipAddr": instance.host,
        "vipAddress": service,
        "secureVipAddress": service,
        "status": Status::of(instance).name(),
        "overriddenstatus": "UNKNOWN",
        "port": port(plain, !is_secure),
        "securePort": port(secure, is_secure),
        "countryId": 1,
        "dataCenterInfo": {
            "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
            "name": "MyOwn",
        },
        "leaseInfo": {"renewalIntervalInSecs": renewal, "durationInSecs": duration},
        "metadata": metadata,
        "isCoordinatingDiscoveryServer": "false",
        "lastUpdatedTimestamp": dirty.to_string(),
        "lastDirtyTimestamp": dirty.to_string(),
        "actionType": "ADDED",
    }})
}
