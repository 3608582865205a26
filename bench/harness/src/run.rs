//! The rounds: every peer is loaded once in each, one after the other.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{
    args::Args,
    client::Sampler,
    load,
    measure::measure,
    peer::{Http2, Peer},
    process::Program,
    sample::{Fixed, Sample},
    start::{self, Running, Site},
    stats::Spread,
    workload::Workload,
};

/// What a JVM gets before it counts.
const JVM_WARM_UP_SECONDS: u32 = 60;

/// What one kind of load found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) samples: Vec<Sample>,
    /// Who cannot take part in this kind of load, and why.
    pub(crate) left_out: Vec<String>,
    /// What went wrong; a program that it happened to has no samples.
    pub(crate) failures: Vec<String>,
}

impl Found {
    fn failed(&mut self, workload: Workload, peer: Peer, error: &anyhow::Error) {
        let text = format!("{}, {}: {error:#}", workload.name(), peer.name());
        say(&format!("  FAILED {text}"));
        self.failures.push(text);
        self.samples.retain(|sample| sample.peer != peer);
    }
}

/// Measures one kind of load on all peers; tells what it does as it goes. A peer that fails is stopped, and the others
/// go on.
///
/// # Errors
/// When the backend fails: then there is nothing to measure.
pub(crate) async fn workload(site: &Site, args: &Args, peers: &[Peer], workload: Workload) -> Result<Found> {
    say(&format!("{}: {}", workload.name(), workload.title()));
    let (backend, mut backend_program) = start::backend(site, workload == Workload::Growth).await?;
    let mut found = Found::default();
    let mut running: Vec<Option<Running>> = Vec::new();
    for peer in workload.own_peers().unwrap_or(peers) {
        match begin(site, *peer, backend, workload).await {
            Ok(Ok(started)) => running.push(Some(started)),
            Ok(Err(reason)) => found.left_out.push(format!("{} from {} ({reason})", peer.name(), workload.name())),
            Err(error) => found.failed(workload, *peer, &error),
        }
    }
    rounds(site, args, workload, None, &mut backend_program, &mut running, &mut found).await?;
    if args.fixed_rate() && workload.has_fixed_rate() {
        let rate = match (args.rate, half_of_nginx(&found.samples)) {
            (Some(rate), _) | (None, Some(rate)) => rate,
            (None, None) => {
                found.left_out.push("the fixed rate (half of nginx's is not known without nginx: give --rate)".into());
                return Ok(found);
            }
        };
        say(&format!("  at {rate} requests per second:"));
        rounds(site, args, workload, Some(rate), &mut backend_program, &mut running, &mut found).await?;
    }
    Ok(found)
}

/// Starts a peer, looks at what it forwards and answers, and warms it up; the reason when it cannot take part.
async fn begin(
    site: &Site,
    peer: Peer,
    backend: std::net::SocketAddr,
    workload: Workload,
) -> Result<Result<Running, &'static str>> {
    let http2 = workload.ask().http2;
    if let (true, Http2::No(reason)) = (http2, peer.http2()) {
        return Ok(Err(reason));
    }
    let running = start::peer(site, peer, backend).await.context("cannot be started")?;
    if http2 {
        match start::preflight(&running, true).await {
            Err(_) if peer.http2() == Http2::Ask => return Ok(Err("it does not take HTTP/2 without TLS")),
            outcome => outcome.context("HTTP/2")?,
        }
    }
    let address = if http2 { running.http2 } else { running.address };
    Sampler::new(address, workload.ask()).ask_once().await?;
    let seconds = if peer == Peer::Jvm { JVM_WARM_UP_SECONDS } else { 1 };
    load::flood(site, &running, workload, seconds).await.context("at the warm-up")?;
    Ok(Ok(running))
}

/// All rounds of one kind of load, as fast as it goes or at a rate.
async fn rounds(
    site: &Site,
    args: &Args,
    workload: Workload,
    rate: Option<u32>,
    backend: &mut Program,
    running: &mut [Option<Running>],
    found: &mut Found,
) -> Result<()> {
    for round in 0..args.rounds() {
        for index in order(round, running.len()) {
            let Some(slot) = running.get_mut(index) else { continue };
            let Some(peer) = slot else { continue };
            let name = peer.peer;
            let limit = Duration::from_secs(u64::from(args.seconds()) + 60);
            let sample = measure(site, peer, workload, round, args.seconds(), rate);
            let sample = tokio::time::timeout(limit, sample).await.context("took a minute too long").flatten();
            backend.check()?;
            match sample {
                Ok(sample) => keep(sample, rate, &mut found.samples),
                Err(error) => {
                    let printed = peer.tails();
                    found.failed(workload, name, &error.context(format!("round {}", round + 1)));
                    say(&format!("  it printed:\n{printed}"));
                    // Stops it.
                    *slot = None;
                }
            }
        }
    }
    if running.iter().all(Option::is_none) {
        bail!("nobody is left to measure");
    }
    Ok(())
}

/// A load at a fixed rate belongs to the sample of the same round.
fn keep(sample: Sample, rate: Option<u32>, samples: &mut Vec<Sample>) {
    let (round, name) = (sample.round + 1, sample.peer.name());
    let Some(rate) = rate else {
        let (per_second, cpu) = (sample.per_second, sample.cpu_micros);
        say(&format!("  round {round} {name:14} {per_second:>8.0} req/s {cpu:>7.1} us CPU/request"));
        samples.push(sample);
        return;
    };
    let latency = sample.latency;
    say(&format!("  round {round} {name:14} p50 {:.2} ms p99 {:.2} ms", latency.p50, latency.p99));
    let same = |other: &&mut Sample| other.peer == sample.peer && other.round == sample.round;
    if let Some(other) = samples.iter_mut().find(same) {
        other.fixed = Some(Fixed { rate, cpu_micros: sample.cpu_micros, latency });
    }
}

fn half_of_nginx(samples: &[Sample]) -> Option<u32> {
    let peaks = samples.iter().filter(|sample| sample.peer == Peer::Nginx).map(|sample| sample.per_second);
    Some((Spread::of(peaks)?.median / 2.0) as u32)
}

/// Another one begins in every round.
fn order(round: u32, count: usize) -> impl Iterator<Item = usize> {
    let first = round as usize;
    (0..count).map(move |index| (first + index) % count)
}

/// Progress goes to standard error; standard output is for the tables.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;

    #[test]
    fn every_peer_once_per_round_and_another_one_first() {
        let orders: Vec<Vec<usize>> = (0..3).map(|round| order(round, 3).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }

    #[test]
    fn who_fails_has_no_samples_and_the_others_keep_theirs() {
        let samples = vec![sample(Peer::Nginx, 0, 1.0), sample(Peer::Axum, 0, 1.0), sample(Peer::Axum, 1, 1.0)];
        let mut found = Found { samples, ..Found::default() };
        found.failed(Workload::Small, Peer::Axum, &anyhow::anyhow!("a wrong answer"));
        assert_eq!(found.failures, ["small, axum: a wrong answer"]);
        assert!(found.samples.len() == 1 && half_of_nginx(&found.samples) == Some(500_000));
    }
}
