//! Writes the documents of a new gateway into a directory: all of them, or none when one would take the place of another file.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use gray_common::documents::document_name;

/// A document to be written.
#[derive(Debug)]
pub(super) struct Out<'t> {
    /// Its name, or that of a directory of ours, a slash and its name.
    pub(super) path: String,
    pub(super) text: &'t str,
}

/// Writes them; returns their names, and which of them were there with the same text.
///
/// # Errors
/// When a name cannot be that of a file of ours, or a file is there with another text and `force` is not given.
pub(super) fn write(directory: &Path, documents: &[Out<'_>], force: bool) -> Result<Vec<String>> {
    let shown = directory.display();
    let mut taken = Vec::new();
    for (at, out) in documents.iter().enumerate() {
        // A data id has no slash and no dot at its beginning, so that it stays in the directory.
        let is_name = |name: &str| document_name(name).is_ok_and(|known| known == name);
        if !out.path.split('/').all(is_name) || out.path.split('/').count() > 2 {
            bail!("`{}` is not the name of a document; rename it", super::report::shown(&out.path));
        }
        if documents[..at].iter().any(|other| other.path == out.path) {
            bail!("two documents would be {}: of different groups? Convert the ones of this gateway alone", out.path);
        }
        let path = directory.join(&out.path);
        if let Some(parent) = path.parent()
            && fs::symlink_metadata(parent).is_ok_and(|metadata| !metadata.is_dir())
        {
            bail!("{} is not a directory; choose another --out", parent.display());
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_file() => bail!("{} is not a file; choose another --out", path.display()),
            Ok(_) if !is_same(&path, out.text) => taken.push(&*out.path),
            _ => {}
        }
    }
    if !force && !taken.is_empty() {
        let files = taken.join(", ");
        return Err(anyhow!(
            "nothing is written, because {shown} has other files of these names: {files}; --force replaces them"
        ));
    }
    for out in documents {
        let path = directory.join(&out.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make the directory {}", parent.display()))?;
        }
        let mut options = OpenOptions::new();
        let options =
            if force { options.write(true).create(true).truncate(true) } else { options.write(true).create_new(true) };
        match options.open(&path) {
            Ok(mut file) => {
                file.write_all(out.text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_same(&path, out.text) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    Ok(documents.iter().map(|out| out.path.clone()).collect())
}

fn is_same(path: &Path, text: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out<'t>(name: &str, text: &'t str) -> Out<'t> {
        Out { path: name.into(), text }
    }

    #[test]
    fn all_or_nothing_and_nothing_is_replaced_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("new");
        let there = |name: &str| fs::read_to_string(directory.join(name)).ok();
        write(&directory, &[out("a.yaml", "1"), out("b.yaml", "2")], false).expect("written");
        // The same again is no change.
        write(&directory, &[out("a.yaml", "1")], false).expect("the same");
        let error =
            write(&directory, &[out("c.yaml", "3"), out("a.yaml", "other")], false).expect_err("taken").to_string();
        assert!(error.contains("a.yaml; --force replaces them"), "{error}");
        assert_eq!((there("a.yaml").as_deref(), there("c.yaml")), (Some("1"), None));
        write(&directory, &[out("a.yaml", "other")], true).expect("forced");
        assert_eq!(there("a.yaml").as_deref(), Some("other"));
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["../a.yaml", "/tmp/a.yaml", "a/../b.yaml", "a/b/c.yaml", ".a", "", "a\n.yaml", " a"] {
            assert!(write(folder.path(), &[out(name, "")], true).is_err(), "{name:?}");
        }
        assert!(write(folder.path(), &[out("a", "1"), out("a", "2")], true).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        fs::write(&target, "precious").expect("written");
        std::os::unix::fs::symlink(&target, folder.path().join("a.yaml")).expect("linked");
        assert!(write(folder.path(), &[out("a.yaml", "1")], true).is_err());
        assert_eq!(fs::read_to_string(&target).expect("there"), "precious");
    }
}
