//! What gRPC needs: HTTP/2 on both sides, streams in both directions at once, trailers that were not announced.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::{H2Backend, TO_H2, Whole, ask, data, empty, fed, field, full, trailers};
use crate::support::{Setup, soon, spawn, until};

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

async fn next(body: &mut Incoming) -> Bytes {
    let frame = soon(body.frame()).await.expect("a frame").expect("well");
    frame.into_data().expect("data")
}

#[tokio::test]
async fn messages_go_back_and_forth_and_the_status_comes_last() {
    let backend = H2Backend::serving(|_, mut sent| async move {
        let (feed, body) = fed();
        spawn(async move {
            while let Some(Ok(frame)) = sent.frame().await {
                feed.send(Ok(frame)).expect("sent");
            }
            feed.send(trailers(&[("grpc-status", "0"), ("grpc-message", "fine")])).expect("sent");
        });
        let mut response = Response::new(body);
        response.headers_mut().insert("content-type", "application/grpc".parse().expect("value"));
        response
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    for _ in 0..3 {
        let (feed, body) = fed();
        let response = client.begin(ask("POST", &GRPC, body)).await;
        assert_eq!((response.status().as_u16(), field(response.headers(), "content-type")), (200, "application/grpc"));
        let mut received = response.into_body();
        for message in ["one", "two", "three"] {
            feed.send(data(message)).expect("sent");
            assert_eq!(next(&mut received).await, message);
        }
        drop(feed);
        let end = soon(received.frame()).await.expect("a frame").expect("well").into_trailers().expect("trailers");
        assert_eq!((field(&end, "grpc-status"), field(&end, "grpc-message")), ("0", "fine"));
        assert!(soon(received.frame()).await.is_none());
    }
    let seen = backend.last();
    assert_eq!((seen.uri.path(), field(&seen.headers, "te"), field(&seen.headers, "gray")), ("/x", "trailers", "PROD"));
    assert_eq!(backend.connections(), 1);
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn a_status_alone_is_one_frame() {
    let backend = H2Backend::serving(|_, _| async {
        let mut response = Response::new(empty());
        response.headers_mut().insert("grpc-status", "12".parse().expect("value"));
        response
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    let response = client.begin(ask("POST", &GRPC, full("question"))).await;
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(hyper::body::Body::is_end_stream(response.body()));
}

#[tokio::test]
async fn an_answer_of_the_gateways_own_is_a_status_in_one_frame() {
    let gateway = Setup::with_routes(TO_H2, &[]).start();
    let mut client = gateway.h2().await;
    let response = client.begin(ask("POST", &GRPC, full("question"))).await;
    assert_eq!((response.status().as_u16(), field(response.headers(), "grpc-status")), (200, "14"));
    assert!(hyper::body::Body::is_end_stream(response.body()));
    // To others it is what it is in HTTP.
    let response = client.begin(ask("POST", &[("content-type", "application/json")], full("question"))).await;
    assert_eq!((response.status().as_u16(), field(response.headers(), "content-type")), (503, "application/json"));
}

#[tokio::test]
async fn a_length_does_not_cost_the_trailers() {
    let backend = H2Backend::serving(|_, sent| async move {
        let whole = sent.collect().await.expect("a whole body");
        let check = whole.trailers().is_some_and(|fields| fields["x-check"] == "1");
        let (feed, body) = fed();
        feed.send(Ok(hyper::body::Frame::data(whole.to_bytes()))).expect("sent");
        feed.send(trailers(&[("grpc-status", if check { "0" } else { "3" })])).expect("sent");
        let response =
            Response::builder().header("content-type", "application/grpc+proto").header("content-length", "4");
        response.body(body).expect("a response")
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    let (feed, body) = fed();
    feed.send(data("ping")).expect("sent");
    feed.send(trailers(&[("x-check", "1")])).expect("sent");
    let response = client.send(ask("POST", &[GRPC[0], GRPC[1], ("content-length", "4")], body)).await;
    let end = response.trailers.as_ref().expect("trailers");
    assert_eq!((response.text(), field(end, "grpc-status")), ("ping", "0"));
}

#[tokio::test]
async fn a_client_that_resets_is_heard_by_the_instance() {
    let (asked, cut, unwanted) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = [&asked, &cut, &unwanted].map(Arc::clone);
    let backend = H2Backend::serving(move |_, sent| {
        let [asked, cut, unwanted] = told.clone();
        async move {
            let (feed, body) = fed();
            feed.send(data("first")).expect("sent");
            spawn(async move {
                asked.notify_one();
                if sent.collect().await.is_err() {
                    cut.notify_one();
                }
            });
            spawn(async move {
                feed.closed().await;
                unwanted.notify_one();
            });
            Response::new(body)
        }
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let set = Arc::clone(&gateway.shared.load().services["app"].set);
    let mut client = gateway.h2().await;
    let (feed, body) = fed();
    feed.send(data("part")).expect("sent");
    let response = client.begin(ask("POST", &GRPC, body)).await;
    soon(asked.notified()).await;
    drop((response, feed.send(Err(std::io::Error::other("on purpose")))));
    soon(cut.notified()).await;
    soon(unwanted.notified()).await;
    until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
    until("its load is off", || set.all().endpoints()[0].load().in_flight() == 0).await;

    // So is one that only listens, and the connection to the instance stays.
    let response = client.begin(ask("POST", &GRPC, empty())).await;
    drop(response);
    soon(unwanted.notified()).await;
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_instance_that_breaks_off_is_heard_by_the_client() {
    let backend = H2Backend::serving(|_, _| async {
        let (feed, body) = fed();
        feed.send(data("part")).expect("sent");
        feed.send(Err(std::io::Error::other("on purpose"))).expect("sent");
        Response::new(body)
    })
    .await;
    let gateway = Setup::with_routes(TO_H2, &[backend.instance("V1")]).start();
    let mut client = gateway.h2().await;
    if let Ok(response) = soon(client.sender.send_request(ask("GET", &[], empty()))).await
        && response.status() == 200
    {
        assert!(soon(response.into_body().collect()).await.is_err());
    }
    let other = client.send(http::Request::get("http://shop/").body(empty()).expect("a request")).await;
    assert_eq!(Whole::status(&other), 404);
}
