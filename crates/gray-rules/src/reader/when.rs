//! `when`: blocks of conditions.

use std::{fmt::Display, str::FromStr};

use gray_core::Addresses;
use gray_document::{Item, Section, boolean, is_same_name, is_secret_name};
use gray_expression::Form;
use jiff::{civil, tz::TimeZone};

use super::{MAX_NAME, Reader};
use crate::{Bounds, Condition, Source, Subject, Test, Values, Window, plain_city};

/// Most conditions of one block; what asks more is many rules in one.
const MAX_CONDITIONS: usize = 256;
/// What a value takes besides its text, once for the rule and once for the index over all rules.
const VALUE: usize = 128;
/// What a network takes, likewise.
const NETWORK: usize = 160;
/// What a condition takes.
const CONDITION: usize = 256;
/// Keys of a test.
pub(super) const TESTS: [&str; 13] = [
    "exact", "in", "listed", "prefix", "suffix", "regex", "exists", "version", "at-least", "above", "at-most", "below",
    "not",
];
const TEST_HELP: &str = "a value, a list of values, or a map of exact, in, listed, prefix, suffix, regex, exists, version, \
                         at-least, above, at-most, below, not";

impl Reader<'_> {
    /// A map is one block, a list one block each.
    pub(super) fn read_when(&mut self, item: &Item<'_>) -> Vec<Vec<Condition>> {
        let blocks = if item.is_map() { vec![item.clone()] } else { item.items() };
        if blocks.is_empty() {
            item.error(
                "expected a block of conditions, or a list of them; leave `when` out to take a share of all requests",
            );
        }
        blocks.iter().map(|block| self.read_block(block)).collect()
    }

    fn read_block(&mut self, block: &Item<'_>) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let section = block.section();
        if section.exists() && section.keys().is_empty() {
            block.error("an empty block would match every request; write `default: <lane>` for that");
        }
        for (name, item) in section.keys() {
            self.read_fact(&name, &item, &mut conditions);
        }
        if conditions.len() > MAX_CONDITIONS {
            block.error(format!("a block has at most {MAX_CONDITIONS} conditions, and this one {}", conditions.len()));
        }
        block.spend("conditions", CONDITION * conditions.len());
        conditions
    }

    /// `header: {X-A: 1}` is the fact `header.X-A`: dots nest.
    fn read_fact(&mut self, name: &str, item: &Item<'_>, conditions: &mut Vec<Condition>) {
        if name == "time" {
            conditions.extend(read_time(item));
            return;
        }
        let is_step = || !is_test(&item.section()) && (nests(name) || self.named(name).is_none());
        if name.len() > MAX_NAME {
            item.error(format!(
                "the name of a fact has at most {MAX_NAME} bytes, all keys that it is made of included"
            ));
            return;
        }
        if item.is_map() && (is_group(name) || is_step()) {
            let keys = item.section().keys();
            if keys.is_empty() {
                item.error("nothing is asked here, so every request would match");
            }
            for (below, item) in keys {
                self.read_fact(&format!("{name}.{below}"), &item, conditions);
            }
            return;
        }
        match self.place(name, item) {
            Some(source) => self.read_test(source, item, false, conditions),
            None => item.error(self.unknown_fact(name)),
        }
    }

    fn read_test(&mut self, source: usize, item: &Item<'_>, negated: bool, conditions: &mut Vec<Condition>) {
        let kind = Kind::of(self.builder.known(source));
        let mut push = |test: Test, negated: bool| {
            conditions.push(Condition { subject: Subject::Fact { source, test }, negated });
        };
        if !item.is_map() {
            if let Some(test) = values(kind, item) {
                push(test, negated);
            }
            return;
        }
        let section = item.section();
        let mut bounds = Bounds::default();
        let before = conditions.len();
        for (key, value) in section.keys() {
            let mut push = |test: Option<Test>| {
                if let Some(test) = test {
                    conditions.push(Condition { subject: Subject::Fact { source, test }, negated });
                }
            };
            match test_named(&key).unwrap_or(&key) {
                "prefix" | "suffix" | "regex" | "version" | "at-least" | "above" | "at-most" | "below"
                    if kind == Kind::Ip =>
                {
                    value.error("an address is compared with addresses and networks, nothing else");
                }
                "exact" | "in" => push(values(kind, &value)),
                "listed" => push(listed(kind, &value)),
                "prefix" => push(text(&value).map(|text| Test::Prefix(text.as_bytes().into()))),
                "suffix" => push(text(&value).map(|text| Test::Suffix(text.as_bytes().into()))),
                "regex" => push(regex(&value)),
                "exists" => push(exists(&value)),
                "version" => push(parsed(&value, "a requirement such as \">=7.0.1, <8\"").map(Test::Version)),
                "at-least" => bounds.at_least = number(&value),
                "above" => bounds.above = number(&value),
                "at-most" => bounds.at_most = number(&value),
                "below" => bounds.below = number(&value),
                "not" if !negated => self.read_test(source, &value, true, conditions),
                _ => value.error(format!("`{key}` is not a test; expected {TEST_HELP}")),
            }
        }
        if bounds != Bounds::default() {
            let test = Test::Number(bounds);
            conditions.push(Condition { subject: Subject::Fact { source, test }, negated });
        }
        if negated && conditions.len() > before + 1 {
            item.error("`not` takes one test; write a second condition for a second test");
        }
        if section.keys().is_empty() {
            item.error(format!("expected {TEST_HELP}"));
        }
    }
}

