//! The judge of loss: from a state on, nothing fails any more, and everything that can be done is done.

use std::collections::HashSet;

use super::{
    action::Action,
    state::{Sight, State},
    step::{World, has_ranges, sight},
};

/// States from which everything is handled in the end.
pub(super) type Drained = HashSet<Box<[u8]>, foldhash::fast::RandomState>;

/// Whether all messages are handled in the end; if not, what happens until nothing happens any more.
pub(super) fn drain(world: &World, state: &State, known: &mut Drained) -> Result<(), Vec<Action>> {
    let mut state = quiet(state);
    let (mut way, mut actions) = (Vec::new(), Vec::new());
    loop {
        let key = state.key();
        if known.contains(&key) {
            break;
        }
        way.push(key);
        let Some(action) = urgent(world, &state) else {
            let is_done = |(part, log): (&super::state::Part, &Vec<u8>)| {
                u32::from(part.handled).count_ones() as usize == log.len()
            };
            if !state.parts.iter().zip(&world.logs).all(is_done) {
                return Err(actions);
            }
            break;
        };
        // What is wrong or twice is found by the exploration.
        let Ok(next) = world.after(&state, action) else { break };
        actions.push(action);
        state = next;
        assert!(way.len() < 500, "it never comes to rest: {state:?}");
    }
    known.extend(way);
    Ok(())
}

/// No faults are left, and a baseline process is alive.
fn quiet(state: &State) -> State {
    let mut state = state.clone();
    let budget = &mut state.budget;
    (budget.crashes, budget.starts, budget.rebalances, budget.goals, budget.wipes) = (0, 0, 0, 0, 0);
    if !state.members[0].is_alive && !state.members[1].is_alive {
        let member = &mut state.members[0];
        (member.is_alive, member.sight, member.goal) = (true, Sight::Unknown, state.goal);
    }
    // All may be handled again: it is not what is asked here.
    state.parts.iter_mut().for_each(|part| part.loose = u8::MAX);
    state
}

/// The same state, with the gray processes dead.
pub(super) fn without_gray(world: &World, state: &State) -> State {
    let mut state = state.clone();
    world.kill(&mut state, 2);
    world.kill(&mut state, 3);
    state
}

/// One of the actions that make progress, in a fixed order.
fn urgent(world: &World, state: &State) -> Option<Action> {
    let standby = (0..2).find(|number| {
        let member = state.members[*number];
        member.is_alive && member.sight == Sight::NoGray && !member.is_gray_member && sight(state) == Sight::NoGray
    });
    let actions = world.actions(state);
    let rank = |action: &Action| match action {
        Action::Look(_) => 0,
        Action::BaseAssign(..) | Action::GrayAssign(..) => 1,
        Action::Ask(_) | Action::Learn(_) => 2,
        Action::Announce(_) => 3,
        Action::BaseRead(_) | Action::GrayRead(_) => 4,
        Action::BaseCommit(_) | Action::GrayCommit(_) => 5,
        Action::StandBy(_) if standby.is_some() && has_ranges(state) => 6,
        _ => 9,
    };
    actions.into_iter().filter(|action| rank(action) < 9).min_by_key(rank)
}
