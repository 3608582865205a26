use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};
use proptest::prelude::*;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::json;

use super::*;
use crate::{
    Facts, Jwt, KeyServer, RequestFacts, Source, TokenError, TokenKey,
    jwt::tests::{RSA, RSA_TOKEN},
};

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The RSA key of the other tests as a JWK.
fn rsa_jwk() -> Json {
    let body: String = RSA.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    let (modulus, exponent) = (&der[33..289], &der[der.len() - 3..]);
    json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": base64url(modulus), "e": base64url(exponent) })
}

struct Signer {
    random: SystemRandom,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("generated");
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).expect("read");
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("generated");
        let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("read");
        Self { random, p256, ed25519 }
    }

    fn p256_jwk(&self, id: &str) -> Json {
        let point = self.p256.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": base64url(&point[1..33]), "y": base64url(&point[33..]) })
    }

    fn ed25519_jwk(&self) -> Json {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(self.ed25519.public_key().as_ref()) })
    }

    fn token(&self, head: &Json, claims: &Json) -> String {
        let message =
            format!("{}.{}", base64url(head.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let signature = if head["alg"] == "EdDSA" {
            self.ed25519.sign(message.as_bytes()).as_ref().to_vec()
        } else {
            self.p256.sign(&self.random, message.as_bytes()).expect("signed").as_ref().to_vec()
        };
        format!("{message}.{}", base64url(&signature))
    }
}

fn read(keys: &[Json]) -> Result<KeySet, String> {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).map_err(|error| error.to_string())
}

/// Facts that know the keys of one server.
struct WithKeys<'r>(RequestFacts<'r>, Option<&'r KeySet>);

impl Facts for WithKeys<'_> {
    fn headers<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.0.headers(name)
    }
    fn method(&self) -> &str {
        self.0.method()
    }
    fn path(&self) -> &str {
        self.0.path()
    }
    fn query(&self) -> Option<&str> {
        self.0.query()
    }
    fn host(&self) -> Option<&str> {
        self.0.host()
    }
    fn client_ip(&self) -> Option<std::net::IpAddr> {
        self.0.client_ip()
    }
    fn city(&self) -> Option<&str> {
        self.0.city()
    }
    fn now(&self) -> u64 {
        self.0.now()
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
    fn keys(&self, server: &KeyServer, _id: Option<&str>) -> Option<&KeySet> {
        self.1.filter(|_| server.as_str().starts_with("https://login.example"))
    }
}

fn judged(token: &str, keys: Option<&KeySet>, key: TokenKey) -> Result<Json, TokenError> {
    let token = format!("Bearer {token}").parse().expect("a header value");
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, token)]);
    let jwt = Jwt { token: Source::Header(http::header::AUTHORIZATION), key, requires_expiry: false };
    jwt.verify(&WithKeys(RequestFacts::new(&headers), keys))
}

fn fetched(algorithms: &[Algorithm]) -> TokenKey {
    let server = KeyServer::key_set_at("https://login.example/keys").expect("a URL");
    TokenKey::fetched(server, algorithms.to_vec()).expect("public keys")
}

#[test]
fn the_key_that_the_token_names_verifies_it_and_no_other() {
    let (signer, other) = (Signer::new(), Signer::new());
    let keys = [rsa_jwk(), other.p256_jwk("other"), signer.p256_jwk("mine"), signer.ed25519_jwk()];
    let set = read(&keys).expect("a key set");
    assert_eq!((set.len(), set.has("mine"), set.has("his")), (4, true, false));
    let claims = json!({ "sub": "U1" });
    let es256 = |id: Json| signer.token(&json!({ "alg": "ES256", "kid": id }), &claims);
    let good = |token: &str| judged(token, Some(&set), fetched(&[])).is_ok();
    assert!(good(&es256("mine".into())));
    assert!(good(RSA_TOKEN), "without a kid, the only key that is for RS256");
    assert!(good(&signer.token(&json!({ "alg": "EdDSA" }), &claims)), "the only one for EdDSA");
    for (head, why) in [
        (json!({ "alg": "ES256", "kid": "other" }), "signed by another key"),
        (json!({ "alg": "ES256", "kid": "rsa" }), "a key of another kind"),
        (json!({ "alg": "ES256", "kid": "his" }), "there is no such key"),
        (json!({ "alg": "ES256", "kid": 7 }), "not a name"),
        (json!({ "alg": "ES256" }), "two keys are for it"),
        (json!({ "alg": "es256", "kid": "mine" }), "another spelling"),
        (json!({ "alg": "ES384", "kid": "mine" }), "not of this curve"),
        (json!({ "alg": "none", "kid": "mine" }), "not signed"),
        (json!({ "alg": "HS256", "kid": "mine" }), "a secret"),
        (json!({ "alg": "EdDSA", "kid": "mine" }), "not of this key"),
        (json!({ "alg": "ES256", "kid": "mine", "crit": [] }), "more than is known"),
        (json!({ "kid": "mine" }), "no algorithm"),
    ] {
        let judged = judged(&signer.token(&head, &claims), Some(&set), fetched(&[]));
        assert_eq!(judged, Err(TokenError::Invalid), "{head}: {why}");
    }
}

