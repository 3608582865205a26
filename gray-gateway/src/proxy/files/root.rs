//! A directory that cannot be left, as `ServeDir` wants to see it.
//!
//! Paths are resolved by cap-std below an open directory (`openat2` on Linux): a symbolic link is followed while it
//! stays below, one that is absolute or leads out is as good as no file. There is no moment between check and use.

use std::{
    future::{Ready, ready},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use cap_std::{ambient_authority, fs::Dir};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File, Metadata};

/// Files up to this size are read at once, with the visit that opened them.
const SMALL: u64 = 64 * 1024;
/// The last second that an HTTP date can say: the end of 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The open directory. Its futures are ready: it is for the blocking pool.
#[derive(Clone, Debug)]
pub(super) struct Root {
    dir: Arc<Dir>,
    salt: u64,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Where links lead to, so that `current -> releases/7` has other ETags than `current -> releases/8`.
        let real = path.canonicalize()?;
        let dir = Dir::open_ambient_dir(&real, ambient_authority())?;
        Ok(Self { dir: Arc::new(dir), salt: salt(&real) })
    }

    fn look(&self, path: &Path) -> io::Result<Stat> {
        let metadata = self.dir.metadata(path)?;
        let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
        Ok(Stat {
            is_dir: metadata.is_dir(),
            len: metadata.len(),
            modified: modified.and_then(|modified| salted(modified, self.salt ^ salt(path))),
        })
    }

    fn open_file(&self, path: &Path) -> io::Result<Opened> {
        // Looked at before: opening a pipe would wait for its writer.
        if !self.dir.metadata(path)?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut file = self.dir.open(path)?.into_std();
        // Asked of the open file: the name may belong to a newer one by now.
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let modified = metadata.modified().ok();
        let modified = modified.and_then(|modified| salted(modified, self.salt ^ salt(path)));
        let mut len = metadata.len();
        let source = if len <= SMALL {
            let mut content = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
            Read::by_ref(&mut file).take(len).read_to_end(&mut content)?;
            len = content.len() as u64;
            Source::Memory(Cursor::new(content))
        } else {
            Source::Opened { file, position: 0 }
        };
        Ok(Opened { stat: Stat { is_dir: false, len, modified }, source })
    }
}

impl Backend for Root {
    type File = Opened;
    type Metadata = Stat;
    type OpenFuture = Ready<io::Result<Opened>>;
    type MetadataFuture = Ready<io::Result<Stat>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        ready(self.open_file(&path))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        ready(self.look(&path))
    }
}

/// One for all routes that serve the same directory.
fn salt(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Moves a time within its second. `ServeDir` makes the ETag of size and time, and those of two versions' files are
/// the same when builds are reproducible; the client would keep the wrong version. HTTP dates show seconds only.
///
/// `None` for what no HTTP date can say, where formatting it would panic.
fn salted(modified: SystemTime, salt: u64) -> Option<SystemTime> {
    const SECOND: u64 = 1_000_000_000;
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|since| since.as_secs() <= LAST_SECOND)?;
    let nanos = (u64::from(since.subsec_nanos()) + salt % SECOND) % SECOND;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs()) + Duration::from_nanos(nanos))
}

/// What there is to know about a file without its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    is_dir: bool,
    len: u64,
    modified: Option<SystemTime>,
}

impl Metadata for Stat {
    fn is_dir(&self) -> bool {
        self.is_dir
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.modified.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    stat: Stat,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A small one, already read.
    Memory(Cursor<Vec<u8>>),
    /// A large one, in the blocking pool still: sought there.
    Opened { file: std::fs::File, position: u64 },
    /// A large one that the client is taking, piece by piece.
    Streamed(tokio::fs::File),
}

impl File for Opened {
    type Metadata = Stat;
    type MetadataFuture<'a> = Ready<io::Result<Stat>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.stat))
    }
}

impl AsyncRead for Opened {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Source::Opened { .. } = self.source
            && let Source::Opened { file, .. } =
                std::mem::replace(&mut self.source, Source::Memory(Cursor::new(Vec::new())))
        {
            self.source = Source::Streamed(tokio::fs::File::from_std(file));
        }
        match &mut self.source {
            Source::Memory(content) => Pin::new(content).poll_read(cx, buf),
            Source::Streamed(file) => Pin::new(file).poll_read(cx, buf),
            Source::Opened { .. } => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        match &mut self.source {
            Source::Memory(content) => Pin::new(content).start_seek(to),
            Source::Streamed(file) => Pin::new(file).start_seek(to),
            Source::Opened { file, position } => {
                *position = file.seek(to)?;
                Ok(())
            }
        }
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match &mut self.source {
            Source::Memory(content) => Pin::new(content).poll_complete(cx),
            Source::Streamed(file) => Pin::new(file).poll_complete(cx),
            Source::Opened { position, .. } => Poll::Ready(Ok(*position)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_salt_moves_a_time_within_its_second() {
        let at = |secs, nanos| SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
        assert_eq!(salted(at(7, 1), 5), Some(at(7, 6)));
        assert_eq!(salted(at(7, 999_999_999), 2), Some(at(7, 1)));
        assert_ne!(salted(at(0, 0), salt(Path::new("/web/v1"))), salted(at(0, 0), salt(Path::new("/web/v2"))));
    }

    #[test]
    fn a_time_without_an_http_date_is_no_time() {
        assert_eq!(salted(SystemTime::UNIX_EPOCH - Duration::from_secs(1), 0), None);
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
        assert!(salted(last, u64::MAX).is_some());
        assert_eq!(salted(last + Duration::from_secs(1), 0), None);
    }
}
