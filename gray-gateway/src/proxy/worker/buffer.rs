//! Buffers, lent by the worker: a connection that waits holds none.

use std::{
    cell::{Cell, RefCell},
    io, mem,
    ops::{Deref, DerefMut},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::proxy::downstream::socket::Socket;

/// What most heads, and many bodies, fit into.
const SMALL: usize = 16 * 1024;
/// For bodies that are longer. Measured: from 64 KiB on, a MiB costs half as much CPU again (it does not fit into one
/// segment of the kernel's any more), and below it costs more calls.
const LARGE: usize = 32 * 1024;
/// Unused buffers that are kept, of each size.
const MAX_KEPT: [usize; 3] = [64, 32, 128];
/// Those of them that are never given up.
const ALWAYS_KEPT: usize = 8;

/// One worker's unused buffers.
#[derive(Debug)]
pub(in crate::proxy) struct Buffers {
    small: Shelf<Box<[u8]>>,
    large: Shelf<Box<[u8]>>,
    /// For what is to be written; empty.
    out: Shelf<Vec<u8>>,
    /// Buffers to read into that were made.
    #[cfg(test)]
    made: Cell<usize>,
}

impl Default for Buffers {
    fn default() -> Self {
        let [small, large, out] = MAX_KEPT;
        Self {
            small: Shelf::new(small),
            large: Shelf::new(large),
            out: Shelf::new(out),
            #[cfg(test)]
            made: Cell::default(),
        }
    }
}

/// Unused buffers of one kind; the one that came back last is the first to be lent.
#[derive(Debug)]
struct Shelf<T> {
    unused: RefCell<Vec<T>>,
    max: usize,
    /// The fewest that there were since the last [`trim`](Self::trim): so many at the bottom were of no use.
    fewest: Cell<usize>,
}

impl<T> Shelf<T> {
    fn new(max: usize) -> Self {
        Self { unused: RefCell::default(), max, fewest: Cell::new(0) }
    }

    fn take(&self) -> Option<T> {
        let mut unused = self.unused.borrow_mut();
        let taken = unused.pop();
        self.fewest.set(self.fewest.get().min(unused.len()));
        taken
    }

    fn put(&self, buffer: T) {
        let mut unused = self.unused.borrow_mut();
        if unused.len() < self.max {
            unused.push(buffer);
        }
    }

    /// Gives up those that nothing has needed since the last time: what a peak took does not stay for good.
    fn trim(&self) {
        let mut unused = self.unused.borrow_mut();
        let idle = self.fewest.get().min(unused.len().saturating_sub(ALWAYS_KEPT));
        unused.drain(..idle);
        self.fewest.set(unused.len());
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.unused.borrow().len()
    }
}

impl Buffers {
    fn lend(&self, large: bool) -> Box<[u8]> {
        let (shelf, size) = if large { (&self.large, LARGE) } else { (&self.small, SMALL) };
        shelf.take().unwrap_or_else(|| {
            #[cfg(test)]
            self.made.set(self.made.get() + 1);
            vec![0; size].into()
        })
    }

    fn take_back(&self, bytes: Box<[u8]>) {
        match bytes.len() {
            SMALL => self.small.put(bytes),
            LARGE => self.large.put(bytes),
            _ => {}
        }
    }

    /// Gives up buffers that were not needed since the last time. To be called now and then.
    pub(in crate::proxy) fn trim(&self) {
        self.small.trim();
        self.large.trim();
        self.out.trim();
    }

    /// Buffers to read into: those that were made, and those that are not lent.
    #[cfg(test)]
    pub(in crate::proxy) fn made_and_unused(&self) -> (usize, usize) {
        (self.made.get(), self.small.len() + self.large.len())
    }

    /// An empty buffer to write into.
    pub(in crate::proxy) fn lend_out(&self) -> Lent<'_> {
        let bytes = self.out.take().unwrap_or_else(|| Vec::with_capacity(2048));
        Lent { bytes, buffers: self }
    }
}

/// A buffer to write into, as long as it is needed. It goes back when it is dropped, however its request has ended.
#[derive(Debug)]
pub(in crate::proxy) struct Lent<'w> {
    bytes: Vec<u8>,
    buffers: &'w Buffers,
}

impl Lent<'_> {
    /// Another one with the same in it.
    pub(in crate::proxy) fn copy(&self) -> Self {
        let mut copy = self.buffers.lend_out();
        copy.extend_from_slice(&self.bytes);
        copy
    }
}

impl Deref for Lent<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.bytes.capacity() <= 2 * LARGE {
            self.bytes.clear();
            self.buffers.out.put(mem::take(&mut self.bytes));
        }
    }
}

