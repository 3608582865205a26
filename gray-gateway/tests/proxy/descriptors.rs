//! Connections of both sides share what there is of descriptors.

use std::sync::Arc;

use gray_gateway::proxy::{Limits, Refusal};
use tokio::{io::AsyncWriteExt, sync::Semaphore};

use crate::{
    h2::{H2Backend, TO_H2},
    support::{Backend, Client, Gateway, Setup, ok, soon, until},
    wire::read_request,
};

const ASK: &str = "GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers one request for each permit.
async fn patient(permits: &Arc<Semaphore>) -> Backend {
    let permits = Arc::clone(permits);
    Backend::raw(move |mut socket| {
        let permits = Arc::clone(&permits);
        async move {
            let mut buffer = Vec::new();
            while read_request(&mut socket, &mut buffer).await.is_some() {
                permits.acquire().await.expect("open").forget();
                if socket.write_all(ok("done").as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

fn start(backend: &Backend, limit: impl FnOnce(&mut Limits)) -> Gateway {
    let mut setup = Setup::new(&[backend.instance("V1")]).limited(limit);
    setup.workers = 1;
    setup.start()
}

async fn asking(gateway: &Gateway) -> Client {
    let mut client = gateway.client().await;
    client.send(ASK).await;
    client
}

/// Connections to clients and to instances.
fn open(gateway: &Gateway) -> (u64, u64) {
    let stats = gateway.stats.snapshot();
    (stats.connections, stats.upstream_connections)
}

#[tokio::test]
async fn a_request_without_room_for_its_connection_is_turned_away() {
    let permits = Arc::new(Semaphore::new(0));
    let backend = patient(&permits).await;
    let gateway = start(&backend, |limits| limits.max_descriptors = 5);
    let mut held = [asking(&gateway).await, asking(&gateway).await];
    until("both have connections", || open(&gateway) == (2, 2)).await;

    // The fifth is the client's own; its request would need a sixth.
    let mut client = asking(&gateway).await;
    for _ in 0..6 {
        let refused = client.response().await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.head);
        assert!(refused.body.contains("too many open connections"), "{}", refused.body);
        client.send(ASK).await;
    }
    assert_eq!(client.response().await.status, 503);
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.shed, stats.connect_failures(), stats.retries), (7, 0, 0));

    // Another client takes the place of the one that is idle now, and finds the same.
    let mut another = asking(&gateway).await;
    assert_eq!(another.response().await.status, 503);
    assert!(client.is_closed().await);
    assert_eq!(gateway.stats.snapshot().refused(Refusal::Evicted), 1);

    // It is not held against the instance: five failures in a row would have ejected it.
    permits.add_permits(3);
    for client in &mut held {
        assert_eq!(client.response().await.status, 200);
    }
    another.send(ASK).await;
    assert_eq!(another.response().await.status, 200);
    assert_eq!(gateway.stats.snapshot().ejections, [0, 0]);
}

#[tokio::test]
async fn a_client_without_room_is_turned_away() {
    let permits = Arc::new(Semaphore::new(0));
    let backend = patient(&permits).await;
    let gateway = start(&backend, |limits| limits.max_descriptors = 4);
    let mut held = [asking(&gateway).await, asking(&gateway).await];
    until("both have connections", || open(&gateway) == (2, 2)).await;
    let refused = gateway.get("").await;
    assert_eq!((refused.status, refused.header("connection")), (503, Some("close")));
    assert_eq!(gateway.stats.snapshot().refused(Refusal::Connections), 1);
    permits.add_permits(3);
    for client in &mut held {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(gateway.get("").await.status, 200);
}

#[tokio::test]
async fn what_nobody_uses_makes_room() {
    let permits = Arc::new(Semaphore::new(9));
    let backend = patient(&permits).await;
    let gateway = start(&backend, |limits| limits.max_descriptors = 6);
    let mut clients = [asking(&gateway).await, asking(&gateway).await];
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    // The instance's connections in the pool go first, then those of idle clients.
    for _ in 0..6 {
        let mut client = soon(asking(&gateway)).await;
        assert_eq!(client.response().await.status, 200);
        let (downstream, upstream) = open(&gateway);
        assert!(downstream + upstream <= 6, "{downstream} and {upstream}");
    }
    assert_eq!(gateway.stats.snapshot().refused(Refusal::Connections), 0);
}

#[tokio::test]
async fn unused_connections_are_given_up_when_it_gets_tight() {
    let permits = Arc::new(Semaphore::new(9));
    let backend = patient(&permits).await;
    let gateway = start(&backend, |limits| limits.max_descriptors = 8);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(asking(&gateway).await);
    }
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    let (_, pooled) = open(&gateway);
    assert!(pooled > 0, "they are kept");
    // Another worker may need what these hold, so they do not stay for the usual minute.
    while open(&gateway).0 + open(&gateway).1 < 8 {
        clients.push(gateway.client().await);
        let count = clients.len() as u64;
        until("it is open", || open(&gateway).0 == count).await;
    }
    until("none is unused", || open(&gateway).1 == 0).await;
}

#[tokio::test]
async fn unused_http2_connections_are_given_up_when_it_gets_tight() {
    let backend = H2Backend::echo("v1").await;
    let mut setup = Setup::with_routes(TO_H2, &[backend.instance("V1")]).limited(|limits| limits.max_descriptors = 8);
    setup.workers = 1;
    let gateway = setup.start();
    let mut clients = vec![asking(&gateway).await];
    assert_eq!(clients[0].response().await.status, 200);
    while clients.len() < 7 {
        clients.push(gateway.client().await);
    }
    until("none is unused", || open(&gateway) == (7, 0)).await;
}

#[tokio::test]
async fn every_connection_to_an_instance_is_counted_until_its_end() {
    let backend = Backend::serving(|request| (ok("once"), !request.line().contains("last"))).await;
    let gateway = start(&backend, |_| {});
    let mut client = gateway.client().await;
    for (path, left) in [("x", 1), ("y", 1), ("last", 0)] {
        client.send(&format!("GET /api/{path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 200);
        // Its end is noticed at the next look.
        until(path, || open(&gateway) == (1, left)).await;
    }
    assert_eq!(backend.connections(), 1);
}
