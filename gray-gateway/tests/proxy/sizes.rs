//! Heads and bodies of every size, however they arrive, in both directions and both protocols: what is within the limits
//! passes whole, what is beyond them is refused at once, and nothing ever waits for bytes that are there.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    h2::{Content, H2Backend, H2Client, TO_H2, full},
    support::{Backend, Client, Gateway, Setup, soon, spawn},
    wire::{field, read_body, read_head},
};

/// What a head may have.
const HEAD: usize = 64 * 1024;

/// How one side sends a message.
#[derive(Clone, Debug, Default)]
struct Message {
    /// Length of a field's value.
    pad: usize,
    body: usize,
    /// Size of chunks; `None`: one length.
    chunk: Option<usize>,
    /// Where the bytes are cut into several writes.
    cuts: Vec<usize>,
}

/// A request and its answer.
#[derive(Clone, Debug)]
struct Case {
    /// Whether the request may be sent twice, and so is kept.
    kept: bool,
    up: Message,
    down: Message,
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| b'a' + (place % 23) as u8).collect()
}

impl Message {
    /// As HTTP/1 behind the first lines of a head; and how long the head is.
    fn bytes(&self, begin: &str) -> (Vec<u8>, usize) {
        let framing = match self.chunk {
            Some(_) => "Transfer-Encoding: chunked".into(),
            None => format!("Content-Length: {}", self.body),
        };
        let mut bytes = format!("{begin}X-Pad: {}\r\n{framing}\r\n\r\n", "p".repeat(self.pad)).into_bytes();
        let head = bytes.len();
        let body = content(self.body);
        match self.chunk {
            None => bytes.extend(body),
            Some(size) => {
                for chunk in body.chunks(size) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        (bytes, head)
    }

    async fn send(&self, socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
        let mut cuts: Vec<_> = self.cuts.iter().map(|cut| cut % bytes.len()).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts.into_iter().chain([bytes.len()]) {
            // Who has heard enough may close.
            let _sent = socket.write_all(&bytes[from..to]).await;
            let _sent = socket.flush().await;
            from = to;
            tokio::time::sleep(Duration::from_millis(u64::from(from < bytes.len()))).await;
        }
    }

    /// For the other side, in a field.
    fn told(&self) -> String {
        let cuts: Vec<_> = self.cuts.iter().map(usize::to_string).collect();
        format!("{} {} {} {}", self.pad, self.body, self.chunk.unwrap_or(0), cuts.join(" "))
    }

    fn heard(text: &str) -> Self {
        let mut numbers = text.split_whitespace().map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().expect("a number");
        let (pad, body, chunk) = (next(), next(), Some(next()).filter(|size| *size > 0));
        Self { pad, body, chunk, cuts: numbers.collect() }
    }
}

/// What came of a message.
fn summary(pad: Option<&str>, body: &[u8]) -> String {
    let whole = if body == content(body.len()) { "whole" } else { "damaged" };
    format!("{} {} {whole}", pad.map_or(0, str::len), body.len())
}

fn expected(sent: &Message) -> String {
    format!("{} {} whole", sent.pad, sent.body)
}

/// Answers as it is told to, and says what it got.
async fn instance() -> Backend {
    Backend::raw(|mut socket| async move {
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut socket, &mut buffer).await {
            let Some(body) = read_body(&mut socket, &mut buffer, &head).await else { return };
            let down = Message::heard(field(&head, "x-down").expect("instructions"));
            let seen = summary(field(&head, "x-pad"), &body);
            let (bytes, _) = down.bytes(&format!("HTTP/1.1 200 OK\r\nX-Seen: {seen}\r\n"));
            down.send(&mut socket, &bytes).await;
        }
    })
    .await
}

async fn h2_instance() -> H2Backend {
    let large = |builder: &mut hyper::server::conn::http2::Builder<TokioExecutor>| {
        builder.max_header_list_size(1 << 20);
    };
    H2Backend::wrapped(
        |socket| async { Some(socket) },
        large,
        |head, body| async move {
            let body = body.collect().await.expect("a whole body").to_bytes();
            let down = Message::heard(text(&head.headers, "x-down").expect("instructions"));
            let seen = summary(text(&head.headers, "x-pad"), &body);
            let answer = Response::builder().header("x-seen", seen).header("x-pad", "p".repeat(down.pad));
            answer.body(full(content(down.body))).expect("an answer")
        },
    )
    .await
}

fn text<'h>(fields: &'h HeaderMap, name: &str) -> Option<&'h str> {
    fields.get(name).map(|value| value.to_str().expect("text"))
}

