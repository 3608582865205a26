//! What the executor costs: CPU of a run beside that of its handler alone, and memory at rest, with 1,000 runs that wait, and with all
//! that it keeps at its limits. The scheduler is a process of its own, so that what it takes is not counted.
//!
//! ```text
//! cargo build --release --workspace --exclude e2e-tests --example job_figures && target/release/examples/job_figures 20000
//! ```

use std::{
    env,
    error::Error,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, routing::post};
use gray_core::balance::{Fallback, VersionPolicy};
use gray_xxl_job::{Executor, JobRules, Run, StopLimits};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs that are asked for at the same time, each of a job of its own.
const AT_ONCE: u64 = 32;
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> Fallible<()> {
    match env::args().nth(1).as_deref() {
        Some("scheduler") => scheduler().await,
        runs => executor(runs.map_or(Ok(20_000), str::parse)?).await,
    }
}

/// CPU time of this process.
fn cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

/// Memory of this process that is in use, in MiB.
fn resident() -> Fallible<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// The other process, told by lines and telling by lines.
struct Scheduler {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Scheduler {
    fn start() -> Fallible<(Self, String)> {
        let mut process =
            Command::new(env::current_exe()?).arg("scheduler").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = process.stdin.take().ok_or("no pipe")?;
        let from = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        let mut scheduler = Self { process, to, from };
        let url = scheduler.told()?;
        Ok((scheduler, url))
    }

    fn told(&mut self) -> Fallible<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        if line.is_empty() { Err("the scheduler has ended".into()) } else { Ok(line.trim().to_owned()) }
    }

