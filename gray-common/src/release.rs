//! Which release a program was built from.

use std::sync::LazyLock;

static VERSION: LazyLock<String> = LazyLock::new(|| with_commit(option_env!("GRAY_COMMIT")));

/// The version of gray-chain: `0.1.0`, or `0.1.0+7595a56` where the build was told the commit.
///
/// `GRAY_COMMIT` is read when this crate is compiled; the build scripts set it for images. Nothing looks for a
/// repository, so a build from a tarball is no different, and a commit alone recompiles nothing.
pub fn version() -> &'static str {
    &VERSION
}

fn with_commit(commit: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match commit.map(str::trim).filter(|commit| !commit.is_empty()) {
        Some(commit) => format!("{version}+{}", commit.get(..7).unwrap_or(commit)),
        None => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_shortened_and_may_be_missing() {
        let version = env!("CARGO_PKG_VERSION");
        for (commit, expect) in [
            (None, version.to_owned()),
            (Some(""), version.to_owned()),
            (Some("7595a56"), format!("{version}+7595a56")),
            (Some("7595a56ed19a7a0f0d0c\n"), format!("{version}+7595a56")),
        ] {
            assert_eq!(with_commit(commit), expect, "{commit:?}");
        }
    }
}
