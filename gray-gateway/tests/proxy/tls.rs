//! TLS on either side, and on both.

mod files;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use gray_core::Instance;
use gray_gateway::tls::{ServerTls, UpstreamTls};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::{
    certificates::{Ca, Pair},
    support::{Backend, Client, Gateway, Seen, Setup, instance, ok, soon, until},
    wire::read_head,
};

pub(crate) type Secured = Client<TlsStream<TcpStream>>;

const GET: &str = "GET /api/x HTTP/1.1\r\nHost: shop:7443\r\n\r\n";

// ---- gateway and clients

impl Setup {
    /// `lb:https://app` instead of `lb://app`.
    fn over_tls(instances: &[Instance]) -> Self {
        Self::with_routes("[{ id: app, uri: 'lb:https://app', predicates: ['Path=/api/**'] }]", instances)
    }

    fn serving_with(mut self, tls: &Arc<ServerTls>) -> Self {
        self.tls = Some(Arc::clone(tls));
        self
    }

    fn believing(mut self, ca: &Ca) -> Self {
        self.upstream_tls = Arc::new(UpstreamTls::new(Some(&ca.file())).expect("a CA"));
        self
    }
}

/// Puts the pair into files and loads them.
pub(crate) fn server(ca: &Ca, pair: &Pair) -> Arc<ServerTls> {
    let (certificate, key) = (ca.write("cert.pem", &pair.certificate), ca.write("key.pem", &pair.key));
    Arc::new(ServerTls::load(&certificate, &key).expect("a pair"))
}

pub(crate) fn calling(ca: &Ca, alpn: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.file()).expect("certificate")).expect("a CA");
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config).into()
}

impl Gateway {
    pub(crate) async fn tcp_for_tls(&self) -> TcpStream {
        let address = self.workers.local_tls_addr().expect("a listener for TLS");
        soon(TcpStream::connect(address)).await.expect("connected")
    }

    pub(crate) async fn secured(&self, ca: &Ca) -> Secured {
        let socket = self.tcp_for_tls().await;
        let name = ServerName::try_from("localhost").expect("name");
        let socket = soon(calling(ca, &[b"http/1.1"]).connect(name, socket)).await.expect("handshake");
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Client { socket, buffer: Vec::new() }
    }
}

fn shown(client: &Secured) -> CertificateDer<'static> {
    let certificates = client.socket.get_ref().1.peer_certificates();
    certificates.and_then(<[_]>::first).expect("a certificate").clone().into_owned()
}

// ---- instances

/// Answers with its name, over TLS only.
async fn secure_backend(name: &'static str, config: Arc<ServerConfig>) -> Backend {
    let acceptor = TlsAcceptor::from(config);
    let wrap = move |socket| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(socket).await.ok() }
    };
    Backend::wrapped(wrap, move |_| (ok(name), true)).await
}

/// A plain stream or one in TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves both on one port, told apart by the first byte, and answers what came.
async fn backend_of_both(config: Arc<ServerConfig>) -> (Backend, Arc<AtomicUsize>) {
    let acceptor = TlsAcceptor::from(config);
    let handshakes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handshakes);
    let wrap = move |socket: TcpStream| {
        let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
        async move {
            let mut first = [0];
            socket.peek(&mut first).await.ok()?;
            if first[0] != 0x16 {
                return Some(Box::new(socket) as Box<dyn Stream>);
            }
            counter.fetch_add(1, SeqCst);
            Some(Box::new(acceptor.accept(socket).await.ok()?) as Box<dyn Stream>)
        }
    };
    (Backend::wrapped(wrap, |seen: &Seen| (ok(seen.line()), true)).await, handshakes)
}

// ---- clients by TLS

#[tokio::test]
async fn https_in_and_http_out() {
    let ca = Ca::new("ca");
    let backend = Backend::named("v1").await;
    let tls = server(&ca, &ca.sign(&["localhost"]));
    let gateway = Setup::new(&[backend.instance("V1")]).serving_with(&tls).start();
    let mut client = gateway.secured(&ca).await;
    for body in ["hello", "again"] {
        client.send(&format!("POST /api/x HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n{body}")).await;
        assert_eq!(client.response().await.body, "v1");
        let seen = backend.last();
        assert_eq!((seen.line(), &*seen.body), ("POST /x HTTP/1.1", body.as_bytes()));
        assert_eq!((seen.one("x-forwarded-proto"), seen.one("x-forwarded-port")), ("https", "443"));
        assert!(seen.one("forwarded").starts_with("proto=https;host=\"shop\";"), "{}", seen.head);
    }
    // One connection on either side.
    assert_eq!((gateway.stats.snapshot().connections, backend.connections()), (1, 1));

    // The plain port serves beside it, and says so.
    assert_eq!(gateway.get("").await.body, "v1");
    assert_eq!(backend.last().one("x-forwarded-proto"), "http");
}

