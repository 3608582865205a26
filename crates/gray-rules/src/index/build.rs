//! Builds the index: finds the guards of each rule and puts those of one fact together.

use std::{collections::HashMap, hash::BuildHasher};

use foldhash::fast::RandomState;

use super::{
    super::{Condition, IpSet, Rule, Share, ShareKey, Source, Subject, Test},
    Addresses, Ask, Guard, Hit, Index, Lookup, Place, Step, WORD, Word,
};

/// Entries of all lists of rules together, 16 bytes each. Networks that overlap in more ways are tried rule by rule.
const MAX_HITS: usize = 1 << 18;

/// So few rules are judged as quickly as they are looked up.
const FEW: usize = 3;

/// What lets a rule in: any one of these.
enum Entrance<'r> {
    Guards(Vec<(usize, Key<'r>)>),
    Share(&'r Share),
    /// Nothing rules it out before it is judged.
    Always,
}

/// How a fact must be.
enum Key<'r> {
    Value(&'r Test),
    Network(&'r IpSet),
    Presence(bool),
}

/// A guard in the making: a fact, and the keys of the rules by kind.
#[derive(Default)]
struct Draft<'r> {
    source: usize,
    values: Vec<(&'r Test, usize)>,
    networks: Vec<(&'r IpSet, usize)>,
    presences: [Vec<usize>; 2],
}

impl Index {
    /// Of these rules; `None` when there are so few that it would not pay.
    pub(in super::super) fn new(sources: &[Source], rules: &[Rule]) -> Option<Self> {
        (rules.len() > FEW).then(|| Self::with_room(sources, rules, MAX_HITS))
    }

    pub(super) fn with_room(sources: &[Source], rules: &[Rule], room: usize) -> Self {
        let mut words = vec![Word::default(); rules.len().div_ceil(WORD)];
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        // A fact has a draft for each kind of key.
        let mut known: HashMap<(usize, u8), usize> = HashMap::new();
        for (rule_place, rule) in rules.iter().enumerate() {
            let word = &mut words[rule_place / WORD];
            let place = (rule_place % WORD) as u32;
            let guards = match entrance(sources, rule) {
                Entrance::Guards(guards) => guards,
                Entrance::Share(share) => {
                    word.share(Place { place, share: *share });
                    continue;
                }
                Entrance::Always => {
                    word.always |= 1 << place;
                    continue;
                }
            };
            for (source, key) in guards {
                let guard = *known.entry((source, key.kind())).or_insert_with(|| {
                    drafts.push(Draft { source, ..Draft::default() });
                    drafts.len() - 1
                });
                let draft = &mut drafts[guard];
                match key {
                    Key::Value(test) => draft.values.push((test, rule_place)),
                    Key::Network(set) => draft.networks.push((set, rule_place)),
                    Key::Presence(present) => draft.presences[usize::from(present)].push(rule_place),
                }
                if !word.steps.iter().any(|step| matches!(step.ask, Ask::Guard(asked) if asked == guard)) {
                    word.steps.push(Step { place, ask: Ask::Guard(guard) });
                }
            }
        }
        let mut lists = Lists { room, ..Lists::default() };
        lists.place(Vec::new());
        let guards = drafts.into_iter().map(|draft| draft.finish(&mut lists)).collect();
        Self { words: words.into(), guards, lists: lists.lists.into() }
    }
}

impl Word {
    fn share(&mut self, place: Place) {
        match self.steps.last_mut() {
            Some(Step { ask: Ask::Shares(shares), .. })
                if shares.last().is_some_and(|last| last.share.key == place.share.key) =>
            {
                shares.push(place);
            }
            _ => self.steps.push(Step { place: place.place, ask: Ask::Shares(vec![place]) }),
        }
    }
}

fn entrance<'r>(sources: &[Source], rule: &'r Rule) -> Entrance<'r> {
    let is_ready = |place: usize| sources.get(place).is_some_and(Source::is_ready);
    let timed = rule.since.is_some() || rule.until.is_some();
    // The fact that every block asks for first: it is needed anyway, unless the rule is not in force.
    let mut firsts = rule.any.iter().map(|block| block.first().and_then(fact));
    let first = firsts.next().flatten().filter(|first| !timed && firsts.all(|other| other == Some(*first)));
    let guard = |block: &'r Vec<Condition>| {
        let guards = block.iter().filter_map(key).filter(|(source, _)| is_ready(*source) || first == Some(*source));
        // The first of the best.
        guards.min_by_key(|(source, key)| (!key.is_sharp(), !is_ready(*source)))
    };
    let guards: Option<Vec<_>> = rule.any.iter().map(guard).collect();
    let share = rule.share.as_ref().filter(|share| match share.key {
        ShareKey::Random => true,
        ShareKey::Fact(place) => is_ready(place) || (rule.any.is_empty() && !timed),
    });
    match (guards.filter(|guards| !guards.is_empty()), share) {
        (Some(guards), share) if share.is_none() || guards.iter().all(|(_, key)| key.is_sharp()) => {
            Entrance::Guards(guards)
        }
        (_, Some(share)) => Entrance::Share(share),
        _ => Entrance::Always,
    }
}

fn fact(condition: &Condition) -> Option<usize> {
    match condition.subject {
        Subject::Fact { source, .. } => Some(source),
        Subject::Time(_) => None,
    }
}

fn key(condition: &Condition) -> Option<(usize, Key<'_>)> {
    let Subject::Fact { source, test } = &condition.subject else { return None };
    let key = match test {
        Test::Missing => Key::Presence(condition.negated),
        Test::Exact(_) | Test::In(_) if !condition.negated => Key::Value(test),
        Test::Ip(set) if !condition.negated => Key::Network(set),
        // What is not there passes no other test, and does not fail one either.
        _ => Key::Presence(true),
    };
    Some((*source, key))
}

impl Key<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Value(_) => 0,
            Self::Network(_) => 1,
            Self::Presence(_) => 2,
        }
    }

    /// Whether it rules out nearly every request.
    fn is_sharp(&self) -> bool {
        !matches!(self, Self::Presence(_))
    }
}

