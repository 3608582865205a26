//! How connections are spread over the workers, and that none is lost on its way from one to another.

use std::time::Duration;

use gray_gateway::proxy::Stats;

use crate::support::{Backend, Client, Setup, soon, spawn, until};

fn open(stats: &Stats) -> u64 {
    stats.connections().iter().sum()
}

/// Between the worker with most connections and that with fewest.
fn gap(stats: &Stats) -> u64 {
    let open = stats.connections();
    open.iter().max().expect("workers") - open.iter().min().expect("workers")
}

/// The kernel alone leaves a gap of 14 or more in one of ten such cases, over two workers; over four in nearly all.
#[tokio::test]
async fn workers_get_about_the_same_number_of_connections() {
    for (workers, margin) in [(1, 0), (2, 2), (4, 12)] {
        for round in 0..8 {
            let gateway = Setup { workers, ..Setup::new(&[]) }.start();
            let mut clients = Vec::new();
            for count in 1..=64 {
                clients.push(gateway.client().await);
                until("it is open", || open(&gateway.stats) == count).await;
            }
            let gap = gap(&gateway.stats);
            assert!(gap <= margin, "{gap} among {workers}, round {round}");
        }
    }
}

/// All at once, so that each worker counts what the other is about to hand over.
#[tokio::test]
async fn a_burst_is_spread_as_well() {
    let gateway = Setup::new(&[]).start();
    let connecting: Vec<_> = (0..200).map(|_| spawn(Client::connect(gateway.address))).collect();
    let mut clients = Vec::new();
    for client in connecting {
        clients.push(client.await.expect("connected"));
    }
    until("all are open", || open(&gateway.stats) == 200).await;
    assert!(gap(&gateway.stats) <= 8, "{:?}", gateway.stats.connections());
}

#[tokio::test]
async fn what_was_handed_over_is_served() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut clients = Vec::new();
    for count in 1..=32 {
        clients.push(gateway.client().await);
        until("it is open", || open(&gateway.stats) == count).await;
    }
    for client in &mut clients {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.body, "v1");
    }
    drop(clients);
    until("all are closed", || gateway.stats.connections() == [0, 0]).await;
}

/// A stop at whatever moment: requests that arrived before it are answered, whichever worker has their connection.
#[tokio::test]
async fn a_stop_loses_no_connection_on_its_way() {
    for round in 0..20 {
        let backend = Backend::named("v1").await;
        let gateway = Setup::new(&[backend.instance("V1")]).start();
        let mut clients = Vec::new();
        for _ in 0..40 {
            let mut client = gateway.client().await;
            client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
            clients.push(client);
        }
        let stopped = spawn(gateway.workers.shutdown(Duration::from_secs(10)));
        for client in &mut clients {
            assert_eq!(client.response().await.body, "v1", "round {round}");
        }
        drop(clients);
        assert_eq!(soon(stopped).await.expect("joined"), 0);
        assert_eq!(gateway.stats.connections(), [0, 0]);
    }
}
