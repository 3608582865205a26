//! Follows the text files of one directory: the base of the file registry and of the file configuration source.
//!
//! One thread per directory waits for events of the operating system and looks around once a second besides, because
//! events get lost (network file systems, a directory that was replaced). Nothing here blocks an async runtime.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Weak, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// How often to look without being told.
const POLL: Duration = Duration::from_secs(1);
/// Events come in bursts: look when it has been quiet for so long, ...
const QUIET: Duration = Duration::from_millis(20);
/// ... but do not wait for quiet any longer than this.
const RESTLESS: Duration = Duration::from_millis(200);
/// A larger file is not one of ours.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A file's text, or why it cannot be had.
pub(crate) type Text = Result<Arc<str>, String>;

/// The files of the directory by name, or why it cannot be read.
pub(crate) type Listing = Result<BTreeMap<String, Text>, String>;

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    /// Of a file; the error says why nothing can be read there.
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "no regular file" };
            return Err(io::Error::other(format!("it is {what}; expected a text file")));
        }
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        Ok(Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode })
    }
}

/// Reads a directory again and again, cheaply.
struct Reader {
    directory: PathBuf,
    extensions: &'static [&'static str],
    known: BTreeMap<String, (Stamp, Text)>,
}

impl Reader {
    fn wants(&self, name: &str) -> bool {
        let extension = Path::new(name).extension().map_or(Some(""), |extension| extension.to_str());
        !name.starts_with('.') && extension.is_some_and(|extension| self.extensions.contains(&extension))
    }

    /// Lists the directory. A file with the stamp of last time is not read again unless `thorough`.
    fn read(&mut self, thorough: bool) -> Listing {
        let entries = fs::read_dir(&self.directory).map_err(|error| self.unreadable(&error))?;
        let mut seen = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.unreadable(&error))?;
            // A name that is not UTF-8 is not ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !self.wants(&name) {
                continue;
            }
            let known = self.known.remove(&name);
            match read_file(&entry.path(), known.as_ref().map(|(stamp, _)| *stamp).filter(|_| !thorough)) {
                Outcome::Gone => {}
                Outcome::Same => seen.extend(known.map(|known| (name, known))),
                Outcome::Read(stamp, text) => drop(seen.insert(name, (stamp, text))),
                // It is being written: keep what we had, the next reading will tell.
                Outcome::Changing => seen.extend(known.map(|(_, text)| (name, (Stamp::NEVER, text)))),
            }
        }
        self.known = seen;
        Ok(self.known.iter().map(|(name, (_, text))| (name.clone(), text.clone())).collect())
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("cannot read directory {}: {error}", self.directory.display())
    }
}

impl Stamp {
    /// The stamp of no file.
    const NEVER: Self = Self { modified: None, bytes: u64::MAX, inode: 0 };
}

enum Outcome {
    Gone,
    Same,
    Changing,
    Read(Stamp, Text),
}

fn read_file(path: &Path, known: Option<Stamp>) -> Outcome {
    let before = match Stamp::of(path) {
        Ok(stamp) => stamp,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::symlink_metadata(path) {
                Ok(link) if link.is_symlink() => {
                    Outcome::Read(Stamp::NEVER, Err("it is a link that leads nowhere".to_owned()))
                }
                _ => Outcome::Gone,
            };
        }
        Err(error) => return Outcome::Read(Stamp::NEVER, Err(error.to_string())),
    };
    if known == Some(before) {
        return Outcome::Same;
    }
    if before.bytes > MAX_BYTES {
        return Outcome::Read(before, Err(format!("{} bytes are too much (limit {MAX_BYTES})", before.bytes)));
    }
    let text = match fs::read(path) {
        Ok(bytes) => gray_document::decode(bytes).map(Arc::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Outcome::Gone,
        // Not with its stamp: correcting the permissions changes neither time nor size.
        Err(error) => return Outcome::Read(Stamp::NEVER, Err(error.to_string())),
    };
    match Stamp::of(path) {
        Ok(after) if after == before => Outcome::Read(before, text),
        _ => Outcome::Changing,
    }
}

/// Has a followed directory looked at.
#[derive(Clone, Debug)]
pub(crate) struct Wake(mpsc::Sender<()>);

impl Wake {
    /// The two ends: one that wakes, one for [`follow`].
    pub(crate) fn channel() -> (Self, mpsc::Receiver<()>) {
        let (wake, woken) = mpsc::channel();
        (Self(wake), woken)
    }

    /// Reads every file now, also those that look unchanged.
    pub(crate) fn look(&self) {
        if self.0.send(()).is_err() {
            tracing::trace!("the thread has ended already");
        }
    }
}

/// Hands the files of a directory to `changed` before returning, and then again after every change, on a thread that ends
/// after `target` was dropped.
pub(crate) fn follow<T: Send + Sync + 'static>(
    directory: PathBuf,
    extensions: &'static [&'static str],
    (wake, woken): (Wake, mpsc::Receiver<()>),
    target: &Arc<T>,
    changed: impl Fn(&T, &Listing) + Send + 'static,
) -> io::Result<()> {
    // Watching begins before the first look, so that nothing falls between the two.
    let watcher = watch(&directory, wake.clone());
    let mut reader = Reader { directory, extensions, known: BTreeMap::new() };
    let first = reader.read(true);
    changed(target, &first);
    let target: Weak<T> = Arc::downgrade(target);
    thread::Builder::new().name("gray-directory".into()).spawn(move || {
        // Both live here: without a watcher the channel stays open and polling does the work.
        let _kept = (watcher, wake);
        let mut last = first;
        loop {
            let told = wait(&woken);
            let Some(target) = target.upgrade() else { return };
            let now = reader.read(told);
            if now != last {
                changed(&target, &now);
                last = now;
            }
        }
    })?;
    Ok(())
}

fn watch(directory: &Path, wake: Wake) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and would keep us busy for ever.
        let accessed = matches!(&event, Ok(event) if event.kind.is_access());
        if !accessed {
            wake.look();
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "no change events for this directory; looking once a second instead");
        })
        .ok()
}

/// Waits for an event and the end of its burst, or for the next poll. Whether there was an event.
fn wait(woken: &mpsc::Receiver<()>) -> bool {
    if woken.recv_timeout(POLL).is_err() {
        return false;
    }
    let start = Instant::now();
    while start.elapsed() < RESTLESS && woken.recv_timeout(QUIET).is_ok() {}
    true
}

/// Writes a file so that a reader sees the old text or the new one, never a part: a hidden file first, then renamed.
pub(crate) fn write_atomically(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(directory)?;
    let unique = format!(".{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let hidden = directory.join(unique);
    let outcome = fs::write(&hidden, text).and_then(|()| fs::rename(&hidden, directory.join(name)));
    if outcome.is_err() {
        // Best effort: the first error is the one that counts.
        drop(fs::remove_file(&hidden));
    }
    outcome
}
