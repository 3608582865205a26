//! File descriptors: how many the process may have, and how many it has.
//!
//! A process that runs out of them cannot accept, connect, read its settings or say what is wrong. So limits of connections
//! are made to fit, with [`RESERVED`] to spare.

use metrics::{Unit, describe_gauge, gauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Gauge: file descriptors that the process has open, sockets included.
const OPEN_DESCRIPTORS: &str = "process_open_fds";
/// Gauge: file descriptors that the process may have open.
const MAX_DESCRIPTORS: &str = "process_max_fds";

/// Kept for everything but clients' connections and what is done for them: probes and the admin side, the registry, logs
/// and files.
pub const RESERVED: usize = 64;

/// Raises the limit to what the system allows the process (the hard limit). Says what it is now; `None`: there is none.
pub fn raise() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => tracing::debug!(from = ?current, to = ?maximum, "limit of open files raised"),
            Err(error) => tracing::warn!(%error, limit = ?current, "cannot raise the limit of open files (ulimit -n)"),
        }
    }
    limit()
}

/// What the process may have; `None`: as many as it likes.
pub fn limit() -> Option<usize> {
    usize::try_from(getrlimit(Resource::Nofile).current?).ok()
}

/// What the process has, if the system tells.
pub fn open() -> Option<usize> {
    // One of them is the directory that is being read.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// What connections may take: what the process may have without [`RESERVED`] and `others`; `None`: as much as they like.
pub fn available(others: usize) -> Option<usize> {
    // A limit so low that nothing is left deserves a warning, not an outage.
    limit().map(|limit| limit.saturating_sub(RESERVED + others).max(2))
}

/// As many connections as `wanted`, or `most` when that is 0 or more than that. 0: no limit.
pub fn fitting(wanted: usize, most: Option<usize>) -> usize {
    let Some(most) = most else { return wanted };
    if wanted > most {
        tracing::warn!(
            wanted,
            most,
            open_files = limit(),
            "more connections are wanted than open files are allowed: only so many are let in; raise LimitNOFILE (ulimit -Hn)"
        );
    }
    if wanted == 0 { most } else { wanted.min(most) }
}

/// Describes what [`record`] shows to the recorder that is installed.
pub fn describe() {
    describe_gauge!(OPEN_DESCRIPTORS, Unit::Count, "File descriptors that the process has open, sockets included");
    describe_gauge!(MAX_DESCRIPTORS, Unit::Count, "File descriptors that the process may have open");
}

/// Shows limit and use.
pub fn record() {
    if let Some(open) = open() {
        gauge!(OPEN_DESCRIPTORS).set(open as f64);
    }
    if let Some(limit) = limit() {
        gauge!(MAX_DESCRIPTORS).set(limit as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_what_the_system_allows() {
        for (wanted, most, fits) in
            [(0, None, 0), (500, None, 500), (0, Some(480), 480), (500, Some(480), 480), (100, Some(480), 100)]
        {
            assert_eq!(fitting(wanted, most), fits, "{wanted} of {most:?}");
        }
        assert_eq!(available(usize::MAX - RESERVED).unwrap_or(2), 2, "never nothing");
        assert_eq!(available(10), limit().map(|limit| limit - RESERVED - 10));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_open_is_counted() {
        let files: Vec<_> = (0..20).map(|_| std::fs::File::open("/dev/null").expect("opens")).collect();
        let open = open().expect("Linux tells");
        assert!(open >= files.len(), "{open} with {} files", files.len());
        assert!(limit().is_none_or(|limit| limit >= open));
    }
}
