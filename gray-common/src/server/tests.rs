//! At the socket: what the limits end, and what they let live.

use std::{net::SocketAddr, time::Instant};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use futures_util::stream;
use gray_context::spawn;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::*;

/// For what has to happen some time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the connections under test.
const LIMIT: Duration = Duration::from_millis(400);
const BIG: usize = 64 << 20;

struct Running {
    server: Server,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
    /// Lets handlers of `/wait` and `/events` go on, one each.
    go_on: Arc<Semaphore>,
}

async fn events(go_on: Arc<Semaphore>) -> impl IntoResponse {
    let events = stream::unfold(0, move |count| {
        let go_on = Arc::clone(&go_on);
        async move {
            if count > 0 {
                go_on.acquire().await.expect("open").forget();
            }
            (count < 2).then(|| (Ok::<_, Infallible>(format!("data: {count}\n\n")), count + 1))
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
}

async fn echo_after_upgrade(mut request: Request) -> impl IntoResponse {
    let upgrade = hyper::upgrade::on(&mut request);
    drop(spawn(async move {
        let mut socket = TokioIo::new(upgrade.await.expect("upgraded"));
        let (mut from, mut to) = tokio::io::split(&mut socket);
        tokio::io::copy(&mut from, &mut to).await
    }));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, "upgrade".parse().expect("valid"));
    headers.insert(header::UPGRADE, "echo".parse().expect("valid"));
    (StatusCode::SWITCHING_PROTOCOLS, headers)
}

fn app(go_on: &Arc<Semaphore>) -> Router {
    let (wait, sse) = (Arc::clone(go_on), Arc::clone(go_on));
    Router::new()
        .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
        .route("/wait", get(async move || wait.acquire().await.expect("open").forget()))
        .route("/events", get(async move || events(sse).await))
        .route("/big", get(async || vec![b'x'; BIG]))
        .route("/length", post(async |body: axum::body::Bytes| body.len().to_string()))
        .route("/ignored", post(async || StatusCode::PAYLOAD_TOO_LARGE))
        .route("/upgrade", get(echo_after_upgrade))
}

/// All time limits but one are far away.
async fn start(limit: impl FnOnce(&mut Limits)) -> Running {
    let (head_timeout, idle_timeout, body_timeout) = (PATIENCE * 10, PATIENCE * 10, PATIENCE * 10);
    let mut limits = Limits { head_timeout, idle_timeout, body_timeout, ..Limits::default() };
    limit(&mut limits);
    let server = Server::new(limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let go_on = Arc::new(Semaphore::new(0));
    let (stop, stopped) = oneshot::channel::<()>();
    let (serving, app) = (server.clone(), app(&go_on));
    let ended = spawn(async move { serving.serve(listener, app, async { drop(stopped.await) }).await });
    Running { server, address, stop: Some(stop), ended, go_on }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    async fn request(&self, head: &str) -> TcpStream {
        let mut socket = self.connect().await;
        socket.write_all(format!("{head}\r\nhost: x\r\n\r\n").as_bytes()).await.expect("sends");
        socket
    }

    async fn until_connections(&self, count: usize) {
        let there = async {
            while self.server.connections() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, there).await.is_ok(), "{} connections, not {count}", self.server.connections());
    }

    /// A connection that has sent a request is idle still until that is read.
    async fn until_idle(&self, count: usize) {
        let there = async {
            while self.server.room.idle() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, there).await.is_ok(), "{} are idle, not {count}", self.server.room.idle());
    }
}

/// What comes until the server closes; `None`: it broke off.
async fn rest(socket: &mut TcpStream) -> Option<String> {
    let mut all = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut all)).await.expect("closed in time");
    read.ok().map(|_| String::from_utf8_lossy(&all).into_owned())
}