/// What a look at a socket has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Filled {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The end of the stream.
    End,
    /// Nothing was read: as much waits as may. This says nothing about the stream.
    Full,
}

/// What was read from a socket and is not used yet. Its buffer is lent by the worker while it is needed, and goes back when this
/// is dropped, however the connection or the attempt has ended.
#[derive(Debug)]
pub(in crate::proxy) struct Received {
    buffers: Rc<Buffers>,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Received {
    /// Nothing so far, and no buffer.
    pub(in crate::proxy) fn new(buffers: &Rc<Buffers>) -> Self {
        Self { buffers: Rc::clone(buffers), bytes: Box::default(), start: 0, end: 0 }
    }

    /// The bytes.
    pub(in crate::proxy) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(in crate::proxy) fn len(&self) -> usize {
        self.end - self.start
    }

    /// What its buffer takes of the memory.
    pub(in crate::proxy) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Drops the first bytes.
    pub(in crate::proxy) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once, up to `limit` bytes in all. A buffer that stays empty goes back. `large` says that much is expected.
    pub(in crate::proxy) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        limit: usize,
        large: bool,
    ) -> Poll<io::Result<Filled>> {
        if !self.make_room(limit, large) {
            return Poll::Ready(Ok(Filled::Full));
        }
        let room = self.bytes.len().min(self.start.saturating_add(limit));
        let mut buffer = ReadBuf::new(&mut self.bytes[self.end..room]);
        let read = Pin::new(socket).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        if count == 0 && self.is_empty() {
            self.release();
        }
        ready!(read)?;
        self.end += count;
        Poll::Ready(Ok(if count == 0 { Filled::End } else { Filled::Bytes(count) }))
    }

    fn make_room(&mut self, limit: usize, large: bool) -> bool {
        if self.len() >= limit {
            return false;
        }
        if self.is_empty() && (self.bytes.is_empty() || (large && self.bytes.len() < LARGE)) {
            self.release();
            self.bytes = self.buffers.lend(large);
        } else if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
            } else {
                let mut longer = vec![0; self.bytes.len() * 2].into_boxed_slice();
                longer[..self.end].copy_from_slice(&self.bytes);
                self.buffers.take_back(mem::replace(&mut self.bytes, longer));
            }
            (self.start, self.end) = (0, self.end - self.start);
        }
        true
    }

    /// Gives the buffer back now, with whatever is in it.
    pub(in crate::proxy) fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        let bytes = mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            self.buffers.take_back(bytes);
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back_empty() {
        let buffers = Buffers::default();
        let mut lent = buffers.lend_out();
        lent.extend_from_slice(b"head");
        let (copy, place) = (lent.copy(), lent.as_ptr());
        assert_eq!(*copy, b"head");
        drop((copy, lent));
        let again = buffers.lend_out();
        assert!(again.is_empty() && again.as_ptr() == place);
        let mut long = buffers.lend_out();
        long.reserve(3 * LARGE);
        drop((again, long));
        assert_eq!(buffers.out.len(), 1, "what has grown beyond measure is not kept");
    }

    #[test]
    fn what_a_peak_took_is_given_up_and_what_is_needed_stays() {
        let buffers = Buffers::default();
        let peak: Vec<_> = (0..100).map(|_| buffers.lend_out()).collect();
        drop(peak);
        buffers.trim();
        assert_eq!(buffers.out.len(), 100, "all of them were lent since the last time");
        // From now on twenty at once are enough.
        drop((0..20).map(|_| buffers.lend_out()).collect::<Vec<_>>());
        buffers.trim();
        assert_eq!(buffers.out.len(), 20);
        for _ in 0..3 {
            drop((0..20).map(|_| buffers.lend_out()).collect::<Vec<_>>());
            buffers.trim();
        }
        assert_eq!(buffers.out.len(), 20, "what is needed stays");
        buffers.trim();
        buffers.trim();
        assert_eq!(buffers.out.len(), ALWAYS_KEPT, "for what comes next");
    }

    #[test]
    fn what_is_read_into_comes_back_with_what_is_in_it() {
        let buffers = Rc::new(Buffers::default());
        let mut received = Received::new(&buffers);
        assert!(received.make_room(SMALL, false));
        let place = received.bytes.as_ptr();
        received.end = 7;
        drop(received);
        assert_eq!(buffers.made_and_unused(), (1, 1));
        let mut again = Received::new(&buffers);
        assert!(again.make_room(SMALL, false) && again.is_empty() && again.bytes.as_ptr() == place);
        again.release();
        drop(again);
        assert_eq!(buffers.made_and_unused(), (1, 1), "once only");
    }
}
