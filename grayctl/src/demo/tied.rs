//! Ties a child to the demo: when the demo is killed hard, the system tells its children to stop.
//!
//! The system call for it concerns the process that makes it, so the child runs `grayctl tied` first, which makes the
//! call and then becomes the real program (same process id). Where there is no such call, it only does the latter.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;

/// Become another program that ends when its parent does (used by the demo itself).
#[derive(Debug, Args)]
pub(crate) struct TiedArgs {
    /// Process id of the parent.
    parent: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the command; returns only when it failed.
pub(crate) fn become_program(args: &TiedArgs) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::TERM)).context("cannot tie the program to its parent")?;
        // The parent may have ended before the call.
        let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        anyhow::ensure!(parent == Some(args.parent), "the demo that wanted this program is gone");
    }
    let (program, rest) = args.command.split_first().context("no program given")?;
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("cannot run {}", program.display()))
}
