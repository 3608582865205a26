//! F5: the disk is full that the access log is on.

use anyhow::{Result, ensure};

use crate::{
    eventually,
    load::{Load, Plan},
    scorecard::{Ground, Plot, Row, Scale, Site},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    // Takes no byte: no space left on device.
    let path = if ground.sabotage() { "/dev/null" } else { "/dev/full" };
    let args = ["--access-log", path].map(str::to_owned).to_vec();
    let site = Site::on_files(Plot { gateway_args: args, ..Plot::default() }, &["V1", "V1"]).await?;
    let load = Load::start(Plan::new(&site.url, scale.pick(200, 1000)));
    load.more(scale.pick(400, 20_000)).await?;
    let account = load.stop().await?;
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let sent = verdict.sent as f64;
    let counted = async || -> Result<f64> {
        let lines = site.metrics().await?;
        let dropped =
            |line: &&String| line.starts_with("gray_gateway_access_log_dropped_total") && line.contains("write_failed");
        Ok(lines.iter().filter(dropped).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    };
    let seen = if ground.sabotage() {
        counted().await?
    } else {
        eventually("every line is counted as lost", || async {
            let seen = counted().await?;
            ensure!(seen >= sent, "{seen} of {sent}");
            Ok(seen)
        })
        .await
        .unwrap_or(0.0)
    };
    Ok(Row::new(
        format!("{verdict}; {seen} lines counted as lost"),
        "0 failed; every lost line is counted",
        verdict.clean() && seen >= sent,
    )
    .note(format!("access log on /dev/full; latency p99 {:.1?}", account.latency(0.99, |_| true)))
    .examples(&verdict))
}
