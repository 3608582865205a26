//! Clients that make HTTP/2 work for nothing: each is cut off, and no other client notices.

use std::time::{Duration, Instant};

use gray_gateway::proxy::Refusal;
use tokio::io::AsyncWriteExt;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    frame, get, has_status, literals, request,
};
use crate::support::{Backend, Gateway, Setup, until};

const CANCEL: &[u8] = &[0, 0, 0, 8];

/// The `turn`-th stream of a client.
fn stream(turn: u32) -> u32 {
    turn * 2 + 1
}

/// Floods a gateway; says how long it was taken and how many requests reached the instance.
async fn attack(name: &str, bytes: impl Fn(u32) -> Vec<u8>) -> usize {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let took = Raw::connect(&gateway, &[]).await.flood(bytes).await;
    assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    assert_eq!(gateway.get("").await.status, 200, "{name}");
    until("nothing is left of it", || gateway.stats.snapshot().in_flight == 0).await;
    backend.seen().len() - 1
}

#[tokio::test]
async fn rapid_reset() {
    let asked = |turn| [get(stream(turn)), frame(RST_STREAM, 0, stream(turn), CANCEL)].concat();
    assert!(attack("rapid reset", asked).await <= 200);
    let begun = |turn| {
        let head = frame(HEADERS, END_HEADERS, stream(turn), &request("POST", &[]));
        [head, frame(RST_STREAM, 0, stream(turn), CANCEL)].concat()
    };
    assert!(attack("rapid reset of uploads", begun).await <= 200);
    // In batches, so that all of them are at work when they are taken back.
    let batch = |turn: u32| {
        let streams = (turn * 100..turn * 100 + 100).map(stream);
        let (asks, cancels) = (streams.clone().map(get), streams.map(|stream| frame(RST_STREAM, 0, stream, CANCEL)));
        asks.chain(cancels).collect::<Vec<_>>().concat()
    };
    assert!(attack("rapid reset in batches", batch).await <= 200);
}

#[tokio::test]
async fn made_you_reset() {
    let with = |more: fn(u32) -> Vec<u8>| move |turn| [get(stream(turn)), more(stream(turn))].concat();
    for (name, more) in [
        ("window update of 0", (|stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])) as fn(u32) -> Vec<u8>),
        ("window overflow", |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])),
        ("data behind the end", |stream| frame(DATA, 0, stream, b"x")),
        ("headers behind the end", |stream| frame(HEADERS, END_HEADERS, stream, &request("GET", &[]))),
        ("priority of itself", |stream| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes(), [9].as_slice()].concat())),
        ("priority of another length", |stream| frame(PRIORITY, 0, stream, &[0; 4])),
    ] {
        assert!(attack(name, with(more)).await <= 200, "{name}");
    }
    let wrong = |turn| {
        let fields: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b"Upper", b"x")];
        frame(HEADERS, END_STREAM | END_HEADERS, stream(turn), &literals(fields))
    };
    assert_eq!(attack("malformed requests", wrong).await, 0);
    let longer = |turn| {
        let head = frame(HEADERS, END_HEADERS, stream(turn), &request("POST", &[("content-length", "1")]));
        [head, frame(DATA, END_STREAM, stream(turn), b"more")].concat()
    };
    assert!(attack("bodies longer than announced", longer).await <= 200);
}

#[tokio::test]
async fn streams_without_end() {
    let open = |turn| frame(HEADERS, END_HEADERS, stream(turn), &request("POST", &[]));
    assert_eq!(attack("more streams than there may be", open).await, 0);
}

#[tokio::test]
async fn headers_without_end() {
    let begun = |more: Vec<u8>| {
        move |turn| {
            let first = if turn == 0 { frame(HEADERS, END_STREAM, 1, &request("GET", &[])) } else { Vec::new() };
            [first, frame(CONTINUATION, 0, 1, &more)].concat()
        }
    };
    let some = literals([(b"x-some".as_slice(), b"x".repeat(1000).as_slice())]);
    assert_eq!(attack("CONTINUATION", begun(some)).await, 0);
    assert_eq!(attack("empty CONTINUATION", begun(Vec::new())).await, 0);
    assert_eq!(attack("small CONTINUATION", begun(literals([(b"x".as_slice(), b"".as_slice())]))).await, 0);
}

#[tokio::test]
async fn frames_that_carry_nothing() {
    let upload = |turn| {
        let first = if turn == 0 { frame(HEADERS, END_HEADERS, 1, &request("POST", &[])) } else { Vec::new() };
        [first, frame(DATA, 0, 1, &[])].concat()
    };
    assert_eq!(attack("empty DATA", upload).await, 0);
    // Nothing but padding.
    let padded = move |turn| {
        let first = if turn == 0 { frame(HEADERS, END_HEADERS, 1, &request("POST", &[])) } else { Vec::new() };
        [first, frame(DATA, 8, 1, &[0])].concat()
    };
    assert_eq!(attack("padding", padded).await, 0);
    for (name, bytes) in [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING with ACK", frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("many SETTINGS", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(2_000))),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xbe, 0, 0, &[0; 100])),
    ] {
        assert_eq!(attack(name, |_| bytes.clone()).await, 0, "{name}");
    }
}

