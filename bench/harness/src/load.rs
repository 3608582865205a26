//! The programs that make the load: wrk and, over HTTP/2, h2load as fast as it goes; ourselves at a rate.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    process::tied,
    rate::percentiles,
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
struct Printed {
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
    result(&output("wrk".as_ref(), &args).await?)
}

/// What load/wrk.lua and [`rate`](crate::rate) print.
fn result(printed: &str) -> Result<Load> {
    let line = printed.lines().find_map(|line| line.strip_prefix("RESULT ")).context("no result was printed")?;
    let result: Printed = serde_json::from_str(line)?;
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
    let [p50, p99, p999] = percentiles(&micros).context("h2load wrote no times of requests")?;
    let latency = Latency { p50: p50 / 1e3, p99: p99 / 1e3, p999: p999 / 1e3 };
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

/// A program on the path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps servers where ordinary users do not look.
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Small GETs at a rate; see [`rate`](crate::rate).
///
/// # Errors
/// Also when the rate was not reached.
pub(crate) async fn at_rate(address: SocketAddr, workload: Workload, seconds: u32, rate: u32) -> Result<Load> {
    let own = std::env::current_exe()?;
    let numbers = [rate, seconds, u32::try_from(workload.connections())?];
    let args: Vec<OsString> = ["rate".to_owned(), address.to_string()]
        .into_iter()
        .chain(numbers.map(|number| number.to_string()))
        .map(Into::into)
        .collect();
    result(&output(own.as_os_str(), &args).await?)
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
