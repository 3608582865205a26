//! Programs of other people; scripts/ensure-tools.sh gets them.

use std::{env, path::PathBuf};

use crate::documents::repository;

/// Where a tool is, if it is here.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let own = repository().join("target/tools").join(name);
    let on_path = || env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file());
    if own.is_file() { Some(own) } else { on_path() }
}

/// Why a row is skipped.
pub(crate) fn missing(name: &str) -> String {
    format!("{name} is not here: scripts/ensure-tools.sh")
}