    /// Has it do something, and waits until it is done.
    fn ask(&mut self, what: &str) -> Fallible<String> {
        writeln!(self.to, "{what}")?;
        let told = tokio::task::block_in_place(|| self.told())?;
        Ok(told.trim_start_matches("ok").trim().to_owned())
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn handler(_: u64) -> Result<String, std::io::Error> {
    Ok("done".to_owned())
}

async fn executor(runs: u64) -> Fallible<()> {
    let mut out = std::io::stdout();
    let (mut scheduler, url) = Scheduler::start()?;
    let before = resident()?;
    let gate = Arc::new(Notify::new());
    let (is_open, waits) = (Arc::new(AtomicBool::new(false)), Arc::clone(&gate));
    let opened = Arc::clone(&is_open);
    let rules = JobRules::new(VersionPolicy::new(true, "V1", "V2", Fallback::Prod));
    let executor = Executor::builder("jobs-app")
        .version("V2")
        .rules(watch::channel(Some(rules)).1)
        .scheduler(url)
        .bind(([127, 0, 0, 1], 0).into())
        .job("nothing", async |run: Run| handler(run.shard().index).await)
        .job("talk", async |run: Run| {
            let line = "x".repeat(1000);
            (0..20).for_each(|_| run.log(&line));
            Ok::<_, std::io::Error>("y".repeat(4096))
        })
        .job("wait", move |_: Run| {
            let (gate, is_open) = (Arc::clone(&waits), Arc::clone(&opened));
            async move {
                let opened = gate.notified();
                if !is_open.load(Relaxed) {
                    opened.await;
                }
                Ok::<_, std::io::Error>(String::new())
            }
        })
        .start()
        .await?;
    scheduler.ask("registered")?;
    writeln!(out, "memory: {before:.1} MiB before it starts, {:.1} MiB at rest", resident()?)?;

    // 20 jobs, each of which has one run and 50 that wait, with a line of parameters each.
    let before = resident()?;
    let told = scheduler.ask("fill wait 20 51 100")?;
    let after = resident()?;
    writeln!(
        out,
        "1,000 runs that wait ({told} taken, {} run): {after:.1} MiB, {:.2} MiB more",
        executor.running(),
        after - before
    )?;
    is_open.store(true, Relaxed);
    gate.notify_waiters();
    scheduler.ask("ended 1020")?;

    scheduler.ask(&format!("run nothing {}", runs / 10))?;
    let begun = cpu();
    scheduler.ask(&format!("run nothing {runs}"))?;
    let with = (cpu() - begun).as_secs_f64() / runs as f64 * 1e6;
    let begun = cpu();
    let mut tasks = JoinSet::new();
    for run in 0..runs {
        tasks.spawn(handler(run));
        tasks.join_next().await.ok_or("no task")???;
    }
    let alone = (cpu() - begun).as_secs_f64() / runs as f64 * 1e6;
    writeln!(
        out,
        "CPU of a run: {with:.1} us, of its handler as a task {alone:.1} us; {runs} runs, {AT_ONCE} at a time"
    )?;
    writeln!(out, "memory after them: {:.1} MiB", resident()?)?;

    // Full logs, and 10,000 ends with the longest message while the scheduler takes none.
    let before = resident()?;
    scheduler.ask("deaf")?;
    scheduler.ask("fill talk 60 170 0")?;
    while executor.running() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = resident()?;
    writeln!(
        out,
        "10,200 ends that the scheduler does not take, full logs: {after:.1} MiB, {:.1} MiB more",
        after - before
    )?;
    let mut limits = StopLimits::default().with_linger(Duration::ZERO);
    limits.reports = Duration::ZERO;
    let stopped = executor.stop(limits).await;
    writeln!(out, "kept until it stopped: {} ends", stopped.unreported)?;
    Ok(())
}

/// What the scheduler knows.
#[derive(Default)]
struct Known {
    executor: Mutex<String>,
    ended: AtomicU64,
    is_deaf: AtomicBool,
}

impl Known {
    async fn until(&self, is_so: impl Fn(&Self) -> bool) -> Fallible<()> {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > LIMIT {
                return Err(format!("not in time: {} runs have ended", self.ended.load(Relaxed)).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn executor(&self) -> String {
        self.executor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn registry(State(known): State<Arc<Known>>, Json(body): Json<Value>) -> Json<Value> {
    let address = body["registryValue"].as_str().unwrap_or_default();
    address.clone_into(&mut known.executor.lock().unwrap_or_else(PoisonError::into_inner));
    Json(json!({"code": 200}))
}

async fn callback(State(known): State<Arc<Known>>, Json(body): Json<Vec<Value>>) -> Json<Value> {
    if known.is_deaf.load(Relaxed) {
        return Json(json!({"code": 500}));
    }
    known.ended.fetch_add(body.len() as u64, Relaxed);
    Json(json!({"code": 200}))
}

/// The scheduler: does what a line says, and answers with a line.
async fn scheduler() -> Fallible<()> {
    let known = Arc::new(Known::default());
    let app = Router::new().route("/api/registry", post(registry)).route("/api/callback", post(callback));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}/", listener.local_addr()?)?;
    let mut serving = JoinSet::new();
    let app = app.with_state(Arc::clone(&known));
    serving.spawn(async move { axum::serve(listener, app).await });
    let mut log = 0;
    loop {
        let mut line = String::new();
        tokio::task::block_in_place(|| std::io::stdin().read_line(&mut line))?;
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        let answer = match words.as_slice() {
            [] => return Ok(()),
            ["registered"] => known.until(|known| !known.executor().is_empty()).await.map(|()| String::new()),
            ["deaf"] => Ok(known.is_deaf.swap(true, Relaxed).to_string()),
            ["ended", _] => known.until(|known| known.ended.load(Relaxed) >= number(1)).await.map(|()| String::new()),
            // `run JOB RUNS`: by as many jobs as connections, and waits until all have ended.
            ["run", job, ..] => {
                known.ended.store(0, Relaxed);
                let taken = ask_for(&known, job, AT_ONCE, number(2) / AT_ONCE, 0, &mut log).await?;
                known.until(|known| known.ended.load(Relaxed) >= taken).await.map(|()| taken.to_string())
            }
            // `fill JOB JOBS RUNS BYTES`: as many of each job, with so many bytes of parameters.
            ["fill", job, ..] => {
                known.ended.store(0, Relaxed);
                let taken = ask_for(&known, job, number(2), number(3), number(4), &mut log).await?;
                Ok(taken.to_string())
            }
            _ => Err(format!("`{line}`?").into()),
        };
        writeln!(out, "ok {}", answer?)?;
    }
}

/// Asks for `runs` runs of each of `jobs` jobs, every job on a connection of its own; how many were taken.
async fn ask_for(known: &Known, handler: &str, jobs: u64, runs: u64, bytes: u64, log: &mut u64) -> Fallible<u64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let (url, params) = (format!("{}run", known.executor()), "p".repeat(usize::try_from(bytes)?));
    let mut asking = JoinSet::new();
    for job in 1..=jobs {
        let (client, url, params, handler, first) =
            (client.clone(), url.clone(), params.clone(), handler.to_owned(), *log);
        *log += runs;
        asking.spawn(async move {
            let mut taken = 0;
            for run in 1..=runs {
                let body = json!({
                    "jobId": job, "executorHandler": handler, "executorParams": params, "glueType": "BEAN", "executorTimeout": 0,
                    "executorBlockStrategy": "SERIAL_EXECUTION", "logId": first + run, "logDateTime": 1, "broadcastIndex": 0,
                    "broadcastTotal": 1, "glueSource": "", "glueUpdatetime": 1,
                });
                // One that waits is refused when too many do: later.
                loop {
                    let answer: Value = client.post(&url).json(&body).send().await?.json().await?;
                    if answer["code"] == 200 {
                        taken += 1;
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Ok::<_, reqwest::Error>(taken)
        });
    }
    let mut taken = 0;
    while let Some(joined) = asking.join_next().await {
        taken += joined??;
    }
    Ok(taken)
}
