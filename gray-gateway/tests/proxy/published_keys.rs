//! Tokens that are signed by keys that a server publishes.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gray_gateway::{
    keys::{Fetcher, KeyFollower, Pace},
    proxy::Refusal,
    snapshot::Snapshot,
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};

use crate::support::{Backend, Setup, ok, until};

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("generated");
    Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("read")
}

fn authorized(key: &Ed25519KeyPair, id: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(&format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#)), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("Authorization: Bearer {message}.{signature}\r\n")
}

#[tokio::test]
async fn a_token_passes_by_a_published_key_and_none_passes_before_keys_are_known() {
    let key = key();
    let point = URL_SAFE_NO_PAD.encode(key.public_key());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{point}"}}]}}"#);
    let server = Backend::serving(move |_| (ok(&set), true)).await;
    let backend = Backend::named("v1").await;
    let url = format!("http://{}/keys", server.address);
    let routes = format!(
        "[{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: [JsonWebToken] }}]\n\
         spring.security.oauth2.resourceserver.jwt: {{ jwk-set-uri: '{url}', audiences: [shop, other] }}"
    );
    let gateway = Setup::with_routes(&routes, &[backend.instance("V1")]).start();
    let good = authorized(&key, "k1", r#"{"sub":"U1","aud":"shop"}"#);
    let early = gateway.get(&good).await;
    assert_eq!((early.status, early.header("retry-after")), (503, Some("1")), "it cannot be judged");
    assert_eq!(gateway.get("").await.status, 401, "no keys are needed to see that there is no token");

    let listed = server.address.to_string().parse().expect("a server");
    let mut follower = KeyFollower::new(Fetcher::new(Arc::default(), &[listed]), Pace::default());
    let servers: BTreeSet<_> = gateway.shared.load().routes.key_servers().cloned().collect();
    assert_eq!(servers.iter().map(ToString::to_string).collect::<Vec<_>>(), [url]);
    follower.update(servers);
    until("the keys", || follower.is_tried()).await;
    let snapshot = Snapshot::clone(&gateway.shared.load());
    gateway.shared.store(Arc::new(Snapshot { keys: follower.current(), ..snapshot }));
    assert_eq!(gateway.get(&good).await.status, 200);
    for bad in [
        authorized(&key, "k2", r#"{"sub":"U1","aud":"shop"}"#),
        authorized(&self::key(), "k1", r#"{"sub":"U1","aud":"shop"}"#),
        authorized(&key, "k1", r#"{"sub":"U1","aud":"them"}"#),
        authorized(&key, "k1", r#"{"sub":"U1"}"#),
        authorized(&key, "k1", r#"{"aud":"shop"}"#),
        good.replace("Authorization", "X-Authorization"),
    ] {
        let refused = gateway.get(&bad).await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{bad}");
    }
    assert_eq!(gateway.stats.snapshot().refused(Refusal::Unauthenticated), 7);
    assert_eq!((server.connections(), backend.seen().len()), (1, 1), "nothing is fetched for a request");
}
