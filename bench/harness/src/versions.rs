//! The versions of what takes part.

use std::path::Path;

use crate::{args::cores, load::find};

/// All of them, by name.
///
/// The gateway's is the commit, when it was built here; programs that were given may be of any.
pub(crate) fn versions(bench: &Path, built_here: bool) -> Vec<(String, String)> {
    let first_line = |program: &str, arg: &str| {
        let output = std::process::Command::new(find(program)?).arg(arg).output().ok()?;
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        // The first word with a number in it: `nginx version: nginx/1.22.1`, `HAProxy version 2.6.12-1 2026/...`.
        let text = String::from_utf8_lossy(&text).into_owned();
        let word = text.split_whitespace().find(|word| word.contains(|letter: char| letter.is_ascii_digit()))?;
        Some(word.rsplit('/').next().unwrap_or(word).to_owned())
    };
    let locked = |name: &str| {
        let text = std::fs::read_to_string(bench.join("Cargo.lock")).ok()?;
        let (_, rest) = text.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let commit = || {
        if !built_here {
            return Some("as given by --programs".to_owned());
        }
        let args = ["describe", "--always", "--dirty"];
        let output = std::process::Command::new("git").args(args).current_dir(bench).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let kernel = || Some(std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_owned());
    let all = [
        ("nginx", first_line("nginx", "-v")),
        ("haproxy", first_line("haproxy", "-v")),
        ("pingora", locked("pingora")),
        ("axum", locked("axum")),
        ("hyper-util", locked("hyper-util")),
        ("gray-chain", commit()),
        ("linux", kernel()),
        ("cores", Some(cores().to_string())),
    ];
    all.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?))).collect()
}
