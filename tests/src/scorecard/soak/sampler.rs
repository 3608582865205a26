//! Memory, open files and metric series of the gateway, every second.

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
    /// Open files, sockets among them.
    pub(super) files: usize,
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
                let (rss, files) = (proc::rss_kib(pid), proc::open_files(pid));
                samples.push(Sample { at: start.elapsed(), rss, files, series });
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

/// How a figure went over time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trend {
    /// Medians of the first and of the last third.
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) most: f64,
    /// Slope of the straight line through the second half: by then whatever grows to a limit has reached it.
    pub(super) per_hour: f64,
}

pub(super) fn trend(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Trend {
    let median = |part: &[Sample]| {
        let mut values: Vec<_> = part.iter().map(&figure).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let (third, half) = (samples.len() / 3, &samples[samples.len() / 2..]);
    let points = half.iter().map(|sample| (sample.at.as_secs_f64() / 3600.0, figure(sample)));
    Trend {
        before: median(&samples[..third]),
        after: median(&samples[samples.len() - third..]),
        most: samples.iter().map(&figure).fold(0.0, f64::max),
        per_hour: slope(points.collect()),
    }
}

/// Least squares.
fn slope(points: Vec<(f64, f64)>) -> f64 {
    let count = points.len() as f64;
    let mean = |values: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(values).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let (covariance, variance) = (mean(&|point| (point.0 - x) * (point.1 - y)), mean(&|point| (point.0 - x).powi(2)));
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

/// Whether memory (KiB) has stopped growing: by less than a tenth in an hour.
pub(super) fn is_flat(rss: &Trend, scale: Scale) -> bool {
    // A short run still warms up: buffers and connections come with the first faults.
    let short = rss.after <= rss.before * 1.1 + 32.0 * 1024.0;
    rss.before > 0.0 && scale.pick(short, rss.per_hour < rss.before / 10.0)
}

/// Whether as many files are open in the end as in the beginning, but for those of the load.
pub(super) fn is_closed(files: &Trend) -> bool {
    files.before > 0.0 && files.after <= files.before * 1.1 + 16.0
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

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rss: impl Fn(u64) -> u64) -> Vec<Sample> {
        (0..1800).map(|at| Sample { at: Duration::from_secs(at), rss: rss(at), files: 50, series: 1 }).collect()
    }

    #[test]
    fn even_growth_is_no_flat_line() {
        let judge = |rss: &dyn Fn(u64) -> u64| is_flat(&trend(&samples(rss), |sample| sample.rss as f64), Scale::Full);
        // From 23.4 to 26.3 MiB in half an hour, as it once was.
        assert!(!judge(&|at| 23_962 + at * 2970 / 1800));
        assert!(judge(&|at| 24_000 + (at % 7) * 50), "noise");
        assert!(judge(&|at| 24_000 + at.min(800) * 3), "grown, and done");
        assert!(!judge(&|_| 0), "nothing seen");
    }

    #[test]
    fn files_that_stay_open_are_seen() {
        let mut seen = samples(|_| 1);
        assert!(is_closed(&trend(&seen, |sample| sample.files as f64)));
        seen.iter_mut().skip(900).for_each(|sample| sample.files = 90);
        assert!(!is_closed(&trend(&seen, |sample| sample.files as f64)));
    }
}
