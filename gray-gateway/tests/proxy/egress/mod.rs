//! An egress: what its service sends, and where that arrives.

mod hostile;
mod http2;
mod lanes;

use std::sync::Arc;

use gray_core::{
    Instance,
    balance::{Fallback, VersionPolicy},
};
use gray_gateway::{
    egress::{Allowed, Direct, Egress, EgressOptions, Index, Reach},
    snapshot::Snapshot,
};

use crate::support::{Backend, Gateway, Response, Setup, put, service};

/// The address of an admin side.
const ADMIN: u16 = 7001;

/// An egress of `order-app` V1, with these services and this list.
pub(crate) fn egress(services: &[(&str, Vec<Instance>)], allowed: &[&str]) -> Gateway {
    let gateway = Setup::new(&[]).start();
    serve(&gateway, services, allowed);
    gateway
}

/// Makes it one with these services and this list.
pub(crate) fn serve(gateway: &Gateway, services: &[(&str, Vec<Instance>)], allowed: &[&str]) {
    let mut snapshot = Snapshot::clone(&gateway.shared.load());
    for (name, instances) in services {
        put(&mut snapshot, name, service(instances));
    }
    let allowed = allowed.iter().map(|text| text.parse::<Allowed>().expect(text));
    let options = EgressOptions {
        service: "order-app".into(),
        version: "V1".into(),
        direct: [Direct::management()].into(),
        reach: Arc::new(Reach::new(allowed, gateway.address.port(), ADMIN)),
    };
    let index = Index::new(services.iter().map(|(name, instances)| (*name, instances.as_slice())));
    let policy = VersionPolicy::new(true, "V1", "V2", Fallback::Prod);
    snapshot.egress = Some(Arc::new(Egress::new(options, Arc::new(index), policy)));
    snapshot.caller = "order-app@V1".parse().expect("a value");
    gateway.shared.store(Arc::new(snapshot));
}

impl Gateway {
    /// A GET of this target, with a `Host` that says something else, and more header lines.
    pub(crate) async fn fetch(&self, target: &str, headers: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: elsewhere\r\n{headers}\r\n")).await
    }
}

#[tokio::test]
async fn what_is_sent_is_what_the_service_meant() {
    let backend = Backend::named("V1").await;
    let gateway = egress(&[("user-app", vec![backend.instance("V1")])], &[]);
    let sent = "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nX-Forwarded-For: 9.9.9.9\r\n\
                Forwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\ntraceparent: 00-1-2-01\r\ngray-caller: evil\r\n";
    let response = gateway.fetch("http://user-app/user/U0001?a=%2f", sent).await;
    assert_eq!((response.status, &*response.body), (200, "V1"));
    let seen = backend.last();
    assert_eq!(seen.line(), "GET /user/U0001?a=%2f HTTP/1.1");
    assert_eq!(seen.one("host"), backend.address.to_string());
    for (name, value) in [
        ("x-forwarded-for", "9.9.9.9"),
        ("forwarded", "for=9.9.9.9"),
        ("x-real-ip", "9.9.9.9"),
        ("traceparent", "00-1-2-01"),
        ("gray-caller", "order-app@V1"),
    ] {
        assert_eq!(seen.one(name), value, "{name}");
    }
    for name in ["proxy-connection", "proxy-authorization", "x-forwarded-host", "x-forwarded-proto"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_leaves_the_registry_says_nothing_of_lanes() {
    let (inside, outside) = (Backend::named("inside").await, Backend::named("outside").await);
    let allowed = format!("127.0.0.0/8:{}", outside.address.port());
    let gateway = egress(&[("user-app", vec![inside.instance("V1")])], &[&allowed]);
    let headers = "gray: GRAY\r\ngray-lane: r;v2;-;*=version:V2\r\ngray-signature: 1.00\r\ngray-caller: x\r\n\
                   gray-hops: 1.ab\r\nx-own: 1\r\n";
    let response = gateway.fetch(&format!("http://{}/x", outside.address), headers).await;
    assert_eq!((response.status, &*response.body), (200, "outside"));
    let seen = outside.last();
    assert_eq!((seen.one("host"), seen.one("x-own")), (&*outside.address.to_string(), "1"));
    assert!(!seen.head.to_lowercase().contains("gray"), "{}", seen.head);
    assert!(!seen.head.to_lowercase().contains("forwarded"), "{}", seen.head);
}

#[tokio::test]
async fn an_instance_that_is_gone_is_passed_over() {
    let backend = Backend::named("alive").await;
    let gone = Instance::new("127.0.0.1", crate::support::nobody().await.port()).with_version("V1");
    let address = gone.authority();
    let gateway = egress(&[("user-app", vec![gone, backend.instance("V1")])], &[]);
    for _ in 0..8 {
        let response = gateway.fetch(&format!("http://{address}/x"), "").await;
        assert_eq!((response.status, &*response.body), (200, "alive"));
    }
    let stats = gateway.stats.snapshot();
    assert!(stats.retries >= 1 && stats.ejections[0] == 1, "{stats:?}");
}
