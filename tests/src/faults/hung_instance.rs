//! F3: one of three instances hangs (SIGSTOP): it accepts connections and says nothing. Then it goes on.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::{QUICK, QUICK_PATH};
use crate::{
    load::{Load, Plan},
    scorecard::{Ground, Plot, Row, Scale, Site},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let site = Site::on_files(Plot { routes: QUICK.into(), ..Plot::default() }, &["V1", "V1", "V1"]).await?;
    let rate = scale.pick(100, 300);
    let mut plan = Plan::new(&site.url, rate);
    plan.kinds[0].path = QUICK_PATH.into();
    let load = Load::start(plan);
    load.more(100).await?;
    let hung: Vec<_> = site.shops.iter().take(if ground.sabotage() { 3 } else { 1 }).collect();
    hung.iter().try_for_each(|shop| shop.app.signal(Signal::STOP))?;
    // Until the first time-outs are in; then it is ejected.
    load.lasts(Duration::from_millis(1500)).await;
    let left_out = load.now();
    load.lasts(Duration::from_secs(scale.pick(4, 60))).await;
    hung.iter().try_for_each(|shop| shop.app.signal(Signal::CONT))?;
    load.lasts(Duration::from_millis(1000)).await;
    let healed = load.now();
    load.more(scale.pick(100, 3000)).await?;
    let account = load.stop().await?;
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let (later, last) = (account.failed_after(left_out), account.failed_after(healed));
    // It is tried again with one request by each worker, 2, 4, 8 ... seconds apart.
    let trials = scale.pick(8, 16);
    let pass = later <= trials
        && last == 0
        && verdict.failed <= trials + usize::try_from(rate)?
        && verdict.wrong + verdict.duplicated + verdict.unknown == 0;
    Ok(Row::new(
        format!(
            "{} failed until it was ejected, {} by trials afterwards, {last} after it went on, of {}",
            verdict.failed - later,
            later - last,
            verdict.sent
        ),
        format!("over once it is ejected, but for at most {trials} trials; 0 after it went on"),
        pass,
    )
    .note(format!(
        "SIGSTOP of one of three; answers may take 500 ms; p99 {:.0?}; {verdict}",
        account.latency(0.99, |_| true)
    ))
    .examples(&verdict))
}
