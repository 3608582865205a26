//! `gateway.healthCheck.<service>`: instances that are asked whether they are well.

use std::{collections::BTreeMap, time::Duration};

use gray_document::Section;

/// How the instances of a service are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// Path of a GET that a well instance answers with 200 to 399; empty: it is enough that it accepts a connection.
    pub path: String,
    /// From one question to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Bad answers in a row after which an instance is ejected.
    pub unhealthy: u32,
    /// Good answers in a row after which it is readmitted.
    pub healthy: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
        Self { path: String::new(), interval, timeout, unhealthy: 3, healthy: 1 }
    }
}

pub(super) fn read(section: &Section<'_>) -> BTreeMap<String, HealthCheck> {
    let services = section.keys().into_iter();
    services.filter_map(|(service, _)| Some((service.clone(), one(&section.section(&service))?))).collect()
}

fn one(section: &Section<'_>) -> Option<HealthCheck> {
    let duration = |key: &str, default| match section.duration(key) {
        Some(time) if time < Duration::from_millis(100) => {
            section.error(key, "must be at least 100ms");
            None
        }
        time => Some(time.unwrap_or(default)),
    };
    let count = |key: &str, default| {
        if section.has(key) { section.whole::<u32>(key, 1..=u32::MAX.into()) } else { Some(default) }
    };
    let path = section.string("path").unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    let is_sound = path.is_empty() || (path.starts_with('/') && path.bytes().all(fits));
    if !is_sound {
        section.error("path", "must begin with / and be percent-encoded; leave it out to ask for a connection only");
    }
    let defaults = HealthCheck::default();
    let check = HealthCheck {
        path,
        interval: duration("interval", defaults.interval)?,
        timeout: duration("timeout", defaults.timeout)?,
        unhealthy: count("unhealthy", defaults.unhealthy)?,
        healthy: count("healthy", defaults.healthy)?,
    };
    section.reject_unknown();
    Some(check)
}
