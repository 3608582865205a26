//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum as _};

use crate::{peer::Peer, process::TiedArgs, profile::ProfileArgs, rate::RateArgs, workload::Workload};

/// Measures the gateway beside other proxies on this machine.
///
/// All of them are started on free ports of 127.0.0.1 in front of one backend, are loaded one after the other in every
/// round, and are stopped at the end. Without --workloads and --peers everything is measured, a fixed rate and the
/// footprint as well; with them, what is named. Exit codes: 0 measured, 1 something failed or answered wrongly (the rest
/// is measured and written down all the same), 2 wrong usage, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "bench/run", version, max_term_width = 120)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Rounds; each loads every peer once, in another order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds of load per peer, workload and round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// One round of 2 seconds, to see that everything works
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,

    /// Kinds of load [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<Workload>,

    /// Which proxies [default: all that are installed; jvm only when named]
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,

    /// Spring Cloud Gateway as well, warmed up for a minute (needs a JDK and Maven)
    #[arg(long)]
    jvm: bool,

    /// Latency at a fixed rate as well: small GETs, half as many as nginx does at most
    #[arg(long)]
    fixed_rate: bool,

    /// Start-up and memory as well
    #[arg(long)]
    footprint: bool,

    /// That rate, in requests per second, instead of half of nginx's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// Threads or processes of each proxy [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,

    /// Directory with gray-gateway, order-app and user-app, built already
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    pub(crate) programs: PathBuf,

    /// They were built from this very source tree
    #[arg(long, hide = true)]
    pub(crate) built_here: bool,

    /// Tables in Markdown, as docs/benchmarks.md has them
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Where the JSON goes, and beside it the tables in Markdown [default: bench/results/DATE-Ncores.json; of less than
    /// everything bench/results/tmp/part.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// This directory, bench
    #[arg(long, value_name = "DIR", default_value = "bench", hide = true)]
    pub(crate) bench_dir: PathBuf,
}

/// What else can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Only start-up and memory
    Footprint,
    /// What the gateway with 100 rules does under small GETs: system calls per request, and a flame graph
    Profile(ProfileArgs),
    /// See [`RateArgs`].
    #[command(hide = true)]
    Rate(RateArgs),
    /// See [`TiedArgs`].
    #[command(hide = true)]
    Tied(TiedArgs),
}

impl Args {
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    pub(crate) fn seconds(&self) -> u32 {
        if self.quick { 2 } else { self.seconds }
    }

    /// Whether everything is to be measured.
    fn whole(&self) -> bool {
        self.command.is_none() && self.workloads.is_empty() && self.peers.is_empty()
    }

    pub(crate) fn fixed_rate(&self) -> bool {
        self.fixed_rate || self.rate.is_some() || self.whole()
    }

    pub(crate) fn footprint(&self) -> bool {
        self.footprint || matches!(self.command, Some(Command::Footprint)) || self.whole()
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.map_or_else(cores, usize::from)
    }

    pub(crate) fn workloads(&self) -> Vec<Workload> {
        match self.command {
            Some(_) => Vec::new(),
            None if self.workloads.is_empty() => Workload::value_variants().to_vec(),
            None => self.workloads.clone(),
        }
    }

    /// The proxies asked for, in their order.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let wanted = |peer: &Peer| match peer {
            _ if self.workloads().iter().all(|workload| workload.own_peers().is_some()) => false,
            Peer::Jvm => self.jvm || self.peers.contains(peer),
            _ => self.peers.is_empty() || self.peers.contains(peer),
        };
        Peer::value_variants().iter().copied().filter(wanted).collect()
    }

    /// Whether this peer was asked for by name, so that its absence is an error.
    pub(crate) fn names(&self, peer: Peer) -> bool {
        self.peers.contains(&peer) || (self.jvm && peer == Peer::Jvm)
    }

    pub(crate) fn out(&self, date: &str) -> PathBuf {
        let results = self.bench_dir.join("results");
        match &self.out {
            Some(file) => file.clone(),
            None if self.quick || !self.whole() => results.join("tmp/part.json"),
            None => results.join(format!("{date}-{}cores.json", cores())),
        }
    }

    /// The command again, without what is of this machine only.
    pub(crate) fn shown(&self) -> String {
        let mut shown = String::from("bench/run");
        if matches!(self.command, Some(Command::Footprint)) {
            return shown + " footprint";
        }
        if self.quick {
            shown.push_str(" --quick");
        } else {
            shown.push_str(&format!(" --rounds {} --seconds {}", self.rounds, self.seconds));
        }
        let list = |names: Vec<&str>| names.join(",");
        if !self.workloads.is_empty() {
            let names = self.workloads.iter().map(|workload| workload.name()).collect();
            shown.push_str(&format!(" --workloads {}", list(names)));
        }
        if !self.peers.is_empty() {
            shown.push_str(&format!(" --peers {}", list(self.peers.iter().map(|peer| peer.name()).collect())));
        }
        for (flag, on) in [(" --jvm", self.jvm), (" --fixed-rate", self.fixed_rate), (" --footprint", self.footprint)] {
            shown.push_str(if on { flag } else { "" });
        }
        if let Some(rate) = self.rate {
            shown.push_str(&format!(" --rate {rate}"));
        }
        if let Some(workers) = self.workers {
            shown.push_str(&format!(" --workers {workers}"));
        }
        shown
    }
}

/// Cores that we may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_command_is_shown_as_it_was_given() {
        let line = "bench/run --rounds 3 --seconds 2 --workloads small,chain --peers nginx --fixed-rate --rate 100";
        assert_eq!(Args::parse_from(line.split(' ')).shown(), line);
        let args = Args::parse_from(["bench/run", "--quick", "--programs", "somewhere"]);
        assert_eq!(args.shown(), "bench/run --quick");
        assert!(!args.peers().contains(&Peer::Jvm));
    }

    #[test]
    fn everything_is_measured_unless_something_is_named() {
        let parse = |args: &[&str]| Args::parse_from([&["bench/run"], args].concat());
        let (whole, part, footprint) = (parse(&[]), parse(&["--workloads", "post"]), parse(&["footprint"]));
        assert!(whole.fixed_rate() && whole.footprint() && !whole.workloads().is_empty());
        assert!(!part.fixed_rate() && !part.footprint() && part.workloads() == [Workload::Post]);
        assert!(!footprint.fixed_rate() && footprint.footprint() && footprint.workloads().is_empty());
    }
}
