//! The demo's copy of the documents, and the edits an operator would make in them.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::find::{Document, documents};

/// The documents that gateway and services follow.
#[derive(Debug)]
pub(crate) struct LiveDocuments {
    dir: PathBuf,
    originals: Vec<Document>,
}

/// One line of a document changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) document: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    /// How the table calls it, when key and value are too long for that.
    pub(crate) shown: Option<&'static str>,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shown {
            Some(shown) => f.write_str(shown),
            None => write!(f, "{}: {}", self.key, self.value),
        }
    }
}

impl LiveDocuments {
    /// Copies the documents of `from` into `dir`.
    pub(crate) fn copy(from: &Path, dir: &Path) -> Result<Self> {
        let live = Self { dir: dir.to_owned(), originals: documents(from)? };
        for document in &live.originals {
            live.write(&document.name, &document.text)?;
        }
        Ok(live)
    }

    /// Makes an edit in the document as it was copied: earlier edits of the same document are undone by it.
    pub(crate) fn apply(&self, edit: Edit) -> Result<()> {
        let original = self.original(edit.document)?;
        let text = edited(original, edit)
            .with_context(|| format!("{} has no line `{}:` for the demo to edit", edit.document, edit.key))?;
        self.write(edit.document, &text)
    }

    /// Undoes the edits of a document.
    pub(crate) fn restore(&self, name: &str) -> Result<()> {
        self.write(name, self.original(name)?)
    }

    fn original(&self, name: &str) -> Result<&str> {
        let found = self.originals.iter().find(|document| document.name == name);
        Ok(&found.with_context(|| format!("there is no document {name}"))?.text)
    }

    /// Replaces a file in one step: who follows it never sees half a document.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        let beside = self.dir.join(format!(".{name}.new"));
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The text with the value of the first line `key:` replaced; a comment behind it stays.
fn edited(text: &str, edit: Edit) -> Option<String> {
    let mut done = false;
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let found = line.split_once(':').filter(|(key, _)| !done && same_key(key, edit.key));
        lines.push(match found {
            Some((key, rest)) => {
                done = true;
                let comment = rest.find(" #").map_or("", |at| &rest[at..]);
                format!("{key}: {}{comment}", edit.value)
            }
            None => line.to_owned(),
        });
    }
    done.then(|| lines.join("\n"))
}

/// Relaxed names: `grayIPList`, `gray-ip-list` and `gray_ip_list` are one key.
fn same_key(written: &str, key: &str) -> bool {
    let plain = |text: &str| text.trim().replace(['-', '_'], "").to_ascii_lowercase();
    plain(written) == plain(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(document: &'static str, key: &'static str, value: &'static str) -> Edit {
        Edit { document, key, value, shown: None }
    }

    const TEXT: &str = "gray:\n  grayIPList: []   # from here\n  load: true\nother:\n  load: true\n";

    #[test]
    fn an_edit_changes_one_line_and_keeps_the_comment() {
        let change = edit("x.yaml", "gray-ip-list", "['127.0.0.1']");
        assert_eq!(edited(TEXT, change), Some(TEXT.replace("grayIPList: []  ", "grayIPList: ['127.0.0.1']")));
    }

    #[test]
    fn only_the_first_line_of_that_key_changes() {
        let change = edit("x.yaml", "load", "false");
        assert_eq!(edited(TEXT, change), Some(TEXT.replacen("load: true", "load: false", 1)));
    }

    #[test]
    fn a_missing_key_is_no_edit() {
        assert_eq!(edited(TEXT, edit("x.yaml", "enabled", "false")), None);
    }

    #[test]
    fn edits_start_from_the_copy_and_can_be_undone() -> Result<()> {
        let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(from.path().join("x.yaml"), TEXT)?;
        let live = LiveDocuments::copy(from.path(), to.path())?;
        let read = || fs::read_to_string(to.path().join("x.yaml"));
        live.apply(edit("x.yaml", "load", "false"))?;
        live.apply(edit("x.yaml", "grayIPList", "[a]"))?;
        assert!(read()?.contains("[a]") && !read()?.contains("false"));
        live.restore("x.yaml")?;
        assert_eq!(read()?, TEXT);
        assert!(live.apply(edit("y.yaml", "load", "false")).is_err());
        Ok(())
    }
}
