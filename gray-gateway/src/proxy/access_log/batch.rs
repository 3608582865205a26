//! Lines on their way from a worker to the writer.

/// A buffer of this many bytes is full.
pub(super) const BUFFER: usize = 32 * 1024;
/// Room beyond that for the line that fills it.
pub(super) const LINE: usize = 1024;
/// Lines on their way to the writer; none: it is only to be woken.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    pub(super) worker: usize,
}

/// An empty one.
pub(super) fn buffer() -> Vec<u8> {
    Vec::with_capacity(BUFFER + LINE)
}