/// What comes until it ends so.
async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    let reading = async {
        while !all.ends_with(end) {
            let mut part = [0; 4096];
            let count = socket.read(&mut part).await.expect("reads");
            assert!(count > 0, "ended without {end:?}: {all}");
            all.push_str(std::str::from_utf8(&part[..count]).expect("text"));
        }
    };
    assert!(timeout(PATIENCE, reading).await.is_ok(), "no {end:?}");
    all
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let server = start(|limits| limits.head_timeout = LIMIT).await;
    for trickles in [false, true] {
        let began = Instant::now();
        let mut socket = server.connect().await;
        socket.write_all(b"GET / HTTP/1.1\r\n").await.expect("sends");
        let (mut from, mut to) = socket.split();
        let trickle = async {
            while trickles && to.write_all(b"a: b\r\n").await.is_ok() {
                sleep(LIMIT / 10).await;
            }
            std::future::pending::<()>().await;
        };
        let mut all = Vec::new();
        tokio::select! {
            _ = timeout(PATIENCE, from.read_to_end(&mut all)) => {}
            () = trickle => {}
        }
        assert!(began.elapsed() >= LIMIT && began.elapsed() < PATIENCE, "{trickles}: after {:?}", began.elapsed());
        server.until_connections(0).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let server = start(|limits| limits.idle_timeout = LIMIT).await;
    let (fresh, began) = (&mut server.connect().await, Instant::now());
    assert_eq!(rest(fresh).await.as_deref(), Some(""));
    assert!(began.elapsed() >= LIMIT);

    // Each request begins the time anew, also the one after an answer.
    let (mut socket, began) = (server.connect().await, Instant::now());
    let mine = socket.local_addr().expect("bound").to_string();
    for _ in 0..4 {
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
        assert!(read_until(&mut socket, &mine).await.starts_with("HTTP/1.1 200"));
        sleep(LIMIT / 3).await;
    }
    assert!(began.elapsed() >= LIMIT, "longer than the limit in all");
    assert_eq!(rest(&mut socket).await.as_deref(), Some(""));
}

