//! Files that only our own user can have written.
//!
//! What a snapshot says is believed: where instances are, which directory is served. So neither the directory nor a file in
//! it may belong to another user (root excepted) or be writable by one, and links are not followed. Everything goes by the
//! open directory, so that what was looked at is what is used.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags},
    io::Errno,
};

/// A directory of ours.
#[derive(Debug)]
pub(super) struct Private(File);

impl Private {
    /// Opens it. The last part of the path must not be a link.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(directory, flags, Mode::empty()) {
            Ok(directory) => File::from(directory),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(refused("it is not a directory, or is a link: expected a directory"));
            }
            Err(error) => return Err(error.into()),
        };
        check(&directory)?;
        Ok(Self(directory))
    }

    /// The names of what is in it, and when each was last changed.
    pub(super) fn list(&self) -> io::Result<Vec<(SystemTime, String)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let Ok(name) = entry?.file_name().to_owned().into_string() else { continue };
            // Gone meanwhile, or not for us to know.
            let Ok(stat) = rustix::fs::statat(&self.0, &*name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let age = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
            found.push((SystemTime::UNIX_EPOCH + age, name));
        }
        Ok(found)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// A file's bytes, and one more than `limit` at most.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        // A pipe of that name would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => return Err(refused("it is a link: remove it")),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(refused("it is not a regular file: remove it"));
        }
        check(&file)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Puts a file there, by way of a hidden one: a reader sees the old one or the new one, also after a crash of the
    /// machine.
    pub(super) fn write(&self, name: &str, hidden: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // The content of documents is private.
        let create = || rustix::fs::openat(&self.0, hidden, flags, Mode::RUSR | Mode::WUSR);
        let mut file = match create() {
            // Left behind, or a link.
            Err(Errno::EXIST) => {
                self.remove(hidden)?;
                File::from(create()?)
            }
            file => File::from(file?),
        };
        let outcome = (|| {
            file.write_all(bytes)?;
            file.sync_all()?;
            rustix::fs::renameat(&self.0, hidden, &self.0, name)?;
            self.0.sync_all()
        })();
        if outcome.is_err() {
            // What counts is said already.
            drop(self.remove(hidden));
        }
        outcome
    }
}

fn check(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    match objection(metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw()) {
        Some(reason) => Err(refused(&reason)),
        None => Ok(()),
    }
}

/// Why what has this owner and mode is not to be trusted by a program of user `me`.
fn objection(owner: u32, mode: u32, me: u32) -> Option<String> {
    if owner != me && owner != 0 {
        return Some(format!(
            "it belongs to user {owner}, and this program runs as user {me}, which believes its own files and root's alone: \
             chown it, or remove it"
        ));
    }
    let mode = mode & 0o7777;
    (mode & 0o022 != 0).then(|| format!("others may write to it (mode {mode:04o}): check it, then chmod go-w"))
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    const LIMIT: u64 = 100;

    #[test]
    fn whose_and_who_may_write() {
        for (owner, mode, me, expect) in [
            (7, 0o700, 7, None),
            (7, 0o755, 7, None),
            (7, 0o100_644, 7, None),
            (0, 0o100_644, 7, None),
            (0, 0o700, 0, None),
            (8, 0o700, 7, Some("belongs to user 8")),
            // Root trusts no other user either.
            (8, 0o400, 0, Some("belongs to user 8")),
            (7, 0o770, 7, Some("0770")),
            (7, 0o702, 7, Some("0702")),
            (0, 0o1777, 7, Some("1777")),
            (7, 0o100_660, 7, Some("chmod go-w")),
        ] {
            let found = objection(owner, mode, me);
            assert_eq!(found.is_some(), expect.is_some(), "{owner} {mode:o} {me}: {found:?}");
            assert!(found.unwrap_or_default().contains(expect.unwrap_or_default()), "{owner} {mode:o} {me}");
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn what_others_may_have_written_is_refused_and_links_are_not_followed() {
        let parent = tempfile::tempdir().expect("a directory");
        let at = parent.path().join("own");
        fs::create_dir(&at).expect("made");
        chmod(&at, 0o700);
        let own = Private::open(&at).expect("ours");
        own.write("good", ".hidden", b"good").expect("written");
        assert_eq!(own.read("good", LIMIT).expect("read"), b"good");
        assert_eq!(fs::metadata(at.join("good")).expect("there").mode() & 0o7777, 0o600);
        let names = |own: &Private| {
            let mut names: Vec<_> = own.list().expect("listed").into_iter().map(|(_, name)| name).collect();
            names.sort();
            names
        };
        assert_eq!(names(&own), [".", "..", "good"]);

        let refused = |outcome: io::Result<Vec<u8>>, expect: &str| {
            let error = outcome.expect_err(expect);
            assert!(error.to_string().contains(expect), "{error}");
        };
        chmod(&at.join("good"), 0o666);
        refused(own.read("good", LIMIT), "chmod go-w");
        fs::write(parent.path().join("forged"), "forged").expect("written");
        symlink(parent.path().join("forged"), at.join("link")).expect("linked");
        refused(own.read("link", LIMIT), "it is a link");
        fs::create_dir(at.join("directory")).expect("made");
        refused(own.read("directory", LIMIT), "it is not a regular file");
        rustix::fs::mknodat(rustix::fs::CWD, at.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
        refused(own.read("pipe", LIMIT), "it is not a regular file");
        assert_eq!(own.read("gone", LIMIT).expect_err("gone").kind(), io::ErrorKind::NotFound);

        // A link where the hidden file is to be made is not written through.
        symlink(parent.path().join("forged"), at.join(".hidden")).expect("linked");
        own.write("good", ".hidden", b"better").expect("written");
        assert_eq!(fs::read(parent.path().join("forged")).expect("there"), b"forged");
        assert_eq!(own.read("good", LIMIT).expect("read"), b"better");

        symlink(&at, parent.path().join("alias")).expect("linked");
        assert!(Private::open(&parent.path().join("alias")).expect_err("a link").to_string().contains("link"));
        chmod(&at, 0o777);
        assert!(Private::open(&at).expect_err("open to all").to_string().contains("chmod go-w"));
    }

    #[test]
    fn what_belongs_to_another_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let own = Private::open(parent.path()).expect("ours");
        own.write("file", ".hidden", b"forged").expect("written");
        let other = rustix::process::Uid::from_raw(54_321);
        if rustix::fs::chownat(&own.0, "file", Some(other), None, AtFlags::empty()).is_err() {
            // Only root can give a file away; the rule itself is tested above.
            return;
        }
        assert!(own.read("file", LIMIT).expect_err("another's").to_string().contains("belongs to user 54321"));
        rustix::fs::chown(parent.path(), Some(other), None).expect("given away");
        assert!(Private::open(parent.path()).is_err());
    }
}
