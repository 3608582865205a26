//! bench/run: measures the gateway beside other proxies, interleaved in rounds. `--help` says how.

mod args;
mod chain;
mod client;
mod documents;
mod footprint;
mod idle;
mod load;
mod measure;
mod peer;
mod proc;
mod process;
mod profile;
mod rate;
mod report;
mod run;
mod sample;
mod start;
mod stats;
mod targets;
mod versions;
mod workload;

use std::{fs, os::unix::fs::PermissionsExt as _, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Args, Command},
    peer::Peer,
    report::Report,
    run::say,
    sample::Outcome,
    start::Site,
    workload::Workload,
};

/// Of a program that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;
/// What the mostly idle connections need at least, on both sides of a proxy.
const FILES_WANTED: u64 = 12_000;

// One thread: the programs are tied to the life of the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match &args.command {
        Some(Command::Tied(tied)) => return exit(process::become_program(tied)),
        Some(Command::Rate(wanted)) => return exit(rate::run(wanted)),
        _ => {}
    }
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        return exit(Err(anyhow::anyhow!("cannot listen to signals")));
    };
    // Whatever ends first: what was started is stopped when the run is dropped.
    tokio::select! {
        outcome = measure(&args) => exit(outcome),
        _ = interrupt.recv() => ExitCode::from(INTERRUPTED),
        _ = terminate.recv() => ExitCode::from(INTERRUPTED),
    }
}

fn exit(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<()> {
    let workloads = args.workloads();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    if !workloads.is_empty() || matches!(args.command, Some(Command::Profile(_))) {
        ensure!(
            load::find("wrk").is_some(),
            "wrk is missing (Debian: apt-get install wrk nginx haproxy nghttp2-client)"
        );
    }
    if workloads.contains(&Workload::Idle) {
        ensure!(files >= FILES_WANTED, "a process may open {files} files here, idle needs {FILES_WANTED}: ulimit -n");
    }
    let dir = tempfile::Builder::new().prefix("gray-bench-").tempdir()?;
    // The workers of nginx are another user when we are root.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let bench = fs::canonicalize(&args.bench_dir).context("there is no directory bench here; start bench/run")?;
    let programs = fs::canonicalize(&args.programs)
        .with_context(|| format!("{} is missing: build the gateway, or give --programs", args.programs.display()))?;
    let site = Site { dir: dir.path().to_owned(), programs, bench, workers: args.workers(), files };
    if let Some(Command::Profile(wanted)) = &args.command {
        return profile::profile(&site, wanted).await;
    }
    let (peers, left_out) = available(args, &site)?;
    let report = Report {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        command: args.shown(),
        versions: versions::versions(&site.bench, args.built_here),
        workers: args.workers(),
        load_before: proc::load_average(),
        left_out,
        failures: Vec::new(),
        targets: Vec::new(),
        footprint: None,
        outcomes: Vec::new(),
    };
    let report = all(args, &site, &peers, report).await?;
    print(&if args.markdown { report.markdown() } else { report.plain() });
    ensure!(report.failures.is_empty(), "not everything was measured: {}", report.failures.join("; "));
    dir.close().context("cannot remove the temporary directory")
}

/// Measures all that was asked for. What fails is written down, and the rest goes on.
async fn all(args: &Args, site: &Site, peers: &[Peer], mut report: Report) -> Result<Report> {
    let (out, began) = (args.out(&report.date), Instant::now());
    let missing_h2load = load::find("h2load").is_none();
    if args.footprint() {
        match footprint::measure(site).await {
            Ok(footprint) => report.footprint = Some(footprint),
            Err(error) => report.failures.push(format!("footprint: {error:#}")),
        }
    }
    for workload in args.workloads() {
        if workload == Workload::H2 && missing_h2load {
            report.left_out.push("h2 (h2load is not installed; Debian: nghttp2-client)".to_owned());
            continue;
        }
        match run::workload(site, args, peers, workload).await {
            Ok(found) => {
                report.left_out.extend(found.left_out);
                report.failures.extend(found.failures);
                report.outcomes.push(Outcome::new(workload, found.samples));
            }
            Err(error) => report.failures.push(format!("{}: {error:#}", workload.name())),
        }
        // What is done is done, should something stop us later.
        report.targets = targets::targets(&report.outcomes, report.footprint.as_ref());
        report.write(&out)?;
    }
    report.targets = targets::targets(&report.outcomes, report.footprint.as_ref());
    report.write(&out)?;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    say(&format!("{minutes:.1} minutes; every single measurement: {}; the tables beside it (.md)\n", out.display()));
    Ok(report)
}

/// Who can take part, and who cannot, with the reason.
fn available(args: &Args, site: &Site) -> Result<(Vec<Peer>, Vec<String>)> {
    let (mut peers, mut left_out) = (Vec::new(), Vec::new());
    for peer in args.peers() {
        match peer.missing(&site.programs, &site.bench)? {
            None => peers.push(peer),
            Some(reason) if args.names(peer) => bail!("{}: {reason}", peer.name()),
            Some(reason) => {
                say(&format!("without {}: {reason}", peer.name()));
                left_out.push(format!("{} ({reason})", peer.name()));
            }
        }
    }
    Ok((peers, left_out))
}

/// Standard output is for the tables alone; that no one reads them is not an error.
fn print(text: &str) {
    use std::io::Write as _;
    let _written = std::io::stdout().write_all(text.as_bytes());
}
