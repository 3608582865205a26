//! F1: the way to one of three instances is slow, narrow, closes late, resets, or swallows everything.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    QUICK, QUICK_PATH,
    toxiproxy::{TOXICS, Toxiproxy},
};
use crate::{
    load::{Load, Plan},
    ports,
    scorecard::{Ground, Plot, Row, Scale, Site, tools},
};

/// Failed answers in a row until an instance is ejected, for each of two workers, and the trials that follow.
const UNTIL_LEFT_OUT: usize = 20;

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let target =
        "slow, narrow, late: 0 failed; resets: GET 0 failed; swallowed: over once it is ejected; all well when healed";
    let Some(program) = tools::find("toxiproxy-server") else {
        return Ok(Row::skipped(tools::missing("toxiproxy"), target));
    };
    let toxiproxy = Toxiproxy::start(&program).await?;
    let mut site = Site::on_files(Plot { routes: QUICK.into(), ..Plot::default() }, &["V1", "V1"]).await?;
    let [near] = ports::free()?;
    // Registered under the address of the proxy.
    let mut control = site.control().to_vec();
    control.last_mut().context("no control plane")?.push_str(&format!(":{near}"));
    let mut far = site.start_with("V1", &control, &[])?;
    toxiproxy.between("shop", near, far.port).await?;
    far.app.wait_ready(far.port).await?;
    site.knows(&[near]).await?;
    site.shops.push(far);
    let rate = scale.pick(100, 300);
    let (mut shown, mut pass, mut row_notes) = (Vec::new(), true, Vec::new());
    for (kind, attributes) in TOXICS {
        let mut plan = Plan::new(&site.url, rate);
        plan.kinds[0].path = QUICK_PATH.into();
        let load = Load::start(plan);
        load.more(50).await?;
        toxiproxy.add("shop", kind, attributes).await?;
        if ground.sabotage() {
            toxiproxy.add("shop", "limit_data", r#"{"bytes":10}"#).await?;
            site.shops[0].app.signal(rustix::process::Signal::STOP)?;
            site.shops[1].app.signal(rustix::process::Signal::STOP)?;
        }
        load.lasts(Duration::from_secs(scale.pick(2, 20))).await;
        toxiproxy.remove("shop", kind).await?;
        if ground.sabotage() {
            toxiproxy.remove("shop", "limit_data").await?;
            site.shops[0].app.signal(rustix::process::Signal::CONT)?;
            site.shops[1].app.signal(rustix::process::Signal::CONT)?;
        }
        // What was on its way when it healed may still fail; after the longest time for an answer nothing does.
        load.lasts(Duration::from_millis(1200)).await;
        let healed = load.now();
        load.more(u64::from(rate)).await?;
        let account = load.stop().await?;
        let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
        let gets = verdict.failed - verdict.failed_posts;
        let late = account.failed_after(healed);
        let well = match kind {
            "reset_peer" => gets == 0 && verdict.failed_posts <= UNTIL_LEFT_OUT,
            // Those on their way until the first time-outs are in, and the trials.
            "timeout" => verdict.failed <= UNTIL_LEFT_OUT + usize::try_from(rate / 3)?,
            _ => verdict.failed == 0,
        };
        pass &= well && late == 0 && verdict.wrong + verdict.duplicated + verdict.unknown == 0;
        shown.push(format!("{kind} {}+{}", gets, verdict.failed_posts));
        row_notes.push(format!(
            "{kind} {attributes}: {verdict}; {late} failed after it was healed; p99 {:.0?}",
            account.latency(0.99, |_| true)
        ));
        if !well || late > 0 {
            row_notes.extend(verdict.examples);
        }
    }
    let mut row = Row::new(format!("failed GET+POST: {}", shown.join(", ")), target, pass);
    row.details = row_notes;
    Ok(row)
}
