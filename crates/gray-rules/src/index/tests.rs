//! What the index lets through is what a look at every rule finds.

use std::{cell::Cell, net::IpAddr};

use gray_core::{
    IpSet,
    lane::{Choice, Lane, Selector},
    tag::GrayStatus,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    Agent, Bounds, Condition, Decision, Facts, RequestFacts, Rule, RuleSet, RuleSetBuilder, ShareKey, Source, Subject,
    Switch, Test, WHOLE, Window, decide::Unwatched,
};

/// Facts of every sort: ready ones, computed ones, a text that may be an address, and more of them than are kept.
fn sources() -> Vec<Source> {
    let header = |name: &'static str| Source::Header(HeaderName::from_static(name));
    let mixed = Source::FirstOf([header("a"), Source::City].into());
    let facts =
        [header("a"), header("b"), header("address"), Source::Query("q".into()), Source::Ip, Source::City, mixed];
    let more = (0..16).map(|number| Source::Header(format!("more-{number}").parse().expect("name")));
    facts.into_iter().chain([Source::UserAgent(Agent::Os)]).chain(more).collect()
}

fn source() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 0usize..8, 1 => 0..sources().len()]
}

fn value() -> impl Strategy<Value = String> {
    let few = ["", "v", "v1", "ios", "android", "10.0.0.1", "7", "北京"].map(str::to_owned).to_vec();
    prop_oneof![5 => "v[0-9]{2}", 2 => select(few)]
}

fn addresses() -> impl Strategy<Value = IpSet> {
    let one = prop_oneof![
        (0u8..4, 24u8..=32).prop_map(|(last, prefix)| format!("10.0.0.{last}/{prefix}")),
        Just("::2/127".into())
    ];
    vec(one, 0..3).prop_map(|all| {
        let mut set = IpSet::default();
        all.iter().for_each(|one: &String| set.insert(one).expect("a network"));
        set
    })
}

fn test() -> impl Strategy<Value = Test> {
    let bytes = |text: String| -> Box<[u8]> { text.into_bytes().into() };
    prop_oneof![
        6 => value().prop_map(move |text| Test::Exact(bytes(text))),
        4 => vec(value(), 0..4).prop_map(move |all| Test::In(all.into_iter().map(bytes).collect())),
        4 => addresses().prop_map(Test::Ip),
        1 => value().prop_map(move |text| Test::Prefix(bytes(text))),
        1 => value().prop_map(move |text| Test::Suffix(bytes(text))),
        1 => value().prop_map(|text| Test::Regex(regex(&text))),
        1 => Just(Test::Number(Bounds { at_least: Some(7.0), ..Bounds::default() })),
        1 => Just(Test::Exists),
        1 => Just(Test::Missing),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let window = Window {
        from: jiff::civil::time(0, 0, 0, 0),
        to: jiff::civil::time(0, 0, 5, 0),
        days: [true; 7],
        zone: jiff::tz::TimeZone::UTC,
    };
    let fact = (source(), test()).prop_map(|(source, test)| Subject::Fact { source, test });
    let subject = prop_oneof![9 => fact, 1 => Just(Subject::Time(window))];
    (subject, prop::bool::weighted(0.1)).prop_map(|(subject, negated)| Condition { subject, negated })
}

/// Shares are small: a rule that matches hides all behind it.
fn share() -> impl Strategy<Value = Share> {
    let key = prop_oneof![4 => source().prop_map(ShareKey::Fact), 1 => Just(ShareKey::Random)];
    let size = prop_oneof![9 => 0..WHOLE / 50, 1 => Just(WHOLE)];
    (key, "[a-c]", 0..WHOLE, size).prop_map(|(key, salt, start, size)| Share::new(key, &salt, start, size))
}

fn rule() -> impl Strategy<Value = Rule> {
    let block = || prop_oneof![9 => vec(condition(), 1..4), 1 => vec(condition(), 0..2)];
    let any = prop_oneof![6 => vec(block(), 1..2), 2 => vec(block(), 2..4), 2 => Just(Vec::new())];
    let time = || option::weighted(0.1, 0u64..10);
    (any, option::weighted(0.3, share()), 0usize..2, time(), time()).prop_map(|(any, share, lane, since, until)| Rule {
        any,
        share,
        lane,
        since,
        until,
        ..Rule::default()
    })
}

fn rule_set(rules: Vec<Rule>) -> RuleSet {
    let mut builder = RuleSetBuilder::new("r");
    for (place, source) in sources().into_iter().enumerate() {
        assert_eq!(builder.source(&place.to_string(), || source), place);
    }
    let default = builder.lane(Lane::any(), None).expect("short");
    // Which can be filled in only with a token.
    let exact = Lane::new("exact", GrayStatus::Gray, [], Choice::new(Selector::open("version"), []));
    builder.lane(exact, Some(0)).expect("short");
    for (place, rule) in rules.into_iter().enumerate() {
        builder.rule(Rule { name: format!("r{place}").into(), ..rule });
    }
    builder.build(default, Switch::On)
}

#[derive(Clone, Debug)]
struct Request {
    headers: HeaderMap,
    query: Option<String>,
    ip: Option<IpAddr>,
    city: Option<String>,
    now: u64,
    random: u64,
}

fn request() -> impl Strategy<Value = Request> {
    let names = ["a", "b", "address", "user-agent", "more-3", "more-15"];
    let headers =
        names.map(|name| option::weighted(0.6, value()).prop_map(move |value| value.map(|value| (name, value))));
    let ip = select(vec!["10.0.0.1", "10.0.0.200", "::ffff:10.0.0.3", "::3", "192.0.2.1"])
        .prop_map(|ip| ip.parse().expect("ip"));
    let rest = (option::of(value()), option::of(ip), option::of(value()), 0u64..10, any::<u64>());
    (headers, rest).prop_map(|(headers, (query, ip, city, now, random))| {
        let pair = |(name, value): (&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("value"))
        };
        let headers = headers.into_iter().flatten().map(pair).collect();
        Request { headers, query: query.map(|value| format!("q={value}")), ip, city, now, random }
    })
}

