//! The path of a traced request, put together from its hops.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Longest path that is told or believed, in bytes: as long as the longest lane.
pub(crate) const MAX_PATH_BYTES: usize = 4096;

/// The paths of the calls that one request caused. Only requests of authorised testers have one.
#[derive(Clone, Default)]
pub struct PathLog(Arc<Mutex<Vec<String>>>);

impl PathLog {
    /// More calls than this are not told.
    const MAX_CALLS: usize = 16;

    /// Notes the path of one call.
    pub fn push(&self, path: String) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < Self::MAX_CALLS {
            calls.push(path);
        }
    }

    /// `here`, followed by the calls: `a > b`, `a > (b, c)`; `a > ...` when those are too long for a header.
    pub fn told(&self, here: &str) -> String {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match &**calls {
            [] => return here.to_owned(),
            [one] => format!("{here} > {one}"),
            several => format!("{here} > ({})", several.join(", ")),
        };
        if told.len() <= MAX_PATH_BYTES { told } else { format!("{here} > ...") }
    }
}

impl PartialEq for PathLog {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PathLog {}

impl fmt::Debug for PathLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathLog")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_longer_than_a_header_may_be() {
        let log = PathLog::default();
        assert_eq!(log.told("a"), "a");
        log.push("b".to_owned());
        assert_eq!(log.told("a"), "a > b");
        log.push("c > d".to_owned());
        assert_eq!(log.told("a"), "a > (b, c > d)");
        log.push("x".repeat(MAX_PATH_BYTES - "a > (b, c > d, )".len()));
        assert_eq!(log.told("a").len(), MAX_PATH_BYTES);
        log.push("e".to_owned());
        assert_eq!(log.told("a"), "a > ...");
    }
}
