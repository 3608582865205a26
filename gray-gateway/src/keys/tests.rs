//! Servers of keys that are good, bad and changing, on loopback.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use gray_rules::{KeyServer, KeySet};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Fetcher, KeyFollower, ListedServer, Pace};
use crate::tls::{UpstreamTls, tests::certificates::Ca};

/// A server that says one thing to every request.
struct Server {
    port: u16,
    says: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "no release context in a test")]
    async fn new(tls: Option<Arc<ServerConfig>>, says: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let (says, asked, last) = (Arc::new(Mutex::new(says.to_owned())), Arc::default(), Arc::default());
        let (answer, count, head) = (Arc::clone(&says), Arc::clone(&asked), Arc::clone(&last));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let told: (&Mutex<String>, &AtomicUsize, &Mutex<String>) = (&answer, &count, &head);
                match &tls {
                    None => answered(socket, told).await,
                    Some(config) => {
                        if let Ok(socket) = TlsAcceptor::from(Arc::clone(config)).accept(socket).await {
                            answered(socket, told).await;
                        }
                    }
                }
            }
        });
        Self { port, says, asked, last, task: task.abort_handle() }
    }

    fn say(&self, text: &str) {
        *self.says.lock().expect("no panic") = text.to_owned();
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn listed(&self) -> ListedServer {
        format!("localhost:{}", self.port).parse().expect("a server")
    }

    fn set(&self, scheme: &str) -> KeyServer {
        KeyServer::key_set_at(&format!("{scheme}://localhost:{}/keys?a=b", self.port)).expect("a URL")
    }
}

async fn answered(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    (says, asked, last): (&Mutex<String>, &AtomicUsize, &Mutex<String>),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
        // The beginning of a TLS handshake.
        if head[0] == 0x16 {
            drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            return;
        }
    }
    *last.lock().expect("no panic") = String::from_utf8_lossy(&head).into_owned();
    let text = says.lock().expect("no panic").clone();
    asked.fetch_add(1, SeqCst);
    drop(socket.write_all(text.as_bytes()).await);
    drop(socket.shutdown().await);
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncache-control: max-age=90\r\n\r\n{body}", body.len())
}

/// A key set with keys of these names.
fn set(ids: &[&str]) -> String {
    let point = "A".repeat(43);
    let keys: Vec<_> =
        ids.iter().map(|id| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{point}"}}"#)).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn trusting(ca: &Ca, listed: &[ListedServer]) -> Fetcher {
    Fetcher::new(Arc::new(UpstreamTls::new(Some(&ca.file())).expect("a CA")), listed)
}

#[tokio::test]
async fn keys_come_from_servers_that_may_be_asked() {
    let ca = Ca::new("ca");
    let secure = Server::new(Some(ca.sign(&["localhost"]).server()), &ok(&set(&["a", "b"]))).await;
    let plain = Server::new(None, &ok(&set(&["a"]))).await;
    let listed = [secure.listed(), plain.listed()];
    let fetched = trusting(&ca, &listed).fetch(&secure.set("https")).await.expect("keys");
    assert_eq!((fetched.set.len(), fetched.max_age), (2, Some(Duration::from_secs(90))));
    let head = secure.last.lock().expect("no panic").to_lowercase();
    assert!(head.starts_with("get /keys?a=b http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: localhost:{}\r\n", secure.port)), "{head}");
    assert!(trusting(&ca, &listed).fetch(&plain.set("http")).await.is_ok());

    let none = trusting(&ca, &[]);
    let other: ListedServer = "localhost".parse().expect("a server");
    let strangers = Ca::new("strangers");
    let literal = KeyServer::key_set_at(&format!("https://127.0.0.1:{}/", secure.port)).expect("a URL");
    let nowhere = KeyServer::key_set_at("https://nowhere.invalid/").expect("a URL");
    let asked = (secure.asked(), plain.asked());
    for (fetcher, server, expect) in [
        (&none, plain.set("http"), "only for servers that --key-server names"),
        (&none, secure.set("https"), "which is not public; name the server with --key-server"),
        (&trusting(&ca, &[other]), secure.set("https"), "which is not public"),
        (&trusting(&ca, &listed), literal, "which is not public"),
        (&trusting(&strangers, &listed), secure.set("https"), "not signed by a CA that is trusted here"),
        (&trusting(&ca, &listed), plain.set("https"), "does not speak TLS"),
        (&none, nowhere, "nowhere.invalid cannot be resolved"),
    ] {
        let error = fetcher.fetch(&server).await.expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }
    assert_eq!((secure.asked(), plain.asked()), asked, "none of them was asked");
}

#[tokio::test]
async fn an_answer_is_keys_or_it_is_refused() {
    let ca = Ca::new("ca");
    let server = Server::new(None, "").await;
    let fetcher = trusting(&ca, &[server.listed()]);
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(17);
    let many: Vec<String> = (0..33).map(|place| place.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let redirect = |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    for (says, expect) in [
        (redirect(&format!("http://localhost:{}/keys", server.port)), "redirection (302), which is not followed"),
        (redirect("https://login.example/"), "redirection (302)"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into(), "status 404"),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), "status 204"),
        (ok(&" ".repeat(KeySet::MAX_BYTES + 1)), "more than 65536 bytes"),
        (format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"), "more than 65536 bytes"),
        (ok(&set(&["a"])).replace("200 OK\r\n", "200 OK\r\ncontent-encoding: gzip\r\n"), "compressed"),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024)), "cannot be read"),
        ("SSH-2.0-x\r\n\r\n".into(), "cannot be read"),
        (String::new(), "cannot be read"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".into(), "breaks off"),
        (ok(&set(&many)), "at most 32"),
        (ok(&set(&["a", "a"])), "two of its keys have the kid `a`"),
        (ok(&set(&[])), "no key"),
        (ok("<html>"), "not JSON"),
    ] {
        server.say(&says);
        let before = server.asked();
        let error = fetcher.fetch(&server.set("http")).await.expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}, not {expect}");
        assert_eq!(server.asked(), before + 1, "once, wherever it leads");
    }
}

