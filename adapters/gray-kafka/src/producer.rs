//! The headers of what is sent.

use std::time::{SystemTime, UNIX_EPOCH};

use gray_context::{MessageHeaders, MessageRules};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

/// The headers with the release context of the running task, or of this program's version where there is none: tag, lane,
/// signature for this topic, and baggage. What was there under these names is taken off.
///
/// ```text
/// let record = FutureRecord::to(topic).payload(&text).headers(gray_kafka::headers(&rules, topic, Some("V2"), OwnedHeaders::new()));
/// ```
pub fn headers(rules: &MessageRules, topic: &str, own_version: Option<&str>, before: OwnedHeaders) -> OwnedHeaders {
    let own = before.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
    let mut headers = MessageHeaders(own.collect());
    rules.write(&mut headers, topic, own_version, now());
    owned(&headers)
}

pub(crate) fn owned(headers: &MessageHeaders) -> OwnedHeaders {
    headers.0.iter().fold(OwnedHeaders::new_with_capacity(headers.0.len()), |all, (key, value)| {
        all.insert(Header { key, value: Some(value) })
    })
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