#[tokio::test]
async fn a_head_may_have_64_kib() {
    let server = start(|_| {}).await;
    for (size, status) in [(60 << 10, "200"), (66 << 10, "431"), (400 << 10, "431")] {
        let mut socket = server.connect().await;
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n", "a".repeat(size));
        let (mut from, mut to) = socket.split();
        // To the last byte, also when it is not wanted any more.
        let sending = async { to.write_all(head.as_bytes()).await };
        let mut answer = Vec::new();
        let (sent, read) = tokio::join!(sending, timeout(PATIENCE, from.read_to_end(&mut answer)));
        read.expect("in time").unwrap_or_else(|error| panic!("{size}: {error}, sent: {sent:?}"));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{size}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_does_not_take_the_answer_back() {
    let server = start(|_| {}).await;
    for _ in 0..20 {
        let mut socket = server.connect().await;
        let (mut from, mut to) = socket.split();
        let sending = async {
            to.write_all(b"POST /ignored HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n").await?;
            to.write_all(&vec![b'x'; 3_000_000]).await
        };
        let mut answer = Vec::new();
        let (sent, read) = tokio::join!(sending, timeout(PATIENCE, from.read_to_end(&mut answer)));
        read.expect("in time").unwrap_or_else(|error| panic!("{error}, sent: {sent:?}"));
        assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let server = start(|limits| limits.max_connections = 2).await;
    let mut busy = [server.request("GET /wait HTTP/1.1").await, server.request("GET /wait HTTP/1.1").await];
    server.until_connections(2).await;
    server.until_idle(0).await;
    let refused = rest(&mut server.request("GET / HTTP/1.1").await).await.expect("an answer");
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{refused}");
    assert_eq!((server.server.refused(), server.server.evicted()), (1, 0));

    // Idle connections make room for busy ones.
    server.go_on.add_permits(2);
    for socket in &mut busy {
        assert!(read_until(socket, "\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    }
    let mut more = Vec::new();
    for _ in 0..2 {
        server.until_idle(2).await;
        let mut another = server.connect().await;
        let mine = another.local_addr().expect("bound").to_string();
        another.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
        assert!(read_until(&mut another, &mine).await.starts_with("HTTP/1.1 200"));
        more.push(another);
    }
    assert_eq!((server.server.refused(), server.server.evicted()), (1, 2), "one for each");
    assert_eq!(rest(&mut busy[0]).await.as_deref(), Some(""), "who has been idle for longest");
}

#[tokio::test]
async fn who_does_not_read_is_cut_off() {
    let server = start(|limits| limits.body_timeout = LIMIT).await;
    let (silent, began) = (server.request("GET /big HTTP/1.1").await, Instant::now());
    server.until_connections(1).await;
    server.until_connections(0).await;
    assert!(began.elapsed() >= LIMIT);
    drop(silent);
}

#[tokio::test]
async fn who_reads_slowly_is_waited_for() {
    // Neither counts while something passes: the answer is through for the server long before it is for the client.
    let server = start(|limits| (limits.body_timeout, limits.idle_timeout) = (LIMIT * 3, LIMIT * 3)).await;
    let (mut socket, began) = (server.request("GET /big HTTP/1.1").await, Instant::now());
    let (mut count, mut part) = (0, vec![0; 4 << 20]);
    while count < BIG {
        count += timeout(PATIENCE, socket.read(&mut part)).await.expect("in time").expect("not cut off");
        if began.elapsed() < LIMIT * 6 {
            sleep(LIMIT / 4).await;
        }
    }
    assert!(began.elapsed() >= LIMIT * 3, "longer than the limit in all");
}

#[tokio::test]
async fn an_answer_may_be_silent() {
    let all = |limits: &mut Limits| {
        (limits.head_timeout, limits.idle_timeout, limits.body_timeout) = (LIMIT / 4, LIMIT / 4, LIMIT / 4);
    };
    let server = start(all).await;
    let mut socket = server.request("GET /events HTTP/1.1").await;
    read_until(&mut socket, "data: 0\n\n\r\n").await;
    sleep(LIMIT * 2).await;
    server.go_on.add_permits(2);
    read_until(&mut socket, "data: 1\n\n\r\n0\r\n\r\n").await;

    let mut waiting = server.request("GET /wait HTTP/1.1").await;
    sleep(LIMIT * 2).await;
    server.go_on.add_permits(1);
    assert!(read_until(&mut waiting, "\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_may_take_long_but_not_fall_silent() {
    let server = start(|limits| limits.body_timeout = LIMIT).await;
    let upload = async |count: usize| {
        let mut socket = server.connect().await;
        socket.write_all(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n").await.expect("sends");
        for _ in 0..count {
            sleep(LIMIT / 4).await;
            socket.write_all(b"x").await.expect("sends");
        }
        socket
    };
    let (began, mut socket) = (Instant::now(), upload(8).await);
    assert!(read_until(&mut socket, "\r\n\r\n8").await.starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() >= LIMIT, "longer than the limit in all");
    drop(socket);

    let (mut socket, began) = (upload(3).await, Instant::now());
    let answer = rest(&mut socket).await.expect("an answer");
    assert!(began.elapsed() >= LIMIT * 3 / 4, "after {:?}", began.elapsed());
    assert!(answer.starts_with("HTTP/1.1 400 "), "the handler's answer: {answer}");
    server.until_connections(0).await;
}

#[tokio::test]
async fn after_an_upgrade_the_handler_has_the_connection() {
    let all = |limits: &mut Limits| {
        (limits.head_timeout, limits.idle_timeout, limits.body_timeout) = (LIMIT / 4, LIMIT / 4, LIMIT / 4);
    };
    let mut server = start(all).await;
    let mut socket = server.request("GET /upgrade HTTP/1.1\r\nconnection: upgrade\r\nupgrade: echo").await;
    assert!(read_until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    for said in ["hello", "again"] {
        sleep(LIMIT * 2).await;
        socket.write_all(said.as_bytes()).await.expect("sends");
        assert_eq!(read_until(&mut socket, said).await, said);
    }
    assert_eq!(server.server.connections(), 1, "it has its place");
    assert_eq!(server.server.room.idle(), 0, "and is not to make room");

    // A stop does not wait for it, as before.
    drop(server.stop.take());
    timeout(PATIENCE, &mut server.ended).await.expect("in time").expect("no panic");
    drop(socket);
    server.until_connections(0).await;
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_and_waits_for_the_rest() {
    let mut server = start(|_| {}).await;
    let (mut idle, mut busy) = (server.request("GET / HTTP/1.1").await, server.request("GET /wait HTTP/1.1").await);
    let mine = idle.local_addr().expect("bound").to_string();
    read_until(&mut idle, &mine).await;
    server.until_connections(2).await;
    server.until_idle(1).await;
    drop(server.stop.take());
    assert_eq!(rest(&mut idle).await.as_deref(), Some(""));
    assert!(TcpStream::connect(server.address).await.is_err(), "no longer accepting");
    assert!(!server.ended.is_finished());
    server.go_on.add_permits(1);
    let answer = rest(&mut busy).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    timeout(PATIENCE, server.ended).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_off_what_it_has() {
    let server = start(|_| {}).await;
    let mut busy = server.request("GET /wait HTTP/1.1").await;
    server.until_connections(1).await;
    server.until_idle(0).await;
    server.ended.abort();
    assert!(matches!(rest(&mut busy).await.as_deref(), None | Some("")));
    server.until_connections(0).await;
}

#[tokio::test]
async fn requests_may_come_all_at_once() {
    let server = start(|limits| (limits.head_timeout, limits.idle_timeout) = (LIMIT, LIMIT)).await;
    let mut socket = server.connect().await;
    let three = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3);
    socket.write_all(three.as_bytes()).await.expect("sends");
    let answers = rest(&mut socket).await.expect("answers");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
}
