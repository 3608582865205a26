//! What is kept of a request so that it can be decided again: the values of the facts that the rules ask for, and
//! nothing else of it.

use std::{cell::RefCell, collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use http::HeaderName;

use super::{Facts, RuleSet, Source, Value};

/// Which facts are kept, besides method, path, host, address, city, time and the random number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FactPlan(Box<[Source]>);

impl FactPlan {
    /// Whatever these rules ask for.
    pub fn new(rules: &RuleSet) -> Self {
        let mut kept: Vec<Source> = Vec::new();
        for source in rules.sources().iter().flat_map(Source::parts) {
            if !is_always_kept(source) && !kept.contains(source) {
                kept.push(source.clone());
            }
        }
        Self(kept.into())
    }

    /// Whether a fact, with all that it is made of, is kept.
    pub(super) fn has(&self, source: &Source) -> bool {
        source.parts().into_iter().all(|part| is_always_kept(part) || self.0.contains(part))
    }
}

fn is_always_kept(source: &Source) -> bool {
    matches!(source, Source::Method | Source::Path | Source::Host | Source::Ip | Source::City)
}

/// The facts of one request, values only. A claim is kept without its token, a cookie without the others. `Debug` shows
/// none of it.
pub struct FactRecord {
    plan: Arc<FactPlan>,
    /// By place in the plan.
    pub(super) values: Box<[Option<Box<[u8]>>]>,
    method: Box<str>,
    path: Box<str>,
    host: Option<Box<str>>,
    client_ip: Option<IpAddr>,
    /// `None`: it could not be known.
    city: Option<Option<Box<str>>>,
    now: u64,
    random: u64,
}

impl FactRecord {
    /// Longest record, in bytes of text and places for it; what a buffer may take at most follows from it.
    pub const MAX_BYTES: usize = 4096;

    /// Keeps the facts of a request; `None` when they are too long. `knows_cities` says whether a missing city means
    /// that the address has none.
    pub fn new(plan: &Arc<FactPlan>, facts: &impl Facts, knows_cities: bool) -> Option<Self> {
        // A fact that is not there takes its place all the same.
        let places = plan.0.len() * size_of::<Option<Box<[u8]>>>();
        let mut room = Self::MAX_BYTES
            .checked_sub(places)?
            .checked_sub(facts.path().len())?
            .checked_sub(facts.host().map_or(0, str::len))?;
        let mut values = Vec::with_capacity(plan.0.len());
        for source in &plan.0 {
            let value: Option<Box<[u8]>> = match source.get(facts) {
                None => None,
                Some(Value::Text(text)) => {
                    room = room.checked_sub(text.len())?;
                    Some((*text).into())
                }
                // Only the client's own address is one, and that is kept anyway.
                Some(Value::Ip(_)) => None,
            };
            values.push(value);
        }
        let city = facts.city().map(Box::from);
        Some(Self {
            plan: Arc::clone(plan),
            values: values.into(),
            method: facts.method().into(),
            path: facts.path().into(),
            host: facts.host().map(Box::from),
            client_ip: facts.client_ip(),
            city: if city.is_some() || knows_cities { Some(city) } else { None },
            now: facts.now(),
            random: facts.random(),
        })
    }

    /// Which facts it has.
    pub(super) fn plan(&self) -> &FactPlan {
        &self.plan
    }

    /// The record as facts to decide by.
    pub(super) fn facts(&self) -> RecordedFacts<'_> {
        RecordedFacts { record: self, missed: RefCell::default() }
    }
}

impl fmt::Debug for FactRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactRecord").field("facts", &self.values.len()).finish_non_exhaustive()
    }
}

/// Facts of a record. One that was asked for and not kept is noted.
pub(super) struct RecordedFacts<'r> {
    record: &'r FactRecord,
    missed: RefCell<BTreeSet<String>>,
}

impl RecordedFacts<'_> {
    /// The facts that were asked for and not kept, by name.
    pub(super) fn missed(self) -> BTreeSet<String> {
        self.missed.into_inner()
    }

    fn miss(&self, source: &Source) {
        self.missed.borrow_mut().insert(source.to_string());
    }

    fn place(&self, source: &Source) -> Option<usize> {
        self.record.plan.0.iter().position(|kept| kept == source)
    }
}

impl Facts for RecordedFacts<'_> {
    fn headers<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        let place = self.record.plan.0.iter().position(|kept| matches!(kept, Source::Header(kept) if kept == name));
        place.and_then(|place| self.record.values.get(place)?.as_deref()).into_iter()
    }

    fn method(&self) -> &str {
        &self.record.method
    }

    fn path(&self) -> &str {
        &self.record.path
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn host(&self) -> Option<&str> {
        self.record.host.as_deref()
    }

    fn client_ip(&self) -> Option<IpAddr> {
        self.record.client_ip
    }

    fn city(&self) -> Option<&str> {
        self.record.city.as_ref().and_then(Option::as_deref)
    }

    fn now(&self) -> u64 {
        self.record.now
    }

    fn random(&self) -> u64 {
        self.record.random
    }

    fn kept(&self, source: &Source) -> Option<Option<Value<'_>>> {
        match source {
            // Its parts are asked for one by one.
            Source::FirstOf(_) => return None,
            Source::City if self.record.city.is_none() => {
                self.miss(source);
                return Some(None);
            }
            source if is_always_kept(source) => return None,
            _ => {}
        }
        if let Some(place) = self.place(source) {
            let value = self.record.values.get(place).and_then(Option::as_deref);
            return Some(value.map(|text| Value::Text(text.into())));
        }
        // What the user agent gives away follows from the header, when that was kept.
        let header = Source::Header(http::header::USER_AGENT);
        if matches!(source, Source::UserAgent(_)) && self.place(&header).is_some() {
            return None;
        }
        self.miss(source);
        Some(None)
    }
}
