//! Two instances asked at once, when one takes long.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Response, header};
use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, watch},
};

use crate::{
    h2::{H2Backend, full},
    support::{Backend, Gateway, Setup, ok, until},
    wire::read_request,
};

/// Answers with its name once it may.
async fn waiting(name: &'static str) -> (Backend, watch::Sender<bool>) {
    let (go, may) = watch::channel(false);
    let backend = Backend::raw(move |mut socket| {
        let mut may = may.clone();
        async move {
            let mut buffer = Vec::new();
            while read_request(&mut socket, &mut buffer).await.is_some() {
                if may.wait_for(|may| *may).await.is_err() || socket.write_all(ok(name).as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (backend, go)
}

fn gateway(instances: &[gray_core::Instance]) -> Gateway {
    gateway_with("hedge-after: 200", instances)
}

fn gateway_with(metadata: &str, instances: &[gray_core::Instance]) -> Gateway {
    let routes = format!("[{{ id: app, uri: 'lb://app', predicates: ['Path=/**'], metadata: {{ {metadata} }} }}]");
    let setup = Setup::with_routes(&routes, instances);
    // One worker, so that turns are taken exactly.
    Setup { workers: 1, ..setup.limited(|limits| limits.response_timeout = Duration::from_millis(1_500)) }.start()
}

#[tokio::test]
async fn the_second_one_answers_for_the_first() {
    let ((silent, _go), quick) = (waiting("silent").await, Backend::named("quick").await);
    let gateway = gateway(&[silent.instance("V1"), quick.instance("V1"), Backend::named("V2").await.instance("V2")]);
    for _ in 0..6 {
        assert_eq!(gateway.get("X-Id: 1\r\n").await.body, "quick");
        assert_eq!(quick.last().one("host"), quick.address.to_string());
        assert_eq!((quick.last().one("x-id"), quick.last().one("gray")), ("1", "PROD"));
    }
    let stats = gateway.stats.snapshot();
    assert_eq!((silent.connections(), quick.seen().len(), stats.hedges), (3, 6, 3), "{stats:?}");
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
    // What changes something is not asked of two.
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
        statuses.push(gateway.ask(post).await.status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses, gateway.stats.snapshot().hedges), (vec![200, 504], 3));
}

#[tokio::test]
async fn whoever_answers_first_is_heard() {
    let ((one, one_may), (two, _two_may)) = (waiting("one").await, waiting("two").await);
    let gateway = gateway(&[one.instance("V1"), two.instance("V1")]);
    let go = async {
        until("both are asked", || one.connections() + two.connections() == 2).await;
        one_may.send_replace(true);
    };
    let (response, ()) = tokio::join!(gateway.get(""), go);
    assert_eq!(response.body, "one");
}

#[tokio::test]
async fn without_another_one_the_first_is_waited_for() {
    let (one, may) = waiting("one").await;
    let dead = crate::support::instance(crate::support::nobody().await, "V1");
    for instances in [vec![one.instance("V1")], vec![one.instance("V1"), dead]] {
        let gateway = gateway(&instances);
        may.send_replace(false);
        let go = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            may.send_replace(true);
        };
        let (response, ()) = tokio::join!(gateway.get(""), go);
        assert_eq!(response.body, "one");
        may.send_replace(false);
        assert_eq!(gateway.get("").await.status, 504);
    }
}

#[tokio::test]
async fn two_that_hang_up_are_a_502() {
    let hangs_up = || {
        Backend::raw(|mut socket| async move {
            let mut buffer = Vec::new();
            read_request(&mut socket, &mut buffer).await;
            tokio::time::sleep(Duration::from_millis(600)).await;
        })
    };
    let (one, two) = (hangs_up().await, hangs_up().await);
    let gateway = gateway(&[one.instance("V1"), two.instance("V1")]);
    assert_eq!(gateway.get("").await.status, 502);
    assert_eq!(one.connections() + two.connections(), 3, "both at once, and the other one again: it is idempotent");
}

#[tokio::test]
async fn two_answers_that_cannot_be_passed_on_are_told_with_their_reason() {
    let gate = Arc::new(Semaphore::new(0));
    let unclear = || {
        let gate = Arc::clone(&gate);
        H2Backend::serving(move |_, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                let mut response = Response::new(full("ok"));
                for _ in 0..2 {
                    response.headers_mut().append(header::CONTENT_LENGTH, HeaderValue::from_static("2"));
                }
                response
            }
        })
    };
    let (one, two) = (unclear().await, unclear().await);
    let gateway = gateway_with("protocol: h2, hedge-after: 200", &[one.instance("V1"), two.instance("V1")]);
    let asked = || [&one, &two].map(|backend| backend.seen.lock().expect("lock").len());
    let go = async {
        until("both are asked", || asked() == [1, 1]).await;
        gate.add_permits(9);
    };
    let (response, ()) = tokio::join!(gateway.get(""), go);
    assert!(response.body.contains("cannot be passed on: its Content-Length is not clear"), "{}", response.body);
    assert_eq!((response.status, asked()), (502, [1, 1]), "it has been processed, and is not asked again");
}
