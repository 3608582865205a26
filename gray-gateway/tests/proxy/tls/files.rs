//! Certificates and keys in files that change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gray_gateway::tls::follow;
use tokio::sync::watch;

use super::{GET, secure_backend, server, shown};
use crate::{
    certificates::Ca,
    support::{Backend, Setup, soon, spawn},
};

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_broken_one_for_nobody() {
    let ca = Ca::new("ca");
    let backend = Backend::named("v1").await;
    let (old, new) = (ca.sign(&["localhost"]), ca.sign(&["localhost"]));
    let tls = server(&ca, &old);
    let gateway = Setup::new(&[backend.instance("V1")]).serving_with(&tls).start();
    let mut first = gateway.secured(&ca).await;
    assert_eq!(shown(&first), old.der());

    // Half of the new pair, then a half of that.
    for (name, content) in [("key.pem", &*new.key), ("cert.pem", &new.certificate[..200])] {
        let path = ca.write(name, content);
        let error = tls.reload().expect_err("broken").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert_eq!(shown(&gateway.secured(&ca).await), old.der());
    }

    ca.write("cert.pem", &new.certificate);
    assert!(tls.reload().expect("whole"));
    let mut second = gateway.secured(&ca).await;
    assert_eq!(shown(&second), new.der());
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        assert_eq!(client.response().await.body, "v1");
    }
}

#[tokio::test]
async fn files_are_followed() {
    let (ca, first, stranger) = (Ca::new("ca"), Ca::new("first"), Ca::new("stranger"));
    let (old, new) = (ca.sign(&["localhost"]), ca.sign(&["localhost"]));
    let backend = secure_backend("v1", stranger.sign(&["127.0.0.1"]).server()).await;
    let tls = server(&ca, &old);
    let setup = Setup::over_tls(&[backend.instance("V1")]).serving_with(&tls).believing(&first);
    let (upstream_tls, trusted) = (Arc::clone(&setup.upstream_tls), first.file());
    let gateway = setup.start();
    assert_eq!(gateway.ask(GET).await.status, 502);
    assert_eq!(shown(&gateway.secured(&ca).await), old.der());

    let ((ask, asked), (refused, mut said)) = (watch::channel(0), watch::channel(BTreeMap::new()));
    let following = spawn(follow(Some(tls), upstream_tls, asked, refused));
    server(&ca, &new);
    std::fs::copy(stranger.file(), trusted).expect("copied");
    let followed = async {
        while gateway.ask(GET).await.status != 200 || shown(&gateway.secured(&ca).await) != new.der() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(followed).await;
    // A bad file changes nothing, and does not stay a secret.
    ca.write("cert.pem", "");
    ask.send_modify(|times| *times += 1);
    let is_told = |refused: &BTreeMap<_, String>| {
        refused.get("the gateway's certificate").is_some_and(|reason| reason.contains("no certificate in it"))
    };
    soon(async { drop(said.wait_for(is_told).await.expect("alive")) }).await;
    assert_eq!(shown(&gateway.secured(&ca).await), new.der());
    server(&ca, &new);
    soon(async { drop(said.wait_for(BTreeMap::is_empty).await.expect("alive")) }).await;
    following.abort();
}
