//! `Retry`.

use http::Method;

use super::{document, filters::filters, read};

#[test]
fn every_spelling() {
    let covered = |text: &str| {
        let (table, _) = read(&document("Path=/**", text));
        let retry = table.routes()[0].filters.retry.clone().expect(text);
        let methods = [Method::GET, Method::PUT, Method::POST];
        let statuses = [404, 500, 502, 503];
        let seen: Vec<_> = methods
            .iter()
            .flat_map(|method| statuses.map(|status| (method, status)))
            .filter(|(method, status)| retry.covers(method, *status))
            .map(|(method, status)| format!("{method} {status}"))
            .collect();
        (retry.retries, seen.join(", "))
    };
    let all = "GET 500, GET 502, GET 503";
    for (text, retries, expect) in [
        ("Retry", 3, all),
        ("Retry=2", 2, all),
        ("'Retry=2,BAD_GATEWAY'", 2, "GET 502"),
        ("'Retry=1,503,PUT'", 1, "PUT 503"),
        (
            "{ name: Retry, args: { retries: 2, statuses: 'BAD_GATEWAY, 503', methods: [GET, PUT] } }",
            2,
            "GET 502, GET 503, PUT 502, PUT 503",
        ),
        ("{ name: Retry, args: { statuses: [502], series: [CLIENT_ERROR] } }", 3, "GET 404, GET 502"),
        (
            "{ name: Retry, args: { methods: [POST, PUT], backoff: { firstBackoff: 10ms, factor: 2 } } }",
            3,
            "PUT 500, PUT 502, PUT 503",
        ),
    ] {
        assert_eq!(covered(text), (retries, expect.to_owned()), "{text}");
    }
    assert!(filters("").retry.is_none());
}

#[test]
fn what_is_not_done_is_said() {
    for (text, expect) in [
        (
            "{ name: Retry, args: { methods: 'GET,POST' } }",
            "Warning g.yaml:4: spring.cloud.gateway.routes[0].filters[0].args.methods: POST is not sent again",
        ),
        ("{ name: Retry, args: { exceptions: com.example.BusyException } }", "every idempotent request"),
        ("{ name: Retry, args: { backoff: { firstBackoff: soon } } }", "a duration above 0"),
        (
            "{ name: Retry, args: { backoff: { firstBackoff: 20ms, maxBackoff: 10ms } } }",
            "less than the first wait, 20 ms",
        ),
        ("{ name: Retry, args: { backoff: { factor: 0 } } }", "from 1 to 1000"),
        ("{ name: Retry, args: { backoff: { basedOnPreviousValue: perhaps } } }", "true or false"),
        ("{ name: Retry, args: { jitter: { randomFactor: 2 } } }", "from 0 to 1"),
        ("{ name: Retry, args: { retrys: 1 } }", "retrys"),
        ("Retry=11", "a number from 0 to 10"),
        ("'Retry=1,TEAPOT'", "such as 502 or BAD_GATEWAY"),
        ("'Retry=1,502,FETCH'", "a method such as GET"),
    ] {
        let (_, problems) = read(&document("Path=/**", text));
        assert!(problems.iter().any(|problem| problem.contains(expect)), "{text}: {problems:#?}");
    }
}

#[test]
fn waits_grow() {
    let waits = |text: &str, random: u64| {
        let (table, problems) = read(&document("Path=/**", text));
        assert!(problems.is_empty(), "{problems:#?}");
        let backoff = table.routes()[0].filters.retry.as_ref().expect(text).backoff.clone();
        backoff.map(|backoff| (1..6).map(|time| backoff.wait(time, random).as_millis()).collect::<Vec<_>>())
    };
    for (text, expect) in [
        ("Retry=2", None),
        ("{ name: Retry, args: { retries: 2, backoff: { firstBackoff: 10ms } } }", Some([10, 20, 40, 80, 160])),
        (
            "{ name: Retry, args: { backoff: { firstBackoff: 10, maxBackOff: 50ms, factor: 3 } } }",
            Some([10, 30, 50, 50, 50]),
        ),
        ("{ name: Retry, args: { backoff.factor: 1 } }", Some([5; 5])),
        ("'Retry=3,503,GET,10ms,50ms,2,false'", Some([10, 20, 40, 50, 50])),
        (
            "{ name: Retry, args: { backoff: { firstBackoff: 6s, maxBackoff: 1h, factor: 1000 } } }",
            Some([6_000, 10_000, 10_000, 10_000, 10_000]),
        ),
    ] {
        assert_eq!(waits(text, 7), expect.map(Vec::from), "{text}");
    }
    let jitter =
        "{ name: Retry, args: { backoff: { firstBackoff: 100ms, maxBackoff: 400ms }, jitter: { randomFactor: 0.5 } } }";
    assert_eq!(waits(jitter, 0), Some(vec![100, 100, 200, 200, 200]), "no wait is shorter than the first");
    assert_eq!(waits(jitter, u64::MAX), Some(vec![150, 300, 400, 400, 400]), "nor longer than the longest");
}
