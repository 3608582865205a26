//! The access log: one line per request, written off the request path.
//!
//! Each worker formats lines into a buffer of its own and hands full ones, and what is older than a tick, over a bounded
//! channel to one writer thread, which gives the buffers back. No request waits for a disk: what finds the channel full is
//! dropped and counted.
//!
//! | module | what |
//! |---|---|
//! | `entry` | what is logged of a request |
//! | `line` | how it looks |
//! | `batch` | lines on their way |
//! | `writer` | the thread, rotation, disks that are full |

mod batch;
mod entry;
mod line;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    cell::RefCell,
    io,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};

use self::{
    batch::{BUFFER, Batch, buffer},
    writer::{Output, Writer},
};
pub use self::{
    entry::{End, Entry},
    line::{AccessLogFormat, LineWriter},
};
use super::worker::stats::Stats;

/// Full buffers per worker on their way to the writer: 4 MiB, which bridges a stall of half a second at 30,000 requests
/// per second.
const IN_TRANSIT: usize = 128;
/// Empty buffers on their way back per worker; more are freed.
const SPARE: usize = 4;

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogOptions {
    /// The file, which is created or appended to; `-` is standard output.
    pub path: PathBuf,
    /// How lines look.
    pub format: AccessLogFormat,
}

/// The access log cannot be opened: what is inside the error of [`start`](super::start) in that case.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {} for the access log: {cause}", path.display())]
pub struct AccessLogError {
    /// The file.
    pub path: PathBuf,
    cause: String,
}

/// One worker's half.
pub(super) struct AccessLog {
    pending: RefCell<Pending>,
    index: usize,
    stats: Stats,
    full: SyncSender<Batch>,
    empty: Receiver<Vec<u8>>,
}

struct Pending {
    writer: LineWriter,
    bytes: Vec<u8>,
    lines: u64,
}

/// What can be asked of the writer while it runs. The writer ends when this and all halves are dropped.
#[derive(Debug)]
pub(super) struct Control {
    reopen: Arc<AtomicBool>,
    full: Arc<SyncSender<Batch>>,
}

/// Has the file opened anew, if it is still written to.
#[derive(Clone, Debug)]
pub struct Reopen {
    reopen: Arc<AtomicBool>,
    full: Weak<SyncSender<Batch>>,
}

impl Control {
    /// A handle that does not keep the writer alive.
    pub(super) fn reopen(&self) -> Reopen {
        Reopen { reopen: Arc::clone(&self.reopen), full: Arc::downgrade(&self.full) }
    }
}

impl Reopen {
    /// Returns at once; what is handed over from now on goes to the new file.
    pub fn request(&self) {
        self.reopen.store(true, Relaxed);
        if let Some(full) = self.full.upgrade() {
            // Only to wake it. When the channel is full it wakes by itself, and without it there is no writer any more.
            let _woken = full.try_send(Batch { bytes: Vec::new(), lines: 0, worker: 0 });
        }
    }
}

/// Opens the log: one half for each worker, what has to run on a thread of its own until all of them are dropped, and
/// what can be asked of that.
///
/// # Errors
/// When the file cannot be opened; the error holds an [`AccessLogError`].
pub(super) fn open(
    options: &AccessLogOptions,
    workers: usize,
    stats: &Stats,
) -> io::Result<(Vec<AccessLog>, impl FnOnce() + Send + use<>, Control)> {
    let output = Output::open(&options.path).map_err(|error| {
        let (kind, cause) = (error.kind(), error.to_string());
        io::Error::new(kind, AccessLogError { path: options.path.clone(), cause })
    })?;
    let (halves, writer, control) = connect(output, options.format, workers, stats);
    Ok((halves, || writer.run(), control))
}

fn connect(
    output: Output,
    format: AccessLogFormat,
    workers: usize,
    stats: &Stats,
) -> (Vec<AccessLog>, Writer, Control) {
    let (full, batches) = sync_channel(IN_TRANSIT * workers);
    let (halves, empties) = (0..workers)
        .map(|index| {
            let (give_back, empty) = sync_channel(SPARE);
            let pending = Pending { writer: LineWriter::new(format), bytes: buffer(), lines: 0 };
            let (stats, full) = (stats.clone(), full.clone());
            (AccessLog { pending: RefCell::new(pending), index, stats, full, empty }, give_back)
        })
        .unzip();
    let reopen = Arc::<AtomicBool>::default();
    let writer = Writer::new(output, batches, empties, Arc::clone(&reopen), stats.clone());
    (halves, writer, Control { reopen, full: Arc::new(full) })
}

impl AccessLog {
    /// Logs a request; a full buffer is handed over.
    pub(super) fn log(&self, entry: &Entry<'_>) {
        let mut pending = self.pending.borrow_mut();
        let Pending { writer, bytes, lines } = &mut *pending;
        writer.write(entry, bytes);
        *lines += 1;
        if bytes.len() >= BUFFER {
            self.hand_over(&mut pending);
        }
    }

    /// Hands over what there is; the sweeper calls it at every tick.
    pub(super) fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.lines > 0 {
            self.hand_over(&mut pending);
        }
    }

    /// Whether everything was handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.borrow().lines == 0
    }

    /// The last flush, when nothing is served any more: waits until there is room.
    pub(super) fn finish(&self) {
        let batch = self.take(&mut self.pending.borrow_mut());
        if batch.lines > 0
            && let Err(unsent) = self.full.send(batch)
        {
            self.dropped(unsent.0.lines);
        }
    }

    fn hand_over(&self, pending: &mut Pending) {
        if let Err(TrySendError::Full(mut batch) | TrySendError::Disconnected(mut batch)) =
            self.full.try_send(self.take(pending))
        {
            self.dropped(batch.lines);
            batch.bytes.clear();
            pending.bytes = batch.bytes;
        }
    }

    fn take(&self, pending: &mut Pending) -> Batch {
        let empty = self.empty.try_recv().unwrap_or_else(|_none| buffer());
        let bytes = std::mem::replace(&mut pending.bytes, empty);
        Batch { bytes, lines: std::mem::take(&mut pending.lines), worker: self.index }
    }

    fn dropped(&self, lines: u64) {
        self.stats.worker(self.index).log_dropped.add_many(lines);
    }
}