impl Case {
    fn method(&self) -> &'static str {
        if self.kept { "PUT" } else { "POST" }
    }

    /// Status, what the instance got, what the client got.
    fn check(&self, status: u16, seen: Option<&str>, got: &str, expect: u16) -> Result<(), TestCaseError> {
        prop_assert_eq!(status, expect);
        if status == 200 {
            prop_assert_eq!(seen, Some(&*expected(&self.up)));
            prop_assert_eq!(got, expected(&self.down));
        }
        Ok(())
    }

    async fn over_h1(&self, gateway: &Gateway) -> Result<(), TestCaseError> {
        let begin = format!("{} /api/x HTTP/1.1\r\nHost: a\r\nX-Down: {}\r\n", self.method(), self.down.told());
        let (bytes, head) = self.up.bytes(&begin);
        let Client { socket, mut buffer } = gateway.client().await;
        socket.set_nodelay(true).expect("set");
        let (mut from, mut to) = socket.into_split();
        let up = self.up.clone();
        let sending = spawn(async move {
            up.send(&mut to, &bytes).await;
            to
        });
        let head_of_answer = soon(read_head(&mut from, &mut buffer)).await;
        let head_of_answer = head_of_answer.ok_or_else(|| TestCaseError::fail("no answer"))?;
        let body = soon(read_body(&mut from, &mut buffer, &head_of_answer)).await;
        let body = body.ok_or_else(|| TestCaseError::fail("no whole body"))?;
        soon(sending).await.expect("sent");
        let status = head_of_answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let seen = field(&head_of_answer, "x-seen");
        // What the instance's head is beside its padding.
        let is_long = self.down.pad + 300 > HEAD;
        let expect = if head > HEAD {
            431
        } else if is_long {
            502
        } else {
            200
        };
        self.check(status, seen, &summary(field(&head_of_answer, "x-pad"), &body), expect)
    }

    async fn over_h2(&self, gateway: &Gateway) -> Result<(), TestCaseError> {
        let stream = soon(TcpStream::connect(gateway.address)).await.expect("connected");
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(1 << 20);
        let (sender, connection) = soon(builder.handshake(TokioIo::new(stream))).await.expect("handshake");
        let mut client = H2Client { sender, connection: spawn(connection) };
        let request = Request::builder().method(self.method()).uri("http://shop:7000/api/x");
        let request = request.header("x-down", self.down.told()).header("x-pad", "p".repeat(self.up.pad));
        let body = content(self.up.body);
        let body: Content = match self.up.chunk {
            None => full(body),
            Some(size) => {
                let (feed, streamed) = crate::h2::fed();
                for chunk in body.chunks(size) {
                    feed.send(Ok(hyper::body::Frame::data(Bytes::copy_from_slice(chunk)))).expect("open");
                }
                streamed
            }
        };
        let answer = soon(client.sender.send_request(request.body(body).expect("a request"))).await;
        let answer = answer.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (head, body) = answer.into_parts();
        let body = soon(body.collect()).await.map_err(|error| TestCaseError::fail(error.to_string()))?.to_bytes();
        let expect = if self.up.pad > HEAD {
            431
        } else if self.down.pad > HEAD {
            502
        } else {
            200
        };
        let got = summary(text(&head.headers, "x-pad"), &body);
        self.check(head.status.as_u16(), text(&head.headers, "x-seen"), &got, expect)
    }
}

/// A gateway before an instance, each with its protocol.
async fn gateway(to_h2: bool) -> Gateway {
    if to_h2 {
        Setup::with_routes(TO_H2, &[h2_instance().await.instance("V1")]).start()
    } else {
        Setup::new(&[instance().await.instance("V1")]).start()
    }
}

/// Runs cases against all four pairs of protocols.
fn each(test: impl Fn(&dyn Fn(&Case) -> Result<(), TestCaseError>, &str)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    for (by_h2, to_h2) in [(false, false), (false, true), (true, false), (true, true)] {
        let gateway = runtime.block_on(gateway(to_h2));
        let run = |case: &Case| {
            runtime.block_on(async { if by_h2 { case.over_h2(&gateway).await } else { case.over_h1(&gateway).await } })
        };
        test(&run, &format!("client HTTP/{}, instance HTTP/{}", 1 + u8::from(by_h2), 1 + u8::from(to_h2)));
    }
}

#[test]
fn sizes_around_the_limits_of_buffers_pass_in_one_write() {
    each(|run, between| {
        for (pad, body) in
            [(0, 0), (16_300, 5), (16_384, 40_000), (32_600, 2), (33_000, 5), (50_000, 65_537), (60_000, 131_072)]
        {
            for (kept, chunk) in
                [(false, None), (true, None), (false, Some(900)), (true, Some(900)), (true, Some(70_000))]
            {
                let message = Message { pad, body, chunk, cuts: Vec::new() };
                for (up, down) in [(&message, &Message::default()), (&Message::default(), &message)] {
                    let case = Case { kept, up: up.clone(), down: down.clone() };
                    run(&case).unwrap_or_else(|error| panic!("{between}: {case:?}: {error}"));
                }
            }
        }
    });
}

fn message() -> impl Strategy<Value = Message> {
    // Nothing in between: there the length in HTTP/2 and that in HTTP/1 are not on the same side of the limit.
    let pad = prop_oneof![4 => 0..62_000_usize, 2 => 16_000..17_000_usize, 3 => 32_000..34_000_usize, 1 => 66_000..70_000_usize];
    let body =
        prop_oneof![3 => 0..131_073_usize, 2 => 0..20_usize, 1 => 32_000..33_000_usize, 1 => 65_000..66_000_usize];
    let chunk = prop_oneof![Just(None), (7..200_usize).prop_map(Some), (200..70_000_usize).prop_map(Some)];
    (pad, body, chunk, prop::collection::vec(any::<u16>().prop_map(usize::from), 0..4))
        // A frame of HTTP/2 for every few bytes of a long body is what attackers send, and is cut off.
        .prop_map(|(pad, body, chunk, cuts)| Message { pad, body, chunk: chunk.map(|size| size.max(body / 256)), cuts })
}

#[test]
fn whatever_the_sizes_are_the_answer_comes() {
    each(|run, between| {
        let config = Config { cases: 40, failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
        let case = (any::<bool>(), message(), message()).prop_map(|(kept, up, down)| Case { kept, up, down });
        let outcome = TestRunner::new(config).run(&case, |case| run(&case));
        outcome.unwrap_or_else(|error| panic!("{between}: {error}"));
    });
}
