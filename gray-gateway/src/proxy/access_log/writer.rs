//! The thread that writes. It alone touches the file; whatever happens to that, the workers go on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

use super::batch::{BUFFER, Batch, LINE};
use crate::proxy::worker::stats::Stats;

/// The name is looked at so often, to find out whether the file was moved or deleted.
const LOOK: Duration = Duration::from_millis(100);
/// Between two warnings.
const WARN: Duration = Duration::from_secs(10);

/// Where lines go.
pub(super) struct Output {
    file: File,
    /// The name to look at; `None`: standard output, which is not moved.
    path: Option<PathBuf>,
    looked: Instant,
    /// The last write ended within a line.
    torn: bool,
}

impl Output {
    /// Opens a file, or standard output (`-`).
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            // A descriptor of our own: others that print must not wait for us, nor we for them.
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            return Ok(Self::to(stdout.into()));
        }
        Ok(Self { path: Some(path.into()), ..Self::to(append_to(path)?) })
    }

    /// Something that is open and has no name.
    pub(super) fn to(file: File) -> Self {
        Self { file, path: None, looked: Instant::now(), torn: false }
    }

    /// Opens the file anew when its name no longer leads to it. If that fails, what was moved is written to still.
    fn follow(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_deref().filter(|_| self.looked.elapsed() >= LOOK) else { return Ok(()) };
        self.looked = Instant::now();
        let ours = self.file.metadata()?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(()),
            _ => {}
        }
        match append_to(path) {
            Ok(file) => {
                (self.file, self.torn) = (file, false);
                tracing::info!(path = %path.display(), "access log: the file was moved or deleted; opened anew");
                Ok(())
            }
            Err(error) => {
                // Seen again with the next batch, not a while later: until then lines go to the old file.
                self.looked = Instant::now().checked_sub(LOOK).unwrap_or(self.looked);
                Err(error)
            }
        }
    }

    /// Opens the name anew, whatever it leads to. If that fails, what is open stays.
    fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            tracing::info!("access log: it goes to standard output, of which nothing can be opened anew");
            return Ok(());
        };
        let file = append_to(path)?;
        let (new, old) = (file.metadata()?, self.file.metadata()?);
        self.torn &= (new.dev(), new.ino()) == (old.dev(), old.ino());
        self.file = file;
        self.looked = Instant::now();
        tracing::info!(path = %path.display(), "access log: opened anew");
        Ok(())
    }

    /// Whether what is written to is nowhere in the file system any more.
    fn is_deleted(&self) -> bool {
        self.path.is_some() && self.file.metadata().is_ok_and(|file| file.nlink() == 0)
    }

    /// Writes lines; on failure says how many bytes of them got through.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.torn {
            put(&mut self.file, b"\n").map_err(|(_, error)| (0, error))?;
            self.torn = false;
        }
        put(&mut self.file, bytes).inspect_err(|(written, _)| {
            self.torn = bytes[..*written].last().is_some_and(|byte| *byte != b'\n');
        })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// `write_all` that tells how far it got.
fn put(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// The writing half.
pub(super) struct Writer {
    output: Output,
    batches: Receiver<Batch>,
    /// The way back of the buffers, by worker.
    empties: Vec<SyncSender<Vec<u8>>>,
    reopen: Arc<AtomicBool>,
    stats: Stats,
    warned: Option<Instant>,
    /// Lines lost since the last warning.
    lost: u64,
}

impl Writer {
    pub(super) fn new(
        output: Output,
        batches: Receiver<Batch>,
        empties: Vec<SyncSender<Vec<u8>>>,
        reopen: Arc<AtomicBool>,
        stats: Stats,
    ) -> Self {
        Self { output, batches, empties, reopen, stats, warned: None, lost: 0 }
    }

    /// Runs until the last worker is gone, and everything it has handed over is written.
    pub(super) fn run(mut self) {
        while let Ok(batch) = self.batches.recv() {
            if self.reopen.swap(false, Relaxed)
                && let Err(error) = self.output.reopen()
            {
                self.warn(&error);
            }
            if batch.lines > 0 {
                self.write(batch);
            }
        }
    }

    fn write(&mut self, batch: Batch) {
        let Batch { mut bytes, lines, worker } = batch;
        let outcome = match self.output.follow() {
            Err(error) if self.output.is_deleted() => Err((0, error)),
            moved => {
                if let Err(error) = moved {
                    self.warn(&error);
                }
                self.output.write(&bytes)
            }
        };
        if let Err((written, error)) = outcome {
            let lost = lines_in(&bytes[written..]).min(lines);
            self.stats.worker(worker).log_failed.add_many(lost);
            self.lost += lost;
            self.warn(&error);
        }
        bytes.clear();
        // Longer for the sake of a long line.
        bytes.shrink_to(BUFFER + LINE);
        if let Some(empties) = self.empties.get(worker) {
            // Full: it has enough of them. Closed: it is gone.
            let _given = empties.try_send(bytes);
        }
    }

    fn warn(&mut self, error: &io::Error) {
        if self.warned.is_some_and(|warned| warned.elapsed() < WARN) {
            return;
        }
        self.warned = Some(Instant::now());
        let path = self.output.path.as_deref().unwrap_or(Path::new("-")).display();
        tracing::warn!(%path, %error, lost = std::mem::take(&mut self.lost), "access log: lines cannot be written");
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
