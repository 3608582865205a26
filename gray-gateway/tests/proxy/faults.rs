//! What goes wrong with an instance, and what is said of it: to the client, in the log, in the metrics, in the access log.

use std::{
    fmt::{Debug, Write as _},
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use gray_gateway::{
    proxy::{AccessLogFormat, AccessLogOptions, Fault},
    tls::UpstreamTls,
};
use http::{HeaderValue, Response, header};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    certificates::Ca,
    h2::{H2Backend, TO_H2, full},
    support::{Backend, Setup, instance, nobody, soon, until},
    wire::read_head,
};

// ---- the log

/// Warnings of this process, one line each.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

impl Log {
    fn begin() {
        static BEGUN: Once = Once::new();
        BEGUN.call_once(|| tracing::subscriber::set_global_default(Self).expect("no other one"));
    }

    /// The only warning about this instance.
    async fn about(instance: SocketAddr) -> String {
        let of = |line: &&String| line.contains(&format!("instance={instance} "));
        until("it is logged", || LINES.lock().expect("lock").iter().any(|line| of(&line))).await;
        let lines: Vec<_> = LINES.lock().expect("lock").iter().filter(of).cloned().collect();
        // That it is ejected has a line of its own.
        let mut lines: Vec<_> = lines.into_iter().filter(|line| !line.contains("ejected: ")).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _written = write!(self.0, "{}={value:?} ", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _written = write!(self.0, "{}={value} ", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().expect("lock").push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

// ---- rows

/// How the gateway is to call the instance.
#[derive(Clone, Copy)]
enum Over {
    Plain,
    Tls,
    H2,
    H2Tls,
}

struct Row {
    name: &'static str,
    over: Over,
    instance: SocketAddr,
    fault: Fault,
    /// Of the status and the message for the client.
    told: (u16, &'static str),
    /// Of the line in the log.
    logged: &'static str,
}

impl Row {
    async fn check(&self, ca: &Ca) {
        let Self { name, instance: address, fault, .. } = self;
        let plain = "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }]";
        let routes = match self.over {
            Over::Plain => plain.to_owned(),
            Over::Tls => plain.replace("lb:", "lb:https:"),
            Over::H2 => TO_H2.to_owned(),
            Over::H2Tls => TO_H2.replace("lb:", "lb:https:"),
        };
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("access.log");
        let mut setup = Setup::with_routes(&routes, &[instance(*address, "V1")]).limited(|limits| {
            limits.connect_attempts = 1;
            limits.connect_timeout = Duration::from_secs(2);
            limits.response_timeout = Duration::from_secs(2);
        });
        setup.upstream_tls = Arc::new(UpstreamTls::new(Some(&ca.file())).expect("a CA"));
        setup.access_log = Some(AccessLogOptions { path: path.clone(), format: AccessLogFormat::Json });
        let gateway = setup.start();
        let mut client = gateway.client().await;
        client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut head = client.head().await.unwrap_or_else(|| panic!("{name}: no answer"));
        while head.status < 200 {
            head = client.head().await.unwrap_or_else(|| panic!("{name}: no answer"));
        }
        assert_eq!(head.status, self.told.0, "{name}");
        if *fault == Fault::Truncated {
            let _ended = soon(client.socket.read_to_end(&mut client.buffer)).await;
        } else {
            let body = soon(crate::wire::read_body(&mut client.socket, &mut client.buffer, &head.head)).await;
            let answer: Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
            let told = answer["msg"].as_str().expect("a message");
            assert!(told.contains(self.told.1) && !told.contains("127.0.0.1"), "{name}: {told}");
        }
        let line = Log::about(*address).await;
        let reason = format!("reason={} ", fault.as_str());
        assert!(line.contains(&reason) && line.contains(self.logged), "{name}: {line}");
        until("it is over", || gateway.stats.snapshot().in_flight == 0).await;
        let stats = gateway.stats.snapshot();
        let expect = Fault::ALL.map(|other| u64::from(other == *fault));
        assert_eq!(stats.faults, expect, "{name}");
        let is_unconnected = matches!(fault, Fault::Connect | Fault::Tls);
        assert_eq!(stats.connect_failures(), u64::from(is_unconnected), "{name}");
        assert_eq!(soon(gateway.workers.shutdown(Duration::from_secs(5))).await, 0);
        let entry: Value = serde_json::from_str(&fs::read_to_string(path).expect("a log")).expect("one line");
        assert_eq!((&entry["fault"], &entry["status"]), (&fault.as_str().into(), &self.told.0.into()), "{name}");
        assert_eq!(entry["instance"], address.to_string(), "{name}");
    }
}

/// Reads a request, says this and hangs up.
async fn saying(answer: impl Into<String>) -> SocketAddr {
    let answer = answer.into();
    let backend = Backend::raw(move |mut socket| {
        let answer = answer.clone();
        async move {
            read_head(&mut socket, &mut Vec::new()).await.expect("a request");
            socket.write_all(answer.as_bytes()).await.expect("sent");
        }
    });
    backend.await.address
}

async fn silent() -> SocketAddr {
    let backend = Backend::raw(|socket| async move {
        let _held = socket;
        std::future::pending::<()>().await;
    });
    backend.await.address
}

/// Shakes hands with this certificate, and says no more.
async fn secured(config: Arc<rustls::ServerConfig>) -> SocketAddr {
    let acceptor = TlsAcceptor::from(config);
    let backend = Backend::raw(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let _ended = stream.read(&mut [0; 100]).await;
            }
        }
    });
    backend.await.address
}

#[tokio::test]
async fn each_fault_has_one_name() {
    Log::begin();
    let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
    let row = |name, over, instance, fault, told, logged| Row { name, over, instance, fault, told, logged };
    let hang_up = Backend::raw(|mut socket| async move {
        let _hello = socket.read(&mut [0; 10_000]).await;
    });
    let plain = Backend::raw(|mut socket| async move {
        socket.read_u8().await.expect("a hello");
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("sent");
    });
    let resetting = H2Backend::serving(|_, _| async move {
        let broken = futures_util::stream::iter([Err::<hyper::body::Frame<_>, _>(std::io::Error::other("broken"))]);
        let body = http_body_util::BodyExt::boxed_unsync(http_body_util::StreamBody::new(broken));
        Response::new(body)
    });
    let twice = H2Backend::serving(|_, _| async move {
        let mut response = Response::new(full("ok"));
        for _ in 0..2 {
            response.headers_mut().append(header::CONTENT_LENGTH, HeaderValue::from_static("2"));
        }
        response
    });
    let (unreachable, no_tls) = ((502, "app could not be reached"), (502, "no trusted TLS connection to app"));
    let broken = (502, "app broke off before it answered; it may have processed the request");
    let rows = [
        row("refused", Over::Plain, nobody().await, Fault::Connect, unreachable, "cannot connect"),
        row("refused, h2", Over::H2, nobody().await, Fault::Connect, unreachable, "cannot connect"),
        row(
            "another CA",
            Over::Tls,
            secured(stranger.sign(&["127.0.0.1"]).server()).await,
            Fault::Tls,
            no_tls,
            "--upstream-ca",
        ),
        row("no TLS", Over::Tls, plain.await.address, Fault::Tls, no_tls, "does not speak TLS"),
        row("hung up", Over::Tls, hang_up.await.address, Fault::Tls, no_tls, "hung up during the TLS handshake"),
        row("no end of the handshake", Over::Tls, silent().await, Fault::Tls, no_tls, "no TLS connection within 2s"),
        row(
            "no ALPN",
            Over::H2Tls,
            secured(ca.sign(&["127.0.0.1"]).server()).await,
            Fault::Tls,
            no_tls,
            "does not speak HTTP/2 over TLS",
        ),
        row("closed", Over::Plain, saying("").await, Fault::Broken, broken, "closed without a response"),
        row(
            "half a head",
            Over::Plain,
            saying("HTTP/1.1 200 OK\r\n").await,
            Fault::Broken,
            broken,
            "no end of the head",
        ),
        row("reset, h2", Over::H2, resetting.await.address, Fault::Broken, broken, "stream error"),
        row("HTTP/1 only", Over::H2, saying("HTTP/1.1 400 No\r\n\r\n").await, Fault::Broken, broken, "error: "),
        row("silent", Over::Plain, silent().await, Fault::Timeout, (504, "app did not answer in time"), "in time"),
        row(
            "half a body",
            Over::Plain,
            saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await,
            Fault::Truncated,
            (200, ""),
            "broke off",
        ),
        row(
            "a bad chunk, later",
            Over::Plain,
            saying(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{}\r\nx\r\n",
                "y".repeat(0xffff)
            ))
            .await,
            Fault::Truncated,
            (200, ""),
            "broke off",
        ),
        row(
            "two lengths, h2",
            Over::H2,
            twice.await.address,
            Fault::Unusable,
            (502, "cannot be passed on: its Content-Length is not clear"),
            "its Content-Length is not clear",
        ),
    ];
    for row in rows {
        row.check(&ca).await;
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_passed_on_is_told_with_its_reason() {
    Log::begin();
    let ca = Ca::new("ca");
    let lines = "X: y\r\n".repeat(200);
    for (head, reason) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n", "there is more than one Content-Length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n", "Content-Length is not a length"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "its Transfer-Encoding is not chunked"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", "there is a Transfer-Encoding in HTTP/1.0"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "there is more than one Transfer-Encoding",
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n", "a protocol (101) that was not asked for"),
        ("HTTP/1.1 200 OK\r\nBad Name: x\r\n", "a header name is invalid"),
        ("HTTP/1.1 200 OK\r\nX: \0\r\n", "a header value has a character that is not allowed"),
        (&*format!("HTTP/1.1 200 OK\r\n{lines}"), "it has too many header lines"),
        ("HTTP/3.0 200 OK\r\n", "it is not HTTP/1"),
        (&"HTTP/1.1 102 Processing\r\n\r\n".repeat(40), "there are too many interim responses"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", "chunk"),
    ] {
        let told = (502, reason);
        let answer = format!("{head}\r\n");
        let row = Row {
            name: reason,
            over: Over::Plain,
            instance: saying(answer).await,
            fault: Fault::Unusable,
            told,
            logged: reason,
        };
        row.check(&ca).await;
    }
}
