//! What can happen next, and what it does.

use super::{
    action::{Action, Variant},
    state::{Base, Gray, Part, Sight, Split, State, is_baseline},
};
use crate::message::{Follower, Ledger, Reading, Wish, Worked};

/// What is wrong with a step.
pub(super) type Fault = &'static str;

/// The messages, by partition, and the machine.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) logs: Vec<Vec<u8>>,
    pub(super) variant: Variant,
}

impl World {
    fn end(&self, part: usize) -> i64 {
        self.logs[part].len() as i64
    }

    fn is_gray(&self, part: usize, offset: i64, split: Split) -> bool {
        self.logs[part][offset as usize] & (1 << split) != 0
    }

    pub(super) fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        let budget = state.budget;
        for (number, member) in state.members.iter().enumerate() {
            if !member.is_alive {
                if budget.starts > 0 {
                    actions.push(Action::Start(number));
                }
                continue;
            }
            if budget.crashes > 0 {
                actions.push(Action::Crash(number));
            }
            if is_baseline(number) {
                if member.goal != state.goal || member.sight != sight(state) {
                    actions.push(Action::Look(number));
                }
                if member.sight == Sight::NoGray && !member.is_gray_member && has_ranges(state) {
                    actions.push(Action::StandBy(number));
                }
            }
        }
        if budget.goals > 0 {
            let goals = [None, Some(0), Some(1)].into_iter().filter(|goal| *goal != state.goal);
            actions.extend(goals.map(Action::Goal));
        }
        for (place, part) in state.parts.iter().enumerate() {
            self.of_part(state, place, part, &mut actions);
        }
        actions
    }

    fn of_part(&self, state: &State, place: usize, part: &Part, actions: &mut Vec<Action>) {
        let alive = |number: &usize| state.members[*number].is_alive;
        match &part.base {
            None => actions.extend((0..2).filter(alive).map(|number| Action::BaseAssign(place, number))),
            Some(base) => {
                let wanted = self.wanted(state, base);
                if part.worked.is_some() && base.seen != part.worked && !base.ledger.is_empty() {
                    actions.push(Action::Ask(place));
                }
                if wanted.is_some() {
                    actions.push(Action::Announce(place));
                } else if base.position < self.end(place) {
                    actions.push(Action::BaseRead(place));
                }
                if base.position != part.position {
                    actions.push(Action::BaseCommit(place));
                }
                if state.budget.rebalances > 0 {
                    actions.push(Action::BaseRevoke(place));
                }
            }
        }
        match &part.gray {
            None => {
                let members = (0..4).filter(alive).filter(|number| state.members[*number].is_gray_member);
                actions.extend(members.map(|number| Action::GrayAssign(place, number)));
            }
            Some(gray) => {
                if self.learned(part, &gray.follower) != gray.follower {
                    actions.push(Action::Learn(place));
                }
                if gray.follower.position().is_some_and(|next| next < self.end(place))
                    && !matches!(gray.follower.at(gray.follower.position().unwrap_or(0)), Reading::Wait)
                {
                    actions.push(Action::GrayRead(place));
                }
                if gray.follower.worked() != part.worked {
                    actions.push(Action::GrayCommit(place));
                }
                if state.budget.rebalances > 0 {
                    actions.push(Action::GrayRevoke(place));
                }
            }
        }
        // What the gray group has not heard of is gone for good.
        let knows = |worked: Option<&Worked<Split>>| worked.is_some_and(|worked| worked.known == part.ledger);
        let session = part.gray.as_ref().map(|gray| gray.follower.worked());
        let has_heard = knows(part.worked.as_ref()) && session.is_none_or(|session| knows(session.as_ref()));
        if state.budget.wipes > 0 && has_heard && !part.ledger.is_empty() {
            actions.push(Action::Wipe(place));
        }
    }

    /// The ledger that the owner has to commit before it goes on.
    fn wanted(&self, state: &State, base: &Base) -> Option<Ledger<Split>> {
        let member = state.members[base.member];
        let wish = match (member.goal, member.sight) {
            (None, _) => Wish::Close,
            (Some(split), Sight::Gray) => Wish::Open(split),
            (Some(split), _) => Wish::Keep(split),
        };
        let worked = base
            .seen
            .as_ref()
            .filter(|_| self.variant != Variant::EndsWhereTheBaselineIs || matches!(wish, Wish::Keep(_)));
        match self.variant {
            Variant::SkipsBySight => None,
            // Closed by another process: see `Look`.
            Variant::EndByOthers if wish == Wish::Close => None,
            _ => base.ledger.step(base.position, &wish, worked),
        }
    }

    fn learned(&self, part: &Part, follower: &Follower<Split>) -> Follower<Split> {
        let mut learned = follower.clone();
        learned.learn(&part.ledger, part.position);
        match (self.variant, follower.worked(), learned.worked()) {
            (Variant::NeverGoesBack, Some(before), Some(after)) => {
                Follower::new(Some(Worked { position: after.position.max(before.position), known: after.known }))
            }
            _ => learned,
        }
    }

    /// The state after it, or what it has done wrong.
    pub(super) fn after(&self, state: &State, action: Action) -> Result<State, Fault> {
        let mut next = state.clone();
        match action {
            Action::Start(number) => {
                next.budget.starts -= 1;
                let member = &mut next.members[number];
                (member.is_alive, member.sight, member.goal) = (true, Sight::Unknown, state.goal);
                member.is_gray_member = !is_baseline(number);
            }
            Action::Crash(number) => {
                next.budget.crashes -= 1;
                self.kill(&mut next, number);
            }
            Action::Goal(goal) => {
                next.budget.goals -= 1;
                next.goal = goal;
            }
            Action::Look(number) => self.look(&mut next, number),
            Action::StandBy(number) => next.members[number].is_gray_member = true,
            Action::BaseRevoke(place) => {
                next.budget.rebalances -= 1;
                drop_base(&mut next.parts[place]);
            }
            Action::GrayRevoke(place) => {
                next.budget.rebalances -= 1;
                drop_gray(&mut next.parts[place]);
            }
            Action::BaseAssign(place, member) => {
                let part = &mut next.parts[place];
                let (position, ledger) = (part.position, part.ledger.clone());
                part.base = Some(Base { member, position, ledger, seen: part.worked.clone() });
            }
            Action::GrayAssign(place, member) => {
                let part = &mut next.parts[place];
                let committed = part.worked.clone().or_else(|| match self.variant {
                    Variant::SkipsBySight => Some(Worked { position: self.end(place), known: Ledger::default() }),
                    Variant::BeginsAtTheEnd => Some(Worked { position: self.end(place), known: part.ledger.clone() }),
                    _ => None,
                });
                part.gray = Some(Gray { member, follower: Follower::new(committed) });
            }
            Action::Wipe(place) => {
                next.budget.wipes -= 1;
                let part = &mut next.parts[place];
                part.ledger = Ledger::default();
                part.loose = u8::MAX;
                // Tools are let in only while the group is empty.
                drop_base(part);
            }
            _ => self.work(&mut next, action)?,
        }
        Ok(next)
    }

    /// What the owner of a partition does.
    fn work(&self, next: &mut State, action: Action) -> Result<(), Fault> {
        let (Action::Ask(place)
        | Action::Announce(place)
        | Action::BaseRead(place)
        | Action::BaseCommit(place)
        | Action::Learn(place)
        | Action::GrayRead(place)
        | Action::GrayCommit(place)) = action
        else {
            unreachable!("{action:?} is no work")
        };
        let wanted = next.parts[place].base.as_ref().and_then(|base| self.wanted(next, base));
        let members = next.members;
        let goal = next.goal;
        let is_gray_alive = next.is_gray_alive();
        let part = &mut next.parts[place];
        match (action, part.base.as_mut(), part.gray.as_mut()) {
            (Action::Ask(_), Some(base), _) => base.seen = part.worked.clone(),
            (Action::Announce(_), Some(base), gray) => {
                let ledger = wanted.unwrap_or_default();
                // What the gray group has done since the owner looked.
                let seen = base.seen.as_ref().map_or(0, |seen| seen.position);
                let acknowledged = part.worked.as_ref().map_or(0, |worked| worked.position);
                let gray = gray.and_then(|gray| gray.follower.worked());
                let done = gray.as_ref().map_or(0, |gray| gray.position);
                // By another ledger it has gone back since.
                let is_other = gray.is_some_and(|gray| base.seen.as_ref().is_none_or(|seen| seen.known != gray.known));
                let seen = if is_other { 0 } else { seen };
                part.loose |= bits(seen, done.max(acknowledged));
                base.ledger = ledger.clone();
                (part.position, part.ledger) = (base.position, ledger);
            }
            (Action::BaseCommit(_), Some(base), _) => {
                part.position = base.position;
                if self.variant != Variant::EndByOthers {
                    part.ledger = base.ledger.clone();
                }
            }
            (Action::BaseRead(_), Some(base), _) => {
                let offset = base.position;
                let member = members[base.member];
                let is_left = match self.variant {
                    Variant::SkipsBySight => {
                        member.sight == Sight::Gray
                            && member.goal.is_some_and(|split| self.is_gray(place, offset, split))
                    }
                    _ => base.ledger.split_at(offset).is_some_and(|split| self.is_gray(place, offset, *split)),
                };
                base.position += 1;
                if !is_left {
                    let has_looked = member.sight == Sight::Gray && member.goal == goal;
                    let is_wrong = goal.is_some_and(|split| self.is_gray(place, offset, split));
                    let is_closed = part.ledger.ranges().iter().any(|range| range.end.is_some_and(|end| offset < end));
                    if is_wrong && is_gray_alive && has_looked && !is_closed {
                        return Err("wrong");
                    }
                    handle(part, offset)?;
                }
            }
            (Action::Learn(_), _, Some(gray)) => {
                let learned = {
                    let follower = gray.follower.clone();
                    self.learned(part, &follower)
                };
                if let Some(gray) = part.gray.as_mut() {
                    gray.follower = learned;
                }
            }
            (Action::GrayRead(_), _, Some(gray)) => {
                let offset = gray.follower.position().unwrap_or(0);
                let (owner, is_late) =
                    (gray.member, gray.follower.worked().is_some_and(|worked| worked.known != part.ledger));
                let is_own = match gray.follower.at(offset) {
                    Reading::Read(split) => Some(self.is_gray(place, offset, *split)),
                    Reading::Jump(next) => {
                        gray.follower.pass(next);
                        None
                    }
                    Reading::Wait => None,
                };
                if let Some(is_own) = is_own {
                    gray.follower.pass(offset + 1);
                    if is_own {
                        if is_baseline(owner) && members[owner].sight == Sight::Gray {
                            return Err("wrong");
                        }
                        if is_late {
                            part.loose |= bits(offset, offset + 1);
                        }
                        handle(part, offset)?;
                    }
                }
            }
            (Action::GrayCommit(_), _, Some(gray)) => part.worked = gray.follower.worked(),
            _ => unreachable!("{action:?} without an owner"),
        }
        Ok(())
    }

    fn look(&self, next: &mut State, number: usize) {
        let sight = sight(next);
        let member = &mut next.members[number];
        (member.sight, member.goal) = (sight, next.goal);
        for part in &mut next.parts {
            if let Some(base) = part.base.as_mut().filter(|base| base.member == number) {
                base.seen = part.worked.clone();
            }
        }
        let member = &mut next.members[number];
        if sight == Sight::Gray && member.is_gray_member {
            member.is_gray_member = false;
            leave_gray(next, number);
        }
        if self.variant == Variant::EndByOthers && next.goal.is_none() {
            for part in &mut next.parts {
                if let Some(ledger) = part.ledger.step(part.position, &Wish::Close, part.worked.as_ref()) {
                    part.ledger = ledger;
                }
            }
        }
    }

    pub(super) fn kill(&self, next: &mut State, number: usize) {
        let member = &mut next.members[number];
        (member.is_alive, member.sight) = (false, Sight::Unknown);
        member.is_gray_member = !is_baseline(number);
        for part in &mut next.parts {
            if part.base.as_ref().is_some_and(|base| base.member == number) {
                drop_base(part);
            }
        }
        leave_gray(next, number);
    }
}

