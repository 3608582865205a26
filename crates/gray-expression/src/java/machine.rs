//! The engine that goes back: a step for every instruction, on an account.

use std::cell::RefCell;

use super::{
    node::{Assertion, Fold},
    program::{Instruction, Program},
    steps::{StepLimit, Steps},
};

/// Places to go back to that a thread keeps room for between two searches.
const KEPT: usize = 4096;
/// Not noted.
pub(super) const NOWHERE: usize = usize::MAX;

thread_local! {
    static ROOM: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// What is undone on the way back, or where it ends.
#[derive(Clone, Copy)]
enum Entry {
    /// Go on with this instruction at this position.
    Branch(usize, usize),
    /// A slot had this value.
    Restore(usize, usize),
}

struct Machine<'m> {
    program: &'m Program,
    text: &'m str,
    steps: &'m Steps,
    slots: &'m mut [usize],
    entries: Vec<Entry>,
}

/// Matches at this position, up to the end or as far as it goes; notes the groups in the slots. Returns where it ends.
pub(super) fn matches(
    program: &Program,
    text: &str,
    at: usize,
    is_whole: bool,
    slots: &mut Vec<usize>,
    steps: &Steps,
) -> Result<Option<usize>, StepLimit> {
    slots.clear();
    slots.resize(program.slots, NOWHERE);
    let entries = ROOM.take();
    let mut machine = Machine { program, text, steps, slots, entries };
    let found = machine.run(0, at, is_whole.then_some(text.len()));
    let mut entries = machine.entries;
    entries.clear();
    if entries.capacity() <= KEPT {
        ROOM.set(entries);
    }
    found
}