/// Whether this is no fact, but what the names of facts begin with: a map below it never is a test.
fn is_group(name: &str) -> bool {
    matches!(name, "header" | "query" | "cookie" | "cookie-json" | "jwt" | "user-agent")
        || name.strip_prefix("cookie-json.").is_some_and(|cookie| !cookie.contains('.'))
}

/// Whether a fact of this name has members, so that a map below it may be one more step.
fn nests(name: &str) -> bool {
    name.starts_with("jwt.") || name.starts_with("cookie-json.")
}

/// The test of this name, relaxed as all keys are.
fn test_named(key: &str) -> Option<&'static str> {
    TESTS.into_iter().find(|test| is_same_name(test, key))
}

fn is_test(section: &Section<'_>) -> bool {
    let keys = section.peek_keys();
    !keys.is_empty() && keys.iter().all(|(key, _)| test_named(key).is_some())
}

/// How values of a fact are compared.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Ip,
    City,
    /// Compared in lower case.
    Host,
    /// One of a few answers.
    Agent(crate::Agent),
}

impl Kind {
    fn of(source: &Source) -> Self {
        match source {
            Source::Ip => Self::Ip,
            Source::City => Self::City,
            Source::Host => Self::Host,
            Source::UserAgent(agent) => Self::Agent(*agent),
            // A text is compared with addresses by reading it; the other way round nothing could match.
            Source::FirstOf(sources) if sources.iter().any(|source| Self::of(source) == Self::Ip) => Self::Ip,
            Source::FirstOf(sources) => match &**sources {
                [first, others @ ..] if others.iter().all(|other| Self::of(other) == Self::of(first)) => {
                    Self::of(first)
                }
                _ => Self::Text,
            },
            _ => Self::Text,
        }
    }
}

/// One value or several.
fn values(kind: Kind, item: &Item<'_>) -> Option<Test> {
    let whole = item.text().map(str::trim).filter(|text| !text.is_empty());
    // A text with a comma is one value here, not a list: header values have commas.
    let texts = match whole {
        Some(text) => vec![(text.to_owned(), item.clone())],
        None => texts(item.items()),
    };
    if texts.is_empty() {
        item.error(format!("expected {TEST_HELP}"));
        return None;
    }
    one_of(kind, item, &texts)
}

/// The values of a list that stands elsewhere in the documents, under this key. As long as it does not, none.
fn listed(kind: Kind, item: &Item<'_>) -> Option<Test> {
    let key = item.required_text("the key of a list in these documents, such as shop.grayUids")?;
    if key.split('.').any(is_secret_name) {
        item.error(format!("`{key}` sounds like a secret: explanations would show it; expected the key of a list"));
        return None;
    }
    match &texts(item.root().items(key))[..] {
        [] => Some(Test::In(Values::default())),
        texts => one_of(kind, item, texts),
    }
}

fn texts<'d>(items: Vec<Item<'d>>) -> Vec<(String, Item<'d>)> {
    items.into_iter().filter_map(|item| Some((item.required_text("a value")?.to_owned(), item.clone()))).collect()
}

