//! F11: a server of a Nacos cluster is killed and comes back, one after the other, under the load of two gateways.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    eventually_within,
    load::{Load, Plan},
    nacos::Cluster,
    scorecard::{Ground, Plot, Row, SHOP, Scale, Site},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    if scale == Scale::Short {
        // Three JVMs beside the other tests would starve them.
        return Ok(Row::skipped("three servers are too much beside other tests", "0 failed"));
    }
    let cluster = Cluster::start().await?;
    let plot = Plot { nacos_address: Some(cluster.address()), ..Plot::default() };
    let mut site = Site::on_nacos(&cluster.nodes[0], plot, &["V1", "V1", "V2"]).await?;
    let (mut second, url, admin_port) = site.second_gateway().await?;
    cluster.lists(&site.namespace()?.name, SHOP, 3).await?;
    let loads = [Load::start(Plan::new(&site.url, 200)), Load::start(Plan::new(&url, 200))];
    let mut again = Vec::new();
    for (number, node) in cluster.nodes.iter().enumerate() {
        loads[0].more(1000).await?;
        node.kill().await?;
        if ground.sabotage() && number == 0 {
            second.kill().await?;
        }
        loads[0].more(4000).await?;
        // Changes are heard of with two servers left.
        let began = loads[0].now();
        site.add("V1").await?;
        again.push(loads[0].now().saturating_sub(began));
        node.revive().await?;
        cluster.lists(&site.namespace()?.name, SHOP, 3 + again.len()).await?;
    }
    loads[0].more(1000).await?;
    let longest = again.iter().max().copied().unwrap_or(Duration::MAX);
    let heard = eventually_within(Duration::from_secs(30), "the second gateway knows all instances", || async {
        let known = site.known_at(admin_port).await?.len();
        ensure!(known == site.shops.len(), "{known} of {}", site.shops.len());
        Ok(())
    });
    let has_heard = heard.await.is_ok();
    let [first, other] = loads;
    let (first, other) = (first.stop().await?, other.stop().await?);
    let ledger = site.ledger()?;
    let verdict = first.judge(&ledger, |_, _| &["V1"]).and(other.judge(&ledger, |_, _| &["V1"]));
    drop(site);
    cluster.remove().await?;
    Ok(Row::new(
        format!("{verdict}; a new instance served after {longest:.1?} at most while a server was missing"),
        "0 failed, 0 duplicated, 0 wrong version, by two gateways",
        verdict.clean() && has_heard,
    )
    .note(
        "three servers with the embedded database; each killed (SIGKILL) once and started again, the leader among them",
    )
    .examples(&verdict))
}
