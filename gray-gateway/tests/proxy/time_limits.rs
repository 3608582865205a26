//! Every time limit, one by one, at the socket: what is waited for never comes, and the wait ends when it is to end, never
//! before.
//!
//! | limit | here, or where |
//! |---|---|
//! | `--head-timeout`: first request, head, TLS handshake | `silence_before_a_request`, `a_head_without_an_end`, `tls.rs` |
//! | `--idle-timeout`, over HTTP/1 and HTTP/2 | `between_requests` |
//! | `--body-timeout`, its first bytes, `--min-rate` | `a_body_that_stops`, `slow.rs` |
//! | `--write-timeout` | `an_answer_that_is_not_taken`, `h2/abuse.rs` |
//! | `--pause-timeout`, `metadata.pause-timeout` | `pauses.rs` |
//! | `--websocket-idle` | `a_websocket_without_a_word` |
//! | time to hear the last words, time of a drain | `last_words`, `a_drain` |
//! | `connect-timeout`: the gateway's, all routes', a route's; with TLS | `an_instance_that_accepts_nothing`, `tls.rs` |
//! | `response-timeout`: the same, and none; from the end of the body | `an_answer_that_does_not_begin`, `a_body_that_is_not_taken` |
//! | `idle-timeout`: the gateway's, a route's, and none | `an_answer_that_stops` |
//! | `hedge-after` | `a_second_request` |
//! | unused connections to instances | `a_connection_that_nobody_uses`, `h2/instances.rs` |
//! | health checks; time to hear a refusal | `checks.rs` in the sources, `limits.rs` |

use std::{
    future::Future,
    time::{Duration, Instant},
};

use gray_gateway::proxy::{Limits, Refusal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    h2::{H2Client, get},
    support::{Backend, Client, Gateway, Setup, instance, ok, soon, until},
    wire::{read_head, read_request},
};

/// A machine that is busy ends a wait late; twice the limit is wrong all the same.
const LATE: Duration = Duration::from_millis(3_500);
const SECOND: Duration = Duration::from_secs(1);
/// Long enough to tell it from twice as long.
const LONG: Duration = Duration::from_secs(4);

/// Waits for the end of something that begins now and has a limit.
async fn ends<T>(limit: Duration, waiting: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let outcome = soon(waiting).await;
    let took = began.elapsed();
    assert!(took >= limit && took < limit + LATE, "{took:?} of {limit:?}");
    outcome
}

/// Reads requests and does not answer.
async fn silent() -> Backend {
    Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        while read_request(&mut socket, &mut buffer).await.is_some() {}
    })
    .await
}

/// Begins its answers, and does not go on.
async fn stopping() -> Backend {
    Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        while read_request(&mut socket, &mut buffer).await.is_some() {
            let sent = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun").await;
            if sent.is_err() {
                return;
            }
        }
    })
    .await
}

/// One route to instances of `app`, with this metadata and these common settings.
fn routed(metadata: &str, common: &str, instances: &[gray_core::Instance]) -> Setup {
    let route = format!("{{ id: app, uri: 'lb://app', predicates: ['Path=/**'], metadata: {{ {metadata} }} }}");
    let text = format!("kerwin.tool.gray.load: false\nspring.cloud.gateway: {{ routes: [{route}], {common} }}");
    Setup::with_documents(&text, instances)
}

async fn limited(limit: impl FnOnce(&mut Limits)) -> (Backend, Gateway) {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(limit).start();
    (backend, gateway)
}

const GET: &str = "GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n";

// ---- the client

#[tokio::test]
async fn silence_before_a_request() {
    let (_backend, gateway) = limited(|limits| limits.head_timeout = SECOND).await;
    assert!(ends(SECOND, async { gateway.client().await.is_closed().await }).await);
}

#[tokio::test]
async fn a_head_without_an_end() {
    let (_backend, gateway) = limited(|limits| limits.head_timeout = SECOND).await;
    let mut client = gateway.client().await;
    let asking = async {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n").await;
        client.response().await.status
    };
    assert_eq!(ends(SECOND, asking).await, 408);
}

