//! The programs that make the load: wrk and, over HTTP/2, h2load as fast as it goes; oha at a rate.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    process::tied,
    start::{Running, Site},
    workload::Workload,
};

/// What one load found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) latency: Latency,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

#[derive(Debug, Deserialize)]
struct WrkResult {
    requests: u64,
    micros: u64,
    p50: f64,
    p99: f64,
    p999: f64,
    failed: u64,
    unexpected: u64,
}

/// As many requests as go through, by the program that fits.
///
/// # Errors
/// When a request failed or was answered with another status than 2xx or 3xx.
pub(crate) async fn flood(site: &Site, peer: &Running, workload: Workload, seconds: u32) -> Result<Load> {
    if workload.ask().http2 {
        h2load(&site.dir, peer.http2, workload, seconds).await
    } else {
        wrk(&site.bench, peer.address, workload, seconds).await
    }
}

/// As many requests as go through, over HTTP/1.1.
///
/// # Errors
/// Also when a request failed or was answered with another status than 2xx or 3xx.
async fn wrk(bench: &Path, address: SocketAddr, workload: Workload, seconds: u32) -> Result<Load> {
    let ask = workload.ask();
    let (kind, size) = ask.body.unwrap_or(("-", 0));
    let mut args: Vec<OsString> = Vec::new();
    let connections = workload.connections();
    args.extend(["-t1".into(), format!("-c{connections}").into(), format!("-d{seconds}s").into()]);
    args.extend(["--timeout".into(), "10s".into(), "-s".into(), bench.join("load/wrk.lua").into()]);
    args.extend([format!("http://{address}{}", ask.path).into(), "--".into()]);
    args.extend([ask.method.into(), kind.into(), size.to_string().into(), u8::from(ask.close).to_string().into()]);
    let output = output("wrk".as_ref(), &args).await?;
    let line = output.lines().find_map(|line| line.strip_prefix("RESULT ")).context("wrk printed no result")?;
    let result: WrkResult = serde_json::from_str(line)?;
    ensure!(result.unexpected == 0, "{} answers had another status than 2xx or 3xx", result.unexpected);
    ensure!(result.failed == 0, "{} requests failed (connect, read, write, time)", result.failed);
    ensure!(result.requests > 0, "not one request was answered");
    let latency = Latency { p50: result.p50 / 1e3, p99: result.p99 / 1e3, p999: result.p999 / 1e3 };
    let per_second = result.requests as f64 * 1e6 / result.micros.max(1) as f64;
    Ok(Load { requests: result.requests, per_second, latency })
}

/// As many requests as go through, over HTTP/2.
async fn h2load(dir: &Path, address: SocketAddr, workload: Workload, seconds: u32) -> Result<Load> {
    let (connections, streams) = (workload.connections(), workload.streams());
    let log = dir.join("h2load.log");
    // It appends.
    drop(fs::remove_file(&log));
    let mut args: Vec<OsString> = ["-t1", "-H", "userNo: U0001"].map(Into::into).into();
    args.extend([format!("-c{connections}"), format!("-m{streams}"), format!("-D{seconds}")].map(Into::into));
    args.extend(
        [format!("--log-file={}", log.display()), format!("http://{address}{}", workload.ask().path)].map(Into::into),
    );
    let printed = output("h2load".as_ref(), &args).await?;
    let (requests, failed) = h2load_counts(&printed).with_context(|| format!("h2load printed\n{printed}"))?;
    // What was in flight when the time was up is no failure.
    let in_flight = (connections * streams) as u64;
    ensure!(failed <= in_flight, "{failed} requests failed or had another status than 2xx:\n{printed}");
    ensure!(requests > 0, "not one request was answered:\n{printed}");
    let text = fs::read_to_string(&log)?;
    let mut micros: Vec<u64> = text
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('\t').skip(1);
            (columns.next() == Some("200")).then(|| columns.next()?.parse().ok()).flatten()
        })
        .collect();
    micros.sort_unstable();
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).map(|micros| *micros as f64 / 1e3);
    let latency = at(0.5).zip(at(0.99)).zip(at(0.999)).map(|((p50, p99), p999)| Latency { p50, p99, p999 });
    let latency = latency.context("h2load wrote no times of requests")?;
    Ok(Load { requests, per_second: requests as f64 / f64::from(seconds), latency })
}