#[tokio::test]
async fn large_bodies_pass_through_tls_on_both_sides() {
    const SIZE: usize = 4 * 1024 * 1024;
    let ca = Ca::new("ca");
    let acceptor = TlsAcceptor::from(ca.sign(&["127.0.0.1"]).server());
    let wrap = move |socket| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(socket).await.ok() }
    };
    let backend = Backend::wrapped(wrap, |seen| (ok(&String::from_utf8_lossy(&seen.body)), true)).await;
    let tls = server(&ca, &ca.sign(&["localhost"]));
    let gateway = Setup::over_tls(&[backend.instance("V1")]).serving_with(&tls).believing(&ca).start();
    let mut client = gateway.secured(&ca).await;
    let body: String = ('a'..='z').cycle().take(SIZE).collect();
    client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n{body}")).await;
    assert!(client.response().await.body == body, "the echo differs");
}

#[tokio::test]
async fn a_client_that_speaks_something_else_is_refused() {
    let ca = Ca::new("ca");
    let backend = Backend::named("v1").await;
    let tls = server(&ca, &ca.sign(&["localhost"]));
    let gateway = Setup::new(&[backend.instance("V1")]).serving_with(&tls).start();
    let name = ServerName::try_from("localhost").expect("name");
    let error = soon(calling(&ca, &[b"h3"]).connect(name, gateway.tcp_for_tls().await)).await.expect_err("h3 only");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");

    // HTTP without TLS gets an alert (21) and no answer.
    let mut plain = gateway.tcp_for_tls().await;
    soon(plain.write_all(GET.as_bytes())).await.expect("sent");
    assert_eq!(soon(plain.read_u8()).await.expect("an alert"), 21);
    assert!(backend.seen().is_empty());
    until("both are over", || gateway.stats.snapshot().connections == 0).await;
}

#[tokio::test]
async fn a_handshake_has_a_time_limit_and_does_not_hold_up_a_shutdown() {
    let ca = Ca::new("ca");
    let tls = server(&ca, &ca.sign(&["localhost"]));
    let limited = Setup::new(&[]).serving_with(&tls).limited(|l| l.head_timeout = Duration::from_millis(300)).start();
    let mut silent = Client { socket: limited.tcp_for_tls().await, buffer: Vec::new() };
    assert!(silent.is_closed().await);

    let patient = Setup::new(&[]).serving_with(&tls).limited(|l| l.head_timeout = Duration::from_secs(60)).start();
    let mut silent = Client { socket: patient.tcp_for_tls().await, buffer: Vec::new() };
    until("it is known", || patient.stats.snapshot().connections == 1).await;
    assert_eq!(soon(patient.workers.shutdown(Duration::from_secs(10))).await, 0);
    assert!(silent.is_closed().await);
}

// ---- instances by TLS

#[tokio::test]
async fn http_in_and_https_out() {
    let ca = Ca::new("ca");
    let backend = secure_backend("secure", ca.sign(&["127.0.0.1", "localhost"]).server()).await;
    let port = backend.address.port();
    let routes = format!(
        "[{{ id: a, uri: 'lb:https://app', predicates: ['Path=/api/**'] }},
          {{ id: f, uri: 'https://localhost:{port}', predicates: ['Path=/f/**'] }}]"
    );
    let gateway = Setup::with_routes(&routes, &[backend.instance("V1")]).believing(&ca).start();
    let mut client = gateway.client().await;
    for _ in 0..3 {
        client.send("POST /api/x HTTP/1.1\r\nHost: shop:7000\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.response().await.body, "secure");
        assert_eq!((backend.last().body.as_slice(), backend.last().one("x-forwarded-proto")), (&b"hi"[..], "http"));
        assert_eq!(backend.last().one("host"), backend.address.to_string());
    }
    assert_eq!(backend.connections(), 1);
    client.send("GET /f/x HTTP/1.1\r\nHost: shop:7000\r\n\r\n").await;
    assert_eq!(client.response().await.body, "secure");
    assert_eq!(backend.last().one("host"), format!("localhost:{port}"));
}

#[tokio::test]
async fn plain_and_encrypted_connections_of_one_authority_are_never_mixed() {
    let ca = Ca::new("ca");
    let (backend, handshakes) = backend_of_both(ca.sign(&["127.0.0.1"]).server()).await;
    let routes = format!(
        "[{{ id: p, uri: 'http://{0}', predicates: ['Path=/plain'] }},
          {{ id: t, uri: 'https://{0}', predicates: ['Path=/tls'] }}]",
        backend.address
    );
    let gateway = Setup::with_routes(&routes, &[]).believing(&ca).start();
    let mut client = gateway.client().await;
    for (path, connections) in [("/plain", (1, 0)), ("/tls", (2, 1)), ("/plain", (2, 1)), ("/tls", (2, 1))] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.body, format!("GET {path} HTTP/1.1"));
        assert_eq!((backend.connections(), handshakes.load(SeqCst)), connections, "{path}");
    }
}