impl Machine<'_> {
    /// Runs from an instruction to the [`Accept`](Instruction::Accept) that belongs to it, which counts at `end` alone if that is given.
    /// There is nothing left to go back to then but what undoes it.
    fn run(&mut self, mut place: usize, mut at: usize, end: Option<usize>) -> Result<Option<usize>, StepLimit> {
        let base = self.entries.len();
        loop {
            self.steps.take(1)?;
            if let Some(Instruction::Accept) | None = self.program.instructions.get(place)
                && end.is_none_or(|end| end == at)
            {
                self.forget_branches(base)?;
                return Ok(Some(at));
            }
            match self.step(place, at)? {
                Some(next) => (place, at) = next,
                None => match self.back(base)? {
                    Some(branch) => (place, at) = branch,
                    None => return Ok(None),
                },
            }
        }
    }

    /// One instruction: the next one and its position; `None`: it does not match.
    fn step(&mut self, place: usize, at: usize) -> Result<Option<(usize, usize)>, StepLimit> {
        let program = self.program;
        let next = place + 1;
        let there = |to: u32| to as usize;
        Ok(match &program.instructions[place] {
            Instruction::Accept => None,
            Instruction::Char(c) => self.text[at..].starts_with(*c).then(|| (next, at + c.len_utf8())),
            Instruction::Class(set) => {
                let set = &program.sets[there(*set)];
                self.text[at..].chars().next().filter(|c| contains(set, *c)).map(|c| (next, at + c.len_utf8()))
            }
            Instruction::Assertion(assertion) => assertion.holds(self.text, at).then_some((next, at)),
            Instruction::Save(slot) => {
                let old = std::mem::replace(&mut self.slots[there(*slot)], at);
                self.entries.push(Entry::Restore(there(*slot), old));
                Some((next, at))
            }
            Instruction::Split(first, second) => {
                self.entries.push(Entry::Branch(there(*second), at));
                Some((there(*first), at))
            }
            Instruction::Jump(to) => Some((there(*to), at)),
            Instruction::Stalled(slot, to) => {
                Some((if self.slots[there(*slot)] == at { there(*to) } else { next }, at))
            }
            Instruction::Ahead { negative, to } => {
                self.look(*negative, |machine| machine.run(next, at, None))?.then_some((there(*to), at))
            }
            Instruction::Behind { negative, min, max, to } => {
                let found = self.look(*negative, |machine| machine.behind(next, at, there(*min)..=there(*max)))?;
                found.then_some((there(*to), at))
            }
            Instruction::Atomic { to } => self.run(next, at, None)?.map(|end| (there(*to), end)),
            Instruction::Reference(group, fold) => {
                let (from, to) = (self.slots[2 * there(*group)], self.slots[2 * there(*group) + 1]);
                if from == NOWHERE || to == NOWHERE {
                    return Ok(None);
                }
                // A group that is being matched anew ends where it did before.
                let seen = self.text.get(from..to).unwrap_or_default();
                self.steps.take(seen.len())?;
                fold.prefix(seen, &self.text[at..]).map(|length| (next, at + length))
            }
        })
    }

    /// Whether a look around succeeds; what a negative one notes is undone.
    fn look(
        &mut self,
        negative: bool,
        run: impl FnOnce(&mut Self) -> Result<Option<usize>, StepLimit>,
    ) -> Result<bool, StepLimit> {
        let base = self.entries.len();
        let found = run(self)?.is_some();
        if negative && found {
            // No branches are left, so all of it is undone.
            self.back(base)?;
        }
        Ok(found != negative)
    }

    /// Looks behind: from each place so many characters before.
    fn behind(
        &mut self,
        place: usize,
        at: usize,
        widths: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<usize>, StepLimit> {
        let mut start = at;
        for width in 0..=*widths.end() {
            if width > 0 {
                let Some(c) = self.text[..start].chars().next_back() else { break };
                start -= c.len_utf8();
                self.steps.take(1)?;
            }
            if widths.contains(&width)
                && let Some(end) = self.run(place, start, Some(at))?
            {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Goes back to the last branch above `base`, and undoes what was noted since.
    fn back(&mut self, base: usize) -> Result<Option<(usize, usize)>, StepLimit> {
        while self.entries.len() > base {
            self.steps.take(1)?;
            match self.entries.pop() {
                Some(Entry::Branch(place, at)) => return Ok(Some((place, at))),
                Some(Entry::Restore(slot, old)) => self.slots[slot] = old,
                None => break,
            }
        }
        Ok(None)
    }

    fn forget_branches(&mut self, base: usize) -> Result<(), StepLimit> {
        self.steps.take(self.entries.len() - base)?;
        let mut kept = base;
        for place in base..self.entries.len() {
            if let entry @ Entry::Restore(..) = self.entries[place] {
                self.entries[kept] = entry;
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        Ok(())
    }
}

fn contains(set: &[(char, char)], c: char) -> bool {
    let place = set.partition_point(|(_, last)| *last < c);
    set.get(place).is_some_and(|(first, _)| *first <= c)
}

/// What ends a line in Java.
fn is_terminator(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

impl Assertion {
    fn holds(self, text: &str, at: usize) -> bool {
        let (before, behind) = (&text[..at], &text[at..]);
        let within = before.ends_with('\r') && behind.starts_with('\n');
        match self {
            Self::Start => at == 0,
            Self::End => behind.is_empty(),
            Self::LastLine => {
                let mut rest = behind.chars();
                behind.is_empty()
                    || behind == "\r\n"
                    || (!within && rest.next().is_some_and(is_terminator) && rest.next().is_none())
            }
            // Not at the very end, as in Java.
            Self::LineStart => {
                !behind.is_empty() && (at == 0 || (!within && before.chars().next_back().is_some_and(is_terminator)))
            }
            Self::LineEnd => behind.is_empty() || (!within && behind.chars().next().is_some_and(is_terminator)),
            Self::Word { negative, unicode } => {
                let is_word =
                    |c: char| c == '_' || if unicode { c.is_alphanumeric() } else { c.is_ascii_alphanumeric() };
                let (left, right) = (before.chars().next_back(), behind.chars().next());
                (left.is_some_and(is_word) != right.is_some_and(is_word)) != negative
            }
        }
    }
}

impl Fold {
    /// The length of what a text begins with that is the same as another.
    fn prefix(self, seen: &str, text: &str) -> Option<usize> {
        if self == Self::Exact {
            return text.starts_with(seen).then_some(seen.len());
        }
        let same = |a: char, b: char| match self {
            Self::Exact | Self::Ascii => a.eq_ignore_ascii_case(&b),
            Self::Unicode => a == b || a.to_lowercase().eq(b.to_lowercase()) || a.to_uppercase().eq(b.to_uppercase()),
        };
        let (mut rest, mut length) = (text.chars(), 0);
        for c in seen.chars() {
            let other = rest.next().filter(|other| same(c, *other))?;
            length += other.len_utf8();
        }
        Some(length)
    }
}
