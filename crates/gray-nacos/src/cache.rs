//! Where the SDK writes whatever it receives, documents with secrets in them included: it cannot be kept from it, and
//! no program reads it.
//!
//! Each [`Dialer`](super::client::Dialer) has a directory of its own that only our user can enter, with a name that cannot be
//! guessed, and removes it. One that a killed process has left behind is removed by the next that starts: it is locked for as
//! long as its process lives (which `systemd-tmpfiles` heeds as well).

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

const PREFIX: &str = "gray-nacos-";
/// Nothing can be made below what is not a directory.
const NOWHERE: &str = "/dev/null/nacos";
/// A younger one may be about to be locked.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// A directory for each client, made when first asked for.
#[derive(Debug, Default)]
pub(super) struct CacheDirectory {
    inner: Mutex<Option<Inner>>,
}

#[derive(Debug)]
struct Inner {
    // Removed before it is unlocked.
    root: TempDir,
    _lock: File,
    clients: u32,
}

impl CacheDirectory {
    /// A place that no other client has. Where no directory can be made (a read-only file system), one that cannot be
    /// written to: the client does without.
    pub(super) fn for_next_client(&self) -> PathBuf {
        static FIRST: Once = Once::new();
        let parent = std::env::temp_dir();
        FIRST.call_once(|| remove_leftovers(&parent));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.is_none() {
            match Inner::new(&parent) {
                Ok(made) => *inner = Some(made),
                Err(error) => tracing::debug!(
                    parent = %parent.display(), %error,
                    "no directory for what the Nacos client writes; it does without"
                ),
            }
        }
        let Some(inner) = &mut *inner else { return PathBuf::from(NOWHERE) };
        inner.clients += 1;
        inner.root.path().join(inner.clients.to_string())
    }
}

impl Inner {
    fn new(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let root = builder.tempdir_in(parent)?;
        let lock = open(root.path())?;
        lock.try_lock()?;
        Ok(Self { root, _lock: lock, clients: 0 })
    }
}

/// A directory itself, not what a link of that name leads to.
fn open(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?.into())
}

/// Removes what processes of our own user have left behind. A failure only leaves a directory behind.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            let path = entry.path();
            match remove_leftover(&path) {
                Ok(true) => tracing::debug!(directory = %path.display(), "left behind by another process: removed"),
                Ok(false) => {}
                Err(error) => tracing::debug!(directory = %path.display(), %error, "left behind, and stays"),
            }
        }
    }
}

/// Removes a directory that is ours and that no process has locked; whether it was one.
fn remove_leftover(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let directory = open(path)?;
    let metadata = directory.metadata()?;
    let is_old = metadata.modified()?.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
    if !is_old || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    match directory.try_lock() {
        // Follows no links either, and is not led astray by what changes meanwhile.
        Ok(()) => fs::remove_dir_all(path).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{MetadataExt as _, symlink},
        time::SystemTime,
    };

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn age(directory: &Path) {
        let then = SystemTime::now() - LEFT_BEHIND * 2;
        File::open(directory).and_then(|file| file.set_modified(then)).expect("aged");
    }

    #[test]
    fn nobody_else_can_enter_it_or_guess_its_name_and_it_goes() {
        let cache = CacheDirectory::default();
        let (one, two) = (cache.for_next_client(), cache.for_next_client());
        assert_ne!(one, two);
        let root = one.parent().expect("a directory").to_owned();
        assert_eq!(two.parent(), Some(&*root));
        let metadata = fs::symlink_metadata(&root).expect("it is there");
        assert_eq!(metadata.mode() & 0o7777, 0o700);
        let other = CacheDirectory::default().for_next_client();
        assert!(!other.starts_with(&root), "one for each");
        let name = root.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(name.len() >= PREFIX.len() + 6 && !name.contains(&std::process::id().to_string()), "{name}");
        fs::create_dir_all(&one).and_then(|()| fs::write(one.join("document"), "secret")).expect("written");
        drop(cache);
        assert!(!root.exists());
    }

    #[test]
    fn what_a_dead_process_left_behind_goes_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a directory");
        let at = |name: &str| parent.path().join(name);
        let alive = Inner::new(parent.path()).expect("alive");
        age(alive.root.path());
        let alive_name = alive.root.path().file_name().expect("a name").to_string_lossy().into_owned();
        for name in ["gray-nacos-dead", "gray-nacos-young", "something-else", "target"] {
            fs::create_dir(at(name)).and_then(|()| fs::write(at(name).join("document"), "x")).expect("made");
        }
        symlink(at("target"), at("gray-nacos-dead").join("link")).expect("linked");
        symlink(at("target"), at("gray-nacos-link")).expect("linked");
        fs::write(at("gray-nacos-file"), "x").expect("written");
        ["gray-nacos-dead", "something-else", "target"].iter().for_each(|name| age(&at(name)));
        remove_leftovers(parent.path());
        let mut expect = vec!["gray-nacos-file", "gray-nacos-link", "gray-nacos-young", "something-else", "target"];
        expect.push(&alive_name);
        expect.sort_unstable();
        assert_eq!(names(parent.path()), expect);
        assert_eq!(names(&at("target")), ["document"], "links are not followed");
    }

    #[test]
    fn a_directory_is_never_made_up() {
        let gone = tempfile::tempdir().expect("a directory").path().join("gone");
        assert!(Inner::new(&gone).is_err());
        assert!(fs::create_dir_all(NOWHERE).is_err());
    }
}
