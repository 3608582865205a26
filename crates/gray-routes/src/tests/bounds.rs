//! Routes of which every part is in bounds and the sum is not; and many that are as people write them.

use super::{read, table};

/// A route for each number.
fn each(count: usize, route: impl Fn(usize) -> String) -> String {
    let route = |number| format!("- {{ id: r{number}, uri: 'lb://s', {} }}\n", route(number));
    format!("spring.cloud.gateway.routes:\n{}", (0..count).map(route).collect::<String>())
}

#[test]
fn what_comes_to_too_much_is_refused_with_its_line() {
    let common: String = (0..1_000).map(|_| "- PreserveHostHeader\n").collect();
    let name = "a".repeat(100);
    for (what, text, expect) in [
        (
            "common filters",
            format!(
                "{}spring.cloud.gateway.default-filters:\n{common}",
                each(200, |_| "predicates: ['Path=/a']".into())
            ),
            "common filters of routes",
        ),
        ("segments", each(8, |_| format!("predicates: ['Path={}']", "/a".repeat(20_000))), "path patterns"),
        ("labels", each(8, |_| format!("predicates: ['Host=a{}']", ".a".repeat(20_000))), "host patterns"),
        (
            "expressions",
            each(300, |number| format!(r"predicates: ['Header=X, \p{{L}}{{8}}{number}']")),
            "regular expressions",
        ),
        (
            "segments that are expressions",
            each(300, |number| format!(r"predicates: ['Path=/{{x:\p{{L}}{{8}}{number}}}/**']")),
            "regular expressions",
        ),
        (
            "rewritten paths",
            each(1_000, |number| {
                format!("predicates: ['Path=/a'], filters: ['RewritePath=/{number}{}.*, /x']", "(a)".repeat(15))
            }),
            "regular expressions",
        ),
        (
            "rate limits",
            each(4_000, |_| "predicates: ['Path=/a'], filters: ['RequestRateLimiter=10']".into()),
            "rate limits",
        ),
        (
            "lanes",
            each(1, |_| {
                let lanes: String = (0..300).map(|lane| format!("l{lane}: 'lb://s', ")).collect();
                format!("predicates: ['Path=/a'], metadata: {{ lanes: {{ {lanes} }} }}")
            }),
            "256 lanes",
        ),
        (
            "names of arguments",
            each(1, |_| format!("predicates: [{{ name: Path, args: {{ {name}: {{ {name}: x }} }} }}]")),
            "128 bytes",
        ),
        (
            "statuses",
            each(1, |_| {
                format!(
                    "predicates: ['Path=/a'], filters: [{{ name: Retry, args: {{ statuses: '{}' }} }}]",
                    "502,".repeat(300)
                )
            }),
            "write each once",
        ),
    ] {
        let (_, problems) = read(&text);
        let found = problems.iter().any(|problem| problem.contains("g.yaml:") && problem.contains(expect));
        assert!(found, "{what}: {:.400}", problems.join("\n"));
        let says = problems.iter().filter(|problem| problem.contains("all documents together may take 32 MiB"));
        assert!(says.count() <= 1, "{what}: {:.2000}", problems.join("\n"));
    }
}

#[test]
fn many_routes_as_people_write_them_are_taken() {
    table(&each(4_000, |number| {
        format!("predicates: ['Path=/api/{number}/**', 'Method=GET,POST'], filters: ['StripPrefix=1']")
    }));
    table(&each(600, |number| {
        format!(
            r"predicates: ['Path=/red{number}/{{id:\d+}}/**'], filters: ['RewritePath=/red{number}/(?<segment>.*), /$\{{segment}}']"
        )
    }));
}
