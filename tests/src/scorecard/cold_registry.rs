//! Row 3: the registry comes back empty, and the instances find their way there one after the other.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{CANARY, Ground, Plot, Row, SHOP, Scale, Site};
use crate::{
    cable::Cable,
    chain::registry_args,
    eventually_within,
    load::{Kind, Load, Plan},
};

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let fragile = ground.fragile_nacos().await?;
    let nacos = &fragile.nacos;
    let mut site = Site::on_nacos(nacos, Plot::default(), &[]).await?;
    let namespace = site.namespace()?.name.clone();
    let mut cables = Vec::new();
    for version in ["V1", "V1", "V1", "V2", "V2", "V2"] {
        let mut cable = Cable::unplugged(nacos.port())?;
        cable.plug().await?;
        let mut shop = site.start_with(version, &registry_args(&cable.address(), &namespace), &[])?;
        shop.app.wait_ready(shop.port).await?;
        site.shops.push(shop);
        cables.push(cable);
    }
    let ports: Vec<u16> = site.shops.iter().map(|shop| shop.port).collect();
    site.knows(&ports).await?;
    let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 500)).of(kinds));
    load.more(scale.pick(100, 2000)).await?;

    cables.iter_mut().for_each(Cable::unplug);
    nacos.kill().await?;
    nacos.revive().await?;
    if ground.sabotage() {
        site.shops[5].app.kill().await?;
        site.shops[4].app.kill().await?;
        site.shops[3].app.kill().await?;
    }
    let empty = load.now();
    // The ordinary ones first: for most of the time the list has no gray instance at all.
    let pause = Duration::from_secs(scale.pick(12, 120)) / 6;
    for cable in &mut cables {
        load.lasts(pause).await;
        cable.plug().await?;
    }
    let back = load.now();
    let listed = eventually_within(Duration::from_secs(90), "all are listed again", || async {
        let listed = site.namespace()?.instances(SHOP).await?.len();
        ensure!(listed == 6 || ground.sabotage() && listed >= 3, "{listed} of 6");
        Ok(load.now().saturating_sub(back))
    })
    .await?;
    load.more(scale.pick(100, 5000)).await?;
    let verdict = load.stop().await?.judge(&site.ledger()?, |kind, _| if kind == "gray" { &["V2"] } else { &["V1"] });
    Ok(Row::new(verdict.to_string(), "0 failed, 0 misrouted", verdict.clean())
        .note(format!(
            "Nacos killed and started without instances; 3 + 3 instances let through to it one by one over {:.0?}",
            back.saturating_sub(empty)
        ))
        .note(format!("all listed again {listed:.1?} after the last one was let through"))
        .examples(&verdict))
}