/// The public key, taken for a secret: an old way to forge.
#[test]
fn no_token_is_signed_by_a_public_key() {
    let set = read(&[rsa_jwk()]).expect("a key set");
    let message = format!("{}.{}", base64url(br#"{"alg":"HS256","kid":"rsa"}"#), base64url(br#"{"sub":"U1"}"#));
    for secret in [RSA.as_bytes(), &set.keys[0].key, b""] {
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret), message.as_bytes());
        let token = format!("{message}.{}", base64url(tag.as_ref()));
        assert_eq!(judged(&token, Some(&set), fetched(&[])), Err(TokenError::Invalid));
    }
    let server = KeyServer::key_set_at("https://login.example/keys").expect("a URL");
    let refused = TokenKey::fetched(server, vec![Algorithm::Rs256, Algorithm::Hs256]).expect_err("a secret");
    assert!(refused.contains("HS256, which takes a secret"), "{refused}");
}

#[test]
fn the_key_says_the_algorithm_unless_the_settings_do() {
    let without = |name: &str| {
        let mut key = rsa_jwk();
        key.as_object_mut().expect("a map").remove(name);
        read(&[key]).expect("a key set")
    };
    let (own, any) = (read(&[rsa_jwk()]).expect("a key set"), without("alg"));
    let verifier = |set: &KeySet, algorithm, is_named| set.keys[0].verifier(algorithm, is_named).is_some();
    for (set, algorithm, is_named, expect) in [
        (&own, Algorithm::Rs256, false, true),
        (&own, Algorithm::Rs512, false, false),
        (&own, Algorithm::Rs512, true, false),
        (&any, Algorithm::Rs256, false, true),
        (&any, Algorithm::Ps256, false, false),
        (&any, Algorithm::Ps256, true, true),
        (&any, Algorithm::Es256, true, false),
    ] {
        assert_eq!(verifier(set, algorithm, is_named), expect, "{algorithm:?} {is_named}");
    }
    let good = |algorithms: &[Algorithm]| judged(RSA_TOKEN, Some(&any), fetched(algorithms)).is_ok();
    assert!(good(&[]) && good(&[Algorithm::Ps256, Algorithm::Rs256]) && !good(&[Algorithm::Ps256]));
}

#[test]
fn without_keys_a_token_cannot_be_judged_and_a_bad_one_is_bad() {
    assert_eq!(judged(RSA_TOKEN, None, fetched(&[])), Err(TokenError::KeysMissing));
    for token in ["", "a.b", "a.b.c", &RSA_TOKEN[1..]] {
        assert_eq!(judged(token, None, fetched(&[])), Err(TokenError::Invalid), "{token}");
    }
    assert_eq!(judged(RSA_TOKEN, None, fetched(&[Algorithm::Es256])), Err(TokenError::Invalid));
}

#[test]
fn an_issuer_s_tokens_have_its_name() {
    let signer = Signer::new();
    let set = read(&[signer.ed25519_jwk()]).expect("a key set");
    let issuer = || TokenKey::fetched(KeyServer::issuer_of("https://login.example").expect("a URL"), Vec::new());
    for (claims, expect) in [
        (json!({ "iss": "https://login.example" }), true),
        (json!({ "iss": "https://login.example/" }), false),
        (json!({ "iss": ["https://login.example"] }), false),
        (json!({ "iss": "https://other.example" }), false),
        (json!({}), false),
    ] {
        let token = signer.token(&json!({ "alg": "EdDSA" }), &claims);
        assert_eq!(judged(&token, Some(&set), issuer().expect("public")).is_ok(), expect, "{claims}");
    }
}