#[tokio::test]
async fn an_issuer_leads_to_its_keys_and_nowhere_else() {
    let ca = Ca::new("ca");
    let (keys, issuer) = (Server::new(None, &ok(&set(&["a"]))).await, Server::new(None, "").await);
    let name = format!("http://localhost:{}/realms/shop", issuer.port);
    let server = KeyServer::issuer_of(&name).expect("an issuer");
    let describe =
        |issuer: &str, port: u16| ok(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"http://localhost:{port}/keys"}}"#));
    issuer.say(&describe(&name, keys.port));
    let both = trusting(&ca, &[keys.listed(), issuer.listed()]);
    assert_eq!(both.fetch(&server).await.expect("keys").set.len(), 1);
    let head = issuer.last.lock().expect("no panic").clone();
    assert!(head.starts_with("GET /realms/shop/.well-known/openid-configuration HTTP/1.1\r\n"), "{head}");
    // What the issuer names is judged like what a document names.
    let error = trusting(&ca, &[issuer.listed()]).fetch(&server).await.expect_err("not listed").to_string();
    assert!(error.contains("only for servers that --key-server names"), "{error}");
    issuer.say(&describe("http://other", keys.port));
    let error = both.fetch(&server).await.expect_err("another issuer").to_string();
    assert!(error.contains("of the issuer `http://other`"), "{error}");
    assert_eq!(keys.asked(), 1);
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn follower(server: &Server, pace: Pace) -> (KeyFollower, KeyServer) {
    let fetcher = Fetcher::new(Arc::default(), &[server.listed()]);
    let (mut follower, named) = (KeyFollower::new(fetcher, pace), server.set("http"));
    follower.update(BTreeSet::from([named.clone()]));
    (follower, named)
}

const NEVER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn keys_are_fetched_anew_and_kept_when_that_fails() {
    let says = |ids: &[&str]| ok(&set(ids)).replace("max-age=90", "max-age=0");
    let server = Server::new(None, &says(&["old"])).await;
    let pace = Pace { usual: SOON, least: SOON, most: NEVER, retry: SOON };
    let (mut follower, named) = follower(&server, pace);
    assert!(!follower.is_tried() && follower.current().find(&named, None).is_none());
    until("tried", || follower.is_tried()).await;
    let has = |follower: &KeyFollower, id: &str| follower.current().find(&named, None).is_some_and(|set| set.has(id));
    assert!(has(&follower, "old"));
    server.say(&says(&["new"]));
    until("rotated", || has(&follower, "new")).await;
    assert!(!has(&follower, "old"));
    server.say("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");
    until("failed", || follower.current().reports()[&named].error.is_some()).await;
    let before = server.asked();
    until("asked again", || server.asked() > before + 1).await;
    let report = follower.current().reports()[&named].clone();
    assert!(
        has(&follower, "new") && report.fetched_ms.is_some() && report.error.is_some_and(|error| error.contains("500"))
    );
    // The same documents again, and others with the same server: what is known stays.
    follower.update(BTreeSet::from([named.clone()]));
    assert!(has(&follower, "new"));
    server.say(&says(&["newest"]));
    until("back", || has(&follower, "newest")).await;
    assert!(follower.current().reports()[&named].error.is_none());
    follower.update(BTreeSet::new());
    assert!(follower.current().reports().is_empty() && follower.is_tried());
}

#[tokio::test]
async fn a_key_that_is_not_known_has_the_server_asked_and_not_more_often_than_it_may_be() {
    let server = Server::new(None, &ok(&set(&["old"]))).await;
    let least = Duration::from_millis(300);
    let (follower, named) = follower(&server, Pace { usual: NEVER, least, most: NEVER, retry: SOON });
    until("tried", || follower.is_tried()).await;
    let keys = follower.current();
    assert!(keys.find(&named, Some("old")).is_some() && keys.find(&named, None).is_some());
    let began = Instant::now();
    server.say(&ok(&set(&["old", "new"])));
    // However many clients ask for it.
    until("the new key", || {
        let current = follower.current();
        assert!((0..100).all(|place| keys.find(&named, Some(&place.to_string())).is_some()));
        current.find(&named, Some("new")).is_some_and(|set| set.has("new"))
    })
    .await;
    let most = began.elapsed().as_millis() / least.as_millis() + 2;
    assert!(server.asked() as u128 <= most, "{} times, at most {most}", server.asked());
    assert!(server.asked() >= 2);
}

#[tokio::test]
async fn a_server_without_keys_is_asked_until_it_has_some() {
    let server = Server::new(None, "").await;
    let (follower, named) = follower(&server, Pace { usual: NEVER, least: SOON, most: NEVER, retry: SOON });
    until("tried", || follower.is_tried()).await;
    assert!(follower.current().find(&named, None).is_none());
    server.say(&ok(&set(&["a"])));
    until("there", || follower.current().find(&named, None).is_some()).await;
}
