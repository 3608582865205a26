//! Documents of which every part is in bounds and the sum is not.

use crate::{
    documents::{COMMON, GATEWAY},
    scorecard::{common, gateway},
};

pub(super) const RULES: &str = "gray-rules.yaml";

/// A document.
pub(super) struct Hostile {
    /// What there is too much of.
    pub(super) what: &'static str,
    /// The document's name.
    pub(super) document: &'static str,
    pub(super) text: String,
}

impl Hostile {
    /// Whether its size comes from what it refers to.
    pub(super) fn has_placeholders(&self) -> bool {
        self.text.contains("${")
    }
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| line(number) + "\n").collect()
}

/// A rule for each number.
fn rules(count: usize, when: impl Fn(usize) -> String) -> String {
    let rule = |number| format!("  - {{ name: r{number}, when: {{ {} }}, lane: gray }}", when(number));
    format!("gray:\n  rules:\n{}", lines(count, rule))
}

/// A route for each number.
fn routes(count: usize, route: impl Fn(usize) -> String) -> String {
    gateway("", &lines(count, |number| format!("- {{ id: n{number}, {} }}", route(number))))
}

/// Headers that rules ask for.
pub(super) const HEADERS: usize = 20;

/// So many expressions of which each is in bounds, and whose automata grow with every text of `a` and `b`.
pub(super) fn expressions(count: usize) -> String {
    rules(count, |number| format!("header.X-{}: {{ regex: '[ab]*a[ab]{{12}}{number}' }}", number % HEADERS))
}

/// One for every kind of part. All of them have to be refused.
pub(super) fn all() -> Vec<Hostile> {
    let of = |document, what, text| Hostile { what, document, text };
    let doubled = |level: usize| format!("    f{level}: [{}]", format!("f{}, ", level - 1).repeat(15));
    let long = "k".repeat(500);
    let nested: String = (0..30).map(|depth| format!("{}{long}:\n", " ".repeat(8 + depth))).collect();
    let leaves = lines(5_000, |number| format!("{}l{number}: x", " ".repeat(38)));
    let filters = lines(2_000, |number| format!("- AddRequestHeader=x-{number}, y"));
    let instance = |number: usize| format!("    - {{ host: 10.{}.{}.1, port: 80 }}", number / 200, number % 200);
    vec![
        of(RULES, "expressions", rules(1_000, |number| format!(r"header.X: {{ regex: '\w{{8}}{number}' }}"))),
        of(RULES, "expressions whose automata grow", expressions(8_000)),
        of(
            RULES,
            "classes of characters in any case",
            rules(60, |number| format!("header.X: {{ regex: '(?i){number}{}' }}", "[ -\u{10fff0}]".repeat(400))),
        ),
        of(
            RULES,
            "classes that are thrown away",
            rules(250, |number| format!(r"header.X: {{ regex: '{number}{}' }}", r"[\W&&a]".repeat(500))),
        ),
        of(
            RULES,
            "copies of one text",
            format!("x: &x {}\n{}", "x".repeat(100_000), rules(1_000, |_| "header.X: *x".into())),
        ),
        of(
            RULES,
            "facts made of facts",
            format!(
                "gray:\n  facts:\n    f0: [header.X]\n{}",
                (1..30).map(|level| doubled(level) + "\n").collect::<String>()
            ),
        ),
        of(RULES, "facts", rules(9_000, |number| format!("header.X-{number}: y"))),
        of(
            RULES,
            "names of facts",
            format!("gray:\n  rules:\n  - name: r\n    lane: gray\n    when:\n      jwt:\n{nested}{leaves}"),
        ),
        of(
            RULES,
            "lanes, and services of the baseline",
            format!(
                "gray:\n  baseline: {{ services: {{ {} }} }}\n  lanes:\n{}",
                (0..500).map(|number| format!("s{number}: V1, ")).collect::<String>(),
                lines(2_000, |number| format!("    l{number}: {{ select: V2 }}"))
            ),
        ),
        of(
            RULES,
            "values and networks",
            format!(
                "x: &x {}\n{}",
                "x".repeat(40),
                rules(3, |number| match number {
                    0 => format!("header.X: [{}]", "*x,".repeat(90_000)),
                    _ => format!("ip: '{}'", vec!["1.1.1.1"; 46_000].join(",")),
                })
            ),
        ),
        of(
            RULES,
            "text from placeholders",
            format!("x: {}\n{}", "x".repeat(100_000), rules(1_000, |number| format!("header.X-{number}: '${{x}}'"))),
        ),
        of(
            GATEWAY,
            "common filters of routes",
            format!(
                "{}spring.cloud.gateway.default-filters:\n{filters}",
                routes(4_000, |_| "uri: 'lb://shop', predicates: ['Path=/n']".into())
            ),
        ),
        of(
            GATEWAY,
            "segments of paths",
            routes(10, |number| format!("uri: 'lb://shop', predicates: ['Path=/{number}{}']", "/a".repeat(20_000))),
        ),
        of(
            GATEWAY,
            "labels of hosts",
            routes(10, |_| format!("uri: 'lb://shop', predicates: ['Host=a{}']", ".a".repeat(20_000))),
        ),
        of(
            GATEWAY,
            "expressions of routes",
            routes(1_000, |number| format!(r"uri: 'lb://shop', predicates: ['Header=X, \p{{L}}{{8}}{number}']")),
        ),
        of(
            GATEWAY,
            "segments that are expressions",
            routes(1_000, |number| format!(r"uri: 'lb://shop', predicates: ['Path=/{{x:\w{{8}}{number}}}/**']")),
        ),
        of(
            GATEWAY,
            "rewritten paths",
            routes(2_000, |number| {
                format!(
                    r"uri: 'lb://shop', predicates: ['Path=/n'], filters: ['RewritePath=/{number}{}(?<r>.*), /x']",
                    "(a)".repeat(15)
                )
            }),
        ),
        of(
            GATEWAY,
            "rate limits",
            routes(4_000, |_| "uri: 'lb://shop', predicates: ['Path=/n'], filters: ['RequestRateLimiter=10']".into()),
        ),
        of(GATEWAY, "services", routes(5_000, |number| format!("uri: 'lb://s{number}', predicates: ['Path=/n']"))),
        of(
            COMMON,
            "instances",
            format!(
                "{}spring.cloud.discovery.client.simple.instances:\n  shop2:\n{}",
                common("V1", "V2"),
                lines(24_500, instance)
            ),
        ),
        of(
            COMMON,
            "headers that are passed on",
            format!(
                "{}kerwin.tool.gray.propagate: '{}'\n",
                common("V1", "V2"),
                (0..90_000).map(|number| format!("x-{number},")).collect::<String>()
            ),
        ),
        of(COMMON, "commas", format!("{}kerwin.tool.gray.drain: '{}'\n", common("V1", "V2"), "a,".repeat(300_000))),
    ]
}
