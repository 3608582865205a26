//! What a client may send besides requests and data: frames that make work and carry nothing, such as PING, SETTINGS,
//! RST_STREAM, empty DATA.
//!
//! The h2 crate answers each of them as the protocol wants it, however many there are. Here they are counted as the bytes
//! pass by, against an allowance that useful work earns: requests, bodies, answers taken.

use super::preface::PREFACE;

/// Requests of one client at the same time.
pub(super) const MAX_STREAMS: u32 = 128;
/// What a connection may spend at once.
const MAX_TOKENS: u32 = 1_000;
/// What it gets for nothing per tick.
const TOKENS_PER_TICK: u64 = 20;
/// Requests that it may take back at once: all that it can have open, and some.
const MAX_RESETS: u32 = MAX_STREAMS + 22;
/// More of them per tick.
const RESETS_PER_TICK: u64 = 5;
/// Bytes of answers that earn one token, beside the one that each write earns.
const BYTES_PER_TOKEN: usize = 512;
const HEADER_LEN: usize = 9;
/// The flag END_STREAM.
const END: u8 = 1;

/// Where in the stream of frames a connection is, and what it may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    header: [u8; HEADER_LEN],
    filled: usize,
    /// Bytes that are no frame header: the preface, then payloads.
    skip: usize,
    tokens: u32,
    resets: u32,
    tick: u64,
}

impl Allowance {
    pub(super) fn new(tick: u64) -> Self {
        Self { header: [0; HEADER_LEN], filled: 0, skip: PREFACE.len(), tokens: MAX_TOKENS, resets: MAX_RESETS, tick }
    }

    /// Takes note of what the client sent; `streams` are open. False when it is too much.
    #[must_use]
    pub(super) fn received(&mut self, mut bytes: &[u8], tick: u64, mut streams: usize) -> bool {
        let ticks = tick.saturating_sub(self.tick);
        if ticks > 0 {
            let more = |per_tick: u64| u32::try_from(ticks.saturating_mul(per_tick)).unwrap_or(u32::MAX);
            self.tick = tick;
            self.earn(more(TOKENS_PER_TICK));
            self.resets = self.resets.saturating_add(more(RESETS_PER_TICK)).min(MAX_RESETS);
        }
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_LEN - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEADER_LEN {
                return true;
            }
            self.filled = 0;
            if !self.frame(&mut streams) {
                return false;
            }
        }
    }

    fn frame(&mut self, streams: &mut usize) -> bool {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        self.skip = length;
        match kind {
            // DATA. An empty one may end a body, and do nothing else.
            0 if length > 0 || flags & END != 0 => {
                self.earn(1);
                true
            }
            // HEADERS
            1 => {
                *streams += 1;
                self.earn(2);
                *streams <= MAX_STREAMS as usize || spend(&mut self.resets, 1)
            }
            // RST_STREAM
            3 => {
                *streams = streams.saturating_sub(1);
                spend(&mut self.resets, 1)
            }
            // SETTINGS and PING are answered.
            4 | 6 => spend(&mut self.tokens, 3),
            _ => spend(&mut self.tokens, 1),
        }
    }

    fn earn(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(MAX_TOKENS);
    }

    /// So many bytes were written to the client.
    pub(super) fn wrote(&mut self, count: usize) {
        self.earn(u32::try_from(1 + count / BYTES_PER_TOKEN).unwrap_or(u32::MAX));
    }

    /// A request was answered to its end.
    pub(super) fn answered(&mut self) {
        self.resets = (self.resets + 1).min(MAX_RESETS);
    }
}

fn spend(budget: &mut u32, cost: u32) -> bool {
    let left = budget.checked_sub(cost);
    *budget = left.unwrap_or(0);
    left.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).expect("short").to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], &*vec![0xff; length]].concat()
    }

    fn begun() -> Allowance {
        let mut allowance = Allowance::new(0);
        assert!(allowance.received(PREFACE, 0, 0));
        allowance
    }

    /// How many of these frames are taken, of a million.
    fn taken(bytes: &[u8], streams: usize) -> usize {
        let mut allowance = begun();
        (0..1_000_000).find(|_| !allowance.received(bytes, 0, streams)).unwrap_or(usize::MAX)
    }

    #[test]
    fn what_only_makes_work_is_counted() {
        for (kind, flags, length, expect) in [
            (0, 0, 0, 1_000),
            (2, 0, 5, 1_000),
            (3, 0, 4, 150),
            (4, 0, 0, 333),
            (6, 0, 8, 333),
            (8, 0, 4, 1_000),
            (9, 0, 0, 1_000),
            (0xbe, 0, 100, 1_000),
        ] {
            assert_eq!(taken(&frame(kind, flags, length), 0), expect, "{kind}");
        }
        assert_eq!(taken(&frame(1, 5, 20), MAX_STREAMS as usize), 150, "more than it may open");
        let rapid = [frame(1, 5, 20), frame(3, 0, 4)].concat();
        assert_eq!(taken(&rapid, 0), 150);
    }

    #[test]
    fn what_carries_something_is_free() {
        for (kind, flags, length) in [(0, 0, 1), (0, 1, 0), (0, 0, 16_384), (1, 5, 20)] {
            assert_eq!(taken(&frame(kind, flags, length), 0), usize::MAX, "{kind}");
        }
        // A client that takes answers may say so.
        let mut allowance = begun();
        let update = frame(8, 0, 4).repeat(2);
        for _ in 0..100_000 {
            allowance.wrote(16_384);
            assert!(allowance.received(&update, 0, 1));
        }
        // A client that asks and gets answers may cancel as often.
        let mut allowance = begun();
        let (asks, cancels) = (frame(1, 5, 20).repeat(2), frame(3, 0, 4));
        for _ in 0..100_000 {
            allowance.answered();
            assert!(allowance.received(&asks, 0, 1) && allowance.received(&cancels, 0, 1));
        }
    }

    #[test]
    fn time_mends() {
        let (mut allowance, pings) = (begun(), frame(6, 0, 8).repeat(6));
        for tick in 0..10_000 {
            assert!(allowance.received(&pings, tick, 0), "{tick}");
        }
        let (mut allowance, resets) = (begun(), frame(3, 0, 4).repeat(5));
        for tick in 0..10_000 {
            assert!(allowance.received(&resets, tick, 1), "{tick}");
        }
    }

    #[test]
    fn however_the_bytes_arrive() {
        let bytes = [PREFACE, &frame(4, 0, 18), &frame(1, 4, 300), &frame(0, 0, 1000), &frame(6, 0, 8)].concat();
        let mut whole = Allowance::new(0);
        assert!(whole.received(&bytes, 0, 0));
        for size in [1, 2, 3, 7, 9, 10, 100] {
            let mut cut = Allowance::new(0);
            for part in bytes.chunks(size) {
                assert!(cut.received(part, 0, 0));
            }
            assert_eq!((cut.tokens, cut.skip, cut.filled), (whole.tokens, whole.skip, whole.filled), "{size}");
        }
    }
}
