//! Which rules can match at all: looked up, not tried one by one.
//!
//! Long lists of rules ask the same few facts again and again: is the user U0001, is it U0002, and so on. So every rule
//! gets *guards*, tests that it cannot match without, and all guards of one fact become one structure that is searched
//! once per request: values in a hash table, networks as ranges, and whether the fact is there. What it yields is a list
//! of rules, 64 of them to a [`Word`]. A share has to be computed for each salt; its guard is the share itself.
//!
//! The index only rules out: the rules that are left are judged in order, by the code that explains
//! (`decide.rs`). A guard may let too many pass (values are known by their hashes), never too few.
//!
//! A guard is asked when the decision comes to the first rule that it guards, so no fact is looked up for the sake of
//! rules behind the match, and the cost depends on the rules before it, not on how many there are. A fact that has to be
//! computed (city, token, JSON, user agent) is a guard only where it is the first thing that the rule asks anyway.

mod addresses;
mod build;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, hash::BuildHasher};

use foldhash::fast::RandomState;

use self::addresses::Addresses;
use super::{Share, Value};

/// Rules that share a word of the index.
pub(super) const WORD: usize = 64;

/// The index of a list of rules.
#[derive(Clone, Debug)]
pub(super) struct Index {
    words: Box<[Word]>,
    guards: Box<[Guard]>,
    /// Lists of rules, by place; the first is empty. The same list is there once.
    lists: Box<[Box<[Hit]>]>,
}

/// 64 rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    /// Those that no guard can rule out.
    pub always: u64,
    /// What lets others in, in the order of the first rule that needs it.
    pub steps: Vec<Step>,
}

/// One question on the way through a word.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The first rule that needs an answer, by its place in the word.
    pub place: u32,
    /// The question.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// A guard, by its place.
    Guard(usize),
    /// Whether the request is within one of these shares, all of the same fact. They all come before the next step.
    Shares(Vec<Place>),
}

/// A rule that has only its share for a guard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its place in the word.
    pub place: u32,
    /// The share.
    pub share: Share,
}

/// All that a fact says of the rules it guards, in one way of looking.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The fact.
    pub source: usize,
    lookup: Lookup,
}

/// Ways of looking; what is found is the place of a list.
#[derive(Clone, Debug)]
enum Lookup {
    /// By the hash of the value.
    Values(HashMap<u64, usize, RandomState>),
    /// By the range that the address falls into.
    Addresses(Addresses),
    /// By whether the fact is there.
    Presence { present: usize, missing: usize },
}

/// Rules of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hit {
    word: usize,
    rules: u64,
}

/// Guards whose lists are kept from one word to the next. Others are looked up again, which is never wrong.
const KEPT: usize = 16;

/// What the guards of one request have found, as far as the words ahead are concerned.
#[derive(Default)]
pub(super) struct Found<'s>([Option<&'s [Hit]>; KEPT]);

impl Index {
    /// The words, in order.
    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// The guard at a place.
    pub(super) fn guard(&self, place: usize) -> &Guard {
        &self.guards[place]
    }

    fn list(&self, guard: &Guard, value: Option<&Value<'_>>) -> &[Hit] {
        let found = match (&guard.lookup, value) {
            (Lookup::Presence { present, missing }, value) => Some(if value.is_some() { *present } else { *missing }),
            (_, None) => None,
            (Lookup::Values(places), Some(Value::Text(text))) => {
                places.get(&places.hasher().hash_one(text.as_ref())).copied()
            }
            // No text equals an address.
            (Lookup::Values(_), Some(Value::Ip(_))) => None,
            (Lookup::Addresses(addresses), Some(value)) => value.address().map(|ip| addresses.find(ip)),
        };
        &self.lists[found.unwrap_or(0)]
    }
}

impl Place {
    /// The first of them that satisfies `has` and comes before this place of the word, as a bit. Those that were asked are
    /// taken off the list.
    #[inline]
    pub(super) fn first(places: &mut &[Self], before: u32, has: impl Fn(&Share) -> bool) -> u64 {
        let end = places.partition_point(|place| place.place < before);
        let (asked, after) = places.split_at(end);
        match asked.iter().position(|place| has(&place.share)) {
            Some(found) => {
                *places = &places[found + 1..];
                1 << asked[found].place
            }
            None => {
                *places = after;
                0
            }
        }
    }
}

impl Place {
    /// The first of them whose share has a user of this key, as [`first`](Self::first).
    // By itself: the loop needs all registers, and what is inlined around it would have some of them.
    #[inline(never)]
    pub(super) fn first_with(places: &mut &[Self], before: u32, key: &[u8]) -> u64 {
        Self::first(places, before, |share| share.has(share.point_of(key)))
    }
}

impl<'s> Found<'s> {
    /// The rules of this word that the guard lets in. Words have to be asked for in order.
    #[inline]
    pub(super) fn rules<'v, 'r: 'v>(
        &mut self,
        index: &'s Index,
        guard: usize,
        word: usize,
        value: impl FnOnce(usize) -> Option<&'v Value<'r>>,
    ) -> u64 {
        let mut other = None;
        let kept = self.0.get_mut(guard).unwrap_or(&mut other);
        let rest = kept.get_or_insert_with(|| {
            let guard = index.guard(guard);
            index.list(guard, value(guard.source))
        });
        while let [hit, after @ ..] = rest {
            if hit.word >= word {
                return if hit.word == word { hit.rules } else { 0 };
            }
            *rest = after;
        }
        0
    }
}
