//! What comes before an answer (1xx), with a client that sees it: h2 itself.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use crate::support::{Backend, Gateway, Setup, ok, soon, spawn};

/// A client that waits for `100 Continue` as long as it takes.
struct Client(SendRequest<Bytes>);

impl Client {
    async fn of(gateway: &Gateway) -> Self {
        let socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
        let (sender, connection) = soon(h2::client::handshake(socket)).await.expect("handshake");
        spawn(connection);
        Self(soon(sender.ready()).await.expect("ready"))
    }

    fn begin(&mut self, request: &Request<()>, is_whole: bool) -> (ResponseFuture, h2::SendStream<Bytes>) {
        self.0.send_request(request.clone(), is_whole).expect("sent")
    }
}

fn asking(method: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("http://shop/api/x");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// The next interim response; `None` when the answer itself is next.
async fn interim(answer: &mut ResponseFuture) -> Option<(u16, HeaderMap)> {
    let told = soon(poll_fn(|cx| answer.poll_informational(cx))).await?.expect("an interim response");
    let (head, ()) = told.into_parts();
    Some((head.status.as_u16(), head.headers))
}

async fn whole(answer: ResponseFuture) -> (u16, String) {
    let (head, mut body) = soon(answer).await.expect("an answer").into_parts();
    let mut text = Vec::new();
    while let Some(data) = soon(body.data()).await {
        text.extend_from_slice(&data.expect("data"));
    }
    (head.status.as_u16(), String::from_utf8(text).expect("text"))
}

#[tokio::test]
async fn continue_is_said_before_the_body_is_sent() {
    let backend = Backend::serving(|seen| (ok(&String::from_utf8_lossy(&seen.body)), true)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = Client::of(&gateway).await;
    for length in [None, Some("5")] {
        let fields: Vec<_> = length.map(|length| ("content-length", length)).into_iter().collect();
        let request = asking("POST", &[&fields[..], &[("expect", "100-continue")]].concat());
        let (mut answer, mut body) = client.begin(&request, false);
        assert_eq!(interim(&mut answer).await, Some((100, HeaderMap::new())), "{length:?}");
        body.send_data("hello".into(), true).expect("sent");
        assert_eq!(whole(answer).await, (200, "hello".into()), "{length:?}");
        assert!(backend.last().all("expect").is_empty());
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_refusal_comes_instead_of_continue() {
    let backend = Backend::named("v1").await;
    let routes = "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['RequestSize=3B'] },
                   { id: none, uri: 'lb://none', predicates: ['Path=/none/**'] }]";
    let gateway = Setup::with_routes(routes, &[backend.instance("V1")]).start();
    let mut client = Client::of(&gateway).await;
    let large = asking("POST", &[("expect", "100-continue"), ("content-length", "5")]);
    let mut nowhere = asking("POST", &[("expect", "100-continue")]);
    *nowhere.uri_mut() = "http://shop/none/x".parse().expect("a uri");
    for (request, status) in [(large, 413), (nowhere, 503)] {
        let (mut answer, _body) = client.begin(&request, false);
        assert_eq!(interim(&mut answer).await, None);
        assert_eq!(whole(answer).await.0, status);
    }
    assert!(backend.seen().is_empty());
    // And not to those who send it without being asked, or have nothing to send.
    let (mut answer, _) = client.begin(&asking("GET", &[("expect", "100-continue")]), true);
    assert_eq!(interim(&mut answer).await, None);
    assert_eq!(whole(answer).await.0, 200);
}

#[tokio::test]
async fn hints_reach_the_client_in_their_order() {
    let backend = Backend::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
         Keep-Alive: 5\r\nTE: x\r\nGray-Path: x\r\nContent-Length: 5\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nTE: x\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = Client::of(&gateway).await;
    for _ in 0..2 {
        let (mut answer, _) = client.begin(&asking("GET", &[]), true);
        let (status, fields) = interim(&mut answer).await.expect("a hint");
        assert_eq!((status, fields.len(), fields["link"].to_str().expect("text")), (103, 1, "</x>"));
        assert_eq!(interim(&mut answer).await, Some((102, HeaderMap::new())));
        assert_eq!(interim(&mut answer).await, None);
        assert_eq!(whole(answer).await, (200, "ok".into()));
    }
}

#[tokio::test]
async fn hints_have_a_limit() {
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(6_000));
    let backend = Backend::serving(move |_| (hint.repeat(10) + &ok("ok"), true)).await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = Client::of(&gateway).await;
    let (mut answer, _) = client.begin(&asking("GET", &[]), true);
    let mut hints = 0;
    while interim(&mut answer).await.is_some() {
        hints += 1;
    }
    assert_eq!((hints, whole(answer).await), (2, (200, "ok".into())));
}

#[tokio::test]
async fn a_client_that_goes_while_it_is_told_leaves_nothing_behind() {
    let backend = Backend::raw(|mut socket| async move {
        crate::wire::read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        while tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = Client::of(&gateway).await;
    let (mut answer, _) = client.begin(&asking("GET", &[]), true);
    assert_eq!(interim(&mut answer).await.map(|(status, _)| status), Some(102));
    drop(answer);
    crate::support::until("nothing in flight", || gateway.stats.snapshot().in_flight == 0).await;
}
