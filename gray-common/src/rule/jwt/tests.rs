use http::HeaderMap;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use super::*;
use crate::rule::RequestFacts;

/// Made for this test; nobody has the private key any more.
const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArc7sj3xaZdw8DpvUseRi\n\
xanVOloF2ikiypJenK//XUWDX61B82ERrXnJiG7Ruz/KiolS5+buVCQi/asvyzdC\n\
JQGm3lEuD0cx6L4XTdkqNCIVHlaobaEJ9uAJ3tNJo0QRQEWi5x82xRAyyl+QoyJa\n\
ovbGxRM9M5TMv2g2iVlSMnPc4cfHsEEnL+lKTbpSO6aqZWVQ/G1w/SUuqh+MkKgt\n\
6IxnT/7nFdf7C5hpD94VLxfjuZC/BHkOMUs8vGxHNEo6T0Es8sb/ofCzPI9vbjgx\n\
Z59mHN+Mt+cnTRLz45lbKEIk3vV4FNNqh6Fj7uLBHRGHaq+Vv3bpgfgPf8gWZNE1\n\
TwIDAQAB\n\
-----END PUBLIC KEY-----";
/// `{"alg":"RS256"}`, `{"sub":"U1"}`.
const RSA_TOKEN: &str = concat!(
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
    let key = Some(JwtKey::new(key).expect("a key"));
    let jwt = Jwt { token: Source::Header(http::header::AUTHORIZATION), key };
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

#[test]
fn what_is_no_key_is_refused() {
    for text in [
        "",
        "fifteen bytes..",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nnot base64\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        &RSA.replacen("MIIB", "MIIC", 1),
    ] {
        assert!(JwtKey::new(text).is_err(), "{text}");
    }
}