#[tokio::test]
async fn an_instance_that_says_so_is_called_over_tls() {
    let ca = Ca::new("ca");
    let (backend, handshakes) = backend_of_both(ca.sign(&["127.0.0.1"]).server()).await;
    for (secure, expect) in [("false", 0), ("", 0), ("yes", 0), ("true", 1), ("TRUE", 2)] {
        let said = backend.instance("V1").with_metadata("secure", secure);
        let gateway = Setup::new(&[said]).believing(&ca).start();
        assert_eq!(gateway.ask(GET).await.status, 200, "{secure}");
        assert_eq!(handshakes.load(SeqCst), expect, "{secure}");
    }
    // Its certificate is checked.
    let said = backend.instance("V1").with_metadata("secure", "true");
    assert_eq!(Setup::new(&[said]).start().ask(GET).await.status, 502);
}

#[tokio::test]
async fn an_instance_that_cannot_prove_who_it_is_gets_nothing() {
    let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
    let plain = Backend::raw(|mut socket| async move {
        // As servers do with what is no request.
        socket.read_u8().await.expect("a hello");
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("sent");
    })
    .await;
    for backend in [
        secure_backend("wrong CA", stranger.sign(&["127.0.0.1"]).server()).await,
        secure_backend("wrong name", ca.sign(&["localhost", "127.0.0.2"]).server()).await,
        plain,
    ] {
        let gateway = Setup::over_tls(&[backend.instance("V1")]).believing(&ca).start();
        assert_eq!(gateway.ask(GET).await.status, 502);
        assert!(backend.seen().is_empty());

        // Nothing was sent, so another instance may have the request.
        let good = secure_backend("good", ca.sign(&["127.0.0.1"]).server()).await;
        let gateway = Setup::over_tls(&[backend.instance("V1"), good.instance("V1")]).believing(&ca).start();
        for _ in 0..4 {
            let response = gateway.ask("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
            assert_eq!((response.status, &*response.body), (200, "good"));
        }
        assert!(gateway.stats.snapshot().retries > 0 && backend.seen().is_empty());
    }

    // Without a file, the world's CAs count: ours is not one of them.
    let backend = secure_backend("private CA", ca.sign(&["127.0.0.1"]).server()).await;
    assert_eq!(Setup::over_tls(&[backend.instance("V1")]).start().ask(GET).await.status, 502);
}

#[tokio::test]
async fn a_handshake_with_an_instance_counts_as_connecting() {
    let ca = Ca::new("ca");
    let silent = Backend::raw(|socket| async move {
        let _held = socket;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Setup::over_tls(&[instance(silent.address, "V1")])
        .believing(&ca)
        .limited(|limits| limits.connect_timeout = Duration::from_millis(200))
        .start();
    assert_eq!(gateway.ask(GET).await.status, 502);
    assert_eq!((gateway.stats.snapshot().connect_failures(), silent.connections()), (1, 1));
}

#[tokio::test]
async fn websockets_pass_through_tls_on_both_sides() {
    let ca = Ca::new("ca");
    let acceptor = TlsAcceptor::from(ca.sign(&["127.0.0.1"]).server());
    let backend = Backend::raw(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let mut socket = acceptor.accept(socket).await.expect("handshake");
            let head = read_head(&mut socket, &mut Vec::new()).await.expect("a request").to_lowercase();
            assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
            socket.write_all(switch).await.expect("sent");
            socket.flush().await.expect("sent");
            let (mut read, mut write) = tokio::io::split(socket);
            let _ended = tokio::io::copy(&mut read, &mut write).await;
        }
    })
    .await;
    let tls = server(&ca, &ca.sign(&["localhost"]));
    let gateway = Setup::over_tls(&[backend.instance("V1")]).serving_with(&tls).believing(&ca).start();
    let mut client = gateway.secured(&ca).await;
    client.send("GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.head().await.expect("head").status, 101);
    client.send("\x01\u{7f}echo").await;
    while client.buffer.len() < 11 {
        assert!(soon(client.socket.read_buf(&mut client.buffer)).await.expect("echo") > 0);
    }
    assert_eq!(client.buffer, b"hello\x01\x7fecho");
    soon(client.socket.shutdown()).await.expect("closed");
    drop(client);
    until("the tunnel is closed", || gateway.stats.snapshot().connections == 0).await;
}
