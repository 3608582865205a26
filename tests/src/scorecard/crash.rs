//! Row 4: one of three instances is killed without a word.

use anyhow::Result;

use super::{Ground, Plot, Row, Scale, Site};
use crate::load::{DELAY, Kind, Load, Outcome, Plan};

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let mut site = Site::on_nacos(ground.nacos().await?, Plot::default(), &["V1", "V1", "V1", "V2"]).await?;
    // Every request takes a while, so that some are under way when it happens.
    let plan = Plan::new(&site.url, scale.pick(200, 1000)).of([Kind::new("plain", &[(DELAY, "20")])]);
    let load = Load::start(plan);
    let rounds = scale.pick(1, 10);
    let (mut killed, mut in_flight_most) = (Vec::new(), 0.0_f64);
    for _ in 0..rounds {
        load.more(scale.pick(200, 2000)).await?;
        in_flight_most = in_flight_most.max(site.metric("gray_gateway_in_flight").await?);
        let before = load.now();
        let mut victim = site.shops.remove(0);
        victim.app.kill().await?;
        killed.push((before, load.now()));
        if ground.sabotage() {
            site.shops.remove(0);
            site.shops.remove(0);
        }
        load.more(scale.pick(400, 3000)).await?;
        site.add("V1").await?;
        // The gray one stays last: it is not the next to be killed.
        let last = site.shops.len() - 1;
        site.shops.swap(last - 1, last);
    }
    let account = load.stop().await?;
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let failed_gets = verdict.failed - verdict.failed_posts;
    // A failed POST counts as one that was under way there if it was due before the kill and ended after it.
    let excused = account
        .records
        .iter()
        .filter(|record| record.post && !matches!(record.outcome, Outcome::Answered { status: 200, .. }))
        .filter(|record| killed.iter().any(|(from, to)| record.due <= *to && record.due + record.took >= *from))
        .count();
    let pass = failed_gets == 0
        && verdict.failed_posts == excused
        && verdict.wrong + verdict.duplicated + verdict.unknown == 0
        && verdict.sent > 0;
    Ok(Row::new(
        format!(
            "GET {failed_gets} failed; POST {} failed ({excused} under way there), {} duplicated, {} wrong version of {}",
            verdict.failed_posts, verdict.duplicated, verdict.wrong, verdict.sent
        ),
        "GET 0 failed; POST at most those under way there; 0 duplicated",
        pass,
    )
    .note(format!("kill -9 of one of three, {rounds} times, on Nacos; up to {in_flight_most} requests under way in all"))
    .note(format!("latency p99 {:.1?}, longest {:.1?}", account.latency(0.99, |_| true), account.latency(1.0, |_| true)))
    .examples(&verdict))
}
