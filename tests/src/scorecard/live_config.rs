//! Row 7: settings change all the time, every other document is malformed, and no request notices.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{CANARY, Ground, Plot, Row, Scale, Site, gateway};
use crate::{
    documents::GATEWAY,
    eventually,
    load::{Kind, Load, Plan, percentile},
};

/// A document that has to be refused, each of its own kind.
fn malformed(number: usize) -> String {
    let good = gateway(&format!("grayUserNoList: [B{number}]"), "");
    match number % 8 {
        0 => good.replace("enabled: true", "enabled: perhaps"),
        1 => good.replace("enabled: true", "enabled: true\n  no-such-setting: 1"),
        2 => good.replace("enabled: true", "enabled: [true"),
        3 => good.replace("'Path=/shop/**'", "'Pfad=/shop/**'"),
        4 => good.replace("lb://shop", "lb:/shop"),
        5 => format!("{good}deep: {}1{}\n", "[".repeat(10_000), "]".repeat(10_000)),
        6 => {
            let bomb: String = (1..12)
                .map(|level| {
                    format!("a{level}: &a{level} [{}*a{}]\n", format!("*a{}, ", level - 1).repeat(9), level - 1)
                })
                .collect();
            format!("a0: &a0 [x, x, x]\n{bomb}{good}")
        }
        _ => good.replace("kerwin.tool.gray.gateway:", "kerwin.tool.gray.gateway:\n\tenabled: true"),
    }
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let site = Site::on_nacos(ground.nacos().await?, Plot::default(), &["V1", "V2"]).await?;
    let kinds = [Kind::new("plain", &[]), Kind::new("gray", &[CANARY])];
    let load = Load::start(Plan::new(&site.url, scale.pick(50, 300)).of(kinds));
    load.more(50).await?;
    let count = scale.pick(20, 1000);
    let (mut good, mut bad, mut accepted) = (Vec::new(), Vec::new(), 0);
    for number in 0..count {
        let before = site.status().await?["revision"].clone();
        let began = Instant::now();
        site.publish(GATEWAY, &gateway(&format!("grayUserNoList: [G{number}]"), "")).await?;
        shows(&site, &format!("good document {number} is in force"), |revision, refused| {
            *revision != before && !refused
        })
        .await?;
        good.push(began.elapsed());

        let kept = site.status().await?["revision"].clone();
        let began = Instant::now();
        let text =
            if ground.sabotage() { gateway(&format!("grayUserNoList: [B{number}]"), "") } else { malformed(number) };
        site.publish(GATEWAY, &text).await?;
        shows(
            &site,
            &format!("malformed document {number} is refused:\n{}", &text[..text.len().min(600)]),
            |revision, refused| refused || *revision != kept,
        )
        .await?;
        bad.push(began.elapsed());
        accepted += usize::from(site.status().await?["revision"] != kept);
    }
    let verdict = load.stop().await?.judge(&site.ledger()?, |kind, _| if kind == "gray" { &["V2"] } else { &["V1"] });
    let (p50, p99) = (percentile(good.clone(), 0.5), percentile(good, 0.99));
    let limit = scale.slack(Duration::from_millis(300));
    Ok(Row::new(
        format!("p99 {p99:.0?}; {} of {count} malformed refused; {verdict}", count - accepted),
        format!("p99 <= {limit:.0?}, 0 drops, every bad one refused with the old kept"),
        p99 <= limit && accepted == 0 && verdict.clean(),
    )
    .note(format!(
        "on Nacos: {count} good and {count} malformed in turn; time from the begin of the publication until /status shows it: \
         p50 {p50:.0?}; refused ones p99 {:.0?}",
        percentile(bad, 0.99)
    ))
    .examples(&verdict))
}

async fn shows(site: &Site, what: &str, wanted: impl Fn(&serde_json::Value, bool) -> bool) -> Result<()> {
    // Closer than a test would look: this is measured.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let status = site.status().await?;
        if wanted(&status["revision"], !status["refused"].is_null()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    eventually(what, || async {
        let status = site.status().await?;
        ensure!(
            wanted(&status["revision"], !status["refused"].is_null()),
            "revision {}, refused {}",
            status["revision"],
            status["refused"]
        );
        Ok(())
    })
    .await
}
