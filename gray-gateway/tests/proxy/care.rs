//! Instances that fail: who is left out, what is sent twice, and what never is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use crate::support::{Backend, Gateway, Setup, instance, nobody, ok, until};

const BODY: &str = "Host: a\r\nContent-Length: 3\r\n\r\nabc";

fn with_outlier(outlier: &str, instances: &[gray_core::Instance]) -> Setup {
    let text = format!(
        "spring.cloud.gateway.routes: [{{ id: app, uri: 'lb://app', predicates: ['Path=/**'] }}]\n\
         kerwin.tool.gray.outlier: {outlier}\n"
    );
    // One worker, so that turns are taken exactly.
    Setup { workers: 1, ..Setup::with_documents(&text, instances) }
}

async fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.get("").await.status);
    }
    statuses
}

#[tokio::test]
async fn who_refuses_once_is_asked_no_more_until_a_trial() {
    let (good, dead) = (Backend::named("good").await, nobody().await);
    let outlier = "{ ejectFor: 300ms, maxEjectFor: 300ms }";
    let gateway = with_outlier(outlier, &[good.instance("V1"), instance(dead, "V1")]).start();
    assert_eq!(statuses(&gateway, 40).await, [200; 40]);
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.connect_failures(), stats.ejections), (1, [1, 0]), "{stats:?}");
    // It comes back: a trial finds out.
    let back = tokio::net::TcpListener::bind(dead).await.expect("bound");
    let accepted = crate::support::spawn(async move { back.accept().await.map(drop) });
    let waiting = async {
        while !accepted.is_finished() {
            gateway.get("").await;
        }
    };
    crate::support::soon(waiting).await;
}

#[tokio::test]
async fn who_fails_in_a_row_is_left_out_and_comes_back() {
    let (fails, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (failing, counter) = (Arc::clone(&fails), Arc::clone(&asked));
    let sick = Backend::serving(move |_| {
        counter.fetch_add(1, SeqCst);
        if failing.load(SeqCst) {
            ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(), true)
        } else {
            (ok("well"), true)
        }
    })
    .await;
    let good = Backend::named("good").await;
    let outlier = "{ consecutiveFailures: 3, ejectFor: 300ms, maxEjectFor: 300ms }";
    let gateway = with_outlier(outlier, &[good.instance("V1"), sick.instance("V1")]).start();
    let seen = statuses(&gateway, 40).await;
    let failed = seen.iter().filter(|status| **status == 500).count();
    assert!((3..=5).contains(&failed), "three in a row, and a trial or two: {seen:?}");
    assert_eq!(gateway.stats.snapshot().ejections[1], 1);
    fails.store(false, SeqCst);
    let before = asked.load(SeqCst);
    let waiting = async {
        while asked.load(SeqCst) < before + 10 {
            assert_eq!(gateway.get("").await.status, 200);
        }
    };
    crate::support::soon(waiting).await;
}

#[tokio::test]
async fn all_that_fail_are_asked_all_the_same() {
    let no = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::answering(no).await;
    let gateway = with_outlier("{ consecutiveFailures: 1 }", &[backend.instance("V1")]).start();
    assert_eq!(statuses(&gateway, 10).await, [500; 10]);
    assert_eq!(backend.seen().len(), 10, "and nothing is sent twice");
}

/// Breaks every connection after the request was read; the other one answers.
async fn pair() -> (Backend, Backend) {
    (Backend::serving(|_| (String::new(), false)).await, Backend::named("good").await)
}