impl Draft<'_> {
    fn finish(self, lists: &mut Lists) -> Guard {
        let Self { source, values, networks, presences: [missing, mut present] } = self;
        let lookup = if !values.is_empty() {
            Some(Lookup::Values(by_value(&values, lists)))
        } else if !networks.is_empty() {
            let addresses = Addresses::new(&networks, &mut |rules| lists.try_place(rules));
            if addresses.is_none() {
                present = networks.into_iter().map(|(_, rule)| rule).collect();
            }
            addresses.map(Lookup::Addresses)
        } else {
            None
        };
        let presence = |lists: &mut Lists| {
            let (present, missing) = (lists.place(present), lists.place(missing));
            Lookup::Presence { present, missing }
        };
        Guard { source, lookup: lookup.unwrap_or_else(|| presence(lists)) }
    }
}

fn by_value(tests: &[(&Test, usize)], lists: &mut Lists) -> HashMap<u64, usize, RandomState> {
    let hasher = RandomState::default();
    let mut hashes: Vec<(u64, usize)> = Vec::new();
    for &(test, rule) in tests {
        match test {
            Test::Exact(value) => hashes.push((hasher.hash_one(value), rule)),
            Test::In(values) => hashes.extend(values.iter().map(|value| (hasher.hash_one(value), rule))),
            _ => {}
        }
    }
    hashes.sort_unstable();
    let mut places = HashMap::with_hasher(hasher);
    for same in hashes.chunk_by(|one, other| one.0 == other.0) {
        places.insert(same[0].0, lists.place(same.iter().map(|(_, rule)| *rule).collect()));
    }
    places.shrink_to_fit();
    places
}

/// Lists of rules, each there once.
#[derive(Default)]
struct Lists {
    lists: Vec<Box<[Hit]>>,
    places: HashMap<Box<[Hit]>, usize, RandomState>,
    /// For so many more entries.
    room: usize,
}

impl Lists {
    /// The place of the list of these rules, which are in order.
    fn place(&mut self, rules: Vec<usize>) -> usize {
        let word = |rules: &[usize]| {
            let bits = rules.iter().fold(0, |bits, rule| bits | 1 << (rule % WORD));
            Hit { word: rules[0] / WORD, rules: bits }
        };
        let list: Box<[Hit]> = rules.chunk_by(|one, other| one / WORD == other / WORD).map(word).collect();
        if let Some(place) = self.places.get(&list) {
            return *place;
        }
        self.room = self.room.saturating_sub(list.len());
        self.lists.push(list.clone());
        self.places.insert(list, self.lists.len() - 1);
        self.lists.len() - 1
    }

    /// Likewise, as long as there is room.
    fn try_place(&mut self, rules: Vec<usize>) -> Option<usize> {
        // A list that is known already takes no memory, but time.
        self.room = self.room.checked_sub(1 + rules.len() / WORD)?;
        Some(self.place(rules))
    }
}
