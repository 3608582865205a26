//! An expression as instructions for the engine that goes back.

use super::node::{Assertion, Fold, Kind, Node};
use crate::Unfit;

/// Most instructions of one expression, counted repetitions written out.
const MAX_INSTRUCTIONS: usize = 16_384;
/// Parts that are looked at until then: some are no instruction.
const MAX_PARTS: usize = 4 * MAX_INSTRUCTIONS;

/// A place in a program.
pub(super) type Place = u32;

#[derive(Debug)]
pub(super) enum Instruction {
    Char(char),
    /// One of the sets.
    Class(u32),
    Assertion(Assertion),
    /// Notes the position.
    Save(u32),
    /// The first, or else the second.
    Split(Place, Place),
    Jump(Place),
    /// Goes on there if nothing was matched since the position was noted, else goes on behind.
    Stalled(u32, Place),
    /// What is behind it, up to its [`Accept`](Self::Accept); then on there.
    Ahead {
        negative: bool,
        to: Place,
    },
    Behind {
        negative: bool,
        min: u32,
        max: u32,
        to: Place,
    },
    Atomic {
        to: Place,
    },
    Reference(u32, Fold),
    Accept,
}

/// A set of characters: ranges in order.
pub(super) type Set = Box<[(char, char)]>;

/// An expression, compiled.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) instructions: Box<[Instruction]>,
    pub(super) sets: Box<[Set]>,
    /// Positions that are noted: two for each group, then those of repetitions.
    pub(super) slots: usize,
}

#[derive(Default)]
struct Writer {
    instructions: Vec<Instruction>,
    sets: Vec<Set>,
    slots: usize,
    parts: usize,
}

impl Program {
    /// Compiles an expression with so many groups, the whole match included.
    pub(super) fn new(node: &Node, groups: usize) -> Result<Self, Unfit> {
        let mut writer = Writer { slots: 2 * groups, ..Writer::default() };
        writer.write(node)?;
        writer.push(Instruction::Accept)?;
        Ok(Self { instructions: writer.instructions.into(), sets: writer.sets.into(), slots: writer.slots })
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| size_of::<Set>() + size_of_val(&**set)).sum();
        size_of_val(&*self.instructions) + sets
    }
}

impl Writer {
    fn here(&self) -> Place {
        // Bounded by `push`.
        self.instructions.len() as Place
    }

    fn push(&mut self, instruction: Instruction) -> Result<usize, Unfit> {
        if self.instructions.len() >= MAX_INSTRUCTIONS {
            return Err(Unfit::TooLarge);
        }
        self.instructions.push(instruction);
        Ok(self.instructions.len() - 1)
    }

    fn set(&mut self, at: usize, instruction: Instruction) {
        if let Some(place) = self.instructions.get_mut(at) {
            *place = instruction;
        }
    }

    fn write(&mut self, node: &Node) -> Result<(), Unfit> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(Unfit::TooLarge);
        }
        match node {
            Node::Empty => {}
            Node::Char(c) => drop(self.push(Instruction::Char(*c))?),
            Node::Dot(terminators) => {
                let mut set = terminators.clone();
                set.negate();
                self.write(&Node::Class(set))?;
            }
            Node::Class(class) => {
                let set: Set = class.ranges().iter().map(|range| (range.start(), range.end())).collect();
                let known = self.sets.iter().position(|known| *known == set);
                let place = known.unwrap_or(self.sets.len());
                if known.is_none() {
                    self.sets.push(set);
                }
                self.push(Instruction::Class(place as u32))?;
            }
            Node::Assertion(assertion) => drop(self.push(Instruction::Assertion(*assertion))?),
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.write(node))?,
            Node::Alternate(nodes) => self.alternate(nodes)?,
            Node::Repeat { min, max, kind: Kind::Possessive, of } => {
                let kind = Kind::Greedy;
                let of = Node::Repeat { min: *min, max: *max, kind, of: of.clone() };
                self.write(&Node::Atomic(Box::new(of)))?;
            }
            Node::Repeat { min, max, kind, of } => self.repeat(*min, *max, *kind == Kind::Lazy, of)?,
            Node::Group(number, of) => {
                let slot = 2 * *number as u32;
                self.push(Instruction::Save(slot))?;
                self.write(of)?;
                self.push(Instruction::Save(slot + 1))?;
            }
            Node::Ahead { negative, of } => {
                self.within(of, |to| Instruction::Ahead { negative: *negative, to })?;
            }
            Node::Behind { negative, min, max, of } => {
                let (min, max) = (*min as u32, *max as u32);
                self.within(of, |to| Instruction::Behind { negative: *negative, min, max, to })?;
            }
            Node::Atomic(of) => self.within(of, |to| Instruction::Atomic { to })?,
            Node::Reference(group, fold) => drop(self.push(Instruction::Reference(*group as u32, *fold))?),
        }
        Ok(())
    }

    /// A part that is matched for itself.
    fn within(&mut self, of: &Node, instruction: impl FnOnce(Place) -> Instruction) -> Result<(), Unfit> {
        let at = self.push(Instruction::Accept)?;
        self.write(of)?;
        self.push(Instruction::Accept)?;
        let instruction = instruction(self.here());
        self.set(at, instruction);
        Ok(())
    }

    fn alternate(&mut self, nodes: &[Node]) -> Result<(), Unfit> {
        let Some((last, others)) = nodes.split_last() else { return Ok(()) };
        let mut ends = Vec::new();
        for node in others {
            let split = self.push(Instruction::Accept)?;
            self.write(node)?;
            ends.push(self.push(Instruction::Accept)?);
            let (first, second) = (split as Place + 1, self.here());
            self.set(split, Instruction::Split(first, second));
        }
        self.write(last)?;
        let end = self.here();
        ends.into_iter().for_each(|at| self.set(at, Instruction::Jump(end)));
        Ok(())
    }

    fn repeat(&mut self, min: u32, max: Option<u32>, lazy: bool, of: &Node) -> Result<(), Unfit> {
        for _ in 0..min {
            self.write(of)?;
        }
        let split = |body: Place, out: Place| {
            if lazy { Instruction::Split(out, body) } else { Instruction::Split(body, out) }
        };
        let Some(max) = max else {
            let slot = self.slots as u32;
            let may_stall = of.width().0 == 0;
            self.slots += usize::from(may_stall);
            let begin = self.push(Instruction::Accept)?;
            let mut stalled = None;
            if may_stall {
                self.push(Instruction::Save(slot))?;
            }
            self.write(of)?;
            if may_stall {
                stalled = Some(self.push(Instruction::Accept)?);
            }
            self.push(Instruction::Jump(begin as Place))?;
            let out = self.here();
            self.set(begin, split(begin as Place + 1, out));
            if let Some(at) = stalled {
                self.set(at, Instruction::Stalled(slot, out));
            }
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.push(Instruction::Accept)?);
            self.write(of)?;
        }
        let out = self.here();
        splits.into_iter().for_each(|at| self.set(at, split(at as Place + 1, out)));
        Ok(())
    }
}