fn one_of(kind: Kind, item: &Item<'_>, texts: &[(String, Item<'_>)]) -> Option<Test> {
    if kind == Kind::Ip {
        let parts: Vec<_> =
            texts.iter().flat_map(|(text, item)| text.split(',').map(move |part| (part, item))).collect();
        if !item.spend("networks", NETWORK * parts.len()) {
            return None;
        }
        let set = parts
            .into_iter()
            .filter_map(|(part, item)| part.parse::<Addresses>().map_err(|error| item.error(error.to_string())).ok());
        return Some(Test::Ip(set.collect()));
    }
    let length: usize = texts.iter().map(|(text, _)| VALUE + 2 * text.len()).sum();
    if !item.spend("values", length) {
        return None;
    }
    let set: Values = texts
        .iter()
        .map(|(text, item)| match kind {
            Kind::City => plain_city(text).as_bytes().into(),
            Kind::Host => text.to_ascii_lowercase().as_bytes().into(),
            Kind::Agent(agent) => {
                if !agent.answers().any(|answer| answer == text) {
                    let mut answers: Vec<_> = agent.answers().collect();
                    answers.dedup();
                    item.error(format!("`{text}` is never the answer; it is one of {}", answers.join(", ")));
                }
                text.as_bytes().into()
            }
            Kind::Text | Kind::Ip => text.as_bytes().into(),
        })
        .collect();
    match (set.len(), set.iter().next()) {
        (1, Some(one)) => Some(Test::Exact(one.clone())),
        _ => Some(Test::In(set)),
    }
}

fn text<'d>(item: &Item<'d>) -> Option<&'d str> {
    item.required_text("a text")
}

fn exists(item: &Item<'_>) -> Option<Test> {
    let text = text(item)?;
    match boolean(text) {
        Some(true) => Some(Test::Exists),
        Some(false) => Some(Test::Missing),
        None => {
            item.error(format!("expected true or false, found `{text}`"));
            None
        }
    }
}

fn regex(item: &Item<'_>) -> Option<Test> {
    let text = text(item)?;
    item.budget().expression(text, Form::WholeBytes).map(Test::Regex).map_err(|error| item.error(error)).ok()
}

fn number(item: &Item<'_>) -> Option<f64> {
    parsed::<f64>(item, "a number").filter(|number| number.is_finite())
}

fn parsed<T: FromStr>(item: &Item<'_>, expected: &str) -> Option<T>
where
    T::Err: Display,
{
    let text = item.required_text(expected)?;
    text.parse().map_err(|error| item.error(format!("expected {expected}, found `{text}`: {error}"))).ok()
}

/// `{from: '09:00', to: '18:00', days: [mon, fri], zone: Asia/Shanghai}`; `{not: {...}}` for all other times.
fn read_time(item: &Item<'_>) -> Option<Condition> {
    let section = item.section();
    if section.has("not") {
        let inner = section.section("not");
        section.reject_unknown();
        return Some(Condition { subject: Subject::Time(read_window(&inner)?), negated: true });
    }
    Some(Condition { subject: Subject::Time(read_window(&section)?), negated: false })
}

fn read_window(section: &Section<'_>) -> Option<Window> {
    let time = |key: &str| {
        let text = section.string(key);
        let time = text.as_deref().and_then(|text| text.parse::<civil::Time>().ok());
        if time.is_none() {
            section.error(key, "expected a time of day such as '09:00', in quotes");
        }
        time
    };
    let (from, to) = (time("from"), time("to"));
    let zone = match section.string("zone") {
        None => Some(TimeZone::UTC),
        Some(name) => TimeZone::get(&name)
            .map_err(|_| {
                section.error("zone", format!("`{name}` is not a time zone: expected a name such as Asia/Shanghai"))
            })
            .ok(),
    };
    let mut days = [false; 7];
    let named = section.items("days");
    for item in &named {
        const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let Some(text) = item.required_text("a day such as mon") else { continue };
        match NAMES.iter().position(|name| text.to_ascii_lowercase().starts_with(name)) {
            Some(day) => days[day] = true,
            None => item.error(format!("`{text}` is not a day: expected {}", NAMES.join(", "))),
        }
    }
    section.reject_unknown();
    if from.is_some() && from == to {
        section.error("to", "the same as `from`: the window is never open");
    }
    let days = if named.is_empty() { [true; 7] } else { days };
    Some(Window { from: from?, to: to?, days, zone: zone? })
}
