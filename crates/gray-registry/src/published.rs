//! What is published of one service, by the rules of [`hold`](crate::hold).

use std::{sync::Arc, time::Duration};

use gray_core::instance::{Instance, share_metadata};
use tokio::{sync::watch, time::Instant};

use crate::{
    ServiceState,
    hold::{self, Doubt, Entry, Terms},
};

/// How long after it came back a registry may forget again who it lists: the server finds out one by one whose connections the
/// outage has cut as well.
const UNSETTLED: Duration = Duration::from_secs(30);
/// A registry that takes longer for its first answer was away when we started.
const PROMPT: Duration = Duration::from_secs(5);

/// What the receivers of one service see: what its registry says, and those that are held.
#[derive(Debug)]
pub struct Published {
    service: String,
    state: watch::Sender<ServiceState>,
    terms: Terms,
    /// As published, or as remembered: the receivers' own list, not a copy.
    list: Arc<[Instance]>,
    /// Of each of them.
    standings: Box<[Standing]>,
    hold_ends: Option<Instant>,
    unsettled_until: Instant,
    since: Instant,
    /// Whether the registry has answered on the connection in use.
    pub has_been_up: bool,
}

/// An [`Entry`] without its instance.
#[derive(Clone, Copy, Debug)]
struct Standing {
    held_until: Option<Instant>,
    doubt: Doubt,
}

impl Standing {
    fn split(entry: Entry) -> (Instance, Self) {
        let Entry { instance, held_until, doubt } = entry;
        (instance, Self { held_until, doubt })
    }
}

impl Published {
    /// Publishes into `state`; `remembered` was known before this process started.
    pub fn new(terms: Terms, service: String, remembered: &[Instance], state: watch::Sender<ServiceState>) -> Self {
        let entries = remembered.iter().cloned().map(Entry::remembered);
        let (list, standings): (Vec<_>, Vec<_>) = entries.map(Standing::split).unzip();
        let (list, standings, now) = (list.into(), standings.into(), Instant::now());
        let (hold_ends, unsettled_until) = (None, now);
        Self { service, state, terms, list, standings, hold_ends, unsettled_until, since: now, has_been_up: false }
    }

    /// Who is missing from here on may have to register again.
    pub fn registry_was_away(&mut self) {
        self.standings.iter_mut().for_each(|standing| standing.doubt = Doubt::Unseen);
        self.unsettled_until = Instant::now() + UNSETTLED;
    }

    /// Whether anything was published.
    pub fn is_known(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Takes in what the registry says now.
    pub fn publish(&mut self, incoming: Vec<Instance>) {
        let held_before = self.held();
        let now = Instant::now();
        if !self.is_known() && !self.list.is_empty() && self.since.elapsed() > PROMPT {
            self.registry_was_away();
        }
        let unsettled = now < self.unsettled_until;
        // What is there needs no comparing.
        let known = if self.are_all_in(&incoming) { Vec::new() } else { self.entries() };
        let (entries, hold_ends) = hold::apply(&known, incoming, now, self.terms, unsettled);
        let (mut list, standings): (Vec<_>, Vec<_>) = entries.into_iter().map(Standing::split).unzip();
        (self.standings, self.hold_ends) = (standings.into(), hold_ends);
        if *list != *self.list {
            share_metadata(&mut list, &self.list);
            self.list = list.into();
        }
        let held = self.held();
        if held > held_before {
            let longest = self.standings.iter().filter_map(|standing| standing.held_until).max();
            let for_secs = longest.map_or(0, |until| until.duration_since(now).as_secs());
            tracing::warn!(
                service = %self.service, held, for_secs,
                "instances went missing all at once: the registry may be recovering; they stay listed meanwhile"
            );
        }
        self.state.send_if_modified(|state| {
            let is_it = |state: &Arc<[Instance]>| Arc::ptr_eq(state, &self.list) || *state == self.list;
            let changed = !state.as_ref().is_some_and(is_it);
            if changed {
                *state = Some(Arc::clone(&self.list));
            }
            changed
        });
    }

    /// When to [`look again`](Self::look_again), if a hold is to end.
    pub fn hold_ends(&self) -> Option<Instant> {
        self.hold_ends
    }

    /// Those that would be held, were this published now.
    pub fn newly_held(&self, incoming: &[Instance]) -> Vec<Instance> {
        if self.are_all_in(incoming) {
            return Vec::new();
        }
        hold::newly_held(&self.entries(), incoming, Instant::now(), self.terms)
    }

    /// Whether every known instance is listed, in the same order, as in most reads.
    fn are_all_in(&self, incoming: &[Instance]) -> bool {
        let is_there = |(known, now): (&Instance, &Instance)| known.is_at_address_of(now);
        self.list.len() <= incoming.len() && self.list.iter().zip(incoming).all(is_there)
    }

    fn entries(&self) -> Vec<Entry> {
        let known = self.list.iter().cloned().zip(&self.standings);
        known.map(|(instance, &Standing { held_until, doubt })| Entry { instance, held_until, doubt }).collect()
    }

    fn held(&self) -> usize {
        self.standings.iter().filter(|standing| standing.held_until.is_some()).count()
    }

    /// A hold ended: merges the last report once more.
    pub fn look_again(&mut self) {
        let listed = self.list.iter().zip(&self.standings).filter(|(_, standing)| standing.held_until.is_none());
        self.publish(listed.map(|(instance, _)| instance.clone()).collect());
    }
}
