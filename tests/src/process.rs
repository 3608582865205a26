//! One of our programs as a process of this machine; killed by its id when dropped.

use std::{
    env, fs,
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Http, eventually_within, wait::DEADLINE};

/// How long a program may take to stop once asked: its own drain and a margin.
const STOP: Duration = Duration::from_secs(15);

/// A running program.
#[derive(Debug)]
pub struct App {
    name: String,
    child: Child,
    dir: TempDir,
}

/// Where a program of the workspace is.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    // target/debug/deps/e2e-123 or target/debug/scorecard -> target/debug
    let dir = own.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).context("the test has no target directory")?;
    let path = dir.join(name);
    ensure!(
        path.is_file(),
        "{} is missing; build it first: cargo build -p gray-gateway -p order-app -p user-app -p grayctl",
        path.display()
    );
    Ok(path)
}

impl App {
    /// Starts a program; what is set for it in our own environment does not reach it.
    pub fn start(name: &str, args: &[String]) -> Result<Self> {
        Self::start_with(name, args, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with(name: &str, args: &[String], variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(program(name)?);
        for (key, _) in env::vars_os().filter(|(key, _)| key.to_str().is_some_and(|key| key.starts_with("GRAY_"))) {
            command.env_remove(key);
        }
        command.args(args).envs(variables.iter().copied());
        Self::spawn(&format!("{name} {}", args.join(" ")), command)
    }

    /// Starts any program, with a home and a working directory of its own; messages call it `name`.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let log = File::create(dir.path().join("log"))?;
        let child = command
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, dir })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Files it made in its home and temporary directory.
    pub fn files(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.dir.path())?.collect::<Result<Vec<_>, _>>()?;
        let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| name != "log").collect())
    }

    /// Waits until `/readyz` at this port says yes.
    pub async fn wait_ready(&mut self, port: u16) -> Result<()> {
        self.wait_answer(port, "/readyz", DEADLINE).await
    }

    /// Waits until it answers 200 to this path at this port.
    pub async fn wait_answer(&mut self, port: u16, path: &str, deadline: Duration) -> Result<()> {
        let outcome = eventually_within(deadline, "it gets ready", || async {
            let answer = Http::new()?.get(&format!("http://127.0.0.1:{port}{path}"), &[]).await?;
            ensure!(answer.status == StatusCode::OK, "{path} says {} {}", answer.status, answer.text);
            Ok(())
        });
        let outcome = tokio::select! {
            outcome = outcome => outcome,
            ended = self.child.wait() => bail!("{} ended: {:?}\n{}", self.name, ended, self.log()),
        };
        outcome.with_context(|| format!("{}; its log:\n{}", self.name, self.log()))
    }

    /// Its process id; none once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("process id 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end within {STOP:?}; its log:\n{}", self.name, self.log()),
        }
    }

    /// Waits for its end, however long it takes.
    pub async fn gone(&mut self) -> Result<()> {
        self.child.wait().await?;
        Ok(())
    }

    /// SIGTERM, then its end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// SIGKILL, then its end.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
