//! Facts out of any query, cookies and token: a value or none, never a panic. The first line of the input names the fact, the
//! second is the query, the third a token, the others are lines of cookies.
#![no_main]

use std::sync::Arc;

use gray_core::lane::is_token;
use gray_rules::{Algorithm, Jwt, JwtKey, KeySet, KeyUrl, RequestFacts, Source, TokenKey, find_cookie, parse_source};
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let name = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let query = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let mut headers = HeaderMap::new();
    if let Some(token) = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok()) {
        headers.insert(header::AUTHORIZATION, token.clone());
        headers.insert(header::USER_AGENT, token);
    }
    for line in lines.take(4) {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, line);
        }
    }
    let facts = RequestFacts { query, path: name, host: Some(name), ..RequestFacts::new(&headers) };
    let path: Box<[Box<str>]> = name.split('.').map(Into::into).collect();
    let claim = |key| {
        let jwt = Jwt { token: Source::Header(header::AUTHORIZATION), key, requires_expiry: false };
        Source::Claim { jwt: Arc::new(jwt), path: path.clone() }
    };
    let key = JwtKey::new("0123456789abcdef", &[Algorithm::Hs256]);
    let signed = claim(key.map_or(TokenKey::Unverified, TokenKey::Known));
    let sources = [
        parse_source(name).unwrap_or(Source::Path),
        Source::Query(name.into()),
        Source::Cookie(name.into()),
        Source::CookieJson { cookie: "session".into(), path: path.clone() },
        claim(TokenKey::Unverified),
        Source::Host,
    ];
    for source in &sources {
        if let Some(value) = source.get(&facts) {
            assert!(value.as_token().is_none_or(is_token));
            drop(value.shown());
        }
    }
    if let Some(value) = signed.get(&facts) {
        assert_eq!(Some(value), claim(TokenKey::Unverified).get(&facts), "a good signature adds nothing to the claims");
    }
    let all = Source::FirstOf(sources.into());
    drop(all.get(&facts));
    let _ = find_cookie(data.split(|byte| *byte == b'\n'), name);
    drop(JwtKey::new(name, &[]));
    drop(KeySet::read(data));
    drop(name.parse::<KeyUrl>());
    if let Ok(text) = std::str::from_utf8(data) {
        drop(JwtKey::new(text, &[]));
        drop(JwtKey::new(text, &[Algorithm::Hs256]));
    }
});
