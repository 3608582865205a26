//! What /proc says about processes: who belongs to whom, CPU time, memory.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};

/// The fields of /proc/PID/stat behind the name, which may itself hold spaces and parentheses.
fn stat(pid: u32) -> Option<Vec<String>> {
    fields(&format!("/proc/{pid}/stat"))
}

fn fields(file: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(file).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// CPU time of each thread of these processes so far, by thread id, in microseconds.
pub(crate) fn thread_micros(pids: &[u32]) -> BTreeMap<u32, u64> {
    let mut threads = BTreeMap::new();
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for id in tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()) {
            let Some(fields) = fields(&format!("/proc/{pid}/task/{id}/stat")) else { continue };
            let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            threads.insert(id, (field(11) + field(12)) * per_tick());
        }
    }
    threads
}

/// The CPU time of the busiest worker by that of an average one: 1 when all do the same, `workers` when one does it
/// all. The workers are the busiest threads; `None` with one worker, or before anything was done.
pub(crate) fn busiest(before: &BTreeMap<u32, u64>, after: &BTreeMap<u32, u64>, workers: usize) -> Option<f64> {
    let spent = |(id, micros): (&u32, &u64)| micros.saturating_sub(before.get(id).copied().unwrap_or(0));
    let mut spent: Vec<u64> = after.iter().map(spent).collect();
    spent.sort_unstable_by(|left, right| right.cmp(left));
    spent.truncate(workers);
    let (most, all) = (*spent.first()?, spent.iter().sum::<u64>());
    (workers > 1 && all > 0).then(|| most as f64 * workers as f64 / all as f64)
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // Field 4 of `man proc` is the parent.
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Microseconds per unit of CPU time in /proc.
fn per_tick() -> u64 {
    1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// CPU time that the machine has spent on anything so far, in microseconds.
pub(crate) fn machine_micros() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    // All but idle and iowait; what other machines took (steal) counts, what guests took is in user already.
    ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, ticks)| ticks).sum::<u64>()
        * per_tick()
}

/// CPU time of the harness and of all that it started, also of what has ended, in microseconds.
pub(crate) fn our_micros() -> u64 {
    let own = std::process::id();
    let field = |pid: u32, index: usize| stat(pid)?.get(index)?.parse::<u64>().ok();
    // Fields 14 to 17 of `man proc`; the time of children comes when they have been waited for.
    let of = |pid: u32| (11..15).filter_map(|index| field(pid, index)).sum::<u64>();
    tree(own).into_iter().map(of).sum::<u64>() * per_tick()
}

/// CPU time of processes so far, all threads, user and system, in microseconds.
pub(crate) fn cpu_micros(pids: &[u32]) -> Result<u64> {
    let ticks = |pid: &u32| -> Result<u64> {
        let fields = stat(*pid).with_context(|| format!("process {pid} is gone"))?;
        // Fields 14 and 15 of `man proc`: utime, stime.
        let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
        field(11).zip(field(12)).map(|(user, system)| user + system).context("/proc/PID/stat has another form")
    };
    Ok(pids.iter().map(ticks).sum::<Result<u64>>()? * per_tick())
}

/// Memory that processes have in RAM, in KiB. What they share counts for each.
pub(crate) fn rss_kib(pids: &[u32]) -> u64 {
    let rss = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok())
    };
    pids.iter().filter_map(rss).sum()
}

/// The load average of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_a_process_with_memory_and_time() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(rss_kib(&[own]) > 100);
        assert!(cpu_micros(&[own]).is_ok());
        assert!(cpu_micros(&[u32::MAX]).is_err());
        assert!(our_micros() <= machine_micros());
    }

    #[test]
    fn the_busiest_of_two_workers() {
        let threads = |one, two, other| BTreeMap::from([(1, one), (2, two), (3, other)]);
        let before = threads(1000, 0, 500);
        assert_eq!(busiest(&before, &threads(1300, 100, 510), 2), Some(1.5));
        assert_eq!(busiest(&before, &threads(1100, 100, 510), 2), Some(1.0));
        assert_eq!(busiest(&before, &before, 2), None);
        assert!(thread_micros(&[std::process::id()]).len() > 1, "tests have threads");
    }

    #[test]
    fn children_belong_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().expect("sleep");
        assert!(tree(std::process::id()).contains(&child.id()));
        child.kill().expect("ours");
        child.wait().expect("ours");
    }
}