#[tokio::test]
async fn what_is_idempotent_and_short_is_sent_again_elsewhere() {
    let put = format!("PUT /api/x HTTP/1.1\r\n{BODY}");
    let chunked = "DELETE /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (request, body) in [("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""), (&put, "abc"), (chunked, "abc")] {
        let (bad, good) = pair().await;
        let gateway = with_outlier("{ consecutiveFailures: 0 }", &[bad.instance("V1"), good.instance("V1")]).start();
        for _ in 0..6 {
            let response = gateway.ask(request).await;
            assert_eq!((response.status, response.body.as_str()), (200, "good"), "{request}");
            assert_eq!(good.last().body, body.as_bytes());
            assert_eq!(good.last().one("host"), good.address.to_string());
        }
        assert_eq!(bad.seen().len() as u64, gateway.stats.snapshot().repeats);
        assert!(!bad.seen().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_kept_and_a_long_one_is_not() {
    let (bad, good) = pair().await;
    let gateway = with_outlier("{ consecutiveFailures: 0 }", &[bad.instance("V1"), good.instance("V1")]).start();
    for _ in 0..4 {
        let mut client = gateway.client().await;
        client.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
        let before = gateway.stats.snapshot().in_flight;
        assert!(before <= 1);
        client.send("def").await;
        assert_eq!(client.response().await.body, "good");
        assert_eq!(good.last().body, b"abcdef");
    }
    let long = "x".repeat(200_000);
    let request = format!("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    let (before, mut failed) = (good.seen().len(), 0);
    for _ in 0..4 {
        failed += usize::from(gateway.ask(&request).await.status == 502);
    }
    assert_eq!((failed, good.seen().len() - before), (2, 2), "each of two got half of them, once");
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let (bad, good) = pair().await;
    let gateway = with_outlier("{ consecutiveFailures: 0 }", &[bad.instance("V1"), good.instance("V1")]).start();
    let request = format!("POST /x HTTP/1.1\r\n{BODY}");
    let mut failed = 0;
    for _ in 0..10 {
        failed += usize::from(gateway.ask(&request).await.status == 502);
    }
    assert_eq!((failed, bad.seen().len(), good.seen().len()), (5, 5, 5));
    assert_eq!(gateway.stats.snapshot().repeats, 0);
}

#[tokio::test]
async fn the_budget_ends() {
    let (one, two) = (pair().await.0, pair().await.0);
    let gateway = with_outlier("{ consecutiveFailures: 0 }", &[one.instance("V1"), two.instance("V1")]).start();
    let requests = 100;
    assert_eq!(statuses(&gateway, requests).await, vec![502; requests]);
    let stats = gateway.stats.snapshot();
    let sent = one.seen().len() + two.seen().len();
    assert_eq!(sent as u64, requests as u64 + stats.repeats);
    assert!(stats.repeats >= 10 && stats.repeats_refused > 0, "{stats:?}");
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request_even_when_nobody_could_take_it() {
    let dead = nobody().await;
    let good = Backend::named("good").await;
    let routes = format!(
        "[{{ id: d, uri: 'http://{dead}', predicates: ['Path=/dead'] }}, \
          {{ id: g, uri: 'http://{}', predicates: ['Path=/good'] }}]",
        good.address
    );
    let gateway = Setup::with_routes(&routes, &[]).start();
    let mut client = gateway.client().await;
    client.send(&format!("POST /dead HTTP/1.1\r\n{BODY}GET /good HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 502);
    assert_eq!(client.response().await.body, "good");
    assert_eq!(good.seen().len(), 1);
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn answers_that_the_route_tries_again_go_to_another_instance_of_the_same_version() {
    let sick = Backend::answering("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nsick").await;
    let (good, other) = (Backend::named("good").await, Backend::named("other").await);
    let text = "spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/**'], filters: ['Retry=2'] }]\n\
                kerwin.tool.gray: { load: true, outlier: { consecutiveFailures: 0 }, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";
    let instances = [sick.instance("V1"), good.instance("V1"), other.instance("V2")];
    let gateway = Setup { workers: 1, ..Setup::with_documents(text, &instances) }.start();
    for _ in 0..10 {
        assert_eq!(gateway.get("").await.body, "good");
    }
    assert_eq!((sick.seen().len(), other.seen().len()), (5, 0));
    let stats = gateway.stats.snapshot();
    assert_eq!((stats.repeats, stats.responses[1], stats.responses[4]), (5, 10, 0), "{stats:?}");
    let post = format!("POST /x HTTP/1.1\r\n{BODY}");
    let mut failed = 0;
    for _ in 0..10 {
        let response = gateway.ask(&post).await;
        failed += usize::from(response.status == 503 && response.body == "sick");
    }
    assert_eq!((failed, sick.seen().len()), (5, 10));
    // No other is left: the answer is passed on as it is.
    let gateway = Setup::with_documents(text, &[sick.instance("V1"), other.instance("V2")]).start();
    let response = gateway.get("").await;
    assert_eq!((response.status, response.body.as_str(), other.seen().len()), (503, "sick", 0));
}

#[tokio::test]
async fn what_breaks_is_never_sent_to_another_version() {
    let (broken, other) = pair().await;
    let text = "spring.cloud.gateway.routes: [{ id: app, uri: 'lb://app', predicates: ['Path=/**'] }]\n\
                kerwin.tool.gray: { load: true, fallback: prod, version: { prodVersion: V1, grayVersion: V2 }, \
                gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996 } }\n";
    let gateway = Setup::with_documents(text, &[other.instance("V1"), broken.instance("V2")]).start();
    // Also once it is out for failing.
    for _ in 0..10 {
        assert_eq!(gateway.get("gray: gray-996\r\n").await.status, 502);
    }
    assert!(other.seen().is_empty());
    // One that has closed a connection for want of work is asked again.
    let closing = Backend::serving(|_| (ok("V2"), false)).await;
    let gateway = Setup::with_documents(text, &[other.instance("V1"), closing.instance("V2")]).start();
    for _ in 0..10 {
        assert_eq!(gateway.get("gray: gray-996\r\n").await.body, "V2");
    }
}

#[tokio::test]
async fn too_many_in_flight_are_turned_away_at_once() {
    let (release, held) = tokio::sync::watch::channel(false);
    let backend = Backend::raw(move |mut socket| {
        let mut held = held.clone();
        async move {
            let mut buffer = Vec::new();
            while crate::wire::read_request(&mut socket, &mut buffer).await.is_some() {
                held.wait_for(|go| *go).await.expect("released");
                tokio::io::AsyncWriteExt::write_all(&mut socket, ok("done").as_bytes()).await.expect("sent");
            }
        }
    })
    .await;
    let text = format!(
        "spring.cloud.gateway.routes: [{{ id: slow, uri: 'http://{0}', predicates: ['Path=/slow'], metadata: {{ max-in-flight: 2 }} }}, \
         {{ id: app, uri: 'http://{0}', predicates: ['Path=/**'] }}]\n\
         kerwin.tool.gray.gateway: {{ maxInFlight: 3 }}\n",
        backend.address
    );
    let gateway = Setup::with_documents(&text, &[]).start();
    let ask = |path: &'static str| {
        let address = gateway.address;
        crate::support::spawn(async move {
            let mut client = crate::support::Client::connect(address).await;
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            client.response().await
        })
    };
    let held = [ask("/slow"), ask("/slow")];
    until("two in flight", || backend.connections() == 2).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let refused = client.response().await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert!(refused.body.contains("route slow"), "{}", refused.body);
    }
    let third = ask("/other");
    until("three in flight", || backend.connections() == 3).await;
    assert_eq!(ask("/other").await.expect("answered").status, 503);
    release.send_replace(true);
    for held in held.into_iter().chain([third]) {
        assert_eq!(held.await.expect("answered").body, "done");
    }
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(gateway.stats.snapshot().shed, 3);
}
