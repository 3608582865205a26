//! How long a change takes from the control plane to the first request that shows it, on a real Nacos.
//!
//! `cargo run --release -p e2e-tests --example propagation -- [cycles]` (programs from the same profile's folder).
//! A request is sent every few milliseconds without pause; a figure is the time from the moment before the change was
//! sent to Nacos to the end of the first request that shows it, so it is an upper bound.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use axum::{Router, routing::get};
use e2e_tests::{Chain, Nacos, Setup};
use gray_core::Instance;
use gray_nacos::{NacosOptions, NacosRegistry};
use gray_registry::Registry as _;

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    let cycles = std::env::args().nth(1).map_or(Ok(100), |text| text.parse()).context("the number of cycles")?;
    let nacos = Arc::new(Nacos::start().await?);
    let chain = Chain::start(&nacos, Setup::new()?).await?;
    let mut out = std::io::stdout().lock();
    let settings = settings(&chain, cycles).await?;
    writeln!(out, "{}", line("a gray setting changed -> first request decided anew", settings))?;
    let (added, removed) = instances(&nacos, &chain, cycles).await?;
    writeln!(out, "{}", line("an instance registered -> first request on it", added))?;
    writeln!(out, "{}", line("an instance deregistered -> last request on it", removed))?;
    drop(chain);
    Arc::into_inner(nacos).context("Nacos is still in use")?.remove().await
}

/// The header value that means gray is changed to and fro.
async fn settings(chain: &Chain, cycles: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(cycles);
    for cycle in 0..cycles {
        let value = format!("gray-{cycle}");
        let began = Instant::now();
        let text = chain.documents.clone().with("grayHeadValue", &value)?.gateway;
        let (published, seen) = tokio::join!(chain.namespace.publish("gateway-app.yaml", &text), async {
            while began.elapsed() < DEADLINE {
                if chain.http.order(&chain.url, &[("gray", &value)]).await?.0 == "V2" {
                    return Ok(began.elapsed());
                }
            }
            anyhow::bail!("the change did not arrive within {DEADLINE:?}")
        });
        published?;
        times.push(seen?);
    }
    chain.reset().await?;
    Ok(times)
}

/// One more instance of order-app comes and goes.
async fn instances(nacos: &Arc<Nacos>, chain: &Chain, cycles: usize) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let server = axum::serve(listener, Router::new().fallback(get(|| async { "extra" })));
    let _server = gray_common::spawn(async move { server.await });
    let mut options = NacosOptions::new(nacos.address());
    options.namespace = chain.namespace.name.clone();
    let registry = NacosRegistry::connect(options);
    let instance = Instance::new("127.0.0.1", port).with_version("V1");
    let (mut added, mut removed) = (Vec::with_capacity(cycles), Vec::with_capacity(cycles));
    for _ in 0..cycles {
        let began = Instant::now();
        registry.register("order-app", &instance).await?;
        while !is_extra(chain).await? {
            anyhow::ensure!(began.elapsed() < DEADLINE, "the instance was not used within {DEADLINE:?}");
        }
        added.push(began.elapsed());
        let began = Instant::now();
        registry.deregister("order-app", &instance).await?;
        // Two instances take turns: eight requests without the extra one mean that it is out.
        let (mut last, mut without) = (began.elapsed(), 0);
        while without < 8 {
            anyhow::ensure!(began.elapsed() < DEADLINE, "the instance was still used after {DEADLINE:?}");
            if is_extra(chain).await? {
                (last, without) = (began.elapsed(), 0);
            } else {
                without += 1;
            }
        }
        removed.push(last);
    }
    Ok((added, removed))
}

async fn is_extra(chain: &Chain) -> Result<bool> {
    Ok(chain.http.get(&format!("{}/order-api/order/N0001", chain.url), &[]).await?.text == "extra")
}

fn line(what: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1].as_millis();
    format!("{what}: n={} p50={} ms p99={} ms max={} ms", times.len(), at(0.5), at(0.99), at(1.0))
}