fn leave_gray(next: &mut State, number: usize) {
    for part in &mut next.parts {
        if part.gray.as_ref().is_some_and(|gray| gray.member == number) {
            drop_gray(part);
        }
    }
}

pub(super) fn sight(state: &State) -> Sight {
    if state.is_gray_alive() { Sight::Gray } else { Sight::NoGray }
}

/// Whether there is something to stand by for.
pub(super) fn has_ranges(state: &State) -> bool {
    let has_work = |part: &Part| Follower::has_work(part.worked.clone(), &part.ledger, part.position);
    state.parts.iter().any(|part| !part.ledger.is_empty() || has_work(part))
}

fn bits(from: i64, to: i64) -> u8 {
    (from.max(0)..to.min(8)).fold(0, |bits, offset| bits | 1 << offset)
}

/// Handles a message; again only if its handling before is not acknowledged, or lies within a change.
fn handle(part: &mut Part, offset: i64) -> Result<(), Fault> {
    let bit = bits(offset, offset + 1);
    if part.handled & bit != 0 && part.loose & bit == 0 {
        return Err("handled twice");
    }
    part.handled |= bit;
    Ok(())
}

fn drop_base(part: &mut Part) {
    if let Some(base) = part.base.take() {
        part.loose |= bits(part.position, base.position);
    }
}

fn drop_gray(part: &mut Part) {
    if let Some(gray) = part.gray.take() {
        // What was committed by another ledger acknowledges nothing that was read again by this one.
        let now = gray.follower.worked();
        let is_same = |worked: &&Worked<Split>| now.as_ref().is_some_and(|now| now.known == worked.known);
        let from = part.worked.as_ref().filter(is_same).map_or(0, |worked| worked.position);
        part.loose |= bits(from, gray.follower.position().unwrap_or(0));
    }
}
