//! The directory: read at once, written by a thread of its own.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;
use twox_hash::XxHash3_64;

use super::{
    format::{Content, Kept, MAX_BYTES, decode, encode},
    private::Private,
};
use crate::unix_seconds;

/// Files that are kept; of more, the oldest go when the directory is opened.
const MAX_FILES: usize = 512;
/// What has not been finished for so long is left over.
const HALF_WRITTEN: Duration = Duration::from_secs(60);
const ENDING: &str = "snapshot";

/// A directory of what was known last.
#[derive(Debug)]
pub struct DiskStore {
    directory: PathBuf,
    opened: Instant,
    queue: Arc<Queue>,
    status: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug, Default)]
struct Queue {
    pending: Mutex<Pending>,
    woken: Condvar,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    /// By file name: only the newest counts.
    files: BTreeMap<String, Kept>,
    writing: bool,
    closed: bool,
}

/// What is in use from disk because the real source has not answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskStatus {
    /// Names (`documents`, or of services) with the moment at which they were last known to be true, in Unix seconds.
    pub in_use: BTreeMap<String, u64>,
    /// Times that something could not be written or read since the start.
    pub failures: u64,
}

impl DiskStatus {
    /// Seconds since the oldest thing in use was known to be true; `None` when nothing is in use.
    pub fn age_secs(&self) -> Option<u64> {
        self.in_use.values().min().map(|saved| unix_seconds().saturating_sub(*saved))
    }
}

impl DiskStore {
    /// Opens a directory for one program, creating it (mode 0700) if need be. A directory that cannot be used is logged.
    pub fn open(directory: &Path, program: &str) -> Arc<Self> {
        let directory = directory.join(program);
        let queue = Arc::<Queue>::default();
        let store = Arc::new(Self {
            directory: directory.clone(),
            opened: Instant::now(),
            queue: Arc::clone(&queue),
            status: Mutex::default(),
        });
        if let Err(error) = prepare(&directory) {
            store.failed(format_args!("--snapshot-dir {}: {error}; nothing is kept there", directory.display()));
        }
        let writer = move || {
            let mut complained = false;
            while let Some((name, kept)) = queue.next() {
                match encode(&kept).map_err(io::Error::other).and_then(|bytes| write(&directory, &name, &bytes)) {
                    Ok(()) => {
                        if complained {
                            tracing::info!(directory = %directory.display(), "snapshots can be written again");
                        }
                        complained = false;
                    }
                    Err(error) => {
                        queue.failures.fetch_add(1, Relaxed);
                        if !complained {
                            tracing::warn!(
                                "snapshot {}: {error}; what was there stays, and a start without the registry would go on with \
                                 that",
                                directory.join(&name).display()
                            );
                        }
                        complained = true;
                    }
                }
                queue.written();
            }
        };
        if let Err(error) = thread::Builder::new().name("gray-snapshot".into()).spawn(writer) {
            store.failed(format_args!("snapshots are not written: {error}"));
        }
        store
    }

    /// What is in use from disk now.
    pub fn status(&self) -> DiskStatus {
        DiskStatus { in_use: lock(&self.status).clone(), failures: self.queue.failures.load(Relaxed) }
    }

    /// How long there has been time to answer.
    pub(super) fn is_open_for(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Reads the file, which must be of this space; `None` if none can be used, which is logged.
    pub(super) fn read(&self, name: &str, place: &str) -> Option<Kept> {
        let file = file_name(name, place);
        let read = Private::open(&self.directory).and_then(|directory| directory.read(&file, MAX_BYTES as u64));
        let kept = match read {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        match kept {
            Ok(kept) if kept.place == place => Some(kept),
            Ok(_) => None,
            Err(reason) => {
                let path = self.directory.join(file);
                self.failed(format_args!("snapshot {}: {reason}; not used", path.display()));
                None
            }
        }
    }

    /// Has something written, soon.
    pub(super) fn write(&self, name: &str, place: &str, content: Content) {
        let kept = Kept { place: place.to_owned(), saved: unix_seconds(), content };
        lock(&self.queue.pending).files.insert(file_name(name, place), kept);
        self.queue.woken.notify_all();
    }

    /// Notes that something from disk is in use, or is not any more.
    pub(super) fn uses(&self, name: &str, saved: Option<u64>) {
        let mut status = lock(&self.status);
        match saved {
            Some(saved) => drop(status.insert(name.to_owned(), saved)),
            None => drop(status.remove(name)),
        }
    }

    fn failed(&self, what: std::fmt::Arguments<'_>) {
        self.queue.failures.fetch_add(1, Relaxed);
        tracing::warn!("{what}");
    }

    /// Waits until everything that was to be written was tried.
    #[cfg(any(test, feature = "test-util"))]
    pub fn flush(&self) {
        let mut pending = lock(&self.queue.pending);
        while !pending.files.is_empty() || pending.writing {
            pending = self.queue.woken.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        // The thread writes what is left and ends.
        lock(&self.queue.pending).closed = true;
        self.queue.woken.notify_all();
    }
}

impl Queue {
    fn next(&self) -> Option<(String, Kept)> {
        let mut pending = lock(&self.pending);
        loop {
            if let Some(next) = pending.files.pop_first() {
                pending.writing = true;
                return Some(next);
            }
            if pending.closed {
                return None;
            }
            pending = self.woken.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self) {
        lock(&self.pending).writing = false;
        self.woken.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Readable, harmless, and different for different things.
fn file_name(name: &str, place: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let plain: String = name.chars().take(80).map(|c| if is_plain(c) { c } else { '_' }).collect();
    let hash = XxHash3_64::oneshot(format!("{place}\n{name}").as_bytes());
    format!("{plain}-{hash:016x}.{ENDING}")
}

/// Makes the directory, and takes away what a crash left half written, and what is too much.
fn prepare(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)?;
    let directory = Private::open(directory)?;
    let mut files = Vec::new();
    for (modified, name) in directory.list()? {
        match Path::new(&name).extension().and_then(|ending| ending.to_str()) {
            Some(ENDING) => files.push((modified, name)),
            // A younger one may be another process' at work.
            Some("tmp") if modified.elapsed().is_ok_and(|age| age > HALF_WRITTEN) => drop(directory.remove(&name)),
            _ => {}
        }
    }
    files.sort();
    let too_many = files.len().saturating_sub(MAX_FILES);
    files.iter().take(too_many).for_each(|(_, name)| drop(directory.remove(name)));
    Ok(())
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // Several processes of one program may share the directory for a while, all with number 1 when they are in containers.
    let hidden = format!(".{name}.{:016x}.tmp", fastrand::u64(..));
    Private::open(directory)?.write(name, &hidden, bytes)
}
