//! Who may pass: a good token where one is asked for, and not too often.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gray_gateway::proxy::Refusal;
use ring::hmac;

use crate::support::{Backend, Client, Gateway, Setup};

const SECRET: &str = "a secret of some length";

/// A token of these claims, signed with this secret.
fn token(claims: &str, secret: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

async fn gateway(filters: &str) -> (Backend, Gateway) {
    let backend = Backend::named("v1").await;
    let routes = format!(
        "[{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: [{filters}] }}, \
          {{ id: open, uri: 'lb://app', predicates: ['Path=/open/**'] }}]"
    );
    let gateway = Setup::with_routes(&routes, &[backend.instance("V1")]).start();
    (backend, gateway)
}

#[tokio::test]
async fn nobody_passes_without_a_good_token() {
    let filter =
        format!("{{ name: JsonWebToken, args: {{ key: '{SECRET}', algorithm: HS256, issuer: us, audience: shop }} }}");
    let (backend, gateway) = gateway(&filter).await;
    let claims = |exp: u64| format!(r#"{{"sub":"U1","iss":"us","aud":["x","shop"],"exp":{exp}}}"#);
    let good = token(&claims(now() + 60), SECRET);
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims(now() + 60)));
    let flipped = format!("{}x", &good[..good.len() - 1]);
    for bad in [
        String::new(),
        "Authorization: Bearer\r\n".into(),
        format!("Authorization: Bearer {unsigned}\r\n"),
        format!("Authorization: Bearer {flipped}\r\n"),
        format!("Authorization: Basic {good}x\r\n"),
        format!("X-Authorization: Bearer {good}\r\n"),
        format!("Authorization: Bearer {}\r\n", token(&claims(now() + 60), "another secret of some length")),
        format!("Authorization: Bearer {}\r\n", token(&claims(now() - 60), SECRET)),
        format!("Authorization: Bearer {}\r\n", token(r#"{"sub":"U1","iss":"them","aud":"shop"}"#, SECRET)),
        format!("Authorization: Bearer {}\r\n", token(r#"{"sub":"U1","iss":"us","aud":"other"}"#, SECRET)),
        format!("Authorization: Bearer {}\r\n", token(r#"{"iss":"us","aud":"shop"}"#, SECRET)),
        // The first one counts.
        format!("Authorization: x\r\nAuthorization: Bearer {good}\r\n"),
    ] {
        let response = gateway.get(&bad).await;
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")), "{bad:?}");
        assert!(!response.body.contains(SECRET));
    }
    assert!(backend.seen().is_empty());
    assert_eq!(gateway.stats.snapshot().refused(Refusal::Unauthenticated), 12);
    assert_eq!(gateway.get(&format!("Authorization: Bearer {good}\r\n")).await.status, 200);
    assert_eq!(gateway.ask("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn a_client_may_come_so_often() {
    let args = "{ redis-rate-limiter.replenishRate: 1, redis-rate-limiter.burstCapacity: 4, redis-rate-limiter.requestedTokens: 2 }";
    let (backend, gateway) = gateway(&format!("{{ name: RequestRateLimiter, args: {args} }}")).await;
    let first = gateway.get("").await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining")), (200, Some("2")));
    assert_eq!(first.header("x-ratelimit-burst-capacity"), Some("4"));
    assert_eq!(
        gateway.get("X-Forwarded-For: 1.1.1.1\r\n").await.status,
        200,
        "a stranger says nothing about addresses"
    );
    let refused = gateway.get("").await;
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (429, Some("0")));
    assert_eq!((refused.header("x-ratelimit-replenish-rate"), refused.header("x-ratelimit-requested-tokens")), {
        (Some("1"), Some("2"))
    });
    assert!(matches!(refused.header("retry-after"), Some("1" | "2")), "{}", refused.head);
    // Another client, another route.
    let mut other = Client::connect_from([127, 0, 0, 2].into(), gateway.address).await;
    other.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.response().await.status, 200);
    let open = gateway.ask("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((open.status, open.header("x-ratelimit-remaining")), (200, None));
    assert_eq!((backend.seen().len(), gateway.stats.snapshot().refused(Refusal::RateLimit)), (4, 1));
}

#[tokio::test]
async fn who_counts_as_one() {
    let limit = |key: &str| format!("'RequestRateLimiter=1, 1, 1, {key}'");
    let (_v1, gateway_by_header) = gateway(&limit("header.X-Key")).await;
    for (fields, status) in [
        ("X-Key: a\r\n", 200),
        ("X-Key: a\r\n", 429),
        ("X-Key: b\r\n", 200),
        ("", 200),
        ("X-Key: b\r\n", 429),
        ("", 429),
    ] {
        assert_eq!(gateway_by_header.get(fields).await.status, status, "{fields}");
    }
    let (_v1, gateway_as_one) = gateway(&limit("route")).await;
    assert_eq!(gateway_as_one.get("").await.status, 200);
    let mut other = Client::connect_from([127, 0, 0, 2].into(), gateway_as_one.address).await;
    other.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.response().await.status, 429);
    let tokens = format!("{{ name: JsonWebToken, args: {{ key: '{SECRET}', algorithm: HS256 }} }}, {}", limit("user"));
    let (_v1, gateway_by_user) = gateway(&tokens).await;
    for (user, status) in [("U1", 200), ("U1", 429), ("U2", 200)] {
        let token = token(&format!(r#"{{"sub":"{user}"}}"#), SECRET);
        assert_eq!(gateway_by_user.get(&format!("Authorization: bearer {token}\r\n")).await.status, status, "{user}");
    }
}
