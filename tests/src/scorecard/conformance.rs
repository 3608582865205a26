//! Row 10: HTTP/2 as the specification says, by h2spec, in plain text and over TLS.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::{Ground, Plot, Row, Scale, Site, tools};
use crate::ports;

/// How h2spec counts.
#[derive(Debug, Default)]
struct Count {
    tests: u32,
    passed: u32,
    skipped: u32,
    failed: u32,
}

/// `145 tests, 144 passed, 1 skipped, 0 failed`
fn count(text: &str) -> Option<Count> {
    let line = text.lines().rev().find(|line| line.contains(" tests, "))?;
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    Some(Count { tests: numbers.next()?, passed: numbers.next()?, skipped: numbers.next()?, failed: numbers.next()? })
}

/// The lines about what failed.
fn failures(text: &str) -> Vec<String> {
    let failed = text.lines().skip_while(|line| !line.contains("Failures:"));
    failed.filter(|line| line.contains('×')).map(|line| line.trim().to_owned()).take(8).collect()
}

async fn h2spec(program: &Path, more: &[String]) -> Result<(Count, String)> {
    let run = Command::new(program).args(["-h", "127.0.0.1", "-P", "/shop/item", "-o", "5"]).args(more).output();
    let output = tokio::time::timeout(Duration::from_secs(300), run).await.context("h2spec does not end")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = count(&text).with_context(|| format!("h2spec said: {text}"))?;
    Ok((count, text))
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let target = "h2spec: all 145, plain and TLS";
    let Some(program) = tools::find("h2spec") else { return Ok(Row::skipped(tools::missing("h2spec"), target)) };
    let directory = tempfile::tempdir()?;
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    fs::write(&certificate, signed.cert.pem())?;
    fs::write(&key, signed.signing_key.serialize_pem())?;
    let [tls_port] = ports::free()?;
    let mut args = vec!["--tls-cert".to_owned(), certificate.display().to_string(), "--tls-key".into()];
    args.extend([key.display().to_string(), "--tls-port".into(), tls_port.to_string()]);
    let site = Site::on_files(Plot { gateway_args: args, ..Plot::default() }, &["V1"]).await?;
    let mut port = site.url.rsplit(':').next().unwrap_or_default().to_owned();
    if ground.sabotage() {
        // No server is there.
        port = ports::free::<1>()?[0].to_string();
    }
    // In the short form a chapter of it, which takes a second.
    let only: Vec<String> = scale.pick(vec!["generic".to_owned(), "hpack".to_owned()], Vec::new());
    let (plain, said) = h2spec(&program, &[&["-p".to_owned(), port], &only[..]].concat()).await?;
    let tls = ["-p".to_owned(), tls_port.to_string(), "-t".to_owned(), "-k".to_owned()];
    let (over_tls, said_tls) = h2spec(&program, &[&tls, &only[..]].concat()).await?;
    ensure!(plain.tests > 0 && over_tls.tests > 0, "h2spec ran nothing");
    let shown = |count: &Count| {
        format!("{} of {} ({} skipped, {} failed)", count.passed, count.tests, count.skipped, count.failed)
    };
    let all = |count: &Count| count.failed == 0 && count.passed + count.skipped == count.tests;
    let enough = plain.tests.min(over_tls.tests) >= scale.pick(1, 145);
    let mut row = Row::new(
        format!("plain {}; TLS {}", shown(&plain), shown(&over_tls)),
        target,
        all(&plain) && all(&over_tls) && enough,
    )
    .note(scale.pick("chapters generic and hpack alone", "HTTP/1.1: see row 11 and gray-gateway/tests/proxy"));
    row.details.extend(failures(&said).into_iter().chain(failures(&said_tls)));
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let seen = count("x\nFinished in 1.2 seconds\n145 tests, 143 passed, 1 skipped, 1 failed\n").expect("a count");
        assert_eq!((seen.tests, seen.passed, seen.skipped, seen.failed), (145, 143, 1, 1));
        assert!(count("nothing").is_none());
    }
}
