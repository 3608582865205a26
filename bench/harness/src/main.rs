//! bench/run: measures the gateway beside other proxies, interleaved in rounds. `--help` says how.

mod args;
mod client;
mod documents;
mod idle;
mod load;
mod peer;
mod proc;
mod process;
mod report;
mod run;
mod sample;
mod start;
mod stats;
mod workload;

use std::{fs, os::unix::fs::PermissionsExt as _, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Args, Hidden},
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
    if let Some(Hidden::Tied(tied)) = &args.command {
        return exit(process::become_program(tied));
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
    ensure!(load::find("wrk").is_some(), "wrk is missing (Debian: apt-get install wrk nginx haproxy)");
    let workloads = args.workloads();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    if workloads.contains(&Workload::Idle) {
        ensure!(files >= FILES_WANTED, "a process may open {files} files here, idle needs {FILES_WANTED}: ulimit -n");
    }
    if args.fixed_rate() {
        load::find_oha(&args.bench_dir)?;
    }
    let dir = tempfile::Builder::new().prefix("gray-bench-").tempdir()?;
    // The workers of nginx are another user when we are root.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let bench = fs::canonicalize(&args.bench_dir).context("there is no directory bench here; start bench/run")?;
    let programs = fs::canonicalize(&args.programs)
        .with_context(|| format!("{} is missing: build the gateway, or give --programs", args.programs.display()))?;
    let site = Site { dir: dir.path().to_owned(), programs, bench, workers: args.workers(), files };
    let (peers, left_out) = available(args, &site)?;

    let mut report = Report {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        command: args.shown(),
        versions: peer::versions(&site.bench, args.built_here),
        workers: args.workers(),
        load_before: proc::load_average(),
        left_out,
        outcomes: Vec::new(),
    };
    for workload in workloads {
        let samples = run::workload(&site, args, &peers, workload).await?;
        report.outcomes.push(Outcome::new(workload, samples));
    }
    let out = args.out(&report.date);
    report.write_json(&out)?;
    print(&if args.markdown { report.markdown() } else { report.plain() });
    say(&format!("\nevery single measurement: {}", out.display()));
    dir.close().context("cannot remove the temporary directory")
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

/// Standard output is for the tables alone; nobody to read them is no error.
fn print(text: &str) {
    use std::io::Write as _;
    let _written = std::io::stdout().write_all(text.as_bytes());
}
