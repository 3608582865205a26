//! The demo's child processes: started, awaited, watched, stopped.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{Workspace, ports, with::Service};
use crate::print::complain;

/// How long a child may take to stop after SIGTERM. That of the jobs tries to tell its scheduler how runs ended.
const STOP: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(20);
/// Lines of a log that are shown when its process fails.
const TAIL: usize = 15;

/// Everything the demo started.
#[derive(Debug)]
pub(crate) struct Fleet {
    programs: PathBuf,
    registry: PathBuf,
    config: PathBuf,
    logs: PathBuf,
    running: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    name: String,
    child: Child,
    pid: Option<Pid>,
    log: PathBuf,
    readyz: String,
}

impl Fleet {
    pub(crate) fn new(programs: PathBuf, workspace: &Workspace) -> Self {
        let (registry, config, logs) = (workspace.registry(), workspace.config(), workspace.logs());
        Self { programs, registry, config, logs, running: Vec::new() }
    }

    /// Starts both versions of a service.
    pub(crate) fn start_service(&mut self, service: &Service) -> Result<()> {
        for ((version, port), env) in ["V1", "V2"].into_iter().zip(service.ports).zip(&service.env) {
            let args = ["--port".to_owned(), port.to_string(), "--service-version".to_owned(), version.to_owned()];
            self.start(&format!("{} {version}", service.name), service.program, &args, env, port)?;
        }
        Ok(())
    }

    /// Starts a gateway.
    pub(crate) fn start_gateway(&mut self, name: &str, ports: ports::Gateway) -> Result<()> {
        let args =
            ["--port".to_owned(), ports.port.to_string(), "--admin-port".to_owned(), ports.admin_port.to_string()];
        self.start(name, "gray-gateway", &args, &[], ports.admin_port)
    }

    fn start(
        &mut self,
        name: &str,
        program: &str,
        args: &[String],
        env: &[(&'static str, Option<String>)],
        health_port: u16,
    ) -> Result<()> {
        let log = self.logs.join(format!("{}.log", name.replace([' ', '(', ')'], "")));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["tied", &std::process::id().to_string(), "--"])
            .arg(self.programs.join(program))
            .args(args)
            .args(["--bind", "127.0.0.1", "--advertise", "127.0.0.1", "--drain-wait", "100ms"])
            .arg("--registry-dir")
            .arg(&self.registry)
            .arg("--config-dir")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        // The demo is the same whatever is set for other uses; only the log level may be chosen.
        for (key, _) in env::vars_os().filter(|(key, _)| key.to_str().is_some_and(|key| key.starts_with("GRAY_"))) {
            if key != "GRAY_LOG" {
                command.env_remove(key);
            }
        }
        for (name, value) in env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let readyz = format!("http://127.0.0.1:{health_port}/readyz");
        self.running.push(Process { name: name.to_owned(), child, pid, log, readyz });
        Ok(())
    }

    /// Waits until every process says that it is ready.
    pub(crate) async fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let start = Instant::now();
        for process in &mut self.running {
            process.wait_ready(&http, start, limit).await?;
        }
        Ok(())
    }

    /// Waits until a process ends by itself; says which and how, and forgets it.
    pub(crate) async fn next_death(&mut self) -> String {
        loop {
            for at in 0..self.running.len() {
                if let Ok(Some(status)) = self.running[at].child.try_wait() {
                    let process = self.running.remove(at);
                    return format!("{} has ended ({status}){}", process.name, process.tail());
                }
            }
            tokio::time::sleep(PAUSE * 10).await;
        }
    }

    /// Whether no process is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Stops the process that was started last.
    pub(crate) async fn stop_last(&mut self) {
        if let Some(process) = self.running.pop() {
            stop(vec![process]).await;
        }
    }

    /// Stops everything, gateways first.
    pub(crate) async fn stop(&mut self) {
        let mut running = std::mem::take(&mut self.running);
        running.reverse();
        stop(running).await;
    }

    /// The last lines of every log.
    pub(crate) fn tails(&self) -> String {
        self.running.iter().map(|process| format!("\n--- {}{}", process.name, process.tail())).collect()
    }
}

impl Process {
    async fn wait_ready(&mut self, http: &Client, start: Instant, limit: Duration) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended instead of getting ready ({status}){}", self.name, self.tail());
            }
            match http.get(&self.readyz).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if start.elapsed() >= limit => {
                    bail!("{} was not ready within {limit:?}{}", self.name, self.tail())
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The last lines of its log.
    fn tail(&self) -> String {
        tail_of(&self.log)
    }

    /// Waits for the end; kills it by its id when `until` has passed.
    async fn end(&mut self, until: Instant) -> std::io::Result<ExitStatus> {
        let left = until.saturating_duration_since(Instant::now());
        if let Ok(ended) = tokio::time::timeout(left, self.child.wait()).await {
            return ended;
        }
        complain(format_args!("{} did not stop within {STOP:?}: killed", self.name));
        self.child.start_kill()?;
        self.child.wait().await
    }
}

/// Asks all to stop, then waits for all.
async fn stop(mut processes: Vec<Process>) {
    for process in &mut processes {
        // The id is ours as long as the child has not been waited for.
        if let (Ok(None), Some(pid)) = (process.child.try_wait(), process.pid)
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            complain(format_args!("cannot ask {} to stop: {error}", process.name));
        }
    }
    let until = Instant::now() + STOP;
    for process in &mut processes {
        if let Err(error) = process.end(until).await {
            complain(format_args!("cannot stop {}: {error}", process.name));
        }
    }
}

fn tail_of(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    if lines.is_empty() {
        ", its log is empty".to_owned()
    } else {
        format!(", its log ends:\n{}", lines[from..].join("\n"))
    }
}
