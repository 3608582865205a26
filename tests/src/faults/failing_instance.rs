//! F8: one of three instances answers 503 to everything, then recovers.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;

use crate::{
    load::{Load, Plan},
    scorecard::{Ground, Plot, Row, Scale, Site},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let site = Site::on_files(Plot::default(), &["V1", "V1", "V1"]).await?;
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 300)));
    load.more(100).await?;
    let bad = if ground.sabotage() { 3 } else { 1 };
    let tell = async |status: u16| -> Result<()> {
        for shop in site.shops.iter().take(bad) {
            let url = format!("http://127.0.0.1:{}/told/status/{status}", shop.port);
            site.http.send(Method::PUT, &url, &[]).await?.expect(204)?;
        }
        Ok(())
    };
    tell(503).await?;
    load.lasts(Duration::from_secs(scale.pick(5, 60))).await;
    tell(200).await?;
    load.lasts(Duration::from_millis(500)).await;
    let healed = load.now();
    load.more(scale.pick(100, 3000)).await?;
    let account = load.stop().await?;
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let last = account.failed_after(healed);
    // Five in a row for each of two workers, then one trial by each, 2, 4, 8 ... seconds apart.
    let most = 10 + scale.pick(8, 16);
    Ok(Row::new(
        format!("{} answers 503, {last} of them after it recovered, of {}", verdict.failed, verdict.sent),
        format!("at most {most} until it is ejected and by trials; 0 after it recovered"),
        verdict.failed <= most && last == 0 && verdict.wrong + verdict.duplicated + verdict.unknown == 0,
    )
    .note(format!("no Retry filter: every 503 of the instance reaches a client; {verdict}"))
    .examples(&verdict))
}
