//! Row 16: spellings of paths that could reach through an open route what a guarded one covers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::{Ground, Plot, Row, Scale, Site};

#[path = "../../../crates/gray-routes/tests/spellings/mod.rs"]
mod spellings;

use spellings::{ROUTES, SERVERS, Speller, is_guarded};

const CLIENTS: u64 = 8;
/// A filter that no request here gets past.
const GUARD: &str = "{ name: JsonWebToken, args: { key: no client here has this secret, algorithm: HS256 } }";

#[derive(Default)]
struct Count {
    sent: u64,
    served: u64,
    unauthenticated: u64,
    refused: u64,
    leaks: u64,
    broken: u64,
    examples: Vec<String>,
}

impl Count {
    fn note(&mut self, example: String) {
        if self.examples.len() < 4 {
            self.examples.push(example);
        }
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.served += other.served;
        self.unauthenticated += other.unauthenticated;
        self.refused += other.refused;
        self.leaks += other.leaks;
        self.broken += other.broken;
        self.examples.extend(other.examples);
    }
}

/// Tells every client the target that it got, in a header.
struct Upstream {
    port: u16,
    task: AbortHandle,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of the test, not part of any request")]
async fn upstream() -> Result<Upstream> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(tell(stream));
        }
    });
    Ok(Upstream { port, task: task.abort_handle() })
}

async fn tell(mut stream: TcpStream) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(head) = head(&mut stream, &mut buffer).await? {
        let target = head.split(' ').nth(1).context("no target")?;
        let answer = format!("HTTP/1.1 200 OK\r\nx-target: {target}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// The next head; nothing when the connection ended before.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 4);
            return Ok(Some(head));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn client(address: String, seed: u64, requests: u64) -> Result<Count> {
    let (mut speller, mut count) = (Speller::new(seed), Count::default());
    let mut kept: Option<(TcpStream, Vec<u8>)> = None;
    for _ in 0..requests {
        let path = speller.path();
        let (mut stream, mut buffer) = match kept.take() {
            Some(kept) => kept,
            None => (TcpStream::connect(&address).await?, Vec::new()),
        };
        count.sent += 1;
        let answered = async {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes()).await?;
            head(&mut stream, &mut buffer).await
        };
        let Ok(Ok(Some(head))) = tokio::time::timeout(Duration::from_secs(10), answered).await else {
            count.broken += 1;
            count.note(format!("no answer: {path}"));
            continue;
        };
        match (head.split(' ').nth(1), value(&head, "x-target")) {
            // A request that gets this far came through an open route.
            (Some("200"), Some(target)) => {
                count.served += 1;
                let reads = |server: &&spellings::Server| (server.1)(target).is_some_and(|read| is_guarded(&read));
                if let Some((server, _)) = SERVERS.iter().find(reads) {
                    count.leaks += 1;
                    count.note(format!("{path} was sent as {target}, which {server} reads as what is guarded"));
                }
                kept = Some((stream, buffer));
            }
            (Some("401"), _) => {
                count.unauthenticated += 1;
                skip_body(&mut stream, &mut buffer, &head).await?;
                kept = Some((stream, buffer));
            }
            // These end the connection.
            (Some("400"), _) => count.refused += 1,
            _ => {
                count.broken += 1;
                count.note(format!("unexpected: {path} was answered {head:?}"));
            }
        }
    }
    Ok(count)
}

async fn skip_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &str) -> Result<()> {
    let length: usize = value(head, "content-length").context("no length")?.parse()?;
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            break;
        }
    }
    buffer.drain(..length.min(buffer.len()));
    Ok(())
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let upstream = upstream().await?;
    let routes = ROUTES.replace("{uri}", &format!("http://127.0.0.1:{}", upstream.port)).replace("{guard}", GUARD);
    // Without its guarded neighbours an open route takes everything.
    let kept = |line: &&str| !ground.sabotage() || !line.contains("id: echo-admin") && !line.contains("id: root-item");
    let routes = routes.lines().filter(kept).collect::<Vec<_>>().join("\n");
    let site = Site::on_files(Plot { routes, ..Plot::default() }, &["V1"]).await?;
    let address = site.url.trim_start_matches("http://").to_owned();
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for seed in 0..CLIENTS {
        clients.spawn(client(address.clone(), seed, scale.pick(20_000, 1_000_000) / CLIENTS));
    }
    let mut all = Count::default();
    while let Some(count) = clients.join_next().await {
        all.add(count.context("a client failed")??);
    }
    all.examples.truncate(8);
    let Count { sent, served, unauthenticated, refused, leaks, broken, examples } = all;
    let mut row = Row::new(
        format!("{leaks} passed a guard, {broken} without a proper answer, of {sent} spellings"),
        scale.pick("0 pass", "0 of at least 1,000,000 pass"),
        leaks + broken == 0
            && served > sent / 20
            && unauthenticated > sent / 50
            && refused > sent / 20
            && sent >= scale.pick(1, 1_000_000),
    )
    .note(format!(
        "{served} served by open routes, {unauthenticated} asked for a token (401), {refused} refused (400); judged by {} \
         models of how servers decode paths ({}); seeds 0 to {}; {:.0?}",
        SERVERS.len(),
        SERVERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
        CLIENTS - 1,
        began.elapsed()
    ));
    row.details.extend(examples);
    Ok(row)
}
