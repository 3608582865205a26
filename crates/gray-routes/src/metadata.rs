//! A route's `metadata`.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use gray_core::{Space, SpaceError};
use gray_document::Section;

use crate::{
    FileOptions,
    definition::relaxed,
    files,
    scheme::Protocol,
    text::{quoted, suggestion},
};

/// What a route's `metadata` says, and what holds for all routes where it says nothing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metadata {
    /// Longest wait for a connection: `metadata.connect-timeout`, else `httpclient.connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// Longest wait for the head of the response: `metadata.response-timeout` (negative: `Duration::MAX`), else
    /// `httpclient.response-timeout`.
    pub response_timeout: Option<Duration>,
    /// Longest silence of an instance within its response: `metadata.idle-timeout` (negative: as long as it likes).
    pub idle_timeout: Option<Duration>,
    /// Longest pause of a client that was fast until then, in a body or an answer: `metadata.pause-timeout`.
    pub pause_timeout: Option<Duration>,
    /// After which wait for a response another instance is asked as well: `metadata.hedge-after`.
    pub hedge_after: Option<Duration>,
    /// Most requests in flight at the same time: `metadata.max-in-flight`.
    pub max_in_flight: Option<usize>,
    /// What instances are spoken to: `metadata.protocol`.
    pub protocol: Protocol,
    /// How files are answered, when a directory answers.
    pub files: FileOptions,
    /// Whether `%2f` is a character of a variable and nothing else: `metadata.encoded-slash`.
    pub encoded_slash: bool,
    /// Whether caches are told that the answers of instances depend on the lane: `metadata.vary-by-lane`.
    pub vary_by_lane: bool,
}

impl Metadata {
    /// What holds for every route, with what this one says: limits in milliseconds (a negative response or idle timeout: none),
    /// how it answers files, which HTTP its instances speak.
    pub(super) fn with(mut self, metadata: &Section<'_>, directories: &[&Arc<Path>]) -> Self {
        const KNOWN: [&str; 15] = [
            "connect-timeout",
            "response-timeout",
            "idle-timeout",
            "pause-timeout",
            "hedge-after",
            "max-in-flight",
            "protocol",
            "fallback",
            "max-age",
            "lanes",
            "encoded-slash",
            "cors",
            "versioned",
            "vary-by-lane",
            "space",
        ];
        for (key, value) in metadata.keys() {
            let text = value.text().unwrap_or_default().trim();
            let millis = || {
                let millis = text.parse::<i64>().ok().filter(|millis| *millis != 0);
                if millis.is_none() {
                    value.error(format!("expected a number of milliseconds other than 0, found {}", quoted(text)));
                }
                millis
            };
            let lifted = |millis| u64::try_from(millis).map_or(Duration::MAX, Duration::from_millis);
            match relaxed(&key).as_str() {
                "connecttimeout" => match millis().map(u64::try_from) {
                    Some(Ok(millis)) => self.connect_timeout = Some(Duration::from_millis(millis)),
                    Some(Err(_)) => value.error("a connect timeout cannot be negative"),
                    None => {}
                },
                "responsetimeout" => {
                    if let Some(millis) = millis() {
                        self.response_timeout = Some(lifted(millis));
                    }
                }
                "idletimeout" => self.idle_timeout = millis().map(lifted),
                "pausetimeout" => match text.parse() {
                    Ok(millis) => self.pause_timeout = Some(Duration::from_millis(millis)),
                    Err(_) => value.error(format!(
                        "expected a number of milliseconds, 0 for no longer than other clients, found {}",
                        quoted(text)
                    )),
                },
                "hedgeafter" => match millis().map(u64::try_from) {
                    Some(Ok(millis)) => self.hedge_after = Some(Duration::from_millis(millis)),
                    Some(Err(_)) => value.error("cannot be negative; leave it out for no second request"),
                    None => {}
                },
                "maxinflight" => match text.parse::<NonZeroUsize>() {
                    Ok(max) => self.max_in_flight = Some(max.get()),
                    Err(_) if text == "0" => {
                        value.error(
                            "0 would turn every request away; leave it out for no limit, or write `enabled: false`",
                        );
                    }
                    Err(_) => value.error(format!("expected a number of requests, found {}", quoted(text))),
                },
                "protocol" => match protocol(text) {
                    Ok(protocol) => self.protocol = protocol,
                    Err(reason) => value.error(reason),
                },
                "lanes" | "cors" | "space" => {}
                "encodedslash" if text == "pass" => self.encoded_slash = true,
                "encodedslash" => value.error(format!(
                    "expected pass (`%2f` in a variable of the path is a character of it), found {}; leave it out \
                     otherwise",
                    quoted(text)
                )),
                "fallback" | "maxage" | "versioned" if directories.is_empty() => {
                    value.warn("has no effect: it is for a directory (a uri such as file:///srv/web/v1)");
                }
                "fallback" => match files::fallback(text) {
                    Ok(file) => self.files.fallback = Some(file),
                    Err(reason) => value.error(reason),
                },
                "maxage" => match files::max_age(text) {
                    Ok(seconds) => self.files.max_age = seconds,
                    Err(reason) => value.error(reason),
                },
                "versioned" => match files::versioned(text, directories) {
                    Ok(versioned) => self.files.versioned = Some(versioned),
                    Err(reason) => value.error(reason),
                },
                "varybylane" => match text {
                    "true" | "false" => self.vary_by_lane = text == "true",
                    _ => value.error(format!("expected true or false, found {}", quoted(text))),
                },
                _ => value.warn(format!("this gateway makes nothing of this{}", suggestion(&key, KNOWN))),
            }
        }
        self
    }
}

/// `metadata.space`: the namespace or group in which the services of the route are, where that is not the program's own.
pub(super) fn space(metadata: &Section<'_>) -> Option<Space> {
    let (_, item) = metadata.peek_keys().into_iter().find(|(key, _)| relaxed(key) == "space")?;
    let text =
        item.required_text("where the services of the route are: the ID of a namespace, namespace@group or @group")?;
    text.parse().map_err(|error: SpaceError| item.error(error.to_string())).ok()
}

/// `metadata.protocol`
fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "http1" => Ok(Protocol::Http1),
        "h2" => Ok(Protocol::Http2),
        _ => Err(format!("expected http1 or h2, what the instances speak, found {}", quoted(text))),
    }
}
