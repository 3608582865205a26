//! A message, as a handler gets it.

use gray_context::MessageHeaders;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// A message, as a handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset. Topic, partition and offset are the same whenever the message is handled again.
    pub offset: i64,
    /// When the producer or the broker says that it was written, in milliseconds since 1970.
    pub written_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// What it says.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: MessageHeaders,
}

impl Message {
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            written_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: MessageHeaders(headers.collect()),
        }
    }

    /// What is the same for a message that is handled again: `topic/partition/offset`.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }

    /// When it was written, in Unix seconds; without that, `now`.
    pub(crate) fn written(&self, now: u64) -> u64 {
        self.written_ms.and_then(|written| u64::try_from(written).ok()).map_or(now, |written| written / 1000)
    }
}
