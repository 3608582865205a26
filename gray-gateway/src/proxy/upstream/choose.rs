//! Who is asked, and what is made of how it went: balancing and health of instances, as one worker sees them.

use std::{net::IpAddr, sync::Arc};

use gray_core::{
    Endpoint,
    balance::{Change, Chosen, Draw, Outcome, RetryBudget, Strategy, choose, choose_unversioned, key_of},
};
use gray_rules::Decision;

use super::{dial::Unconnected, fault::Fault, send_error::SendError};
use crate::proxy::worker::{descriptors::is_shortage, held::Held, local::Worker, stats::Pick};

/// Services and addresses of which a retry budget is kept; they come from the configuration, so there are no more.
const MAX_BUDGETS: usize = 4096;

impl Worker {
    /// An instance for a request, other than those that were tried; `None` when there is no such.
    pub(in crate::proxy) fn choose<'s>(
        &self,
        snapshot: &'s Held,
        service: &str,
        decision: &Decision<'_>,
        client: IpAddr,
        tried: &[Arc<Endpoint>],
    ) -> Option<Chosen<'s>> {
        let (key, known) = snapshot.services.get_key_value(service)?;
        let name = key.name();
        // An instance asked instead of another takes no turn.
        let turn = if tried.is_empty() { self.next_turn() } else { self.turn() };
        let draw = self.draw(known.strategy, turn, client);
        let choice = decision.lane.choice(name).iter();
        let chosen = choose(&known.set, choice.clone(), known.strategy, draw, &snapshot.outliers, tried);
        // A lane that the request carries may name it as well.
        let is_unversioned = chosen.is_none() && !known.is_named && !decision.lane.names(name);
        let chosen = match chosen {
            None if is_unversioned => {
                choose_unversioned(&known.set, choice, known.strategy, draw, &snapshot.outliers, tried)
            }
            chosen => chosen,
        };
        let is_fallback = chosen.is_some_and(|chosen| chosen.is_fallback);
        if is_fallback {
            self.stats().fallbacks.add();
            if self.may_warn(service) {
                let lane = decision.lane.name();
                tracing::warn!(service, lane, "no instance that the lane asks for first: its fallback answers");
            }
        }
        if tried.is_empty()
            && let Some(tally) = &known.tally
        {
            let pick = match chosen {
                Some(_) if is_fallback => Pick::Fallback,
                Some(_) if is_unversioned => Pick::Unversioned,
                Some(_) => Pick::Hit,
                None => Pick::None,
            };
            tally.add(self.index(), pick as usize);
        }
        chosen
    }

    /// What a pick depends on; the address of the client, for a strategy that keeps clients where they are.
    fn draw(&self, strategy: Strategy, turn: usize, client: IpAddr) -> Draw {
        let key = (strategy == Strategy::Ring).then(|| key_of(client));
        Draw { turn, random: fastrand::u64(..), now_ms: self.uptime_ms(), key }
    }

    /// Takes in how a request to an instance went.
    pub(in crate::proxy) fn report(
        &self,
        snapshot: &Held,
        service: &str,
        (endpoint, is_trial): (&Endpoint, bool),
        outcome: Outcome,
    ) {
        let change = endpoint.load().report(outcome, is_trial, &snapshot.outliers, self.uptime_ms());
        let instance = endpoint.authority();
        match change {
            None => {}
            Some(Change::Ejected(reason)) => {
                if let Some(counter) = self.stats().ejections.get(reason as usize) {
                    counter.add();
                }
                tracing::warn!(service, instance, "ejected: {reason}");
            }
            Some(Change::Readmitted) => tracing::info!(service, instance, "readmitted"),
        }
    }

    /// Whether there is room in the budget to send something twice. Only asked when something has failed.
    pub(super) fn may_repeat(&self, snapshot: &Held, name: &str) -> bool {
        let tally = snapshot.services.get(name).and_then(|known| known.tally.as_ref());
        let requests = tally.map_or_else(|| self.stats().began.get(), |tally| tally.sum_of(self.index()));
        let now_ms = self.uptime_ms();
        let mut budgets = self.budgets.borrow_mut();
        if budgets.len() >= MAX_BUDGETS && !budgets.contains_key(name) {
            budgets.clear();
        }
        let fresh = || RetryBudget::new(1.0 / self.workers() as f64, requests, now_ms);
        let allowed = budgets.entry(name.into()).or_insert_with(fresh).withdraw(requests, now_ms);
        let stats = self.stats();
        if allowed {
            stats.repeats.add()
        } else {
            stats.repeats_refused.add()
        }
        allowed
    }
}

/// What a failed attempt says of the instance; `None` when it says nothing.
pub(in crate::proxy) fn outcome(error: &SendError) -> Option<Outcome> {
    match (error, error.fault()?) {
        (SendError::Unsent(Unconnected::Tcp(error)), _) if is_shortage(error) => None,
        (SendError::Unsent(Unconnected::Tcp(error)), _) => Outcome::of_connect(error),
        (_, Fault::Connect | Fault::Tls) => Some(Outcome::Unreachable),
        (_, Fault::Broken | Fault::Unusable | Fault::Timeout | Fault::Truncated) => Some(Outcome::Failed),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::*;
    use crate::proxy::downstream::state::GaveUp;

    #[test]
    fn our_own_shortage_is_nobody_elses_fault() {
        let unsent =
            |errno: Errno| SendError::Unsent(Unconnected::Tcp(io::Error::from_raw_os_error(errno.raw_os_error())));
        for ours in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM, Errno::AGAIN] {
            assert_eq!(outcome(&unsent(ours)), None, "{ours}");
        }
        assert_eq!(outcome(&unsent(Errno::CONNREFUSED)), Some(Outcome::Unreachable));
        for late in [Unconnected::Tcp, Unconnected::Tls] {
            assert_eq!(outcome(&SendError::Unsent(late(io::ErrorKind::TimedOut.into()))), Some(Outcome::Unreachable));
        }
        assert_eq!(outcome(&SendError::GaveUp(GaveUp::Upload)), None);
    }
}
