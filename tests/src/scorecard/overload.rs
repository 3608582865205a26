//! Row 14: backends that fail all the time, and three times as many requests as they can take.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Ground, Plot, Row, Scale, Site, proc};
use crate::{
    eventually,
    load::{Load, Outcome, Plan, Record},
};

/// What the slow backend can take: 10 at a time, 50 ms each.
const CAPACITY: u32 = 200;
/// Its arguments.
const SLOW: [&str; 4] = ["--at-a-time", "10", "--work-ms", "50"];
/// Requests that may be sent again: a fifth, and 10 a second, which matter where there are few.
const AMPLIFICATION: f64 = 1.2;
const FLOOR: f64 = 10.0;
/// The gateway's clock counts whole milliseconds, and each of its workers from a request of its own.
const ROUNDING: f64 = 2.0;

struct Storm {
    /// Requests that arrived for each one sent; and the same without the floor.
    factor: f64,
    beyond_floor: f64,
    p99: Duration,
    answered: bool,
}

/// Every instance answers 503 to everything.
async fn storm(ground: &Ground, scale: Scale) -> Result<Storm> {
    let routes =
        "- { id: storm, uri: 'lb://shop', predicates: ['Path=/storm/**'], filters: ['StripPrefix=1', 'Retry=3'] }";
    let site = Site::on_files(Plot { routes: routes.into(), ..Plot::default() }, &["V1", "V1", "V1"]).await?;
    let tell = async |status: u16| -> Result<()> {
        for shop in &site.shops {
            let url = format!("http://127.0.0.1:{}/told/status/{status}", shop.port);
            site.http.send(reqwest::Method::PUT, &url, &[]).await?.expect(204)?;
        }
        Ok(())
    };
    tell(503).await?;
    let mut plan = Plan::new(&site.url, scale.pick(200, 500));
    plan.kinds[0].path = "/storm/item".into();
    let load = Load::start(plan);
    load.more(scale.pick(800, 15_000)).await?;
    let account = load.stop().await?;
    let arrivals = site.ledger()?.arrivals() * if ground.sabotage() { 2 } else { 1 };
    let answered = account.records.iter().all(|record| matches!(record.outcome, Outcome::Answered { .. }));
    tell(200).await?;
    eventually("it recovers", || async {
        site.http.get(&format!("{}/shop/item", site.url), &[]).await?.expect(200).map(drop)
    })
    .await?;
    let sent = account.records.len() as f64;
    // To the last answer: what is late is sent again late, from the budget that has grown meanwhile.
    let seconds = account.records.iter().map(|record| (record.due + record.took).as_secs_f64()).fold(0.0, f64::max);
    let factor = arrivals as f64 / sent;
    let beyond_floor = (arrivals as f64 - FLOOR * (seconds + 1.0) - ROUNDING) / sent;
    Ok(Storm { factor, beyond_floor, p99: account.latency(0.99, |_| true), answered })
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let storm = storm(ground, scale).await?;

    let routes = format!(
        "- {{ id: few, uri: 'lb://few', predicates: ['Path=/few/**'], filters: ['StripPrefix=1'], \
         metadata: {{ {} }} }}",
        if ground.sabotage() { "response-timeout: 9000" } else { "max-in-flight: 40" }
    );
    let mut site = Site::on_files(Plot { routes, ..Plot::default() }, &["V1"]).await?;
    let mut few = site.start("V1", &[&["--registered-as", "few"], &SLOW[..]].concat())?;
    few.app.wait_ready(few.port).await?;
    site.shops.push(few);
    let url = format!("{}/few/item", site.url);
    eventually("the slow service is served", || async { site.http.get(&url, &[]).await?.expect(200).map(drop) })
        .await?;
    let before = site.ledger()?.arrivals();
    let pid = site.gateway.pid().context("the gateway has ended")?;
    let rss = proc::rss_kib(pid);
    let mut plan = Plan::new(&site.url, 3 * CAPACITY);
    plan.kinds[0].path = "/few/item".into();
    let seconds = scale.pick(6, 60);
    let load = Load::start(plan);
    let mut most = rss;
    for _ in 0..seconds * 4 {
        load.lasts(Duration::from_millis(250)).await;
        most = most.max(proc::rss_kib(pid));
    }
    let account = load.stop().await?;
    let served = account.with_status(200);
    let shed = account.records.len() - served;
    let odd =
        account.records.iter().filter(|record| !matches!(record.outcome, Outcome::Answered { status: 200 | 503, .. }));
    let odd = odd.count();
    let is_shed = |record: &Record| !matches!(record.outcome, Outcome::Answered { status: 200, .. });
    let refusal = account.latency(0.99, is_shed);
    let answers = account.latency(0.99, |record| matches!(record.outcome, Outcome::Answered { status: 200, .. }));
    let goodput = served as f64 / f64::from(seconds * CAPACITY);
    let factor = (site.ledger()?.arrivals() - before) as f64 / account.records.len() as f64;
    let recovered = eventually("it recovers", || async {
        let answer = site.http.get(&url, &[]).await?;
        ensure!(answer.status == 200, "{}", answer.status);
        Ok(())
    })
    .await
    .is_ok();
    let grown = most.saturating_sub(rss) / 1024;
    let limit = scale.slack(Duration::from_millis(100));
    let pass = storm.beyond_floor <= AMPLIFICATION
        && storm.answered
        && factor <= AMPLIFICATION
        && refusal <= limit
        && goodput >= 0.7
        && odd == 0
        && grown <= 64
        && recovered;
    Ok(Row::new(
        format!(
            "5xx: upstream {:.3}x, without the 10/s {:.3}x; 3x capacity: upstream {factor:.2}x, {:.0} % of capacity served, 503 p99 {refusal:.1?}, \
             RSS +{grown} MiB, {odd} other outcomes",
            storm.factor,
            storm.beyond_floor,
            goodput * 100.0
        ),
        format!("upstream <= 1.2x + 10/s; 503 p99 <= {limit:.0?}; >= 70 % of capacity; RSS +64 MiB at most; recovers"),
        pass,
    )
    .note(format!("all three instances answered 503, with Spring's Retry filter on the route: p99 {:.1?}, every request answered: {}", storm.p99, storm.answered))
    .note(format!(
        "{} requests at {} a second for {seconds} s, instance good for {CAPACITY} a second: {served} served (p99 {answers:.0?}), \
         {shed} turned away; recovered: {recovered}",
        account.records.len(),
        3 * CAPACITY
    )))
}
