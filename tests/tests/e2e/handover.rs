//! Restarts of a gateway that no client notices.
#![expect(clippy::disallowed_methods, reason = "clients and backends of a test have no release context")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{Router, extract::State, routing::any};
use e2e_tests::{App, Lab, Stage, eventually, ports};
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);
const ROUTES: &str = "\
spring.cloud.gateway.routes:
  - { id: plain-app, uri: 'lb://plain-app', predicates: ['Path=/plain/**'], filters: ['StripPrefix=1'] }
  - { id: socket-app, uri: 'lb://socket-app', predicates: ['Path=/socket/**'], filters: ['StripPrefix=1'] }
";

/// One gateway after the other, on one port.
struct Site {
    lab: Lab,
    address: SocketAddr,
    admin_port: u16,
    handover: String,
    /// Slow requests are answered when it says so.
    answer: watch::Sender<bool>,
    backends: Vec<JoinHandle<()>>,
}

impl Site {
    async fn new() -> Result<Self> {
        let lab = Lab::new("", "gray: {}")?;
        lab.routes(ROUTES)?;
        let (answer, answers) = watch::channel(false);
        let slow = async |State(mut answers): State<watch::Receiver<bool>>| {
            drop(answers.wait_for(|answer| *answer).await);
            "slow"
        };
        let app = Router::new().route("/slow", any(slow)).fallback(any(async || "quick")).with_state(answers);
        let plain = TcpListener::bind("127.0.0.1:0").await?;
        lab.list("plain-app", plain.local_addr()?.port(), &json!({ "version": "V1" }))?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        lab.list("socket-app", socket.local_addr()?.port(), &json!({ "version": "V1" }))?;
        let plain = tokio::spawn(async move { drop(axum::serve(plain, app).await) });
        let backends = vec![plain, tokio::spawn(echo(socket))];
        let [port, admin_port] = ports::free()?;
        let handover = lab.directory("run")?.join("handover").display().to_string();
        Ok(Self { lab, address: ([127, 0, 0, 1], port).into(), admin_port, handover, answer, backends })
    }

    fn start(&self, workers: usize) -> Result<App> {
        self.start_with(workers, &self.lab.control_args())
    }

    fn start_with(&self, workers: usize, control: &[String]) -> Result<App> {
        let own = [
            ("--port", self.address.port().to_string()),
            ("--admin-port", self.admin_port.to_string()),
            ("--handover", self.handover.clone()),
            ("--workers", workers.to_string()),
        ];
        let own = own.map(|(name, value)| [name.to_owned(), value]).concat();
        App::start("gray-gateway", &[&own, control].concat())
    }

    /// The next one, which has taken over.
    async fn succeed(&self, workers: usize) -> Result<App> {
        let app = self.start(workers)?;
        logs(&app, "taken over").await?;
        Ok(app)
    }

    fn registered(&self) -> Result<bool> {
        let file = format!("gateway-app@127.0.0.1@{}.json", self.address.port());
        Ok(self.lab.directory("registry")?.join(file).exists())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.backends.iter().for_each(JoinHandle::abort);
    }
}

async fn logs(app: &App, words: &str) -> Result<()> {
    eventually(&format!("it logs `{words}`"), || async {
        ensure!(app.log().contains(words), "{}", app.log());
        Ok(())
    })
    .await
}

/// Confirms websockets, then sends back what comes.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            read_head(&mut stream).await?;
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
            stream.write_all(switch).await?;
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await?;
            anyhow::Ok(())
        });
    }
}

/// Reads a head to its end and not further.
async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.with_context(|| format!("after {} bytes of a head", head.len()))?);
    }
    Ok(String::from_utf8(head)?.to_ascii_lowercase())
}

/// Sends one request and reads its answer; true when the connection may be used again.
async fn ask(stream: &mut TcpStream, path: &str, expect: &str) -> Result<bool> {
    stream.write_all(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").as_bytes()).await?;
    let head = read_head(stream).await?;
    ensure!(head.starts_with("http/1.1 200 "), "{head}");
    let mut body = vec![0; expect.len()];
    stream.read_exact(&mut body).await?;
    ensure!(body == expect.as_bytes(), "{body:?}");
    Ok(!head.contains("\r\nconnection: close\r\n"))
}

/// Clients that nothing may happen to: POSTs, which are not sent twice.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Clients {
    /// So many that keep their connections as long as they may, and as many that never do.
    fn start(address: SocketAddr, count: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let failed = Arc::<Mutex<Vec<String>>>::default();
        let task = |number| {
            let (stop, answered, failed) = (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&failed));
            let keep = number % 2 == 0;
            tokio::spawn(async move {
                let (mut sent, mut kept) = (0, None);
                while !stop.load(Relaxed) {
                    let was_kept = kept.is_some();
                    match timeout(LIMIT, request(address, kept.take())).await {
                        Ok(Ok((stream, may_keep))) => kept = (keep && may_keep).then_some(stream),
                        Ok(Err(error)) => {
                            note(&failed, format!("request {sent}, on a kept connection {was_kept}: {error:#}"))
                        }
                        Err(_) => note(&failed, format!("request {sent}, on a kept connection {was_kept}: no answer")),
                    }
                    sent += 1;
                    answered.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                sent
            })
        };
        let tasks = (0..2 * count).map(task).collect();
        Self { stop, answered, failed, tasks }
    }

    /// Waits for another `count` answers.
    async fn more(&self, count: usize) -> Result<()> {
        let goal = self.answered.load(Relaxed) + count;
        eventually("clients are answered", || async {
            ensure!(self.answered.load(Relaxed) >= goal, "too few");
            Ok(())
        })
        .await
    }

    async fn stop(self) -> Result<usize> {
        self.stop.store(true, Relaxed);
        let mut sent = 0;
        for task in self.tasks {
            sent += task.await?;
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(failed.is_empty(), "{} of {sent} requests failed: {:#?}", failed.len(), &failed[..failed.len().min(5)]);
        Ok(sent)
    }
}

fn note(failed: &Mutex<Vec<String>>, failure: String) {
    failed.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
}

/// One request, on this connection or a new one; also says whether it may be used again.
async fn request(address: SocketAddr, kept: Option<TcpStream>) -> Result<(TcpStream, bool)> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect(address).await.context("no connection")?,
    };
    let may_keep = ask(&mut stream, "/plain/x", "quick").await?;
    Ok((stream, may_keep))
}