#[tokio::test]
async fn between_requests() {
    let (_backend, gateway) = limited(|limits| (limits.idle_timeout, limits.head_timeout) = (SECOND, 9 * SECOND)).await;
    let mut client = gateway.client().await;
    client.send(GET).await;
    // Before the end of the answer, so that the wait is never taken for shorter than it was.
    let answer = client.response();
    assert_eq!(answer.await.status, 200);
    client.send(GET).await;
    let waiting = async { (client.response().await.status, client.is_closed().await) };
    assert_eq!(ends(SECOND, waiting).await, (200, true));
    let stream = TcpStream::connect(gateway.address).await.expect("connected");
    let mut client = H2Client::over(stream).await;
    let waiting = async {
        assert_eq!(client.send(get(&[])).await.status(), 200);
        client.ended().await
    };
    assert!(ends(SECOND, waiting).await);
}

#[tokio::test]
async fn a_body_that_stops() {
    let (_backend, gateway) = limited(|limits| limits.body_timeout = 2 * SECOND).await;
    // Nothing of it: three quarters of the time. Something that bought more: all of it.
    for (begun, limit) in [(0, SECOND * 3 / 2), (8_000, 2 * SECOND)] {
        let mut client = gateway.client().await;
        let asking = async {
            client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n").await;
            client.send(&"x".repeat(begun)).await;
            client.response().await.status
        };
        assert_eq!(ends(limit, asking).await, 408, "{begun}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken() {
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        let size = 64 << 20;
        let _sent = socket.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).await;
        let _sent = socket.write_all(&vec![b'x'; size]).await;
    })
    .await;
    let setup = Setup::new(&[backend.instance("V1")]);
    let gateway = setup.limited(|limits| limits.write_timeout = 2 * SECOND).start();
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let mut client = Client { socket: socket.connect(gateway.address).await.expect("connected"), buffer: Vec::new() };
    let waiting = async {
        client.send(GET).await;
        until("cut off", || gateway.stats.snapshot().refused(Refusal::WriteTimeout) == 1).await;
    };
    ends(SECOND * 3 / 2, waiting).await;
}

#[tokio::test]
async fn a_websocket_without_a_word() {
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        socket.write_all(switch).await.expect("sent");
        let _end = socket.read(&mut [0]).await;
    })
    .await;
    let setup = Setup::new(&[backend.instance("V1")]);
    let gateway = setup.limited(|limits| limits.tunnel_idle_timeout = Some(SECOND)).start();
    let mut client = gateway.client().await;
    let waiting = async {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        (client.head().await.expect("an answer").status, client.is_closed().await)
    };
    assert_eq!(ends(SECOND, waiting).await, (101, true));
}

#[tokio::test]
async fn last_words() {
    let (_backend, gateway) = limited(|_| {}).await;
    let mut client = gateway.client().await;
    let waiting = async {
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore").await;
        assert_eq!(client.response().await.status, 200);
        // It has said all; the client may be saying something still.
        assert!(client.is_closed().await);
        until("let go", || gateway.stats.snapshot().connections == 0).await;
    };
    ends(SECOND, waiting).await;
}

#[tokio::test]
async fn a_drain() {
    let backend = silent().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send(GET).await;
    until("in flight", || gateway.stats.snapshot().in_flight == 1).await;
    assert_eq!(ends(SECOND, gateway.workers.shutdown(SECOND)).await, 1);
}

// ---- instances

/// An address at which connections hang: its backlog is full.
async fn hole() -> (TcpSocketGuard, gray_core::Instance) {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bound");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("bound");
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        held.push(stream);
    }
    ((listener, held), instance(address, "V1"))
}

type TcpSocketGuard = (tokio::net::TcpListener, Vec<TcpStream>);

