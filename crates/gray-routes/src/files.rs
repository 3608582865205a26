//! `file:` routes: the directory, and how its files are answered.

use std::{
    path::{Component, Path},
    sync::Arc,
};

use super::text::{decoded, quoted};

/// How the files of a route's directory are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// `metadata.fallback`: the file, below the directory, that answers unknown paths without a file extension.
    pub fallback: Option<Arc<str>>,
    /// `metadata.max-age`: seconds that a cache may use anything but HTML without asking; 0 has it always ask.
    pub max_age: u32,
}

/// The directory that a uri names; `None` when its scheme is another one.
pub(super) fn directory(uri: &str) -> Option<Result<Arc<Path>, &'static str>> {
    let (scheme, rest) = uri.split_once(':')?;
    scheme.eq_ignore_ascii_case("file").then(|| absolute(rest))
}

fn absolute(rest: &str) -> Result<Arc<Path>, &'static str> {
    const EXPECTED: &str = "expected an absolute directory after file://, as in file:///srv/web/v1";
    let raw = rest.strip_prefix("//").filter(|path| path.starts_with('/')).ok_or(EXPECTED)?;
    if raw.contains(['?', '#']) {
        return Err("a directory has neither query nor fragment; in a name write %3F for `?` and %23 for `#`");
    }
    let path = decoded(raw, false);
    let path = Path::new(&*path);
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("the directory must be written without `..`, as in file:///srv/web/v1");
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("that cannot be a directory; write one as in file:///srv/web/v1");
    }
    if path.parent().is_none() {
        return Err("that would serve the whole file system; name a directory, as in file:///srv/web/v1");
    }
    Ok(path.into())
}

/// Reads `metadata.fallback`.
pub(super) fn fallback(text: &str) -> Result<Arc<str>, String> {
    // Plain characters only, so that the name is the same in a path and in a URI.
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let file = text.strip_prefix('/').unwrap_or(text);
    if file.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)) {
        return Ok(file.into());
    }
    Err(format!("expected a file below the directory, such as index.html, found {}", quoted(text)))
}

/// Reads `metadata.max-age`.
pub(super) fn max_age(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("expected a number of seconds, such as 3600, found {}", quoted(text)))
}
