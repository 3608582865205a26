//! The programs that are started for a measurement. Each is a child in a process group of its own, is ended by its id
//! when it is dropped, and is told to stop by the system should the harness itself be killed.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::proc;

/// How long a program may take to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// Become another program that ends when its parent does (used by the harness itself).
#[derive(Debug, Args)]
pub(crate) struct TiedArgs {
    /// Process id of the parent.
    parent: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Ties this process to its parent and becomes the program; returns only when that failed.
pub(crate) fn become_program(args: &TiedArgs) -> Result<()> {
    use rustix::process::{getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot tie the program to its parent")?;
    // The parent may have ended before the call.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    anyhow::ensure!(parent == Some(args.parent), "the harness that wanted this program is gone");
    let (program, rest) = args.command.split_first().context("no program given")?;
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("cannot run {}", program.display()))
}

/// A command that ends with us; its first argument is the program.
pub(crate) fn tied(program: &OsStr) -> Result<Command> {
    let own = std::env::current_exe().context("cannot tell where the harness itself is")?;
    let mut command = Command::new(own);
    command.arg("tied").arg(std::process::id().to_string()).arg("--").arg(program).process_group(0);
    Ok(command)
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program; what it prints goes to a file in `dir`.
    pub(crate) fn start<A: AsRef<OsStr>>(name: &str, program: &OsStr, args: &[A], dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = tied(program)?;
        command.args(args).env("GRAY_LOG", "warn").stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// It and all that it started.
    pub(crate) fn tree(&self) -> Vec<u32> {
        proc::tree(self.child.id())
    }

    /// Fails when it has ended, with what it printed last.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
        bail!("{} ended ({how}):\n{}", self.name, self.tail())
    }

    /// What it printed last.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }

    fn stop(&mut self) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        if matches!(self.child.try_wait(), Ok(None)) {
            // Gone between the two is as good.
            let _sent = kill_process(pid, Signal::TERM);
            let until = Instant::now() + PATIENCE;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
        }
        // Its own children, if it left any, and itself, if it does not listen.
        let _sent = kill_process_group(pid, Signal::KILL);
        let _reaped = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}
