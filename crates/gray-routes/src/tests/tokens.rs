//! What `JsonWebToken` goes by, and what `spring.security` says in its place.

use super::{document, read};

const SPRING: &str = "spring.security.oauth2.resourceserver.jwt";

/// The key server and how the filter is shown, or the problems.
fn token(filter: &str, more: &str) -> Result<(String, String), String> {
    let (table, problems) = read(&format!("{}{more}\n", document("Path=/**", filter)));
    let Some(route) = table.routes().first().filter(|_| problems.is_empty()) else { return Err(problems.join("\n")) };
    let token = route.filters.token.as_ref().expect("a token");
    assert_eq!(table.key_servers().next(), token.key_server());
    let server = token.key_server().map(ToString::to_string).unwrap_or_default();
    Ok((server, format!("{token:?}")))
}

#[test]
fn keys_come_from_where_the_filter_says_or_spring_security_does() {
    let long = |args: &str| format!("{{ name: JsonWebToken, args: {{ {args} }} }}");
    let spring = format!("{SPRING}: {{ jwk-set-uri: 'https://s/keys', audiences: [a, b], jws-algorithms: RS512 }}");
    let issuer = format!("{SPRING}: {{ issuerUri: 'https://i' }}");
    let both = format!("{SPRING}: {{ jwk-set-uri: 'https://s/keys', issuer-uri: 'https://i' }}");
    for (filter, more, server, shows) in [
        (long("jwks-uri: 'https://a/keys'"), "", "https://a/keys", &["KeySet(", "algorithms: []"][..]),
        (long("jwk-set-uri: 'https://a/keys', algorithm: [PS256, RS256]"), "", "https://a/keys", &["[Ps256, Rs256]"]),
        (long("issuer-uri: 'https://a'"), "", "https://a", &["Issuer(", "issuer: Some(\"https://a\")"]),
        (long("issuer-uri: 'https://a', issuer: 'https://a'"), "", "https://a", &["Issuer("]),
        (
            long("issuer-uri: 'https://a', jwks-uri: 'https://b/keys'"),
            "",
            "https://b/keys",
            &["KeySet(", "issuer: Some(\"https://a\")"],
        ),
        (long("issuer-uri: 'https://a', audience: 'x, y'"), "", "https://a", &["audiences: [\"x\", \"y\"]"]),
        (long("issuer-uri: 'https://a', audiences: [x, y]"), "", "https://a", &["audiences: [\"x\", \"y\"]"]),
        ("JsonWebToken".into(), &spring, "https://s/keys", &["KeySet(", "[Rs512]", "audiences: [\"a\", \"b\"]"]),
        (long("audience: c, algorithm: ES256"), &spring, "https://s/keys", &["[Es256]", "audiences: [\"c\"]"]),
        ("JsonWebToken".into(), &issuer, "https://i", &["Issuer(", "issuer: Some(\"https://i\")"]),
        ("JsonWebToken".into(), &both, "https://s/keys", &["KeySet(", "issuer: Some(\"https://i\")"]),
        // The filter's own key is the only one.
        (long("key: 'sixteen bytes or more', algorithm: HS256"), &both, "", &["issuer: None", "hidden"]),
        (long("jwks-uri: 'https://a/keys'"), &both, "https://a/keys", &["issuer: None", "audiences: []"]),
    ] {
        let (found, shown) = token(&filter, more).unwrap_or_else(|problems| panic!("{filter} {more}\n{problems}"));
        assert_eq!(found, server, "{filter} {more}");
        for part in shows {
            assert!(shown.contains(part), "{shown} lacks {part}");
        }
    }
}

#[test]
fn what_is_not_a_source_of_keys_is_an_error() {
    let long = |args: &str| format!("{{ name: JsonWebToken, args: {{ {args} }} }}");
    let spring = |jwt: &str| format!("{SPRING}: {{ {jwt} }}");
    for (filter, more, expect) in [
        ("JsonWebToken".to_owned(), String::new(), "JsonWebToken needs `key`, `jwks-uri` or `issuer-uri`"),
        ("JsonWebToken".into(), spring("jwk-set-uri: ''"), "JsonWebToken needs `key`"),
        ("JsonWebToken".into(), spring("public-key-location: 'classpath:a.pub'"), "JsonWebToken needs `key`"),
        ("JsonWebToken".into(), spring("jwk-set-uri: 'ftp://s'"), "g.yaml:6: spring.security"),
        ("JsonWebToken".into(), spring("jwk-set-uri: 'https://s', jws-algorithms: [RS256, HS256]"), "takes a secret"),
        ("JsonWebToken".into(), spring("issuer-uri: '${NOT_SET_ANYWHERE}'"), "NOT_SET_ANYWHERE"),
        (long("jwks-uri: login.example"), String::new(), "not a URL"),
        (long("jwks-uri: 'https://user@login.example'"), String::new(), "no user and no password"),
        (long("issuer-uri: 'https://a/?b'"), String::new(), "an issuer has no query"),
        (long("issuer-uri: 'https://a', issuer: 'https://b'"), String::new(), "a token has one issuer"),
        (long("issuer-uri: 'https://a', key: x"), String::new(), "set one"),
        (
            long("jwks-uri: 'https://a', algorithm: HS256"),
            String::new(),
            "`algorithm` names HS256, which takes a secret",
        ),
        (long("jwks-uri: 'https://a', algorithm: none"), String::new(), "is not an algorithm"),
        (long("jwks-ur: 'https://a'"), String::new(), "did you mean `jwks-uri`?"),
        ("JsonWebToken=https://a/keys".into(), String::new(), "by `jwks-uri` and `issuer-uri`"),
    ] {
        let problems = token(&filter, &more).expect_err(expect);
        assert!(problems.contains(expect), "{filter} {more}\n{problems}\nlacks: {expect}");
    }
    // What nothing asks for need not be readable.
    let text = format!("{}{SPRING}.issuer-uri: '${{NOT_SET_ANYWHERE}}'\n", document("Path=/**", ""));
    let problems = read(&text).1;
    assert!(problems.len() == 1 && problems[0].contains("Spring Security checks tokens by this"), "{problems:#?}");
}
