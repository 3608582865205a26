//! Row 12: clients that send or read a byte now and then, to hold on to a connection for ever.

use std::{
    collections::HashSet,
    fs,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    process::Command,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{Ground, Plot, Row, Scale, Site, tools};
use crate::load::{Load, Plan, percentile};

/// A route to answers of 1 MB: more than the gateway can hand to the kernel for a client that takes nothing. What is
/// longer lies in buffers between the backend and the gateway, and some thousand such use up the TCP memory (`tcp_mem`)
/// that all of them share on one machine.
const BIG: &str = "- { id: big, uri: 'lb://shop', predicates: ['Path=/big/**'], \
                   filters: ['StripPrefix=1', 'AddRequestHeader=x-size, 1000000'] }";

/// What a slow client is slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    /// A line of the head every second.
    Head,
    /// A byte of the body every second.
    Body,
    /// A few bytes of the answer every second.
    Read,
}

impl Slow {
    fn begin(self) -> &'static [u8] {
        match self {
            Self::Head => b"GET /shop/item HTTP/1.1\r\nHost: a\r\n",
            Self::Body => b"POST /shop/item HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
            Self::Read => b"GET /shop/item HTTP/1.1\r\nHost: a\r\nx-size: 1000000\r\n\r\n",
        }
    }

    fn go_on(self) -> &'static [u8] {
        match self {
            Self::Head => b"X-a: b\r\n",
            Self::Body => b"x",
            Self::Read => b"",
        }
    }
}

