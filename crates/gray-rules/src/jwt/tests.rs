use http::HeaderMap;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use super::*;
use crate::RequestFacts;

/// Made for this test; the private key was not kept.
pub(super) const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArc7sj3xaZdw8DpvUseRi\n\
xanVOloF2ikiypJenK//XUWDX61B82ERrXnJiG7Ruz/KiolS5+buVCQi/asvyzdC\n\
JQGm3lEuD0cx6L4XTdkqNCIVHlaobaEJ9uAJ3tNJo0QRQEWi5x82xRAyyl+QoyJa\n\
ovbGxRM9M5TMv2g2iVlSMnPc4cfHsEEnL+lKTbpSO6aqZWVQ/G1w/SUuqh+MkKgt\n\
6IxnT/7nFdf7C5hpD94VLxfjuZC/BHkOMUs8vGxHNEo6T0Es8sb/ofCzPI9vbjgx\n\
Z59mHN+Mt+cnTRLz45lbKEIk3vV4FNNqh6Fj7uLBHRGHaq+Vv3bpgfgPf8gWZNE1\n\
TwIDAQAB\n\
-----END PUBLIC KEY-----";
/// `{"alg":"RS256"}`, `{"sub":"U1"}`.
pub(super) const RSA_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJVMSJ9.",
    "fAmSOJ23fUmTmThciHYz0opd51dHdN5qtoIIJVTr0OI1d9AXttfeUFLToGN0K2HlXmZ-_6MrlTRT_lcoCWS0PYTSBJxuwtXZ3XJH",
    "G1JW3RN-0e5RwpQdt-ECmGFCONN56sKzALfqBPEjkWTm4zd8KhftayBs6uDi-abhcupDLn1MkMEKkg7QX-qgrJ2CmTM6ruyqDJlJ",
    "qSdbT5LwqnUOtdISPFxVlG6JaOxhszq9UJgRaTiHkdjZQFX2ie0TXzCnxL2W4g3UdjyUjXY_2szpxObTv4eYADdR2mOLgvIT_uFu",
    "Zjdio9Vm5A9WaDB9II5rIW5Uy8ZFSoosD59w99DAQw",
);

/// A public key of `prefix` (the DER in front of it, RFC 5480 and RFC 8410) in PEM.
fn pem(prefix: &[u8], key: &[u8]) -> String {
    let der = base64::engine::general_purpose::STANDARD.encode([prefix, key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

fn subject(key: &str, token: &str) -> Option<String> {
    let token = format!("Bearer {token}").parse().expect("a header value");
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, token)]);
    let key = TokenKey::Known(JwtKey::new(key, &[]).expect("a key"));
    let jwt = Jwt { token: Source::Header(http::header::AUTHORIZATION), key, requires_expiry: false };
    let claims = jwt.claims(&RequestFacts::new(&headers))?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

fn message(algorithm: &str) -> String {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    format!("{}.{}", part(format!(r#"{{"alg":"{algorithm}"}}"#)), part(r#"{"sub":"U1"}"#.into()))
}

#[test]
fn public_keys_of_three_kinds_verify() {
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("generated");
    let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("read");
    let ed25519_pem =
        pem(&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0], ed25519.public_key().as_ref());
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("generated");
    let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).expect("read");
    let prefix = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0,
    ];
    let p256_pem = pem(&prefix, p256.public_key().as_ref());
    let sign = |algorithm: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let message = message(algorithm);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
    };
    let by_ed25519 = |message: &[u8]| ed25519.sign(message).as_ref().to_vec();
    let by_p256 = |message: &[u8]| p256.sign(&random, message).expect("signed").as_ref().to_vec();
    let cases = [
        (RSA, RSA_TOKEN.to_owned(), true),
        (&ed25519_pem, sign("EdDSA", &by_ed25519), true),
        (&p256_pem, sign("ES256", &by_p256), true),
        // The key says which algorithm, not the token.
        (&p256_pem, sign("EdDSA", &by_p256), false),
        (&p256_pem, sign("none", &|_| Vec::new()), false),
        (&ed25519_pem, sign("ES256", &by_p256), false),
        (RSA, sign("RS256", &by_p256), false),
        // The public key, taken for a secret: an old way to forge.
        (
            RSA,
            sign("HS256", &|message| {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, RSA.as_bytes()), message).as_ref().to_vec()
            }),
            false,
        ),
        (RSA, RSA_TOKEN.replace("fAmS", "fAmT"), false),
    ];
    for (place, (key, token, expect)) in cases.into_iter().enumerate() {
        assert_eq!(subject(key, &token).as_deref(), expect.then_some("U1"), "case {place}");
    }
}