/// Answers of 2xx, and all other outcomes, from what h2load prints.
fn h2load_counts(printed: &str) -> Option<(u64, u64)> {
    let number = |line: &str, name: &str| -> Option<u64> {
        let part = line.split(", ").find_map(|part| part.trim_end().strip_suffix(name))?;
        part.trim().rsplit(' ').next()?.parse().ok()
    };
    let statuses = printed.lines().find(|line| line.starts_with("status codes: "))?;
    let requests = printed.lines().find(|line| line.starts_with("requests: "))?;
    let good = number(statuses, " 2xx")?;
    let bad = number(statuses, " 3xx")? + number(statuses, " 4xx")? + number(statuses, " 5xx")?;
    Some((good, bad + number(requests, " failed")?))
}

/// Where oha is: on the path, or where bench/run installs it.
pub(crate) fn find_oha(bench: &Path) -> Result<PathBuf> {
    let installed = bench.join("../target/bench-tools/bin/oha");
    if installed.is_file() {
        return Ok(installed);
    }
    find("oha").context("oha is missing: cargo install oha --locked --root target/bench-tools")
}

/// A program on the path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers where ordinary users do not look.
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A fixed rate; latency counts from when a request was due, not from when it could be sent.
///
/// # Errors
/// Also when a request failed, was answered with another status than 200, or the rate was not reached.
pub(crate) async fn oha(oha: &Path, address: SocketAddr, workload: Workload, seconds: u32, rate: u32) -> Result<Load> {
    let ask = workload.ask();
    let mut args: Vec<OsString> = ["--no-tui", "--disable-compression", "--latency-correction"].map(Into::into).into();
    args.extend(["--output-format", "json", "-m", ask.method, "-H", "userNo: U0001"].map(Into::into));
    args.extend(
        [format!("-c{}", workload.connections()), format!("-q{rate}"), format!("-z{seconds}s")].map(Into::into),
    );
    if let Some((kind, _)) = ask.body {
        args.extend(["-T".into(), kind.into(), "-d".into(), String::from_utf8(ask.sent())?.into()]);
    }
    args.push(format!("http://{address}{}", ask.path).into());
    let result: Value = serde_json::from_str(&output(oha.as_os_str(), &args).await?).context("oha printed no JSON")?;
    let number = |pointer: &str| result.pointer(pointer).and_then(Value::as_f64);
    let counts = result.pointer("/statusCodeDistribution").and_then(Value::as_object).context("no statuses")?;
    ensure!(counts.keys().all(|status| status == "200"), "statuses {counts:?}");
    let errors = result.pointer("/errorDistribution").and_then(Value::as_object);
    // What was in flight when the time was up is no failure.
    let failed: Vec<_> = errors.into_iter().flatten().filter(|(text, _)| !text.contains("deadline")).collect();
    ensure!(failed.is_empty(), "requests failed: {failed:?}");
    let requests = counts.get("200").and_then(Value::as_u64).context("not one request was answered")?;
    let percentile = |name: &str| {
        number(&format!("/latencyPercentiles/{name}"))
            .map(|seconds| seconds * 1e3)
            .context("oha printed no percentiles")
    };
    let latency = Latency { p50: percentile("p50")?, p99: percentile("p99")?, p999: percentile("p99.9")? };
    let per_second = requests as f64 / f64::from(seconds);
    if per_second < f64::from(rate) * 0.9 {
        bail!("only {per_second:.0} of {rate} requests per second went through: the machine is too busy");
    }
    Ok(Load { requests, per_second, latency })
}

/// What a program prints; it ends with us.
async fn output(program: &OsStr, args: &[OsString]) -> Result<String> {
    let mut command = tokio::process::Command::from(tied(program)?);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    let name = program.display();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{name}: {}{printed}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_counts_of_h2load() {
        let printed = "finished in 2.03s, 4000.00 req/s, 265.88KB/s\n\
            requests: 8136 total, 8248 started, 8136 done, 8000 succeeded, 136 failed, 136 errored, 0 timeout\n\
            status codes: 7998 2xx, 2 3xx, 0 4xx, 1 5xx\n";
        assert_eq!(super::h2load_counts(printed), Some((7998, 139)));
        assert_eq!(super::h2load_counts("spawning thread"), None);
    }
}
