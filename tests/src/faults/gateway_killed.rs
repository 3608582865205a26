//! F4: the gateway is killed without a word and started again. Meanwhile the port is closed; nothing else may go wrong.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    load::{Load, Outcome, Plan},
    scorecard::{Ground, Plot, Row, Scale, Site},
};

pub(crate) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let mut site = Site::on_files(Plot::default(), &["V1", "V1", "V2"]).await?;
    let load = Load::start(Plan::new(&site.url, scale.pick(100, 300)));
    let (mut down, mut longest) = (Vec::new(), Duration::ZERO);
    for _ in 0..scale.pick(2, 20) {
        load.more(100).await?;
        let from = load.now();
        site.gateway.kill().await?;
        if ground.sabotage() {
            load.lasts(Duration::from_secs(8)).await;
        }
        site.succeed().await?;
        let to = load.now();
        ensure!(to > from, "no time passed");
        longest = longest.max(to.saturating_sub(from));
        down.push((from, to));
    }
    load.more(100).await?;
    let account = load.stop().await?;
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let answered = |outcome: &Outcome| matches!(outcome, Outcome::Answered { status: 200, .. });
    let outside = account
        .records
        .iter()
        .filter(|record| !answered(&record.outcome))
        .filter(|record| !down.iter().any(|(from, to)| record.due <= *to && record.due + record.took >= *from))
        .count();
    let limit = scale.slack(Duration::from_secs(1));
    Ok(Row::new(
        format!(
            "serves again after {longest:.1?} at most; {} failed meanwhile, {outside} at other times, of {}",
            verdict.failed - outside,
            verdict.sent
        ),
        format!("serves again within {limit:.0?}; 0 failed at other times, 0 duplicated, 0 wrong version"),
        outside == 0 && longest <= limit && verdict.wrong + verdict.duplicated + verdict.unknown == 0,
    )
    .note(format!("kill -9 and a new start, {} times; a planned restart costs nothing (row 8)", down.len())))
}
