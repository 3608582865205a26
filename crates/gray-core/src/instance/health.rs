//! Passive health: an instance that cannot be reached, or keeps failing, is ejected for a while and then tried
//! with one request. In the words of the circuit breaker pattern: out is open, a trial is half-open.
//!
//! All times are milliseconds on the clock of [`Draw::now_ms`](crate::balance::Draw). Of reports that come at once, in whichever
//! order they are taken, the outcome is that of one after the other: tests/interleavings.rs tries the orders.

use super::{
    Change, Outcome, OutlierPolicy, Reason,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// What is known of one instance's health.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// A packed [`State`]: one word, so that each change is whole.
    state: AtomicU64,
    /// No trial before; who moves it on makes the trial.
    trial_ms: AtomicU64,
    failures: AtomicU32,
}

/// In or out, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// 0 = from the beginning.
    since_ms: u64,
    /// Ejections that followed each other soon, without the first.
    streak: u8,
    /// Why it is out; none = in.
    reason: Option<Reason>,
}

const REASON_BITS: u32 = 2;
const STREAK_BITS: u32 = 6;
const MAX_STREAK: u8 = (1 << STREAK_BITS) - 1;

impl State {
    fn packed(self) -> u64 {
        let reason = self.reason.map_or(0, |reason| reason as u64 + 1);
        let streak = u64::from(self.streak.min(MAX_STREAK)) << REASON_BITS;
        let since = self.since_ms.min(u64::MAX >> (REASON_BITS + STREAK_BITS)) << (REASON_BITS + STREAK_BITS);
        since | streak | reason
    }

    fn unpacked(word: u64) -> Self {
        let reason = match word & ((1 << REASON_BITS) - 1) {
            0 => None,
            1 => Some(Reason::Unreachable),
            2 => Some(Reason::Failures),
            _ => Some(Reason::Check),
        };
        let streak = (word >> REASON_BITS) as u8 & MAX_STREAK;
        Self { since_ms: word >> (REASON_BITS + STREAK_BITS), streak, reason }
    }

    /// The first trial after an ejection.
    fn trial_ms(self, policy: &OutlierPolicy) -> u64 {
        let doubled = policy.eject_ms.saturating_mul(1_u64.checked_shl(self.streak.into()).unwrap_or(u64::MAX));
        self.since_ms.saturating_add(doubled.min(policy.max_eject_ms.max(policy.eject_ms)))
    }

    fn ejected(self, reason: Reason, policy: &OutlierPolicy, now_ms: u64) -> Option<Self> {
        let streak = match self.reason {
            Some(Reason::Check) => return None,
            // Many may fail at once; that is one ejection.
            Some(_) if now_ms < self.trial_ms(policy) => return None,
            None if self.since_ms == 0 || now_ms >= self.since_ms.saturating_add(policy.max_eject_ms) => 0,
            Some(_) | None => self.streak.saturating_add(1),
        };
        Some(Self { since_ms: now_ms, streak, reason: Some(reason) })
    }

    /// In again, if it is out for a reason of this kind.
    fn readmitted(self, is_over: impl Fn(Reason) -> bool, now_ms: u64) -> Option<Self> {
        self.reason.filter(|reason| is_over(*reason))?;
        Some(Self { since_ms: now_ms.max(1), reason: None, ..self })
    }
}

impl Health {
    fn state(&self) -> State {
        State::unpacked(self.state.load(Relaxed))
    }

    /// Changes the state, if there is something to change; says what callers have to know of it.
    fn change(&self, next: impl Fn(State) -> Option<State>) -> Option<Change> {
        let step = |word| next(State::unpacked(word)).map(State::packed);
        let before = State::unpacked(self.state.fetch_update(Relaxed, Relaxed, step).ok()?);
        match (before.reason, next(before)?.reason) {
            (None, Some(reason)) => Some(Change::Ejected(reason)),
            (Some(_), None) => {
                self.failures.store(0, Relaxed);
                Some(Change::Readmitted)
            }
            _ => None,
        }
    }

    pub(super) fn is_in(&self) -> bool {
        self.state().reason.is_none()
    }

    /// Why it is out.
    pub(super) fn ejection(&self) -> Option<Reason> {
        self.state().reason
    }

    /// Since when it is out.
    pub(super) fn ejected_since_ms(&self) -> Option<u64> {
        let State { since_ms, reason, .. } = self.state();
        reason.map(|_| since_ms)
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Whether the caller is the one who may try it now. The next trial is due after a while, should he never report.
    pub(super) fn claim_trial(&self, now_ms: u64, policy: &OutlierPolicy) -> bool {
        let state = self.state();
        // Out by the check, it is for the check to say that it is well.
        let is_out = state.reason.is_some_and(|reason| reason != Reason::Check);
        let due = self.trial_ms.load(Relaxed);
        is_out && now_ms >= due && now_ms >= state.trial_ms(policy) && {
            let next = now_ms.saturating_add(policy.eject_ms.max(1));
            self.trial_ms.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
        }
    }

    /// Takes in how a request went; `is_trial` says that it was sent although the instance was out.
    pub(super) fn report(
        &self,
        outcome: Outcome,
        is_trial: bool,
        policy: &OutlierPolicy,
        now_ms: u64,
    ) -> Option<Change> {
        match outcome {
            Outcome::Good => {
                if self.failures.load(Relaxed) != 0 {
                    self.failures.store(0, Relaxed);
                }
                self.ejection()?;
                // It may be answering what it got before it stopped to accept connections.
                let is_over = |reason| reason == Reason::Failures || reason == Reason::Unreachable && is_trial;
                self.change(|state| state.readmitted(is_over, now_ms))
            }
            Outcome::Unreachable => self.eject(Reason::Unreachable, policy, now_ms),
            Outcome::Failed => {
                let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
                let is_too_many = policy.consecutive_failures > 0 && failures >= policy.consecutive_failures;
                // Of one that is out, a single failure is enough.
                if is_too_many || !self.is_in() { self.eject(Reason::Failures, policy, now_ms) } else { None }
            }
        }
    }

    fn eject(&self, reason: Reason, policy: &OutlierPolicy, now_ms: u64) -> Option<Change> {
        if policy.eject_ms == 0 {
            return None;
        }
        self.change(|state| state.ejected(reason, policy, now_ms))
    }

    /// Takes in what the active check says. That it is well ends an ejection of its own, and one for accepting no
    /// connections; what it answers to requests is not for a check to judge.
    pub(super) fn checked(&self, is_well: bool, now_ms: u64) -> Option<Change> {
        let out = |state: State| {
            let is_news = state.reason != Some(Reason::Check);
            is_news.then_some(State { since_ms: now_ms, reason: Some(Reason::Check), ..state })
        };
        let well = |state: State| state.readmitted(|reason| reason != Reason::Failures, now_ms);
        if is_well { self.change(well) } else { self.change(out) }
    }

    /// The check is not made any more: what it said last is no reason.
    pub(super) fn unchecked(&self, now_ms: u64) -> Option<Change> {
        self.change(|state| state.readmitted(|reason| reason == Reason::Check, now_ms))
    }
}
