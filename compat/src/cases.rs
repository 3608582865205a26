//! All documents: those in `documents/`, and the generated ones.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{document::Document, generated};

/// All documents, in their order.
///
/// # Errors
/// A written document that cannot be read.
pub fn all() -> Result<Vec<Document>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("documents");
    let mut paths = fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut documents = Vec::new();
    for path in paths {
        let name = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        documents.push(Document::written(&name, &fs::read_to_string(&path)?)?);
    }
    documents.extend(generated::documents());
    Ok(documents)
}