async fn websocket(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let ask = b"GET /socket/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    stream.write_all(ask).await?;
    let head = read_head(&mut stream).await?;
    ensure!(head.starts_with("http/1.1 101 "), "{head}");
    Ok(stream)
}

async fn echoes(stream: &mut TcpStream, text: &str) -> Result<()> {
    stream.write_all(text.as_bytes()).await?;
    let mut back = vec![0; text.len()];
    timeout(LIMIT, stream.read_exact(&mut back)).await??;
    ensure!(back == text.as_bytes(), "{back:?}");
    Ok(())
}

pub(crate) async fn restarts_under_load_lose_nothing(_: Arc<Stage>) -> Result<()> {
    let site = Site::new().await?;
    let mut running = site.start(2)?;
    running.wait_ready(site.admin_port).await?;
    let clients = Clients::start(site.address, 4);
    // A long request and a websocket through the first one, to the end.
    let mut socket = websocket(site.address).await?;
    let mut slow = TcpStream::connect(site.address).await?;
    let slow = tokio::spawn(async move { ask(&mut slow, "/plain/slow", "slow").await });
    clients.more(200).await?;
    let mut first = None;
    // More and fewer workers: no connections are forgotten.
    for workers in [1, 3, 2, 4, 1, 2] {
        let next = site.succeed(workers).await?;
        let mut old = std::mem::replace(&mut running, next);
        if first.is_none() {
            first = Some(old);
        } else {
            let status = old.ended().await?;
            ensure!(status.success(), "{status}\n{}", old.log());
        }
        clients.more(200).await?;
        ensure!(site.registered()?, "the address is not registered any more");
        running.wait_ready(site.admin_port).await?;
        echoes(&mut socket, "still here").await?;
    }
    let mut first = first.context("there was a first one")?;
    ensure!(!slow.is_finished(), "the long request ended early");
    site.answer.send_replace(true);
    ensure!(!slow.await??, "the long request's connection should be its last");
    drop(socket);
    ensure!(first.ended().await?.success(), "{}", first.log());
    let sent = clients.stop().await?;
    ensure!(sent > 1400, "only {sent} requests");
    ensure!(running.stop().await?.success(), "{}", running.log());
    ensure!(!site.registered()?, "still registered after its end");
    ensure!(!std::path::Path::new(&site.handover).exists(), "the socket was left behind");
    Ok(())
}

pub(crate) async fn a_successor_that_fails_changes_nothing(_: Arc<Stage>) -> Result<()> {
    let site = Site::new().await?;
    let mut running = site.start(2)?;
    running.wait_ready(site.admin_port).await?;
    let clients = Clients::start(site.address, 2);
    // Without settings it never gets ready.
    let empty = site.lab.directory("empty")?.display().to_string();
    let registry = site.lab.directory("registry")?.display().to_string();
    let nothing = ["--config-dir", &empty, "--registry-dir", &registry, "--advertise", "127.0.0.1"].map(str::to_owned);
    for signal in [Signal::KILL, Signal::TERM] {
        let mut failing = site.start_with(1, &nothing)?;
        logs(&failing, "taking over from").await?;
        clients.more(100).await?;
        failing.signal(signal)?;
        failing.ended().await?;
        clients.more(100).await?;
        ensure!(site.registered()?, "the address is not registered any more");
        logs(&running, "ended before it was ready").await?;
    }
    // A mistake in its flags is said at once.
    let mut failing = site.start_with(1, &["--tls-cert=no.pem".to_owned(), "--tls-key=no.pem".to_owned()])?;
    ensure!(!failing.ended().await?.success(), "{}", failing.log());

    // And when the one that runs is killed, the one that waits serves.
    let waiting = site.start_with(1, &nothing)?;
    logs(&waiting, "taking over from").await?;
    clients.stop().await?;
    running.kill().await?;
    logs(&waiting, "ended before this one was ready").await?;
    eventually("the new one answers", || async {
        let mut stream = TcpStream::connect(site.address).await?;
        stream.write_all(b"GET /plain/x HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let head = read_head(&mut stream).await?;
        // It does not know yet what routes there are.
        ensure!(head.starts_with("http/1.1 503 "), "{head}");
        Ok(())
    })
    .await
}
