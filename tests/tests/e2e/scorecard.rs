//! The short form of every row of the scorecard. `make scorecard` measures the full one.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::scorecard::{Ground, Scale, Scenario, scenarios};
use libtest_mimic::Trial;
use tokio::runtime::Runtime;

/// A test for each row.
pub(crate) fn trials(runtime: &Runtime, ground: &Arc<Ground>) -> Vec<Trial> {
    let trial = |scenario: Scenario| {
        let (handle, ground) = (runtime.handle().clone(), Arc::clone(ground));
        Trial::test(format!("scorecard::{}", scenario.name.replace(": ", "_").replace([' ', '-'], "_")), move || {
            handle.block_on(holds(scenario, &ground)).map_err(|error| format!("{error:#}").into())
        })
    };
    scenarios().into_iter().map(trial).collect()
}

async fn holds(scenario: Scenario, ground: &Ground) -> Result<()> {
    let row = scenario.run(ground, Scale::Short).await?;
    let outcome = if row.skipped { "SKIPPED: " } else { "" };
    eprintln!("scorecard {} {}: {outcome}{}", scenario.number, scenario.name, row.measured);
    let (measured, target, details) = (&row.measured, &row.target, row.details.join("\n"));
    ensure!(row.pass || row.skipped, "measured: {measured}\ntarget: {target}\n{details}");
    Ok(())
}
