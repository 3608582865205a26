//! Memory and metric series of the gateway, every second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::task::JoinHandle;

use super::super::{Scale, proc};
use crate::Http;

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Duration,
    /// KiB.
    pub(super) rss: u64,
    /// Lines of `/metrics`.
    pub(super) series: usize,
}

#[derive(Debug)]
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Vec<Sample>>>,
}

impl Sampler {
    pub(super) fn start(pid: u32, admin_port: u16, start: Instant) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (http, mut samples) = (Http::kept()?, Vec::new());
            let url = format!("http://127.0.0.1:{admin_port}/metrics");
            while !told.load(Relaxed) {
                let text = http.get(&url, &[]).await?.expect(200)?.text;
                let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
                samples.push(Sample { at: start.elapsed(), rss: proc::rss_kib(pid), series });
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(samples)
        });
        Self { stop, task }
    }

    pub(super) async fn stop(self) -> Result<Vec<Sample>> {
        self.stop.store(true, Relaxed);
        self.task.await?
    }
}

/// Memory in the first and in the last third, KiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flat {
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) most: u64,
    pub(super) holds: bool,
}

/// Whether the median of the last third is no more than a tenth, and 4 MiB, above that of the first.
pub(super) fn flat(samples: &[Sample], scale: Scale) -> Flat {
    let median = |part: &[Sample]| {
        let mut values: Vec<u64> = part.iter().map(|sample| sample.rss).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let third = samples.len() / 3;
    let (before, after) = (median(&samples[..third]), median(&samples[samples.len() - third..]));
    let most = samples.iter().map(|sample| sample.rss).max().unwrap_or_default();
    // A short run still warms up: buffers and connections come with the first faults.
    let margin = scale.pick(32, 4) * 1024;
    Flat { before, after, most, holds: before > 0 && after <= before + before / 10 + margin }
}

/// Series once every fault has happened once, and in the end.
pub(super) fn series(samples: &[Sample], rotation: Duration) -> Option<(usize, usize)> {
    let before = samples
        .iter()
        .filter(|sample| sample.at > rotation && sample.at < rotation * 2)
        .map(|sample| sample.series)
        .max()?;
    let last = samples.last().filter(|sample| sample.at > rotation * 2)?;
    Some((before, last.series))
}
