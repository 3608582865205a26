//! Row 8: the gateway itself is replaced under load, with long requests and websockets under way.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{CANARY, Ground, Plot, Row, Scale, Site};
use crate::{
    eventually,
    load::{DELAY, Kind, Load, Plan},
};

const ROUTE: &str = "- { id: socket, uri: 'lb://socket', predicates: ['Path=/socket/**'], filters: ['StripPrefix=1'] }";
const LIMIT: Duration = Duration::from_secs(10);

/// Confirms websockets, then sends back what comes.
async fn echo() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                head(&mut stream).await?;
                let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
                stream.write_all(switch).await?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await?;
                anyhow::Ok(())
            });
        }
    });
    Ok(port)
}

async fn head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.with_context(|| format!("after {} bytes of a head", head.len()))?);
    }
    Ok(String::from_utf8(head)?)
}

async fn websocket(address: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let ask = b"GET /socket/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    stream.write_all(ask).await?;
    let answer = head(&mut stream).await?;
    ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    Ok(stream)
}

async fn echoes(stream: &mut TcpStream, text: &str) -> Result<()> {
    let mut back = vec![0; text.len()];
    timeout(LIMIT, async {
        stream.write_all(text.as_bytes()).await?;
        stream.read_exact(&mut back).await
    })
    .await??;
    ensure!(back == text.as_bytes(), "{back:?}");
    Ok(())
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let sockets = tempfile::tempdir()?;
    let path = sockets.path().join("handover").display().to_string();
    let more = if ground.sabotage() { vec![] } else { vec!["--handover".to_owned(), path] };
    let plot = Plot { routes: ROUTE.to_owned(), gateway_args: more, ..Plot::default() };
    let mut site = Site::on_files(plot, &["V1", "V1", "V2"]).await?;
    site.list("socket", echo().await?, "V1")?;
    let address = site.url.trim_start_matches("http://").to_owned();
    eventually("websockets are served", || async { websocket(&address).await.map(drop) }).await?;

    let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
    let quick = Load::start(Plan::new(&site.url, scale.pick(100, 1000)).of(kinds));
    // Requests that outlast a restart.
    let long = Load::start(Plan::new(&site.url, 4).of([Kind::new("long", &[(DELAY, "3000")])]));
    quick.more(scale.pick(100, 2000)).await?;
    let (restarts, mut dead) = (scale.pick(3, 20), 0);
    let mut open: Vec<TcpStream> = Vec::new();
    for number in 0..restarts {
        let mut socket = websocket(&address).await?;
        echoes(&mut socket, "before").await?;
        open.push(socket);
        if ground.sabotage() {
            site.gateway.kill().await?;
        }
        let old = site.succeed().await?;
        quick.more(scale.pick(100, 3000)).await?;
        // The newest websocket goes through the gateway that was replaced.
        if let Some(mut socket) = open.pop() {
            dead += usize::from(echoes(&mut socket, &format!("after {number}")).await.is_err());
        }
        if let Some(mut old) = old {
            let status = old.ended().await?;
            ensure!(status.success(), "the gateway ended with {status}:\n{}", old.log());
        }
    }
    let (quick, long) = (quick.stop().await?, long.stop().await?);
    let ledger = site.ledger()?;
    let verdict = quick
        .judge(&ledger, |kind, _| if kind == "gray" { &["V2"] } else { &["V1"] })
        .and(long.judge(&ledger, |_, _| &["V1"]));
    Ok(Row::new(
        format!("{verdict}; {dead} of {restarts} websockets broken"),
        "0 failed, no websocket broken",
        verdict.clean() && dead == 0,
    )
    .note(format!(
        "{restarts} restarts by handover of the listening sockets (`--handover`); {} requests of 3 s beside {} quick ones; \
         a websocket through each gateway that was replaced",
        long.records.len(),
        quick.records.len()
    ))
    .note(format!("latency p99 {:.1?}", quick.latency(0.99, |_| true)))
    .examples(&verdict))
}
