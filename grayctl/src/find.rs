//! Finds the configuration documents in a directory.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use gray_common::service::UsageError;
use gray_document::{Outline, Reading, decode};
use gray_settings::sources::EXTENSIONS;

/// Where the documents live in the repository.
pub(crate) const DOCUMENTS: &str = "deploy/nacos";

/// One document: its name in the registry, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Every document of a directory, by name.
pub(crate) fn documents(dir: &Path) -> Result<Vec<Document>> {
    let entries = std::fs::read_dir(dir).map_err(|error| {
        let dir = dir.display();
        UsageError(format!("cannot read the directory {dir} (--dir names the one with the documents): {error}"))
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_none_or(|extension| !EXTENSIONS.contains(&extension)) || !path.is_file() {
            continue;
        }
        let name =
            path.file_name().and_then(|name| name.to_str()).context("a document's name is not UTF-8")?.to_owned();
        let text = read(&path)?;
        // A program that has the one before would keep it.
        if Outline::of(&name, &text, &Reading::default()).is_some_and(|outline| outline.is_blank()) {
            bail!("{} is empty; if it is to say nothing, write `{{}}`", path.display());
        }
        found.push(Document { name, text });
    }
    if found.is_empty() {
        return Err(UsageError(format!(
            "there is no document (*.yaml, *.yml, *.properties, *.json) in {}",
            dir.display()
        ))
        .into());
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The text of a document; `-` is standard input.
///
/// # Errors
/// When it cannot be read, which is wrong usage, or is not UTF-8: what it seems to be, and from which line on.
pub(crate) fn read(file: &Path) -> Result<String> {
    let bytes = if is_stdin(file) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| UsageError(format!("cannot read {}: {error}", name(file))))?;
    decode(bytes).map_err(|reason| anyhow!("cannot read {}: {reason}", name(file)))
}

/// How messages name a document that the command line names.
pub(crate) fn name(file: &Path) -> String {
    if is_stdin(file) { "(stdin)".to_owned() } else { file.display().to_string() }
}

/// Whether the document comes from standard input.
pub(crate) fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// The repository's `deploy/nacos`, seen from `start` or a directory above it.
pub(crate) fn repository_documents(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|dir| dir.join(DOCUMENTS)).find(|dir| dir.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documents_count_and_come_in_order() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for name in ["b.yaml", "a.yaml", "notes.txt", "c.yaml.bak", "d.properties"] {
            std::fs::write(dir.path().join(name), format!("{name}: 1"))?;
        }
        let names: Vec<_> = documents(dir.path())?.into_iter().map(|document| document.name).collect();
        assert_eq!(names, ["a.yaml", "b.yaml", "d.properties"]);
        Ok(())
    }

    #[test]
    fn what_is_not_utf8_is_named_with_the_line() -> Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("a.yaml"), b"a: 1\nb: \xba\xbc\n")?;
        let error = documents(dir.path()).expect_err("GBK").to_string();
        assert!(error.contains("a.yaml: line 2: not UTF-8 (GBK, perhaps)"), "{error}");
        Ok(())
    }

    #[test]
    fn an_empty_document_is_an_error_unless_it_says_so() -> Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("a.yaml"), "{}")?;
        assert_eq!(documents(dir.path())?.len(), 1);
        std::fs::write(dir.path().join("b.yaml"), "# gray: {}\n")?;
        let error = documents(dir.path()).expect_err("empty").to_string();
        assert!(error.contains("b.yaml is empty; if it is to say nothing, write `{}`"), "{error}");
        Ok(())
    }

    #[test]
    fn a_directory_without_documents_is_an_error_that_names_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let error = documents(dir.path()).expect_err("empty");
        assert!(error.to_string().contains(&dir.path().display().to_string()));
        assert!(documents(&dir.path().join("absent")).is_err());
        Ok(())
    }

    #[test]
    fn the_repository_is_found_from_below() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep)?;
        std::fs::create_dir_all(dir.path().join(DOCUMENTS))?;
        assert_eq!(repository_documents(&deep), Some(dir.path().join(DOCUMENTS)));
        Ok(())
    }
}
