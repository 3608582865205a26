//! What /proc says: memory and files of a process, and what kind of machine this is.

use std::{fs, time::Duration};

/// Memory that a process has in RAM, in KiB; 0 when it is gone.
pub fn rss_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&text, "VmRSS:").and_then(|value| value.split(' ').next()?.parse().ok()).unwrap_or_default()
}

/// The most memory that a process ever had in RAM, in KiB; 0 when it is gone.
pub fn peak_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&text, "VmHWM:").and_then(|value| value.split(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Lets the peak begin anew from what it has now, and says that, in KiB.
pub fn restart_peak(pid: u32) -> u64 {
    // Where it may not be written, the peak stays the highest ever: too much is measured, never too little.
    let _written = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    rss_kib(pid)
}

/// Files and sockets that a process has open; 0 when it is gone.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Time that a process has spent on the CPU, all its threads and the kernel for it, in steps of 10 ms; zero when it is gone.
pub fn cpu_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses, and may have blanks.
    let ticks = text.rsplit(')').next().into_iter().flat_map(|rest| rest.split_whitespace().skip(11).take(2));
    Duration::from_millis(10 * ticks.filter_map(|tick| tick.parse::<u64>().ok()).sum::<u64>())
}

fn field(text: &str, name: &str) -> Option<String> {
    Some(text.lines().find_map(|line| line.strip_prefix(name))?.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Cores, CPU, RAM, kernel; in one line.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kib = field(&read("/proc/meminfo"), "MemTotal:").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    let gib = kib.unwrap_or_default() as f64 / f64::from(1 << 20);
    format!("{cores} cores ({cpu}), {gib:.0} GiB RAM, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn we_have_memory_and_the_machine_has_cores() {
        assert!(rss_kib(std::process::id()) > 100);
        assert!(peak_kib(std::process::id()) > 100);
        assert!(open_files(std::process::id()) > 2);
        assert_eq!((rss_kib(u32::MAX), open_files(u32::MAX)), (0, 0));
        assert_eq!(cpu_time(u32::MAX), Duration::ZERO);
        let until = Instant::now() + Duration::from_secs(20);
        while cpu_time(std::process::id()) == Duration::ZERO {
            assert!(Instant::now() < until, "no time on the CPU is seen");
        }
        assert!(machine().contains("cores") && !machine().contains(" 0 GiB"), "{}", machine());
    }
}