/// The key with one part changed.
fn changed(key: Json, part: &str, value: Json) -> Json {
    let mut key = key;
    key[part] = value;
    key
}

#[test]
fn keys_that_are_not_for_tokens_are_left_out() {
    let signer = Signer::new();
    let short = base64url(&[0xff; 255]);
    for (key, expect) in [
        (changed(rsa_jwk(), "use", "enc".into()), "not for signatures"),
        (changed(rsa_jwk(), "use", 7.into()), "not for signatures"),
        (changed(rsa_jwk(), "key_ops", json!(["encrypt"])), "not for verifying"),
        (changed(rsa_jwk(), "key_ops", "verify".into()), "not for verifying"),
        (changed(rsa_jwk(), "alg", "HS256".into()), "names an alg"),
        (changed(rsa_jwk(), "alg", "ES256".into()), "names an alg"),
        (changed(rsa_jwk(), "alg", Json::Null), "names an alg"),
        (changed(rsa_jwk(), "n", short.into()), "fewer than 2048 bits"),
        (changed(rsa_jwk(), "n", "".into()), "fewer than 2048 bits"),
        (changed(rsa_jwk(), "n", "%".into()), "is not complete"),
        (changed(rsa_jwk(), "e", base64url(&[1]).into()), "exponent"),
        (changed(rsa_jwk(), "e", base64url(&[4]).into()), "exponent"),
        (changed(rsa_jwk(), "e", base64url(&[1; 9]).into()), "exponent"),
        (changed(rsa_jwk(), "kid", 7.into()), "kid that is not a text"),
        (changed(rsa_jwk(), "kid", "x".repeat(257).into()), "kid that is not a text"),
        (changed(signer.p256_jwk("a"), "x", base64url(&[1; 31]).into()), "coordinates of another length"),
        (changed(signer.p256_jwk("a"), "crv", "P-521".into()), "of a kind that is not supported"),
        (changed(signer.p256_jwk("a"), "crv", "secp256k1".into()), "of a kind that is not supported"),
        (changed(signer.ed25519_jwk(), "x", base64url(&[1; 33]).into()), "another length"),
        (json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "a" }), "secrets are never taken"),
        (json!({ "kid": "a" }), "of a kind that is not supported"),
        (json!("RSA"), "of a kind that is not supported"),
    ] {
        let set = read(&[key.clone(), changed(rsa_jwk(), "kid", "other".into())]).expect("the other key is good");
        assert!(set.len() == 1 && set.skipped()[0].contains(expect), "{key}: {:?}", set.skipped());
        let error = read(&[key]).expect_err("none is left");
        assert!(error.contains("no key that tokens can be verified by") && error.contains(expect), "{error}");
    }
}

#[test]
fn a_set_that_cannot_be_trusted_is_refused_whole() {
    let signer = Signer::new();
    for (keys, expect) in [
        (vec![], "no key that tokens can be verified by"),
        (vec![rsa_jwk(), changed(signer.p256_jwk("rsa"), "alg", "ES256".into())], "two of its keys have the kid `rsa`"),
        (vec![rsa_jwk(), changed(signer.p256_jwk("a"), "d", "AA".into())], "publishes a private key"),
        ((0..33).map(|place| signer.p256_jwk(&place.to_string())).collect(), "it has 33 keys, and at most 32"),
    ] {
        let error = read(&keys).expect_err(expect);
        assert!(error.contains(expect), "{error}");
    }
    for (text, expect) in [
        ("", "not JSON"),
        ("<html>", "not JSON"),
        ("{}", "no list `keys`"),
        ("[]", "no list `keys`"),
        (r#"{"keys":{}}"#, "no list `keys`"),
        (&" ".repeat(KeySet::MAX_BYTES + 1), "at most 65536 bytes"),
        (&"[".repeat(1000), "not JSON"),
    ] {
        let error = KeySet::read(text.as_bytes()).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }
}

proptest! {
    /// Whatever is published: a set or a reason, never a panic; and what was read verifies nothing that is not signed.
    #[test]
    fn any_text_is_read(text in r#"\{"keys":\[(\{("(kty|crv|kid|use|alg|n|e|x|y|d)":("[A-Za-z0-9_-]{0,90}"|1|null),?){0,6}\},?){0,4}\]\}"#) {
        if let Ok(set) = KeySet::read(text.as_bytes()) {
            prop_assert!(!set.verifies((None, Algorithm::Es256), true, b"a.b", &[0; 64]));
        }
    }
}
