//! The rounds: every peer is loaded once in each, one after the other.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    args::Args,
    client::{Sampler, get},
    idle::IdleConnections,
    load::{self, Load},
    peer::Peer,
    proc,
    sample::{Fixed, Sample},
    start::{self, Running, Site},
    stats::Spread,
    workload::Workload,
};

/// What a JVM gets before it counts.
const JVM_WARM_UP_SECONDS: u32 = 60;

/// Measures one kind of load on all peers; tells what it does as it goes.
pub(crate) async fn workload(site: &Site, args: &Args, peers: &[Peer], workload: Workload) -> Result<Vec<Sample>> {
    say(&format!("{}: {}", workload.name(), workload.title()));
    let (backend, mut backend_program) = start::backend(site).await?;
    let mut running = Vec::new();
    for peer in if workload == Workload::Chain { &[Peer::Chain] } else { peers } {
        let started = start::peer(site, *peer, backend).await;
        running.push(started.with_context(|| format!("cannot start {}", peer.name()))?);
    }
    for peer in &mut running {
        let seconds = if peer.peer == Peer::Jvm { JVM_WARM_UP_SECONDS } else { 1 };
        let warm_up = Sampler::new(peer.address, workload.ask()).ask_once().await;
        warm_up.with_context(|| format!("{} answers wrongly", peer.peer.name()))?;
        load::wrk(&site.bench, peer.address, workload, seconds).await.with_context(|| peer.peer.name().to_owned())?;
    }
    let mut samples = Vec::new();
    for round in 0..args.rounds() {
        for index in order(round, running.len()) {
            let Some(peer) = running.get_mut(index) else { continue };
            let sample = measure(site, peer, workload, round, args.seconds(), None).await;
            let sample = sample.with_context(|| failure(workload, round, peer))?;
            say(&format!(
                "  round {} {:20} {:>8.0} req/s {:>7.1} us CPU/request",
                round + 1,
                peer.peer.name(),
                sample.per_second,
                sample.cpu_micros
            ));
            samples.push(sample);
            backend_program.check()?;
        }
    }
    if args.fixed_rate() && workload.has_fixed_rate() {
        fixed_rate(site, args, &mut running, workload, &mut samples).await?;
    }
    Ok(samples)
}

/// Half of what nginx does at most, for everybody.
async fn fixed_rate(
    site: &Site,
    args: &Args,
    running: &mut [Running],
    workload: Workload,
    samples: &mut [Sample],
) -> Result<()> {
    let of_nginx = samples.iter().filter(|sample| sample.peer == Peer::Nginx).map(|sample| sample.per_second);
    let rate = match (args.rate, Spread::of(of_nginx)) {
        (Some(rate), _) => rate,
        (None, Some(peak)) => (peak.median / 2.0) as u32,
        (None, None) => bail!("half of nginx's rate is not known without nginx: give --rate"),
    };
    let oha = load::find_oha(&site.bench)?;
    say(&format!("  at {rate} requests per second:"));
    for round in 0..args.rounds() {
        for index in order(round, running.len()) {
            let Some(peer) = running.get_mut(index) else { continue };
            let seconds = args.seconds();
            let found = measure(site, peer, workload, round, seconds, Some((&oha, rate))).await;
            let found = found.with_context(|| failure(workload, round, peer))?;
            let (p50, p99) = (found.latency.p50, found.latency.p99);
            say(&format!("  round {} {:20} p50 {p50:.2} ms p99 {p99:.2} ms", round + 1, peer.peer.name()));
            let fixed = Fixed { rate, cpu_micros: found.cpu_micros, latency: found.latency };
            let same = |sample: &&mut Sample| sample.peer == peer.peer && sample.round == round;
            if let Some(sample) = samples.iter_mut().find(same) {
                sample.fixed = Some(fixed);
            }
        }
    }
    Ok(())
}

/// One load on one peer; answers are looked at meanwhile.
async fn measure(
    site: &Site,
    peer: &mut Running,
    workload: Workload,
    round: u32,
    seconds: u32,
    rate: Option<(&std::path::Path, u32)>,
) -> Result<Sample> {
    peer.check()?;
    let mut idle = IdleConnections::open(peer.address, workload.idle_connections()).await?;
    let mut sampler = Sampler::new(peer.address, workload.ask());
    let others = Others::begin();
    let before = cpu(peer)?;
    let load = async {
        match rate {
            None => load::wrk(&site.bench, peer.address, workload, seconds).await,
            Some((oha, rate)) => load::oha(oha, peer.address, workload, seconds, rate).await,
        }
    };
    let Load { requests, per_second, latency } = tokio::select! {
        load = load => load?,
        sampled = sampler.run() => { sampled?; bail!("the sampler ended"); }
        failure = idle.failure() => return Err(failure),
    };
    if let Some(metrics) = peer.metrics {
        let answer = get(metrics, "/metrics").await?;
        let text = String::from_utf8_lossy(answer.body());
        ensure!(text.contains("gray_gateway_rule_requests_total"), "the gateway's metrics do not count rules");
    }
    let after = cpu(peer)?;
    let others_cores = others.cores();
    // With all its connections still open.
    let rss_mib = peer.parts.iter().map(|(_, pids)| proc::rss_kib(pids)).sum::<u64>() as f64 / 1024.0;
    ensure!(sampler.asked() > 0, "no answer was looked at");
    let requests = requests + sampler.asked() + idle.asked();
    let per_request = |micros: u64| micros as f64 / requests as f64;
    let parts: BTreeMap<_, _> = before
        .iter()
        .zip(&after)
        .map(|((part, before), (_, after))| (*part, per_request(after.saturating_sub(*before))))
        .collect();
    peer.check()?;
    Ok(Sample {
        peer: peer.peer,
        round,
        requests,
        looked_at: sampler.asked() + idle.asked(),
        per_second,
        cpu_micros: parts.values().sum(),
        parts,
        latency,
        rss_mib,
        others_cores,
        fixed: None,
    })
}

/// What the rest of the machine does meanwhile.
struct Others {
    since: Instant,
    machine: u64,
    ours: u64,
}

impl Others {
    fn begin() -> Self {
        Self { since: Instant::now(), machine: proc::machine_micros(), ours: proc::our_micros() }
    }

    /// How many cores were busy with other things since then.
    fn cores(&self) -> f64 {
        let machine = proc::machine_micros().saturating_sub(self.machine);
        let ours = proc::our_micros().saturating_sub(self.ours);
        machine.saturating_sub(ours) as f64 / 1e6 / self.since.elapsed().as_secs_f64()
    }
}

/// CPU time so far, by program.
fn cpu(peer: &Running) -> Result<Vec<(&'static str, u64)>> {
    peer.parts.iter().map(|(part, pids)| Ok((*part, proc::cpu_micros(pids)?))).collect()
}

/// Another one begins in every round.
fn order(round: u32, count: usize) -> impl Iterator<Item = usize> {
    let first = round as usize;
    (0..count).map(move |index| (first + index) % count)
}

fn failure(workload: Workload, round: u32, peer: &Running) -> String {
    let printed = peer.tails();
    let printed = if printed.is_empty() { String::new() } else { format!("; it printed:\n{printed}") };
    format!("{}, round {}, {}{printed}", workload.name(), round + 1, peer.peer.name())
}

/// Progress goes to standard error; standard output is for the tables.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_once_per_round_and_another_one_first() {
        let orders: Vec<Vec<usize>> = (0..3).map(|round| order(round, 3).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
