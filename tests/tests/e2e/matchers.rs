//! What rules can ask of a request, through the whole chain; each way is the proof that the rule matched or not.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e_tests::{Lab, Stage, request::Headers};
use ring::hmac;
use serde_json::json;

const SECRET: &str = "the secret of the tokens";

pub(crate) async fn a_few_of_each_kind(_: Arc<Stage>) -> Result<()> {
    let rules = "gray:
  rules:
    - { name: regex, when: { header.phone: { regex: '138\\d{8}' } }, lane: gray }
    - { name: version, when: { header.app: { version: '>=7.1, <8' } }, lane: gray }
    - { name: number, when: { header.age: { at-least: 18, below: 30 } }, lane: gray }
    - { name: both, when: { header.a: { prefix: x }, header.b: { not: y } }, lane: gray }
    - { name: either, when: [{ query.q: '1' }, { header.host-of: { suffix: .test } }], lane: gray }
    - { name: over, when: { header.when: x }, until: '2001-01-01T00:00:00Z', lane: gray }
    - { name: on, when: { header.when: y }, since: '2001-01-01T00:00:00Z', lane: gray }
    - { name: off, when: { header.when: z }, enabled: false, lane: gray }
    - { name: beta, when: { host: beta.example.com }, lane: gray }";
    let lab = Lab::whole("", rules).await?;
    let cases: [(bool, Headers<'_>); 19] = [
        (true, &[("phone", "13812345678")]),
        (false, &[("phone", "138123456789")]),
        (true, &[("app", "7.1.0")]),
        (true, &[("app", "v7.9")]),
        (false, &[("app", "8.0.0")]),
        (false, &[("app", "7.0.9")]),
        (true, &[("age", "18")]),
        (false, &[("age", "30")]),
        (false, &[("age", "grown-up")]),
        (true, &[("a", "xyz"), ("b", "z")]),
        (false, &[("a", "xyz"), ("b", "y")]),
        (false, &[("a", "xyz")]),
        (true, &[("host-of", "a.test")]),
        (false, &[("host-of", "a.tests")]),
        (false, &[("when", "x")]),
        (true, &[("when", "y")]),
        (false, &[("when", "z")]),
        (true, &[("host", "beta.example.com")]),
        (false, &[("host", "www.example.com")]),
    ];
    for (matches, headers) in cases {
        let way = lab.way(headers).await?;
        ensure!(way == if matches { "V2 V2" } else { "V1 V1" }, "{headers:?} took {way}");
    }
    let answer = lab.get("/order-api/order/N0001?q=1", &[]).await?.expect(200)?;
    ensure!(answer.versions() == Some(("V2".into(), "V2".into())), "{}", answer.text);
    Ok(())
}

/// A token in the name of a user: HS256, or what it says instead.
fn token(algorithm: &str, secret: &str, user: &str, expiry: u64) -> String {
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let head = part(json!({ "alg": algorithm, "typ": "JWT" }));
    let body = part(json!({ "sub": user, "exp": expiry, "org": { "plan": "gold" } }));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), format!("{head}.{body}").as_bytes());
    format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(mac))
}

pub(crate) async fn claims_of_a_token_and_members_of_a_cookie(_: Arc<Stage>) -> Result<()> {
    let rules = format!(
        "gray:
  jwt: {{ token: header.authorization, key: '{SECRET}', algorithm: HS256 }}
  lanes: {{ orders: {{ services: {{ order-app: V2 }} }} }}
  rules:
    - {{ name: user, when: {{ jwt.sub: [U1, U2] }}, lane: gray }}
    - {{ name: gold, when: {{ jwt.org.plan: gold }}, lane: orders }}
    - {{ name: cookie, when: {{ cookie-json.info.user.level: vip }}, lane: gray }}"
    );
    let lab = Lab::whole("", &rules).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let bearer = |algorithm, secret, user, expiry| format!("Bearer {}", token(algorithm, secret, user, expiry));
    let good = bearer("HS256", SECRET, "U1", now + 600);
    let bare = token("HS256", SECRET, "U2", now + 600);
    let other = bearer("HS256", SECRET, "U3", now + 600);
    let forged = bearer("HS256", "the secret of somebody", "U1", now + 600);
    let none = bearer("none", SECRET, "U1", now + 600);
    let expired = bearer("HS256", SECRET, "U1", now - 1);
    // The head and the mac of a good one around another body.
    let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mixed = format!("{}.{}.{}", parts(&other)[0], parts(&good)[1], parts(&other)[2]);
    for (authorization, way) in [
        (&good, "V2 V2"),
        (&bare, "V2 V2"),
        (&other, "V2 V1"),
        (&forged, "V1 V1"),
        (&none, "V1 V1"),
        (&expired, "V1 V1"),
        (&mixed, "V1 V1"),
        (&"Bearer".to_owned(), "V1 V1"),
        (&"Basic dTpw".to_owned(), "V1 V1"),
    ] {
        let seen = lab.way(&[("authorization", authorization)]).await?;
        ensure!(seen == way, "{authorization} took {seen} instead of {way}");
    }
    for (cookie, way) in [
        ("info=%7B%22user%22%3A%7B%22level%22%3A%22vip%22%7D%7D", "V2 V2"),
        ("a=1; info={\"user\":{\"level\":\"vip\"}}", "V2 V2"),
        ("info=%7B%22user%22%3A%7B%22level%22%3A%22basic%22%7D%7D", "V1 V1"),
        ("info=%7B%22level%22%3A%22vip%22%7D", "V1 V1"),
        ("info={broken", "V1 V1"),
    ] {
        let seen = lab.way(&[("cookie", cookie)]).await?;
        ensure!(seen == way, "{cookie} took {seen} instead of {way}");
    }
    Ok(())
}
