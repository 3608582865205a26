//! One load on one peer: what it costs, while answers are looked at.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    client::{Sampler, get},
    idle::IdleConnections,
    load::{self, Load},
    peer::Peer,
    proc,
    sample::Sample,
    start::{Running, Site},
    workload::Workload,
};

/// How often the metrics of a watched program are read, as a Prometheus would, only more often.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// One load on one peer; answers are looked at meanwhile.
pub(crate) async fn measure(
    site: &Site,
    peer: &mut Running,
    workload: Workload,
    round: u32,
    seconds: u32,
    rate: Option<u32>,
) -> Result<Sample> {
    peer.check()?;
    let address = if workload.ask().http2 { peer.http2 } else { peer.address };
    let mut idle = IdleConnections::open(address, workload.idle_connections()).await?;
    let mut sampler = Sampler::new(address, workload.ask());
    let log = peer.access_log.as_deref();
    let (others, logged, pids) = (Others::begin(), log.map_or(0, length), peer.pids());
    let (before, threads) = (cpu(peer)?, proc::thread_micros(&pids));
    let load = async {
        match rate {
            None => load::flood(site, peer, workload, seconds).await,
            Some(rate) => load::at_rate(address, workload, seconds, rate).await,
        }
    };
    let watched = peer.metrics.filter(|_| peer.peer == Peer::GatewayFull);
    let Load { requests, per_second, latency } = tokio::select! {
        load = load => load?,
        sampled = sampler.run() => { sampled?; bail!("the sampler ended"); }
        scraped = scrape(watched) => { scraped?; bail!("nobody reads the metrics any more"); }
        failure = idle.failure() => return Err(failure),
    };
    if let Some(metrics) = peer.metrics {
        read_metrics(metrics).await?;
    }
    let (after, threads_after) = (cpu(peer)?, proc::thread_micros(&pids));
    let others_cores = others.cores();
    // With all its connections still open.
    let rss_mib = proc::rss_kib(&pids) as f64 / 1024.0;
    ensure!(sampler.asked() > 0, "no answer was looked at");
    let requests = requests + sampler.asked() + idle.asked();
    let per_request = |micros: u64| micros as f64 / requests as f64;
    let parts: BTreeMap<_, _> = before
        .iter()
        .zip(&after)
        .map(|((part, before), (_, after))| (*part, per_request(after.saturating_sub(*before))))
        .collect();
    let alone = parts.len() == 1;
    let lines = |log| lines_after(log, logged).map(|lines| lines as f64 / requests as f64);
    let logged = log.map(lines).transpose()?;
    ensure!(logged.is_none_or(|logged| logged > 0.0), "the access log has not one line about {requests} requests");
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
        busiest: proc::busiest(&threads, &threads_after, site.workers).filter(|_| alone),
        logged,
        others_cores,
        fixed: None,
    })
}

/// Reads the metrics every second until it is dropped.
async fn scrape(metrics: Option<SocketAddr>) -> Result<()> {
    let Some(metrics) = metrics else { return std::future::pending().await };
    loop {
        read_metrics(metrics).await?;
        tokio::time::sleep(SCRAPE_EVERY).await;
    }
}

async fn read_metrics(metrics: SocketAddr) -> Result<()> {
    let answer = get(metrics, "/metrics", false).await?;
    let text = String::from_utf8_lossy(answer.body());
    ensure!(text.contains("gray_gateway_rule_requests_total"), "the gateway's metrics do not count rules");
    Ok(())
}

/// Length of a file; 0 as long as there is none.
fn length(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// Lines of a file behind that many bytes.
fn lines_after(file: &Path, start: u64) -> Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    reader.seek(SeekFrom::Start(start))?;
    let mut lines = 0;
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(lines);
        }
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        let read = piece.len();
        reader.consume(read);
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_new_lines_count() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "old").expect("written");
        let before = length(file.path());
        writeln!(file, "new\nnewer").expect("written");
        assert_eq!(lines_after(file.path(), before).expect("read"), 2);
        assert_eq!(length(Path::new("/there/is/none")), 0);
    }
}
