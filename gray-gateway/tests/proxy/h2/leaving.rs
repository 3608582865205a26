//! Instances that send their clients away, and cannot be reached again.

use std::sync::Arc;

use gray_gateway::proxy::Fault;
use http::Response;
use http_body_util::BodyExt;
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{H2Backend, H2Client, TO_H2, ask, full};
use crate::support::{Gateway, Setup, spawn, until};

/// Answers a PUT when it is let, and anything else with its name and what was sent.
async fn instance() -> (H2Backend, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let backend = H2Backend::serving(move |head, body| {
        let wait = Arc::clone(&wait);
        async move {
            if head.method == "PUT" {
                wait.acquire().await.expect("open").forget();
            }
            let sent = body.collect().await.expect("a whole body").to_bytes();
            Response::new(full([b"leaving:", &*sent].concat()))
        }
    });
    (backend.await, gate)
}

fn start(instances: &[gray_core::Instance], max_descriptors: usize) -> Gateway {
    let setup = Setup::with_routes(TO_H2, instances).limited(|limits| limits.max_descriptors = max_descriptors);
    // One worker, so that turns are taken exactly.
    Setup { workers: 1, ..setup }.start()
}

/// Has a request of every instance wait, which keeps its connection open, and one answered, whose pipe waits for the next.
async fn begin(client: &mut H2Client, instances: &[&H2Backend]) -> Vec<JoinHandle<()>> {
    let mut held = Vec::new();
    let seen = |count| instances.iter().all(|backend| backend.seen.lock().expect("lock").len() == count);
    for _ in instances {
        let mut sender = client.sender.clone();
        held.push(spawn(async move { drop(sender.send_request(ask("PUT", &[], full("x"))).await) }));
    }
    until("they are there", || seen(1)).await;
    for _ in instances {
        assert_eq!(client.send(ask("POST", &[], full("x"))).await.status(), 200);
    }
    assert!(seen(2));
    held
}

#[tokio::test]
async fn what_was_not_sent_goes_to_another_instance_if_it_is_all_there() {
    for (length, status, text) in [(3, 200, "leaving:xxx"), (300_000, 502, "app could not be reached")] {
        let ((leaving, _one_may), (staying, _other_may)) = (instance().await, instance().await);
        let gateway = start(&[leaving.instance("V1"), staying.instance("V1")], 0);
        let _held = begin(&mut gateway.h2().await, &[&leaving, &staying]).await;
        leaving.refuse.notify_one();
        until("it refuses", || std::net::TcpStream::connect(leaving.address).is_err()).await;
        leaving.end.notify_waiters();
        // A short body is read together with its head. It may take a while until the word of the instance arrives.
        let post = format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
        let mut response = gateway.ask(&post).await;
        while gateway.stats.snapshot().faults == [0; 6] {
            assert_eq!(response.status, 200);
            response = gateway.ask(&post).await;
        }
        assert!(response.body.contains(text), "{}", response.body);
        assert_eq!(response.status, status);
        let stats = gateway.stats.snapshot();
        assert_eq!(stats.faults, Fault::ALL.map(|fault| u64::from(fault == Fault::Connect)));
        assert_eq!((stats.retries, stats.repeats), (u64::from(status == 200), 0));
    }
}

#[tokio::test]
async fn our_own_want_of_descriptors_is_not_held_against_it() {
    let (leaving, gate) = instance().await;
    // One client and one connection; there is no room for the one that is to replace it.
    let gateway = start(&[leaving.instance("V1")], 2);
    let mut client = gateway.h2().await;
    let held = begin(&mut client, &[&leaving]).await;
    leaving.end.notify_waiters();
    // It may take a while until its word arrives.
    let mut response = client.send(ask("POST", &[], full("x"))).await;
    while response.status() == 200 {
        response = client.send(ask("POST", &[], full("x"))).await;
    }
    assert!(response.text().contains("too many open connections"), "{}", response.text());
    for _ in 0..9 {
        assert_eq!(client.send(ask("POST", &[], full("x"))).await.status(), 503);
    }
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.shed, stats.faults, stats.ejections), (10, [0; 6], [0, 0]));
    gate.add_permits(1);
    for held in held {
        held.await.expect("joined");
    }
    until("the old connection is closed", || gateway.stats.snapshot().upstream_connections == 0).await;
    assert_eq!(client.send(ask("POST", &[], full("x"))).await.text(), "leaving:x");
}
