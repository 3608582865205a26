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
    /// `metadata.versioned`: files whose names change with their content.
    pub versioned: Option<Arc<Versioned>>,
}

/// Files whose names change with their content (`app.3f2a.js`): the same for every lane, for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned {
    /// How their paths begin.
    prefixes: Box<[Box<str>]>,
    /// All directories of the route. A page that was loaded before its user changed lanes asks for names that only the
    /// directory of its own lane has.
    directories: Box<[Arc<Path>]>,
}

impl Versioned {
    /// Whether a path, decoded, is one of them.
    pub fn has(&self, path: &str) -> bool {
        self.prefixes.iter().any(|prefix| path.starts_with(&**prefix))
    }

    /// The directories besides this one.
    pub fn others<'v>(&'v self, directory: &Path) -> impl Iterator<Item = &'v Path> {
        self.directories.iter().map(|other| &**other).filter(move |other| *other != directory)
    }
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

/// Reads `metadata.versioned`: how paths begin, with commas between.
pub(super) fn versioned(text: &str, directories: &[&Arc<Path>]) -> Result<Arc<Versioned>, String> {
    const MOST: usize = 16;
    let prefixes: Vec<_> = text.split(',').map(str::trim).collect();
    if let Some(odd) = prefixes.iter().find(|prefix| !prefix.starts_with('/') || prefix.len() < 2) {
        return Err(format!(
            "expected how the paths of files begin whose names change with their content, such as /assets/, found {}",
            quoted(odd)
        ));
    }
    if prefixes.len() > MOST {
        return Err(format!("at most {MOST} beginnings of paths, found {}", prefixes.len()));
    }
    let mut known: Vec<Arc<Path>> = Vec::new();
    for directory in directories {
        if !known.contains(directory) {
            known.push(Arc::clone(directory));
        }
    }
    let prefixes = prefixes.into_iter().map(Box::from).collect();
    Ok(Arc::new(Versioned { prefixes, directories: known.into() }))
}

/// Reads `metadata.max-age`.
pub(super) fn max_age(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("expected a number of seconds, such as 3600, found {}", quoted(text)))
}
