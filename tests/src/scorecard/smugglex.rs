//! What smugglex finds: a scanner of others, to judge us by their list as well as by ours.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::Command;

use super::tools;

/// Its checks for HTTP/1; those for a queue of answers that has slipped have to be asked for.
const CHECKS: &str = "cl-te,te-cl,te-te,h2c,h2,cl-edge,cl-0,0-cl,parser-discrepancy";

/// What it looked for, and what it found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub checks: usize,
    pub findings: Vec<String>,
}

/// Scans an address; `None` when the program is not here.
pub(super) async fn scan(address: &str) -> Result<Option<Scan>> {
    let Some(program) = tools::find("smugglex") else { return Ok(None) };
    let url = format!("http://{address}/shop/item");
    let run = Command::new(program).args(["--json", "--no-color", "-t", "5", "-c", CHECKS, &url]).output();
    let output = tokio::time::timeout(Duration::from_secs(300), run).await.context("smugglex does not end")??;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).ok().and_then(|said| read(&said)).with_context(said).map(Some)
}

fn read(said: &Value) -> Option<Scan> {
    let targets = said.get("results")?.as_array()?;
    let checks = || targets.iter().filter_map(|target| target.get("checks")?.as_array()).flatten();
    let found = checks().filter(|check| check.get("vulnerable").and_then(Value::as_bool) != Some(false));
    let findings = found.map(|check| format!("smugglex: {check}")).collect();
    Some(Scan { checks: checks().count(), findings })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_clearly_harmless_is_a_finding() {
        let checks = json!([{ "vulnerable": false }, { "vulnerable": true }, {}]);
        let scan = read(&json!({ "results": [{ "checks": checks }] })).expect("a scan");
        assert_eq!((scan.checks, scan.findings.len()), (3, 2));
        assert_eq!(read(&json!({})), None);
    }
}