#[tokio::test]
async fn an_instance_that_accepts_nothing() {
    let (_full, instance) = hole().await;
    let instances = [instance];
    for setup in [
        routed("", "", &instances).limited(|limits| limits.connect_timeout = SECOND),
        routed("", "httpclient: { connect-timeout: 1000 }", &instances),
        routed("connect-timeout: 1000", "httpclient: { connect-timeout: 100 }", &instances),
    ] {
        let gateway = setup.start();
        assert_eq!(ends(SECOND, gateway.get("")).await.status, 502);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin() {
    let instances = [silent().await.instance("V1")];
    for setup in [
        routed("", "", &instances).limited(|limits| limits.response_timeout = SECOND),
        routed("", "httpclient: { response-timeout: 1s }", &instances),
        routed("response-timeout: 1000", "httpclient: { response-timeout: 100ms }", &instances),
    ] {
        let gateway = setup.start();
        assert_eq!(ends(SECOND, gateway.get("")).await.status, 504);
    }
    let late = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        tokio::time::sleep(2 * SECOND).await;
        socket.write_all(ok("late").as_bytes()).await.expect("sent");
    })
    .await;
    // The common limit is lifted, and the gateway's own one with it.
    let setup = routed("response-timeout: -1", "httpclient: { response-timeout: 100ms }", &[late.instance("V1")]);
    let gateway = setup.limited(|limits| limits.response_timeout = SECOND / 2).start();
    assert_eq!(ends(2 * SECOND, gateway.get("")).await.body, "late");
}

#[tokio::test]
async fn a_body_that_is_not_taken() {
    let backend = Backend::raw(|socket| async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        drop(socket);
    })
    .await;
    let gateway = routed("response-timeout: 1000", "", &[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    let size = 16 << 20;
    client.send(&format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")).await;
    let Client { socket, buffer } = client;
    let (from, mut to) = socket.into_split();
    let sending = crate::support::spawn(async move {
        let _sent = to.write_all(&vec![b'x'; size]).await;
    });
    let mut from = from;
    let mut buffer = buffer;
    let head = ends(SECOND, read_head(&mut from, &mut buffer)).await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    drop(from);
    sending.abort();
}

#[tokio::test]
async fn an_answer_that_stops() {
    let instances = [stopping().await.instance("V1")];
    for setup in [
        routed("", "", &instances).limited(|limits| limits.stream_idle_timeout = LONG),
        routed("idle-timeout: 4000", "", &instances).limited(|limits| limits.stream_idle_timeout = SECOND),
    ] {
        let gateway = setup.start();
        let mut client = gateway.client().await;
        let waiting = async {
            client.send(GET).await;
            assert_eq!(client.head().await.expect("a head").status, 200);
            let mut rest = Vec::new();
            // A reset is an end as well.
            let _ended = client.socket.read_to_end(&mut rest).await;
            [client.buffer, rest].concat()
        };
        assert_eq!(ends(LONG, waiting).await, b"begun");
    }
    let setup = routed("idle-timeout: -1", "", &instances);
    let gateway = setup.limited(|limits| limits.stream_idle_timeout = Duration::from_millis(200)).start();
    let mut client = gateway.client().await;
    client.send(GET).await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    let mut rest = Vec::new();
    assert!(
        tokio::time::timeout(2 * SECOND, client.socket.read_to_end(&mut rest)).await.is_err(),
        "as long as it likes"
    );
}

#[tokio::test]
async fn a_second_request() {
    let (first, second) = (silent().await, Backend::named("second").await);
    let mut setup = routed("hedge-after: 1000", "", &[first.instance("V1"), second.instance("V1")]);
    setup.workers = 1;
    let gateway = setup.start();
    // They take turns: of two requests one begins with each.
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(gateway.get("").await.body, "second");
    }
    let took = began.elapsed();
    assert!(took >= SECOND && took < SECOND + LATE, "{took:?}");
    assert_eq!(gateway.stats.snapshot().hedges, 1);
}

#[tokio::test]
async fn a_connection_that_nobody_uses() {
    let (gone, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut socket| {
        let gone = gone.clone();
        async move {
            let mut buffer = Vec::new();
            let mut answered = Instant::now();
            while read_request(&mut socket, &mut buffer).await.is_some() {
                answered = Instant::now();
                socket.write_all(ok("v1").as_bytes()).await.expect("sent");
            }
            gone.send(answered.elapsed()).expect("the test waits");
        }
    })
    .await;
    let setup = Setup::new(&[backend.instance("V1")]);
    let gateway = setup.limited(|limits| limits.pool_idle_timeout = SECOND).start();
    assert_eq!(gateway.get("").await.status, 200);
    let unused = soon(ended.recv()).await.expect("closed");
    // The pool is looked through once a second.
    assert!(unused >= SECOND && unused < 2 * SECOND + LATE, "{unused:?}");
}
