//! Row 6: the connection to the registry is cut, and heals.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Ground, Plot, Row, SHOP, Scale, Site};
use crate::{
    cable::Cable,
    chain::registry_args,
    eventually_within,
    load::{Load, Plan},
};

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let nacos = ground.nacos().await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    cable.plug().await?;
    let plot = Plot { nacos_address: Some(cable.address()), ..Plot::default() };
    let site = Site::on_nacos(nacos, plot, &["V1"]).await?;
    let load = Load::start(Plan::new(&site.url, scale.pick(50, 200)));
    load.more(50).await?;

    cable.unplug();
    let listed = async || -> Result<usize> { Ok(site.namespace()?.instances(SHOP).await?.len()) };
    eventually_within(Duration::from_secs(60), "Nacos takes the instance off the list", || async {
        ensure!(listed().await? == 0, "still listed");
        Ok(())
    })
    .await?;
    let cut = Duration::from_secs(scale.pick(15, 120));
    load.lasts(cut).await;
    // Something to follow as soon as the gateway can hear of it.
    let mut newcomer = site.start_with("V1", &registry_args(&nacos.address(), &site.namespace()?.name), &[])?;
    newcomer.app.wait_ready(newcomer.port).await?;
    // Plugged in far too late, if it is to fail.
    let late = if ground.sabotage() { Duration::from_secs(70) } else { Duration::ZERO };
    let healed = load.now();
    load.lasts(late).await;
    cable.plug().await?;
    let wait = Duration::from_secs(120);
    let service = async {
        eventually_within(wait, "it is listed again", || async {
            ensure!(listed().await? == 2, "not listed");
            Ok(())
        })
        .await
        .map(|()| load.now().saturating_sub(healed))
    };
    let gateway = async {
        eventually_within(wait, "the gateway knows the new instance", || async {
            ensure!(site.known().await?.contains(&u64::from(newcomer.port)), "not known");
            Ok(())
        })
        .await
        .map(|()| load.now().saturating_sub(healed))
    };
    let (service, gateway) = tokio::join!(service, gateway);
    let (service, gateway) = (service.unwrap_or(Duration::MAX), gateway.unwrap_or(Duration::MAX));
    let limit = scale.slack(Duration::from_secs(10));
    let verdict = load.stop().await?.judge(&site.ledger()?, |_, _| &["V1"]);
    let shown = |time: Duration| if time == Duration::MAX { "never".to_owned() } else { format!("{time:.1?}") };
    Ok(Row::new(
        format!("registered again after {}, gateway follows again after {}; {verdict}", shown(service), shown(gateway)),
        format!("at most {limit:.0?} each; 0 failed"),
        service <= limit && gateway <= limit && verdict.clean(),
    )
    .note(format!("both ports to Nacos refused connections for {cut:.0?} and longer"))
    .examples(&verdict))
}
