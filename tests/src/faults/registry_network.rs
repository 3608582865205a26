//! F2: the way of all programs to the registry is slow, narrow, closes late, resets, or swallows everything.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::toxiproxy::{TOXICS, Toxiproxy};
use crate::{
    eventually_within,
    load::{Kind, Load, Plan},
    ports,
    scorecard::{CANARY, Ground, Plot, Row, Scale, Site, tools},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let target = "0 failed; a new instance is known within 30 s of healing";
    let Some(program) = tools::find("toxiproxy-server") else {
        return Ok(Row::skipped(tools::missing("toxiproxy"), target));
    };
    let toxiproxy = Toxiproxy::start(&program).await?;
    let nacos = ground.nacos().await?;
    let near = ports::nacos_pair()?;
    toxiproxy.between("http", near, nacos.port()).await?;
    toxiproxy.between("grpc", near + 1000, nacos.port() + 1000).await?;
    let plot = Plot { nacos_address: Some(format!("127.0.0.1:{near}")), ..Plot::default() };
    let mut site = Site::on_nacos(nacos, plot, &["V1", "V1", "V2", "V2"]).await?;
    let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
    let load = Load::start(Plan::new(&site.url, scale.pick(50, 300)).of(kinds));
    load.more(50).await?;
    let toxics: Vec<_> = TOXICS.into_iter().skip(scale.pick(3, 0)).collect();
    for (kind, attributes) in &toxics {
        for proxy in ["http", "grpc"] {
            toxiproxy.add(proxy, kind, attributes).await?;
        }
        if ground.sabotage() {
            site.shops.clear();
        }
        load.lasts(Duration::from_secs(scale.pick(5, 40))).await;
        for proxy in ["http", "grpc"] {
            toxiproxy.remove(proxy, kind).await?;
        }
    }
    let healed = load.now();
    let mut shop = site.start("V1", &[])?;
    let limit = scale.slack(Duration::from_secs(30));
    let known = eventually_within(limit, "the new instance is known", || async {
        ensure!(site.known().await?.contains(&u64::from(shop.port)), "not known");
        Ok(())
    })
    .await;
    let after = load.now().saturating_sub(healed);
    shop.app.wait_ready(shop.port).await?;
    site.shops.push(shop);
    load.more(100).await?;
    let verdict = load.stop().await?.judge(&site.ledger()?, |kind, _| if kind == "gray" { &["V2"] } else { &["V1"] });
    let names: Vec<_> = toxics.iter().map(|(kind, _)| *kind).collect();
    Ok(Row::new(format!("{verdict}; new instance known after {after:.1?}"), target, verdict.clean() && known.is_ok())
        .note(format!("gateway and 2 + 2 instances reach Nacos through toxiproxy: {}", names.join(", ")))
        .examples(&verdict))
}
