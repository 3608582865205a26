//! File descriptors of both sides: connections of clients, and connections to instances. Counted per connection, never per
//! request, and added up over the workers when one more is to be opened.

use std::{io, rc::Rc};

use super::stats::Stats;

/// One worker's view of what all of them have open.
#[derive(Debug)]
pub(in crate::proxy) struct Descriptors {
    stats: Stats,
    index: usize,
    /// 0: no limit.
    max: u64,
}

impl Descriptors {
    pub(in crate::proxy) fn new(stats: Stats, index: usize, max: usize) -> Rc<Self> {
        Rc::new(Self { stats, index, max: max as u64 })
    }

    /// Whether there is no room for one more, of either kind.
    pub(in crate::proxy) fn is_full(&self) -> bool {
        self.max > 0 && self.stats.descriptors() >= self.max
    }

    /// Whether it is time to do without what is not in use.
    pub(in crate::proxy) fn is_tight(&self) -> bool {
        self.max > 0 && self.stats.descriptors() >= self.max - self.max / 8
    }

    /// One more connection to an instance.
    ///
    /// # Errors
    /// [`OutOfDescriptors`], when there is no room.
    pub(in crate::proxy) fn take(self: &Rc<Self>) -> io::Result<Descriptor> {
        if self.is_full() {
            return Err(io::Error::other(OutOfDescriptors));
        }
        self.stats.worker(self.index).dialled.add();
        Ok(Descriptor(Rc::clone(self)))
    }
}

/// A connection to an instance, or one that is being made.
#[derive(Debug)]
pub(in crate::proxy) struct Descriptor(Rc<Descriptors>);

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.stats.worker(self.0.index).hung_up.add();
    }
}

/// There is no room for another connection to an instance.
#[derive(Debug, thiserror::Error)]
#[error("too many open connections for the limit of open files")]
pub(in crate::proxy) struct OutOfDescriptors;

/// Whether it is for want of descriptors that there is no connection.
pub(in crate::proxy) fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_system = |code| [Errno::MFILE, Errno::NFILE].iter().any(|errno| errno.raw_os_error() == code);
    error.get_ref().is_some_and(|inner| inner.is::<OutOfDescriptors>()) || error.raw_os_error().is_some_and(of_system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_all_workers_count() {
        let stats = Stats::new(2);
        let [one, other] = [0, 1].map(|index| Descriptors::new(stats.clone(), index, 16));
        stats.worker(0).connections.add_many(6);
        stats.worker(1).connections.add_many(6);
        let held: Vec<_> = [&one, &other].into_iter().map(|worker| worker.take().expect("room")).collect();
        assert!(one.is_tight() && !one.is_full());
        let more = [other.take().expect("room"), other.take().expect("room")];
        assert!(one.is_full() && other.is_full());
        let error = one.take().expect_err("no room");
        assert!(is_shortage(&error), "{error}");
        assert_eq!(stats.snapshot().upstream_connections, 4);
        drop(more);
        assert!(!one.is_full());
        stats.worker(0).disconnections.add_many(6);
        drop(held);
        assert!(!one.is_tight());
        assert_eq!(stats.descriptors(), 6);
        let unlimited = Descriptors::new(stats.clone(), 0, 0);
        assert!(!unlimited.is_full() && !unlimited.is_tight());
    }

    #[test]
    fn a_shortage_is_told_from_other_errors() {
        let system = |errno: rustix::io::Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(is_shortage(&system(rustix::io::Errno::MFILE)) && is_shortage(&system(rustix::io::Errno::NFILE)));
        assert!(!is_shortage(&system(rustix::io::Errno::CONNREFUSED)) && !is_shortage(&io::Error::other("else")));
    }
}
