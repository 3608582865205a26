//! A circuit breaker: calls that fail too often are not made for a while, then a few are tried. The states and the window are
//! those of Resilience4j (`COUNT_BASED`, `TIME_BASED`).
//!
//! ```text
//!            a rate is reached                    open_ms have passed
//! Closed ──────────────────────▶ Open ─────────────────────────────▶ HalfOpen
//!    ▲                             ▲   a rate is reached among trials    │  │
//!    │                             └─────────────────────────────────────┘  │
//!    └──────────────────────────────────────────── all trials, no rate reached
//! ```
//!
//! It has no clock: the caller says what time it is. It is shared by all threads and takes no lock. Each state is of one
//! generation, and what was begun in an earlier one counts for nothing.

mod policy;
mod seconds;
#[cfg(test)]
mod tests;
mod window;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use self::{policy::BreakerPolicy, window::Counts};
use self::{
    seconds::Seconds,
    window::{GENERATIONS, Window, is_newer},
};

/// Whether calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// All of them.
    Closed,
    /// None.
    Open,
    /// A few, to see how they go.
    HalfOpen,
}

impl Phase {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The value in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The right to make one call. It has to be given back, with how the call went or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    generation: u32,
    is_trial: bool,
}

/// A change of state, and what it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state from now on.
    pub to: Phase,
    /// The calls that were judged; none when it was time alone.
    pub counts: Counts,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// `None`: it may not.
    pub pass: Option<Pass>,
    /// The state has changed by it.
    pub change: Option<Change>,
}

/// A circuit breaker. Of calls that end at once, in whichever order they are taken in, each counts once.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    /// A packed [`State`]: one word, so that each change is whole.
    state: AtomicU64,
    /// Trials that were begun: the generation in the upper half.
    trials: AtomicU64,
    window: Window,
    /// With a window of time; of trials there are as many as are permitted, whenever.
    seconds: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    phase: Phase,
    generation: u32,
    since_ms: u64,
}

const PHASE_BITS: u32 = 2;
const GENERATION_BITS: u32 = GENERATIONS.trailing_ones();
const SINCE_SHIFT: u32 = PHASE_BITS + GENERATION_BITS;

impl State {
    fn packed(self) -> u64 {
        let since = self.since_ms.min(u64::MAX >> SINCE_SHIFT) << SINCE_SHIFT;
        since | u64::from(self.generation & GENERATIONS) << PHASE_BITS | self.phase as u64
    }

    fn unpacked(word: u64) -> Self {
        let phase = match word & ((1 << PHASE_BITS) - 1) {
            0 => Phase::Closed,
            1 => Phase::Open,
            _ => Phase::HalfOpen,
        };
        Self { phase, generation: (word >> PHASE_BITS) as u32 & GENERATIONS, since_ms: word >> SINCE_SHIFT }
    }

    fn next(self, phase: Phase, now_ms: u64) -> Self {
        Self { phase, generation: self.generation.wrapping_add(1) & GENERATIONS, since_ms: now_ms }
    }
}

impl Breaker {
    /// A closed one.
    pub fn new(policy: BreakerPolicy) -> Self {
        let policy = policy.bounded();
        let state = State { phase: Phase::Closed, generation: 0, since_ms: 0 };
        let seconds = policy.is_timed.then(|| Seconds::new(policy.window));
        let window = Window::new(if policy.is_timed { 0 } else { policy.window });
        Self { policy, state: state.packed().into(), trials: AtomicU64::new(0), window, seconds }
    }

    /// What it goes by.
    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// The state, and the calls that it will be judged by; of an open one, those that it opened for.
    pub fn look(&self) -> (Phase, Counts) {
        let state = self.state();
        let back = u32::from(state.phase == Phase::Open);
        let generation = state.generation.wrapping_sub(back) & GENERATIONS;
        let timed = self.seconds.as_ref().map(|seconds| seconds.newest(generation)).filter(|counts| counts.calls > 0);
        (state.phase, timed.unwrap_or_else(|| self.window.counts(generation)))
    }

    fn state(&self) -> State {
        State::unpacked(self.state.load(Relaxed))
    }

    /// Whether a call may be made now.
    pub fn admit(&self, now_ms: u64) -> Admitted {
        let mut change = None;
        loop {
            let state = self.state();
            let pass = Pass { generation: state.generation, is_trial: state.phase == Phase::HalfOpen };
            match state.phase {
                Phase::Closed => return Admitted { pass: Some(pass), change },
                Phase::Open if now_ms < state.since_ms.saturating_add(self.policy.open_ms) => {
                    return Admitted { pass: None, change };
                }
                Phase::Open => {
                    // Of several at once, one of them changes it; then all ask again.
                    if self.advance(state, state.next(Phase::HalfOpen, now_ms)) {
                        change = Some(Change { to: Phase::HalfOpen, counts: Counts::default() });
                    }
                }
                Phase::HalfOpen => {
                    if let Some(is_free) = self.begin_trial(state.generation) {
                        return Admitted { pass: is_free.then_some(pass), change };
                    }
                }
            }
        }
    }

    fn advance(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from.packed(), to.packed(), Relaxed, Relaxed).is_ok()
    }

    /// Whether one more trial may be made; `None`: another generation has begun.
    fn begin_trial(&self, generation: u32) -> Option<bool> {
        let mut word = self.trials.load(Relaxed);
        loop {
            let (of, begun) = ((word >> 32) as u32, word as u32);
            if is_newer(of, generation) {
                return None;
            }
            let begun = if of == generation { begun } else { 0 };
            if begun >= self.policy.trials {
                return Some(false);
            }
            let next = u64::from(generation) << 32 | u64::from(begun + 1);
            match self.trials.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return Some(true),
                Err(now) => word = now,
            }
        }
    }

    /// Gives a pass back: nothing is known of how the call went.
    pub fn release(&self, pass: Pass) {
        if !pass.is_trial {
            return;
        }
        let mut word = self.trials.load(Relaxed);
        while (word >> 32) as u32 == pass.generation && word as u32 > 0 {
            match self.trials.compare_exchange_weak(word, word - 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes in how a call went, and how long it took.
    pub fn record(&self, pass: Pass, has_failed: bool, took_ms: u64, now_ms: u64) -> Option<Change> {
        let state = self.state();
        if state.generation != pass.generation {
            return None;
        }
        let policy = &self.policy;
        let (generation, is_slow) = (state.generation, took_ms > policy.slow_ms);
        let (counts, least) = match (state.phase, &self.seconds) {
            // There are no more than are permitted, so none takes the place of another.
            (Phase::HalfOpen, _) => (self.window.add(generation, None, has_failed, is_slow), policy.trials),
            (_, Some(seconds)) => (seconds.add(generation, now_ms / 1_000, has_failed, is_slow), policy.min_calls),
            (_, None) => (self.window.add(generation, Some(policy.window), has_failed, is_slow), policy.min_calls),
        };
        let counts = counts?;
        if counts.calls < least {
            return None;
        }
        let is_reached = counts.failure_rate() >= policy.failure_rate || counts.slow_rate() >= policy.slow_rate;
        let to = match (state.phase, is_reached) {
            (Phase::Closed | Phase::HalfOpen, true) => Phase::Open,
            (Phase::HalfOpen, false) => Phase::Closed,
            (Phase::Closed, false) | (Phase::Open, _) => return None,
        };
        self.advance(state, state.next(to, now_ms)).then_some(Change { to, counts })
    }
}
