//! Row 1: a release under load. Every instance is replaced, gray becomes the default, the old version goes.

use anyhow::{Result, ensure};

use super::{CANARY, Ground, Plot, Row, Scale, Site};
use crate::{
    chain::Service,
    load::{DELAY, Kind, Load, Plan},
};

/// Ends an instance as an orchestrator does.
async fn end(shop: &mut Service, sabotage: bool) -> Result<()> {
    if sabotage {
        return shop.app.kill().await;
    }
    let status = shop.app.stop().await?;
    ensure!(status.success(), "it ended with {status}: {}", shop.app.log());
    Ok(())
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let versions = ["V1", "V1", "V1", "V2", "V2", "V2"];
    let mut site = Site::on_nacos(ground.nacos().await?, Plot::default(), &versions).await?;
    let plan = |kind| Plan { post_every: 2, ..Plan::new(&site.url, scale.pick(150, 500)).of([kind]) };
    let plain = Load::start(plan(Kind::new("plain", &[(DELAY, "100")])));
    let gray = Load::start(plan(Kind::new("gray", &[CANARY])));
    plain.more(scale.pick(100, 2500)).await?;

    // Each in turn, the new one first; the one that takes its place comes last.
    let replaced = scale.pick(2, 6);
    for _ in 0..replaced {
        let version = site.shops[0].version;
        site.add(version).await?;
        end(&mut site.shops.remove(0), ground.sabotage()).await?;
        plain.more(scale.pick(50, 1000)).await?;
    }
    // The gray version becomes the default. What was the default gets no requests, and goes.
    let told = plain.now();
    let gray_told = gray.now();
    site.switch("V2", "V1").await?;
    let (followed, gray_followed) = (plain.now(), gray.now());
    plain.more(scale.pick(50, 1000)).await?;
    let gray = gray.stop().await?;
    for shop in site.shops.iter_mut().filter(|shop| shop.version == "V1") {
        end(shop, ground.sabotage()).await?;
    }
    let whole = scale.pick(0, 101_000_u64);
    let sent = plain.sent() + u64::try_from(gray.records.len())?;
    plain.more(whole.saturating_sub(sent).max(100)).await?;
    let plain = plain.stop().await?;

    // While the settings change, a request belongs to either.
    let ledger = site.ledger()?;
    let verdict = plain
        .judge(&ledger, |_, record| match record.due {
            due if due + record.took < told => &["V1"],
            due if due > followed => &["V2"],
            _ => &["V1", "V2"],
        })
        .and(gray.judge(&ledger, |_, record| match record.due {
            due if due + record.took < gray_told => &["V2"],
            due if due > gray_followed => &["V1"],
            _ => &["V1", "V2"],
        }));
    let posts = plain.records.iter().chain(&gray.records).filter(|record| record.post).count();
    let target = format!("0 failed, 0 duplicated{}", scale.pick("", "; at least 100,000 requests"));
    let enough = verdict.sent >= scale.pick(1, 100_000);
    Ok(Row::new(verdict.to_string(), target, verdict.clean() && enough)
        .note(format!(
            "on Nacos, 3 + 3 instances, ordinary and gray requests; {replaced} of 6 replaced one after the other (SIGTERM), \
             then V2 became the default and V1 went; {posts} POSTs; every ordinary request takes 100 ms; one in ten on a connection of its own"
        ))
        .note(format!("latency p99 {:.1?}", plain.latency(0.99, |_| true)))
        .note(format!("new default in force {:.0?} after its publication began", followed.saturating_sub(told)))
        .examples(&verdict))
}
