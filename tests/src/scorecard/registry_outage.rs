//! Row 2: the registry is killed under load, and comes back.

use std::time::Duration;

use anyhow::Result;

use super::{CANARY, Ground, Plot, Row, Scale, Site, gateway};
use crate::{
    documents::GATEWAY,
    load::{Kind, Load, Plan},
};

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let fragile = ground.fragile_nacos().await?;
    let mut site = Site::on_nacos(&fragile.nacos, Plot::default(), &["V1", "V1", "V2", "V2"]).await?;
    let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 500)).of(kinds));
    load.more(scale.pick(100, 2000)).await?;

    let gone = load.now();
    fragile.nacos.kill().await?;
    if ground.sabotage() {
        site.shops[0].app.kill().await?;
        site.shops[1].app.kill().await?;
    }
    load.lasts(Duration::from_secs(scale.pick(8, 300))).await;
    fragile.nacos.revive().await?;
    let back = load.now();
    // Settings arrive again, and instances that come and go.
    let again = if ground.sabotage() {
        Duration::ZERO
    } else {
        site.publish_followed(GATEWAY, &gateway("grayUserNoList: [U0001]", "")).await?;
        let again = load.now().saturating_sub(back);
        site.add("V1").await?;
        again
    };
    load.more(scale.pick(100, 5000)).await?;
    let verdict = load.stop().await?.judge(&site.ledger()?, |kind, _| if kind == "gray" { &["V2"] } else { &["V1"] });
    Ok(Row::new(verdict.to_string(), "0 failed", verdict.clean())
        .note(format!("kill -9 of Nacos, {:.0?} until it was ready again; 2 + 2 instances", back.saturating_sub(gone)))
        .note(format!("settings followed again {again:.1?} after Nacos was ready"))
        .examples(&verdict))
}
