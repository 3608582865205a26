//! Breadth first, so that the first trace that is found is a shortest one.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
};

use super::{
    action::{Action, Variant},
    drain::{Drained, drain, without_gray},
    state::{Budget, State},
    step::World,
};

/// What is explored.
pub(super) struct Config {
    pub(super) crashes: u8,
    pub(super) starts: u8,
    pub(super) rebalances: u8,
    pub(super) goals: u8,
    pub(super) wipes: u8,
    /// Whether it begins with a gray process, and owners of all partitions.
    pub(super) is_begun: bool,
    pub(super) logs: Vec<Vec<u8>>,
}

impl Config {
    pub(super) fn new(logs: &[&[u8]]) -> Self {
        let logs = logs.iter().map(|log| log.to_vec()).collect();
        Self { crashes: 0, starts: 0, rebalances: 0, goals: 0, wipes: 0, is_begun: false, logs }
    }
}

pub(super) struct Found {
    pub(super) what: &'static str,
    trace: Vec<Action>,
    /// What then happens, without any fault.
    rest: Vec<Action>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, by {} steps:", self.what, self.trace.len())?;
        self.trace.iter().try_for_each(|action| write!(f, " {action:?}"))?;
        if self.rest.is_empty() { Ok(()) } else { write!(f, "; then") }?;
        self.rest.iter().try_for_each(|action| write!(f, " {action:?}"))
    }
}

pub(super) struct Report {
    pub(super) states: usize,
    pub(super) steps: usize,
    pub(super) found: Option<Found>,
}

pub(super) fn explore(config: &Config, variant: Variant) -> Report {
    let Config { crashes, starts, rebalances, goals, wipes, is_begun, ref logs } = *config;
    let world = World { logs: logs.clone(), variant };
    let first = State::new(logs.len(), Budget { crashes, starts, rebalances, goals, wipes });
    let first = if is_begun { first.begun() } else { first };
    let mut visited: HashSet<Box<[u8]>, foldhash::fast::RandomState> = HashSet::default();
    let mut drained = Drained::default();
    // How a state was reached: from which one, by what.
    let mut ways: Vec<(usize, Option<Action>)> = vec![(0, None)];
    visited.insert(first.key());
    let mut queue = VecDeque::from([(0, first)]);
    let mut steps = 0;
    let trace = |ways: &[(usize, Option<Action>)], mut place: usize, last: Option<Action>| {
        let mut trace: Vec<_> = last.into_iter().collect();
        while let (from, Some(action)) = ways[place] {
            trace.push(action);
            place = from;
        }
        trace.reverse();
        trace
    };
    while let Some((place, state)) = queue.pop_front() {
        let all = drain(&world, &state, &mut drained);
        // And if the gray processes die now.
        if let Err(rest) = all.and_then(|()| drain(&world, &without_gray(&world, &state), &mut drained)) {
            let found = Some(Found { what: "lost", trace: trace(&ways, place, None), rest });
            return Report { states: ways.len(), steps, found };
        }
        for action in world.actions(&state) {
            steps += 1;
            match world.after(&state, action) {
                Err(what) => {
                    let found = Some(Found { what, trace: trace(&ways, place, Some(action)), rest: Vec::new() });
                    return Report { states: ways.len(), steps, found };
                }
                Ok(next) => {
                    if visited.insert(next.key()) {
                        ways.push((place, Some(action)));
                        queue.push_back((ways.len() - 1, next));
                    }
                }
            }
        }
    }
    Report { states: ways.len(), steps, found: None }
}
