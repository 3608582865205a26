//! F9: the gateway is killed while the registry cannot be reached, and starts again from what it has on disk.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    cable::Cable,
    eventually_within,
    load::{Kind, Load, Plan},
    scorecard::{CANARY, Ground, Plot, Row, Scale, Site},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let nacos = ground.nacos().await?;
    let mut cable = Cable::unplugged(nacos.port())?;
    cable.plug().await?;
    let directory = tempfile::tempdir()?;
    let args = ["--snapshot-dir".to_owned(), directory.path().display().to_string()];
    let plot = Plot { nacos_address: Some(cable.address()), gateway_args: args.to_vec(), ..Plot::default() };
    let mut site = Site::on_nacos(nacos, plot, &["V1", "V1", "V2"]).await?;
    let load = |site: &Site| {
        let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
        Load::start(Plan::new(&site.url, scale.pick(100, 500)).of(kinds))
    };
    let before = load(&site);
    before.more(100).await?;
    let before = before.stop().await?;

    cable.unplug();
    site.gateway.kill().await?;
    if ground.sabotage() {
        std::fs::remove_dir_all(directory.path())?;
    }
    let began = std::time::Instant::now();
    let target = "ready within 10 s, 0 failed from then on; follows again once the registry is back";
    if let Err(error) = site.succeed().await {
        return Ok(Row::new("it does not get ready", target, false).note(format!("{error:.400}")));
    }
    let ready = began.elapsed();
    let during = load(&site);
    during.more(scale.pick(200, 10_000)).await?;
    cable.plug().await?;
    let healed = during.now();
    let mut shop = site.start("V1", &[])?;
    let known = eventually_within(Duration::from_secs(60), "the gateway follows again", || async {
        ensure!(site.known().await?.contains(&u64::from(shop.port)), "the new instance is not known");
        Ok(())
    })
    .await;
    let follows = during.now().saturating_sub(healed);
    shop.app.wait_ready(shop.port).await?;
    site.shops.push(shop);
    during.more(100).await?;
    let (during, ledger) = (during.stop().await?, site.ledger()?);
    let expected = |kind: &str, _: &crate::load::Record| if kind == "gray" { &["V2"][..] } else { &["V1"][..] };
    let verdict = before.judge(&ledger, expected).and(during.judge(&ledger, expected));
    Ok(Row::new(
        format!("ready after {ready:.1?}; {verdict}; follows again {follows:.1?} after it healed"),
        target,
        verdict.clean() && ready <= scale.slack(Duration::from_secs(10)) && known.is_ok(),
    )
    .note("kill -9 while both ports of Nacos refuse connections; `--snapshot-dir`; it waits 3 s for Nacos first")
    .examples(&verdict))
}
