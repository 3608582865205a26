//! What is wrong, what was expected, and what to write instead.

use super::problems;

#[test]
fn messages_tell_fault_expectation_and_remedy() {
    for (text, expect) in [
        ("gray.rules: [{ when: { header.x: a }, lane: gray }]", "`name` is missing: expected at most 64 ASCII letters"),
        (
            "gray.rules: [{ name: 测试, when: { header.x: a }, lane: gray }]",
            "`测试` is not a name: expected at most 64 ASCII",
        ),
        ("gray.rules: [{ name: my rule, when: { header.x: a }, lane: gray }]", "`my rule` is not a name"),
        ("gray.rules: [{ name: r, share: { percent: -5, key: ip }, lane: gray }]", "`-5` is not a percentage"),
        ("gray.rules: [{ name: r, share: { percent: '0,5', key: ip }, lane: gray }]", "`0,5` is not a percentage"),
        ("gray.rules: [{ name: r, share: { key: ip }, lane: gray }]", "`percent` is missing: expected 0 to 100"),
        (
            "gray: { layers: { l: { key: ip } }, rules: [{ name: r, share: { percent: 5, layer: l, slot: 0-50 }, lane: gray }] }",
            "`0-50` is not a slot: expected FROM..TO in percent, such as `0..50`",
        ),
        (
            "gray: { layers: { l: { key: ip } }, rules: [{ name: r, share: { percent: 5, layer: l }, lane: gray }] }",
            "`slot` is missing: the part",
        ),
        (
            "gray.facts: { a: [b], b: [header.x] }",
            "`b` is not defined yet: a fact is made of facts that are defined above it",
        ),
        ("gray.facts: { header.y: [header.x] }", "what begins with this word is built in"),
        ("gray.facts: { a b: [header.x] }", "not the name of a fact: expected at most 64 ASCII letters"),
        (
            "gray.rules: [{ name: r, when: { time: { from: '09:00', to: '18:00', zone: Mars } }, lane: gray }]",
            "`Mars` is not a time zone",
        ),
        (
            "gray.rules: [{ name: r, when: { time: { from: '09:00', to: '18:00', days: [pay] } }, lane: gray }]",
            "`pay` is not a day: expected mon",
        ),
        ("gray.lanes: { v2: { fallback: any } }", "which instances are on it?"),
        ("gray.lanes: { v2: { select: V2, fallback: prod } }", "expected baseline, any or fail"),
        ("gray.lanes: { baseline: { select: V2 } }", "cannot be the name of a lane"),
        ("gray.lanes: { v2: { select: 'V 2' } }", "cannot be selected"),
        ("gray.lanes: { v2: { select: any } }", "`any` is not a version: write '*' for every instance"),
        ("gray.lanes: { v2: { services: { a: { version: None } } } }", "`None` is not a version"),
        ("gray.lanes: { v2: { services: { 'a;b': V2 } } }", "cannot be a service here"),
        ("gray.baseline: { services: { 'a=b': V2 } }", "cannot be a service here"),
        ("gray.lanes: { v2: { select: $nobody } }", "`nobody` is not a fact"),
        ("gray.lanes: { v2: { namespace: other } }", "add it to the `namespaces`"),
        ("gray.baseline: { select: { version: $header.x } }", "must not depend on the request"),
        ("gray.baseline: { selct: V2 }", "unknown key; the baseline has select, services"),
        ("gray.baseline: { services: { order app: V2 } }", "`order app` cannot be a service"),
        ("gray.lanes: { v2: { services: { '*': V2 } } }", "`*` cannot be a service"),
        ("gray.lanes: { v2: { services: { a: { select: V2, fallbak: any } } } }", "unknown key; a service on a lane"),
        ("gray.default: v9", "there is no lane `v9`"),
        ("gray.ruls: []", "did you mean `rules`?"),
        ("gray.jwt: { token: header.authorization }", "tokens are not verified"),
        ("gray.jwt: { key: a secret of some length }", "name `algorithm: HS256` if it is a secret"),
        ("gray.jwt: { key: short, algorithm: HS256 }", "a secret of at least 16 bytes"),
        ("gray.jwt: { jwks-uri: login.example }", "jwks-uri: not a URL"),
        ("gray.jwt: { issuer-uri: 'https://a/?b' }", "issuer-uri: the URL of an issuer has no query"),
        ("gray.jwt: { issuer-uri: 'https://a', algorithm: HS256 }", "HS256, which takes a secret"),
        ("gray.jwt: { issuer-uri: 'https://a', key: x }", "set one of `key`, `jwks-uri` and `issuer-uri`"),
        ("gray.jwt: { issuer-uri: 'https://a', jwks-uri: 'https://b' }", "set one of"),
    ] {
        let seen = problems(text);
        assert!(seen.contains(expect), "{text}\n{seen}\nlacks: {expect}");
        assert!(seen.contains("gray-rules.yaml:2"), "{seen}: no line");
    }
}