/// Notes which facts had to be computed.
struct Noted<'r> {
    facts: RequestFacts<'r>,
    city: Cell<bool>,
    agent: Cell<bool>,
}

impl Facts for Noted<'_> {
    fn headers<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        if name == header::USER_AGENT {
            self.agent.set(true);
        }
        self.facts.headers(name)
    }

    fn method(&self) -> &str {
        self.facts.method()
    }

    fn path(&self) -> &str {
        self.facts.path()
    }

    fn query(&self) -> Option<&str> {
        self.facts.query()
    }

    fn host(&self) -> Option<&str> {
        self.facts.host()
    }

    fn client_ip(&self) -> Option<IpAddr> {
        self.facts.client_ip()
    }

    fn city(&self) -> Option<&str> {
        self.city.set(true);
        self.facts.city()
    }

    fn now(&self) -> u64 {
        self.facts.now()
    }

    fn random(&self) -> u64 {
        self.facts.random()
    }
}

type Outcome = (Option<usize>, String, &'static str, bool, String);

fn outcome(decision: &Decision<'_>) -> Outcome {
    let reason = format!("{:?}", decision.reason);
    (decision.rule_place, decision.lane.name().to_owned(), decision.tag().as_str(), decision.traced, reason)
}

/// The outcome, and which of city and user agent were asked for on the way to it.
fn decided(request: &Request, decide: impl for<'f> Fn(&'f Noted<'f>) -> Outcome) -> (Outcome, [bool; 2]) {
    let (query, city) = (request.query.as_deref(), request.city.as_deref());
    let Request { headers, ip, now, random, .. } = request;
    let facts = RequestFacts { query, client_ip: *ip, city, now: *now, random: *random, ..RequestFacts::new(headers) };
    let noted = Noted { facts, city: Cell::new(false), agent: Cell::new(false) };
    let outcome = decide(&noted);
    (outcome, [noted.city.get(), noted.agent.get()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_index_decides_as_a_look_at_every_rule_does(
        rules in prop_oneof![vec(rule(), 0..12), vec(rule(), 60..150)], requests in vec(request(), 8),
    ) {
        let set = rule_set(rules);
        for request in &requests {
            let (expect, needed) = decided(request, |facts| outcome(&set.judge(facts, &mut Unwatched)));
            let (found, asked) = decided(request, |facts| outcome(&set.decide(facts)));
            prop_assert_eq!(&found, &expect);
            let (explained, _) = decided(request, |facts| outcome(&set.explain(facts).0));
            prop_assert_eq!(&explained, &expect);
            // Nothing is computed that the rules did not ask for.
            for (asked, needed) in asked.into_iter().zip(needed) {
                prop_assert!(needed || !asked, "{:?}", found);
            }
        }
    }
}

/// The rules left to be judged when none before them matches.
fn left(set: &RuleSet, user: &str) -> usize {
    let headers: HeaderMap = [(HeaderName::from_static("a"), user.parse().expect("value"))].into_iter().collect();
    let facts = RequestFacts { client_ip: Some([10, 0, 0, 1].into()), random: u64::MAX, ..RequestFacts::new(&headers) };
    let (mut found, index) = (Found::default(), set.index.as_ref().expect("more than a few rules"));
    let words = index.words().iter().enumerate().map(|(number, word)| {
        let guards = word.steps.iter().filter_map(|step| match step.ask {
            Ask::Guard(guard) => Some(guard),
            Ask::Shares(_) => None,
        });
        guards.fold(word.always, |left, guard| {
            let value = set.sources()[index.guard(guard).source].get(&facts);
            left | found.rules(index, guard, number, |_| value.as_ref())
        })
    });
    words.map(u64::count_ones).sum::<u32>() as usize
}

#[test]
fn rules_that_cannot_match_are_not_judged() {
    let fact = |source, test| vec![Condition { subject: Subject::Fact { source, test }, negated: false }];
    let exact = |text: String| Test::Exact(text.into_bytes().into());
    let network = |number: usize| {
        let mut set = IpSet::default();
        set.insert(&format!("10.1.{number}.0/24")).expect("a network");
        Test::Ip(set)
    };
    let any = |number: usize| match number % 3 {
        0 => vec![fact(0, exact(format!("U{number}")))],
        1 => vec![fact(4, network(number % 250))],
        _ => vec![fact(0, exact(format!("A{number}"))), fact(3, exact("on".into()))],
    };
    let set = rule_set((0..300).map(|number| Rule { any: any(number), ..Rule::default() }).collect());
    assert_eq!(left(&set, "nobody"), 0);
    assert_eq!(left(&set, "U299"), 0, "the place of another kind of rule");
    assert_eq!(left(&set, "U297"), 1);
    assert_eq!(left(&set, "A2"), 1);
}

#[test]
fn networks_that_overlap_in_too_many_ways_are_tried_one_by_one() {
    let rule = |networks: &[&str]| {
        let mut set = IpSet::default();
        networks.iter().for_each(|network| set.insert(network).expect("a network"));
        let condition = Condition { subject: Subject::Fact { source: 0, test: Test::Ip(set) }, negated: false };
        Rule { any: vec![vec![condition]], ..Rule::default() }
    };
    let rules = [&["10.0.0.0/8", "10.9.9.9"][..], &["10.1.0.0/16", "::1"], &["10.1.0.0/24"], &[]].map(rule);
    let ip = |text: &str| Value::Ip(text.parse().expect("ip"));
    let found = |room, ip| {
        let index = Index::with_room(&[Source::Ip], &rules, room);
        Found::default().rules(&index, 0, 0, |_| Some(&ip))
    };
    for (text, expect) in [
        ("9.9.9.9", 0),
        ("10.0.0.0", 1),
        ("10.1.2.3", 3),
        ("10.1.0.3", 7),
        ("10.2.0.0", 1),
        ("11.0.0.0", 0),
        ("::1", 2),
    ] {
        assert_eq!(found(100, ip(text)), expect, "{text}");
        assert_eq!(found(1, ip(text)), 15, "{text}: no room for a table");
    }
}

fn regex(text: &str) -> gray_expression::Expression {
    gray_document::Budget::default().expression(text, gray_expression::Form::WholeBytes).expect("an expression")
}
