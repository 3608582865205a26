//! Row 15, second half: what we are built of.

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::{Ground, Row, Scale};
use crate::documents::repository;

/// What cargo-deny says: whether it is content, and its last lines.
async fn deny(checks: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new("cargo");
    command.args(["deny", "--log-level", "error", "check"]).args(checks).current_dir(repository());
    let output = command.output().await.context("cargo cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let tail: Vec<&str> = said.lines().rev().take(3).collect();
    Ok((output.status.success(), tail.join(" / ")))
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let target = "licences, bans, sources as in deny.toml; 0 advisories";
    let here =
        Command::new("cargo").args(["deny", "--version"]).output().await.is_ok_and(|output| output.status.success());
    if !here {
        return Ok(Row::skipped("cargo-deny is not here: scripts/lint.sh installs it", target));
    }
    if ground.sabotage() {
        let (good, said) = deny(&["no-such-check"]).await?;
        return Ok(Row::new(said, target, good));
    }
    let (good, said) = deny(&["licenses", "bans", "sources"]).await?;
    // The database of advisories comes from the network; the short form does not wait for it.
    let reachable = scale == Scale::Full
        && tokio::time::timeout(std::time::Duration::from_secs(60), deny_fetch()).await.unwrap_or(Ok(false))?;
    let (advisories, more) = if reachable { deny(&["advisories"]).await? } else { (true, String::new()) };
    let seen = match (reachable, advisories) {
        (true, true) => "0 advisories",
        (true, false) => "advisories",
        (false, _) => "advisories not checked",
    };
    Ok(Row::new(format!("{}; {seen}", if good { "as allowed" } else { "refused" }), target, good && advisories)
        .note(if reachable { more } else { "the database of advisories was not reached, or not asked for".to_owned() })
        .note(said))
}

async fn deny_fetch() -> Result<bool> {
    let mut command = Command::new("cargo");
    command.args(["deny", "--log-level", "error", "fetch", "db"]).current_dir(repository()).kill_on_drop(true);
    Ok(command.output().await?.status.success())
}
