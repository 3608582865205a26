//! The unix socket by which gateways find each other.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::error::HandoverError;

/// Longest path that the system takes for a unix socket, in bytes.
const MAX_PATH: usize = 107;

/// Our socket at its path; only processes of our user get in.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: by then another gateway may have the path.
    identity: (u64, u64),
}

impl Bound {
    /// Binds beside the path, then takes it: at no moment is there no socket, or one that any user may connect to.
    pub(super) fn new(path: &Path) -> Result<Self, HandoverError> {
        let beside = beside(path);
        if beside.as_os_str().len() > MAX_PATH {
            let (length, most) =
                (path.as_os_str().len(), MAX_PATH - (beside.as_os_str().len() - path.as_os_str().len()));
            return Err(HandoverError::PathTooLong { path: path.into(), length, most });
        }
        refuse_other_files(path)?;
        let cause = |source| HandoverError::Socket { path: path.into(), source };
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cause(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&beside).map_err(cause)?;
        let placed = || {
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
            fs::rename(&beside, path)?;
            fs::symlink_metadata(path)
        };
        match placed() {
            Ok(metadata) => Ok(Self { listener, path: path.into(), identity: (metadata.dev(), metadata.ino()) }),
            Err(error) => {
                // What counts is said already.
                let _removed = fs::remove_file(&beside);
                Err(cause(error))
            }
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "handover socket stays behind");
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(format!(".{}", std::process::id()));
    beside.into()
}

fn refuse_other_files(path: &Path) -> Result<(), HandoverError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(HandoverError::NotASocket { path: path.into() }),
        _ => Ok(()),
    }
}

/// The process that listens at the path; `None` when there is none, also when a file was left behind.
pub(super) async fn connect(path: &Path) -> Result<Option<UnixStream>, HandoverError> {
    refuse_other_files(path)?;
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(source) => Err(HandoverError::Socket { path: path.into(), source }),
    }
}

/// Fails unless the other side is a process of our user, or of root.
pub(super) fn check_peer(stream: &UnixStream) -> io::Result<()> {
    let (peer, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if peer == own || peer == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it belongs to user {peer}, and this process to {own}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_path_is_private_and_goes_with_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("h");
        assert!(connect(&path).await.expect("nobody").is_none());
        let old = Bound::new(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(connect(&path).await.expect("connected").is_some());
        let new = Bound::new(&path).expect("taken over");
        drop(old);
        assert!(connect(&path).await.expect("connected").is_some(), "the path is the new one's");
        drop(new);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);
    }

    #[tokio::test]
    async fn a_file_left_behind_is_replaced_and_any_other_file_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let stale = directory.path().join("stale");
        drop(std::os::unix::net::UnixListener::bind(&stale).expect("bound"));
        assert!(connect(&stale).await.expect("nobody").is_none());
        let bound = Bound::new(&stale).expect("bound");
        assert!(connect(&stale).await.expect("connected").is_some());
        drop(bound);

        let file = directory.path().join("file");
        fs::write(&file, "precious").expect("written");
        for error in [connect(&file).await.err(), Bound::new(&file).err()] {
            assert!(error.is_some_and(|error| error.to_string().contains("is not a socket")));
        }
        assert_eq!(fs::read(&file).expect("there"), b"precious");
        let error = Bound::new(&directory.path().join("no/h")).expect_err("no directory").to_string();
        assert!(error.contains("no/h"), "{error}");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_said_to_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x".repeat(100));
        let error = Bound::new(&path).expect_err("too long").to_string();
        assert!(error.contains("bytes long"), "{error}");
    }
}