/// The client's ports of all connections that a server holds, twice a second. A server whose peer takes nothing gives up
/// without a word (`TCP_USER_TIMEOUT`): only its own side shows that.
fn held(server: u16) -> (watch::Receiver<HashSet<u16>>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(HashSet::new());
    let look = move || -> HashSet<u16> {
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
        let line = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
            (port(local)? == server && state == "01").then(|| port(remote))?
        };
        table.lines().filter_map(line).collect()
    };
    let task = tokio::spawn(async move {
        while !sender.is_closed() {
            sender.send_replace(look());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    (receiver, task)
}

/// How long the gateway lets it go on; none when it still does in the end.
async fn client(
    address: SocketAddr,
    slow: Slow,
    limit: Duration,
    held: watch::Receiver<HashSet<u16>>,
) -> Result<Option<Duration>> {
    let socket = TcpSocket::new_v4()?;
    if slow == Slow::Read {
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(address).await?;
    let (began, port) = (Instant::now(), stream.local_addr()?.port());
    stream.write_all(slow.begin()).await?;
    let mut sent = Instant::now();
    while began.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if ended(&stream, slow)? {
            return Ok(Some(began.elapsed()));
        }
        // The first looks may be older than the connection.
        if began.elapsed() > Duration::from_secs(2) && !held.borrow().contains(&port) {
            return Ok(Some(began.elapsed()));
        }
        if sent.elapsed() >= Duration::from_secs(1) {
            sent = Instant::now();
            if stream.write_all(slow.go_on()).await.is_err() {
                return Ok(Some(began.elapsed()));
            }
            if slow == Slow::Read && gone(&stream, 5)? {
                return Ok(Some(began.elapsed()));
            }
        }
    }
    Ok(None)
}

/// Whether the other side has ended it. A slow reader must not read to find that out.
fn ended(stream: &TcpStream, slow: Slow) -> Result<bool> {
    match slow {
        Slow::Read => Ok(stream.take_error()?.is_some()),
        Slow::Head | Slow::Body => gone(stream, 4096),
    }
}

fn gone(stream: &TcpStream, most: usize) -> Result<bool> {
    match stream.try_read(&mut vec![0; most]) {
        Ok(count) => Ok(count == 0),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(_) => Ok(true),
    }
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let site = Site::on_files(Plot { routes: BIG.into(), ..Plot::default() }, &["V1", "V1"]).await?;
    let address: SocketAddr = site.url.trim_start_matches("http://").parse()?;
    let rate = scale.pick(100, 500);
    let quiet = Load::start(Plan::new(&site.url, rate));
    quiet.more(scale.pick(400, 5000)).await?;
    let quiet = quiet.stop().await?;
    let before = quiet.latency(0.99, |_| true);

    let load = Load::start(Plan::new(&site.url, rate));
    let count = scale.pick(50, 2000);
    let (connections, looking) = held(address.port());
    let mut rows = Vec::new();
    let mut phases = Vec::new();
    for slow in [Slow::Head, Slow::Body, Slow::Read] {
        let from = load.now();
        let mut clients = JoinSet::new();
        let limit = if ground.sabotage() { Duration::from_secs(1) } else { Duration::from_secs(25) };
        for _ in 0..count {
            clients.spawn(client(address, slow, limit, connections.clone()));
            // A few hundred a second; a reader first costs what the kernel takes, which is not measured.
            tokio::time::sleep(Duration::from_millis(if slow == Slow::Read { 10 } else { 2 })).await;
        }
        let (mut times, mut held) = (Vec::new(), 0);
        while let Some(ended) = clients.join_next().await {
            match ended.context("a client failed")?? {
                Some(time) => times.push(time),
                None => held += 1,
            }
        }
        rows.push((slow, percentile(times, 1.0), held));
        phases.push((slow, from, load.now()));
    }
    looking.abort();
    let others = if scale == Scale::Full { slowhttptest(&site, count).await? } else { Vec::new() };
    let available = others.iter().all(|(_, available)| *available);
    let account = load.stop().await?;
    let beside = |from: Duration, to: Duration| account.latency(0.99, |record| record.due >= from && record.due < to);
    let during = phases.iter().map(|(_, from, to)| beside(*from, *to)).max().unwrap_or_default();
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let limit = Duration::from_millis(10_500);
    let closed = rows.iter().all(|(_, longest, held)| *held == 0 && *longest <= limit);
    let twice = scale.slack(before.max(Duration::from_millis(scale.pick(40, 5))) * 2);
    let shown: Vec<_> = rows
        .iter()
        .map(|(slow, longest, held)| format!("{slow:?} closed after {longest:.1?} at the latest, {held} held"))
        .collect();
    let by_phase: Vec<_> =
        phases.iter().map(|(slow, from, to)| format!("{slow:?} {:.1?}", beside(*from, *to))).collect();
    let mut row = Row::new(
        format!(
            "{} of {count} each; legit: {} failed of {}, p99 {during:.1?}",
            shown.join("; "),
            verdict.failed,
            verdict.sent
        ),
        format!("closed <= 10 s; legit 100 % ok, p99 <= {twice:.1?}"),
        closed && available && verdict.clean() && during <= twice,
    )
    .note(format!(
        "legit p99 without slow clients {before:.1?}, beside them: {}; a line, a byte, or 5 bytes read per second; \
         closed is what the gateway's own sockets show",
        by_phase.join(", ")
    ))
    .examples(&verdict);
    row.details.extend(others.into_iter().map(|(said, _)| said));
    Ok(row)
}

/// The same by slowhttptest, if it is here: what it says in the end, and whether the service was always available to it.
async fn slowhttptest(site: &Site, count: usize) -> Result<Vec<(String, bool)>> {
    let Some(program) = tools::find("slowhttptest") else {
        return Ok(vec![(tools::missing("slowhttptest"), true)]);
    };
    let mut seen = Vec::new();
    for mode in [&["-H"][..], &["-B"], &["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"]] {
        let url = format!("{}/{}/item", site.url, if mode[0] == "-X" { "big" } else { "shop" });
        let count = count.to_string();
        let args = ["-c", &count, "-r", "500", "-i", "2", "-l", "40", "-p", "3", "-u", &url];
        let output = Command::new(&program).args(mode).args(args).output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = |what: &str| {
            let line = said.lines().rev().find(|line| line.contains(what))?;
            // Colours stand around the words.
            let plain: String =
                line.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, text)| text)).collect();
            Some(plain.rsplit(':').next()?.trim().to_owned())
        };
        let part = |what: &str| last(what).unwrap_or_else(|| "?".to_owned());
        let available = !said.contains("NO") && part("service available").contains("YES");
        let left =
            if mode[0] == "-X" { " (it does not look whether what it does not read is still there)" } else { "" };
        seen.push((
            format!(
                "slowhttptest {} with {count} connections: {}, {}{left}; service available throughout: {available}",
                mode[0],
                part("Exit status").to_lowercase(),
                said.lines().rev().find(|line| line.contains("Test ended")).unwrap_or("?").to_lowercase(),
            ),
            available,
        ));
    }
    Ok(seen)
}
