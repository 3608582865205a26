//! Row 5: how long until a gateway sends requests to an instance that has registered, and no more to one that has left.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{Ground, Plot, Row, SHOP, Scale, Site};
use crate::{load::percentile, request::Answer};

/// Time without a request after which an instance counts as left; more than the pushes of a registry take.
const QUIET: Duration = Duration::from_millis(1500);

/// Answers every request as `guest`.
pub(super) async fn guest() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nx-version: guest\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}

struct Probe<'a> {
    site: &'a Site,
    sent: usize,
    failed: usize,
}

impl Probe<'_> {
    /// One request; whether the guest answered.
    async fn guest_answers(&mut self) -> Result<bool> {
        let answer: Answer = self.site.http.get(&format!("{}/shop/probe", self.site.url), &[]).await?;
        self.sent += 1;
        self.failed += usize::from(answer.status != 200);
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(answer.header("x-version") == Some("guest"))
    }
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let site = Site::on_nacos(ground.nacos().await?, Plot::default(), &["V1"]).await?;
    let namespace = site.namespace()?;
    let port = guest().await?;
    let mut probe = Probe { site: &site, sent: 0, failed: 0 };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for cycle in 0..scale.pick(5, 200) {
        let began = Instant::now();
        namespace.register(SHOP, port, "V1").await?;
        if ground.sabotage() {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        while !probe.guest_answers().await? {
            ensure!(began.elapsed() < Duration::from_secs(30), "cycle {cycle}: no request reaches the new instance");
        }
        first.push(began.elapsed());
        // A registry that has just pushed may collect what follows.
        let (began, mut seen) = (Instant::now(), Instant::now());
        namespace.deregister(SHOP, port, "V1").await?;
        while seen.elapsed() < QUIET {
            if probe.guest_answers().await? {
                seen = Instant::now();
            }
            if began.elapsed() > Duration::from_secs(30) {
                let listed = namespace.instances(SHOP).await?;
                let still = listed.iter().any(|instance| instance.port == port);
                let log = site.gateway.log();
                bail!(
                    "cycle {cycle}: requests still reach the one that left (in Nacos' list: {still}); the gateway's log:\n{log}"
                );
            }
        }
        last.push(seen.saturating_duration_since(began));
    }
    let (sent, failed) = (probe.sent, probe.failed);
    let worst = percentile(first.clone(), 0.99).max(percentile(last.clone(), 0.99));
    let limit = scale.slack(Duration::from_millis(1500));
    let shown = |name: &str, times: &[Duration]| {
        let at = |share| percentile(times.to_vec(), share);
        format!("{name}: p50 {:.0?}, p99 {:.0?}, longest {:.0?}", at(0.5), at(0.99), at(1.0))
    };
    let cycles = first.len();
    Ok(Row::new(
        format!("p99 {worst:.0?} over {cycles} cycles; {failed} failed of {sent}"),
        format!("p99 <= {limit:.1?}"),
        worst <= limit && failed == 0,
    )
    .note("on Nacos, which itself collects changes for 500 ms; one request after the other, every 2 ms and more")
    .note(shown("first request after registering", &first))
    .note(shown("last request after deregistering", &last)))
}