#[tokio::test]
async fn a_block_that_unfolds_is_refused() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut raw = Raw::connect(&gateway, &[]).await;
    // One field of 4,000 bytes that is remembered, and 16,000 references to it: 64 MB from 20 KB.
    let mut bomb = request("GET", &[]);
    bomb.extend([0x40, 1, b'a', 127, 0xa1, 0x1e]);
    bomb.extend([b'x'; 4_000]);
    raw.send(&frame(HEADERS, END_STREAM, 1, &bomb)).await;
    raw.send(&frame(CONTINUATION, END_HEADERS, 1, &[0xbe; 16_000])).await;
    let ended = raw.next(HEADERS).await;
    assert!(ended.as_ref().is_none_or(|(_, stream, block)| *stream == 1 && has_status(block, 431)), "{ended:?}");
    assert!(backend.seen().is_empty());
    assert_eq!(gateway.get("").await.status, 200);
}

/// SETTINGS_INITIAL_WINDOW_SIZE = 0
const SHUT: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// An instance that answers `hello`, behind a gateway with this limit for clients that do not read.
async fn hello(write_timeout: Duration) -> (Backend, Gateway) {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    let gateway = Setup::new(&[backend.instance("V1")]).limited(|limits| limits.write_timeout = write_timeout).start();
    (backend, gateway)
}

#[tokio::test]
async fn a_window_that_stays_shut_ends_the_connection() {
    let (_backend, gateway) = hello(Duration::from_millis(700)).await;
    let mut raw = Raw::connect(&gateway, &SHUT).await;
    for turn in 0..20 {
        raw.send(&get(stream(turn))).await;
    }
    assert!(raw.next(HEADERS).await.is_some(), "heads need no window");
    until("it is cut off", || gateway.stats.snapshot().refused(Refusal::WriteTimeout) > 0).await;
    assert!(raw.next(0xff).await.is_none());
    until("nothing is left of it", || gateway.stats.snapshot().connections == 0).await;

    // One that opens it goes on.
    let mut raw = Raw::connect(&gateway, &SHUT).await;
    raw.send(&get(1)).await;
    assert!(raw.next(HEADERS).await.is_some());
    raw.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 5])).await;
    assert_eq!(raw.next(DATA).await.map(|(_, _, data)| data), Some(b"hello".to_vec()));
}

#[tokio::test]
async fn new_requests_do_not_keep_a_window_shut() {
    let (_backend, gateway) = hello(Duration::from_millis(2_000)).await;
    let mut raw = Raw::connect(&gateway, &SHUT).await;
    let began = Instant::now();
    let refused = || gateway.stats.snapshot().refused(Refusal::WriteTimeout);
    for turn in 0..100 {
        if refused() > 0 {
            break;
        }
        // It may be cut off in this moment.
        let _sent = raw.0.write_all(&get(stream(turn))).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = began.elapsed();
    assert!(refused() > 0, "it lives on after {took:?}");
    assert!(took >= Duration::from_millis(1_500), "{took:?}");
    // Four times the limit was what one got that had begun to read.
    assert!(took < Duration::from_millis(5_900), "{took:?}");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_alone_while_others_are_taken() {
    let (_backend, gateway) = hello(Duration::from_millis(2_000)).await;
    let mut raw = Raw::connect(&gateway, &SHUT).await;
    let began = Instant::now();
    raw.send(&get(1)).await;
    let mut is_given_up = false;
    for turn in 1..200 {
        let was_given_up = is_given_up;
        raw.send(&get(stream(turn))).await;
        raw.send(&frame(WINDOW_UPDATE, 0, stream(turn), &[0, 0, 0, 5])).await;
        loop {
            let (kind, _, of, payload) = raw.frame().await.expect("the connection lives");
            if kind == RST_STREAM {
                assert_eq!((of, payload.as_slice()), (1, CANCEL));
                is_given_up = true;
            } else if kind == DATA && of == stream(turn) {
                break;
            }
        }
        if was_given_up {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_given_up, "left for {:?}", began.elapsed());
    assert!(began.elapsed() >= Duration::from_millis(1_500));
    assert_eq!(gateway.stats.snapshot().refused(Refusal::WriteTimeout), 1);
}

#[tokio::test]
async fn a_body_that_never_comes_ends_its_stream() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::new(&[backend.instance("V1")])
        .limited(|limits| limits.body_timeout = Duration::from_millis(400))
        .start();
    let mut raw = Raw::connect(&gateway, &[]).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &request("POST", &[]))).await;
    let (_, stream, block) = raw.next(HEADERS).await.expect("an answer");
    assert!(stream == 1 && has_status(&block, 408), "{block:?}");
    assert_eq!(gateway.stats.snapshot().refused(Refusal::BodyTimeout), 1);
    raw.send(&get(3)).await;
    assert_eq!(raw.next(HEADERS).await.map(|(_, stream, _)| stream), Some(3));
}
