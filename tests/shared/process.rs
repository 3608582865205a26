//! Programs as processes. Included by tests of several programs.

use std::process::{Command, Stdio};

/// What a program did with a command line.
pub(crate) struct Outcome {
    /// The exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Runs a program to its end, with these variables and none of ours that happen to be set.
pub(crate) fn run(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRAY_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(args).envs(variables.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}
