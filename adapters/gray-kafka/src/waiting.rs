//! Messages that were read and wait to be handled, by what they take in memory.

use std::collections::VecDeque;

use crate::message::Message;

/// Bytes that wait here. A partition is paused from the first on, and resumed below the second: what the client has fetched
/// ahead is given up by a pause, so that is not to happen every few messages.
const FULL: usize = 1 << 20;
const SPARE: usize = 256 << 10;
/// What a message takes besides its own bytes, and each of its headers.
const MESSAGE: usize = size_of::<Message>() + 64;
const HEADER: usize = size_of::<(String, Vec<u8>)>();

/// In the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Waiting {
    pub(crate) fn push(&mut self, message: Message) {
        self.bytes += size_of_message(&message);
        self.messages.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= size_of_message(&message);
        Some(message)
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    /// Nothing more is to be read.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// There is room again.
    pub(crate) fn is_low(&self) -> bool {
        self.bytes < SPARE
    }
}

fn size_of_message(message: &Message) -> usize {
    let headers = message.headers.0.iter().map(|(name, value)| HEADER + name.len() + value.len());
    let key = message.key.as_ref().map_or(0, Vec::len);
    MESSAGE + message.topic.len() + key + message.payload.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use gray_context::MessageHeaders;

    use super::*;

    #[test]
    fn what_waits_is_bounded_by_what_it_takes() {
        for (bytes, least, most) in [(0, 3_000, FULL / MESSAGE + 1), (1 << 10, 600, 1 << 10), (2 << 20, 1, 1)] {
            let mut waiting = Waiting::default();
            let mut count = 0;
            while !waiting.is_full() {
                waiting.push(Message {
                    topic: "orders".into(),
                    partition: 0,
                    offset: count,
                    written_ms: None,
                    key: Some(vec![0; 8]),
                    payload: vec![0; bytes],
                    headers: MessageHeaders(vec![("gray".into(), b"GRAY".to_vec())]),
                });
                count += 1;
            }
            assert!((least..=most as i64).contains(&count), "{count} of {bytes} bytes");
            assert_eq!(waiting.pop().map(|message| message.offset), Some(0));
            while !waiting.is_low() {
                assert!(waiting.pop().is_some());
            }
            while waiting.pop().is_some() {}
            assert_eq!(waiting.bytes, 0);
        }
    }
}
