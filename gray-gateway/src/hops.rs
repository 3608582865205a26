//! How many gateways a request has passed: a route that leads back to the gateway ends after a few rounds.
//!
//! The header is for gateways alone, as `Via` would be for any server: caches and compressing servers read that.
//! Clients cannot count for us: what they send under the name counts only with the gateways' word behind it, or from a
//! trusted hop. The word is made of what all gateways of a fleet share: their signing key, else their documents.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

/// Name of the header.
pub(crate) const HEADER: &str = "gray-hops";
/// Gateways that a request may pass.
const MAX_HOPS: usize = 10;
/// Bytes of the word.
const WORD_BYTES: usize = 8;

/// The lines of all counts, ready to be written.
#[derive(Clone, Debug)]
pub struct Hops {
    word: Arc<str>,
    lines: Arc<[String]>,
}

impl Hops {
    /// With a word made of this secret.
    pub fn new(secret: &str) -> Self {
        let hash = digest(&SHA256, secret.as_bytes());
        let word: String = hash.as_ref().iter().take(WORD_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let line = |count: usize| format!("{HEADER}: {count}.{word}\r\n");
        Self { lines: (1..=MAX_HOPS).map(line).collect(), word: word.into() }
    }

    /// How many gateways the value of a request's header says it has passed; `is_trusted` says whether a trusted hop sent it.
    pub(crate) fn passed(&self, value: Option<&[u8]>, is_trusted: bool) -> usize {
        let Some(text) = value.and_then(|value| std::str::from_utf8(value).ok()) else { return 0 };
        let Some((count, word)) = text.split_once('.') else { return 0 };
        let is_ours = *word == *self.word || is_trusted;
        count.parse().ok().filter(|_| is_ours).unwrap_or(0)
    }

    /// Writes the line of a request that has passed so many before, which was not [too many](Self::is_over).
    pub(crate) fn write(&self, passed: usize, out: &mut Vec<u8>) {
        if let Some(line) = self.lines.get(passed) {
            out.extend_from_slice(line.as_bytes());
        }
    }

    /// Whether a request has passed so many that it must not go on.
    pub(crate) fn is_over(passed: usize) -> bool {
        passed >= MAX_HOPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_its_own_kind_wrote() {
        let (ours, others) = (Hops::new("key"), Hops::new("another key"));
        let mut out = Vec::new();
        ours.write(2, &mut out);
        let line = String::from_utf8(out).expect("text");
        let value = line.trim_end().strip_prefix("gray-hops: ").expect("the name").as_bytes();
        assert_eq!(ours.passed(Some(value), false), 3);
        assert_eq!(Hops::new("key").passed(Some(value), false), 3, "another gateway of the fleet");
        assert_eq!(others.passed(Some(value), false), 0, "a stranger");
        assert_eq!(others.passed(Some(value), true), 3, "a trusted hop");
        for value in [&b""[..], b"3", b"3.", b"3.x", b"-1.x", b"\xff", b"99999999999999999999.x"] {
            assert_eq!(ours.passed(Some(value), false), 0);
        }
        assert_eq!(ours.passed(None, true), 0);
    }

    #[test]
    fn ten_gateways_and_no_more() {
        let (hops, mut passed) = (Hops::new(""), 0);
        while !Hops::is_over(passed) {
            let mut out = Vec::new();
            hops.write(passed, &mut out);
            let line = String::from_utf8(out).expect("text");
            passed = hops.passed(line.trim_end().strip_prefix("gray-hops: ").map(str::as_bytes), false);
        }
        assert_eq!(passed, 10);
    }
}
