//! What the gateway does under load: system calls per request (strace), and where its time goes (perf).

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use inferno::{
    collapse::{Collapse as _, perf},
    flamegraph,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    load,
    peer::REFERENCE,
    process::tied,
    run::say,
    start::{self, Running, Site},
    workload::Workload,
};

/// Samples per second; not a round number, so that nothing that is periodic is met always or never.
const FREQUENCY: u32 = 997;
/// Functions that are named.
const NAMED: usize = 20;

/// How it is looked at.
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// Seconds of load for each of the two
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// Where the flame graph goes
    #[arg(long, value_name = "FILE", default_value = "docs/figures/gateway-small.svg")]
    svg: PathBuf,
}

/// Prints system calls per request and the functions that take the most time; writes the flame graph.
pub(crate) async fn profile(site: &Site, args: &ProfileArgs) -> Result<()> {
    for (program, package) in [("strace", "strace"), ("perf", "linux-perf")] {
        ensure!(load::find(program).is_some(), "{program} is missing (Debian: apt-get install {package})");
    }
    let (backend, _program) = start::backend(site, false).await?;
    let running = start::peer(site, REFERENCE, backend).await?;
    let pid = *running.pids().first().context("the gateway has no process")?;
    load::flood(site, &running, Workload::Small, 1).await?;
    say("perf");
    let folded = stacks(site, &running, pid, args.seconds).await?;
    write_svg(&folded, &args.svg)?;
    say("strace");
    let (requests, calls) = system_calls(site, &running, pid, args.seconds).await?;
    let mut text = format!("system calls per request, of {requests} requests\n\n| call | per request |\n|---|---:|\n");
    for (name, count) in &calls {
        let per_request = *count as f64 / requests as f64;
        if per_request >= 0.001 {
            text.push_str(&format!("| {name} | {per_request:.3} |\n"));
        }
    }
    text.push_str(&dominant(&folded));
    crate::print(&text);
    say(&format!("flame graph: {}", args.svg.display()));
    Ok(())
}

/// Stacks under load, folded: `outermost;...;innermost nanoseconds` each.
async fn stacks(site: &Site, running: &Running, pid: u32, seconds: u32) -> Result<String> {
    let data = site.dir.join("perf.data");
    // The load begins before the first sample and ends after the last.
    let args = [
        "record".into(),
        "-q".into(),
        "-e".into(),
        "cpu-clock".into(),
        format!("-F{FREQUENCY}"),
        "--call-graph=fp".into(),
        format!("-p{pid}"),
        "-o".into(),
        data.display().to_string(),
        "--".into(),
        "sleep".into(),
        seconds.to_string(),
    ];
    let mut command = tokio::process::Command::from(tied("perf".as_ref())?);
    let recorded = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    let (recorded, loaded) = tokio::join!(recorded, load::flood(site, running, Workload::Small, seconds + 1));
    let recorded = recorded?;
    ensure!(recorded.status.success(), "perf: {}", String::from_utf8_lossy(&recorded.stderr));
    loaded?;
    let script = ["script".into(), "-i".into(), data.display().to_string()];
    let script = tokio::process::Command::new("perf").args(script).output().await?;
    ensure!(script.status.success(), "perf script: {}", String::from_utf8_lossy(&script.stderr));
    let mut folded = Vec::new();
    let mut options = perf::Options::default();
    options.annotate_kernel = true;
    perf::Folder::from(options).collapse(BufReader::new(&script.stdout[..]), &mut folded)?;
    Ok(String::from_utf8(folded)?)
}

fn write_svg(folded: &str, file: &Path) -> Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut options = flamegraph::Options::default();
    options.title = "gateway, 100 rules, small GET".to_owned();
    options.count_name = "ns".to_owned();
    options.subtitle = Some("kernel functions end in _[k]; widths are CPU time".to_owned());
    // What is narrower cannot be read anyway.
    options.min_width = 0.2;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut svg)?;
    fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))
}

/// Requests, and system calls by name, the most frequent first.
async fn system_calls(site: &Site, running: &Running, pid: u32, seconds: u32) -> Result<(u64, Vec<(String, u64)>)> {
    let file = site.dir.join("strace.txt");
    let args: Vec<OsString> =
        vec!["-c".into(), "-f".into(), "-o".into(), file.clone().into(), "-p".into(), pid.to_string().into()];
    let mut command = tokio::process::Command::from(tied("strace".as_ref())?);
    let mut strace = command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    traced(pid).await?;
    let load = load::flood(site, running, Workload::Small, seconds).await?;
    let id = strace.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("strace has ended")?;
    kill_process(id, Signal::INT)?;
    strace.wait().await?;
    let text = fs::read_to_string(&file)?;
    let calls = counted(&text);
    ensure!(!calls.is_empty(), "strace counted nothing:\n{text}");
    Ok((load.requests, calls))
}

/// Waits until all threads of a process are traced.
async fn traced(pid: u32) -> Result<()> {
    let traced = |status: &str| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
    for _ in 0..500 {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
        let statuses: Vec<_> =
            tasks.map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default()).collect();
        if statuses.iter().all(|status| traced(status)) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    anyhow::bail!("strace cannot attach to the gateway: not allowed here?")
}

/// Calls by name from the summary of `strace -c`, the most frequent first.
fn counted(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        // % time, seconds, usecs/call, calls, errors where there are some, name.
        let (first, count, name) = (columns.first()?, columns.get(3)?, columns.last()?);
        first.parse::<f64>().ok()?;
        (*name != "total").then_some(((*name).to_owned(), count.parse().ok()?))
    };
    let mut calls: Vec<(String, u64)> = text.lines().filter_map(line).collect();
    calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    calls
}

/// Where the time goes: kernel or not, and in which functions themselves.
fn dominant(folded: &str) -> String {
    let (mut all, mut kernel, mut of) = (0, 0, BTreeMap::<&str, u64>::new());
    for line in folded.lines() {
        let Some((stack, nanos)) = line.rsplit_once(' ') else { continue };
        let Ok(nanos) = nanos.parse::<u64>() else { continue };
        let function = stack.rsplit(';').next().unwrap_or(stack);
        all += nanos;
        kernel += if function.ends_with("_[k]") { nanos } else { 0 };
        *of.entry(function).or_default() += nanos;
    }
    let percent = |nanos: u64| 100.0 * nanos as f64 / all.max(1) as f64;
    let mut text = format!(
        "\n{:.2} s of CPU time, {:.1} % of it in the kernel\n\n| function itself | % |\n|---|---:|\n",
        all as f64 / 1e9,
        percent(kernel)
    );
    let mut of: Vec<_> = of.into_iter().collect();
    of.sort_by_key(|(_, nanos)| std::cmp::Reverse(*nanos));
    for (function, nanos) in of.into_iter().take(NAMED) {
        text.push_str(&format!("| `{function}` | {:.1} |\n", percent(nanos)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_strace() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.600000           6       100           sendto\n \
            40.00    0.400000           4       200        50 recvfrom\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    1.000000           3       300        50 total\n";
        assert_eq!(counted(text), [("recvfrom".to_owned(), 200), ("sendto".to_owned(), 100)]);
    }

    #[test]
    fn the_innermost_function_has_the_sample() {
        let text = dominant("gateway;main;read_[k] 300000000\ngateway;main 600000000\ngateway;other;main 100000000\n");
        assert!(text.contains("1.00 s of CPU time, 30.0 % of it in the kernel"), "{text}");
        assert!(text.contains("| `main` | 70.0 |"), "{text}");
    }
}