/// The base64 of the key alone.
fn body() -> String {
    RSA.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// A token signed by a secret.
fn forged(algorithm: &str, mac: hmac::Algorithm, secret: &[u8]) -> String {
    let message = message(algorithm);
    let tag = hmac::sign(&hmac::Key::new(mac, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// What is refused without an algorithm, with the remedy.
const UNREAD: &str = "write the public key in PEM (BEGIN PUBLIC KEY), or name `algorithm: HS256` if it is a secret";

/// In whatever form a public key comes: it is read as one, and no token made from its text passes; or it is refused.
#[test]
fn a_public_key_is_never_a_secret() {
    let (body, standard) = (body(), base64::engine::general_purpose::STANDARD);
    let der = standard.decode(&body).expect("base64");
    // RSAPublicKey, the part after the algorithm.
    let pkcs1 = &der[24..];
    let lines =
        |text: &str| text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
    let hexadecimal: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
    let cases: Vec<(String, Result<(), &str>)> = vec![
        (RSA.into(), Ok(())),
        (format!("  {RSA}\n\n"), Ok(())),
        (RSA.replace('\n', "\\n"), Ok(())),
        (RSA.replace('\n', "\r\n"), Ok(())),
        (body.clone(), Ok(())),
        (lines(&body), Ok(())),
        (body.replace('+', "-").replace('/', "_"), Ok(())),
        (body.trim_end_matches('=').into(), Ok(())),
        (standard.encode(pkcs1), Ok(())),
        (
            format!("-----BEGIN RSA PUBLIC KEY-----\n{}-----END RSA PUBLIC KEY-----", lines(&standard.encode(pkcs1))),
            Ok(()),
        ),
        (body[..body.len() - 8].into(), Err(UNREAD)),
        (format!("key: {RSA}"), Err("one PEM block")),
        (format!("{RSA}\n{RSA}"), Err("one PEM block")),
        (hexadecimal, Err(UNREAD)),
        (standard.encode([&[0x30, 0x82, 0x01, 0x25, 0x02, 0x01, 0x00], &der[4..]].concat()), Err("another kind")),
        (format!(r#"{{"kty":"RSA","n":"{body}","e":"AQAB"}}"#), Err("JWK")),
        (r#" {"keys":[{"kty":"RSA"}]}"#.into(), Err("JWK")),
        ("https://login.example/.well-known/jwks.json".into(), Err("by `jwks-uri` and `issuer-uri`")),
        ("classpath:keys/public.der".into(), Err(UNREAD)),
        ("/etc/keys/public.pem".into(), Err(UNREAD)),
        (format!("ssh-rsa AAAAB3NzaC1yc2E{body} me@here"), Err("ssh-keygen")),
        (format!("AAAAB3NzaC1yc2E{body}"), Err(UNREAD)),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".into(), Err("openssl x509")),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----".into(), Err("openssl pkey")),
        ("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----".into(), Err("PEM")),
        ("-----BEGIN PUBLIC KEY-----\nnot base64\n-----END PUBLIC KEY-----".into(), Err("PEM")),
        (RSA.replacen("MIIB", "MIIC", 1), Err("PEM")),
        (standard.encode(RSA), Err(UNREAD)),
        (lines(&standard.encode(RSA)), Err(UNREAD)),
        (standard.encode(r#"{"kty":"RSA","n":"x","e":"AQAB"}"#), Err(UNREAD)),
        (standard.encode(format!("ssh-rsa AAAAB3NzaC1yc2E{body}")), Err(UNREAD)),
        (standard.encode([&[4][..], &[7; 64]].concat()), Err(UNREAD)),
        (URL_SAFE_NO_PAD.encode([0xc6; 256]), Err(UNREAD)),
        (format!("Modulus={}", "C6EF".repeat(128)), Err(UNREAD)),
        ("kty: RSA, n: abcdefghijkl".into(), Err(UNREAD)),
        (format!("n={} e=AQAB", "abcd".repeat(20)), Err(UNREAD)),
        ("//login.example/keys".into(), Err(UNREAD)),
        ("a secret of some length".into(), Err(UNREAD)),
        (String::new(), Err(UNREAD)),
    ];
    let macs = [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)];
    for (text, expect) in cases {
        match (JwtKey::new(&text, &[]), expect) {
            (Ok(_), Ok(())) => {
                assert_eq!(subject(&text, RSA_TOKEN).as_deref(), Some("U1"), "{text}");
                let secrets = [text.as_bytes(), text.trim().as_bytes(), RSA.as_bytes(), body.as_bytes(), &der, pkcs1];
                for ((name, mac), secret) in macs.iter().flat_map(|mac| secrets.map(|secret| (mac, secret))) {
                    assert_eq!(subject(&text, &forged(name, *mac, secret)), None, "{name} by {text}");
                }
            }
            (Err(error), Err(why)) => {
                assert!(error.to_string().contains(why), "{text}: {error}");
                assert!(text.len() < 16 || !error.to_string().contains(&text), "shows the text: {error}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}

#[test]
fn the_algorithm_is_named_and_has_to_fit_the_key() {
    let named = |text: &str, names: &str| {
        let algorithms: Vec<Algorithm> = names.split_whitespace().map(|name| name.parse().expect(name)).collect();
        JwtKey::new(text, &algorithms)
    };
    let (secret, body) = ("a secret of some length", body());
    for (text, names, expect) in [
        (RSA, "RS256", Ok("RS256")),
        (RSA, "ps256 RS512", Ok("PS256 RS512")),
        (RSA, "HS256", Err("public RSA key")),
        (RSA, "RS256 HS256", Err("public RSA key")),
        (RSA, "ES256", Err("public RSA key")),
        (&*body, "HS256", Err("public RSA key")),
        (&*RSA.replace("-----", "---- "), "", Err(UNREAD)),
        (secret, "", Err(UNREAD)),
        (secret, "HS256", Ok("HS256")),
        (secret, "HS512 HS256", Ok("HS512 HS256")),
        (secret, "RS256", Err(UNREAD)),
        (secret, "HS256 RS256", Err("names RS256")),
        ("fifteen bytes..", "HS256", Err("at least 16 bytes")),
        // Said to be secrets, so they are.
        ("https://a.secret.like.an.address", "HS256", Ok("HS256")),
        (r#"{"kty":"oct","k":"c2VjcmV0"}"#, "HS256", Err("JWK")),
    ] {
        match (named(text, names), expect) {
            (Ok(key), Ok(algorithms)) => assert_eq!(format!("{key:?}"), format!("JwtKey({algorithms}, hidden)")),
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{names}: {error}"),
            (found, _) => panic!("{text} {names}: {found:?}"),
        }
    }
    assert!("none".parse::<Algorithm>().is_err());
    let key = named(secret, "HS512").expect("a key");
    for (name, mac, expect) in [("HS512", hmac::HMAC_SHA512, true), ("HS256", hmac::HMAC_SHA256, false)] {
        let token = forged(name, mac, secret.as_bytes());
        let (message, tag) = token.rsplit_once('.').expect("three parts");
        assert_eq!(key.verifies(name, message.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).expect("base64")), expect);
    }
}

/// Head and claims as JSON, signed as they are.
#[test]
fn what_a_token_says_has_to_be_said_properly() {
    let secret = "a secret of some length";
    let claims = |head: &str, claims: &str, requires_expiry: bool| {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
        let token = format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(tag)).parse().expect("a header value");
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, token)]);
        let key = TokenKey::Known(JwtKey::new(secret, &[Algorithm::Hs256]).expect("a key"));
        let jwt = Jwt { token: Source::Header(http::header::AUTHORIZATION), key, requires_expiry };
        jwt.claims(&RequestFacts { now: 1000, ..RequestFacts::new(&headers) }).is_some()
    };
    const HEAD: &str = r#"{"alg":"HS256"}"#;
    for (head, body, requires_expiry, expect) in [
        (HEAD, "{}", false, true),
        (HEAD, "{}", true, false),
        (HEAD, r#"{"exp":1001}"#, true, true),
        (HEAD, r#"{"exp":1000.5,"nbf":1e3}"#, true, true),
        (HEAD, r#"{"exp":1000}"#, false, false),
        (HEAD, r#"{"exp":"1001"}"#, false, false),
        (HEAD, r#"{"exp":"never"}"#, false, false),
        (HEAD, r#"{"exp":null}"#, false, false),
        (HEAD, r#"{"exp":[1001]}"#, false, false),
        (HEAD, r#"{"nbf":1001}"#, false, false),
        (HEAD, r#"{"nbf":"0"}"#, false, false),
        (HEAD, r#"{"nbf":true}"#, false, false),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, "{}", false, false),
        (r#"{"alg":"HS256","crit":[]}"#, "{}", false, false),
        (r#"{"alg":"HS256","crit":null}"#, "{}", false, false),
        (r#"{"alg":"hs256"}"#, "{}", false, false),
        (r#"{"alg":["HS256"]}"#, "{}", false, false),
        (r#"{"typ":"JWT"}"#, "{}", false, false),
    ] {
        assert_eq!(claims(head, body, requires_expiry), expect, "{head} {body} {requires_expiry}");
    }
}

#[test]
fn of_two_tokens_none_counts() {
    let token = format!("{}.", message("none"));
    let jwt = |token| Jwt { token, key: TokenKey::Unverified, requires_expiry: false };
    let found = |source: Source, lines: &[(&'static str, String)], query: &str| {
        let name = |name: &'static str| http::HeaderName::from_static(name);
        let pairs = lines.iter().map(|(field, text)| (name(field), text.parse().expect("a header value")));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value): (_, http::HeaderValue)| {
            headers.append(name, value);
        });
        jwt(source).claims(&RequestFacts { query: Some(query), ..RequestFacts::new(&headers) }).is_some()
    };
    let header = || Source::Header(http::header::AUTHORIZATION);
    let (cookie, query) = (|| Source::Cookie("t".into()), || Source::Query("t".into()));
    let bearer = || ("authorization", format!("Bearer {token}"));
    let line = |text: &str| ("cookie", text.replace('T', &token));
    for (source, lines, asked, expect) in [
        (header(), vec![bearer()], "", true),
        (header(), vec![bearer(), bearer()], "", false),
        (header(), vec![("authorization", "x".into()), bearer()], "", false),
        (header(), vec![("authorization", format!("Bearer {token}, Bearer {token}"))], "", false),
        (header(), vec![("authorization", format!("Bearer {token} {token}"))], "", false),
        (cookie(), vec![line("a=1; t=T")], "", true),
        (cookie(), vec![line("t=T; t=T")], "", false),
        (cookie(), vec![line("t=T"), line("t=x")], "", false),
        (query(), vec![], "a=1&t=T", true),
        (query(), vec![], "t=T&%74=x", false),
        (query(), vec![], "t=T&t", false),
    ] {
        let asked = asked.replace('T', &token);
        assert_eq!(found(source.clone(), &lines, &asked), expect, "{source} {lines:?} {asked}");
    }
}
