//! What a client costs for each message: every way of using it in a process of its own, turn by turn, so that what else the machine does
//! meets all of them alike. Included by benchmarks of adapters.

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// Names what a process is to measure.
const WAY: &str = "GRAY_BENCH_WAY";
/// Rounds; the median counts.
const ROUNDS: usize = 5;

/// The way that this process was started for.
pub(crate) fn way() -> Option<String> {
    env::var(WAY).ok()
}

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    cpu_us: f64,
    wall_us: f64,
    memory_kib: u64,
}

/// Counts messages, and measures from a tenth of them on: before, groups are formed and connections made.
pub(crate) struct Meter {
    seen: AtomicU64,
    all: u64,
    begun: OnceLock<(Duration, Instant)>,
    done: Notify,
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The most memory that this process has had.
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Meter {
    pub(crate) fn new(all: u64) -> Self {
        Self { seen: AtomicU64::new(0), all, begun: OnceLock::new(), done: Notify::new() }
    }

    fn warm(&self) -> u64 {
        self.all / 10
    }

    /// A message is done with.
    pub(crate) fn count(&self) {
        let seen = self.seen.fetch_add(1, Relaxed) + 1;
        if seen == self.warm() {
            self.begun.get_or_init(|| (cpu_time(), Instant::now()));
        }
        if seen == self.all {
            self.done.notify_one();
        }
    }

    /// Waits for the last one, and says what they took to the process that compares.
    pub(crate) async fn finish(&self) {
        self.done.notified().await;
        let (cpu, wall) = self.begun.get().expect("more than ten messages");
        let each = |time: Duration| time.as_secs_f64() * 1e6 / (self.all - self.warm()) as f64;
        println!("cost {} {} {}", each(cpu_time() - *cpu), each(wall.elapsed()), memory_kib());
    }
}

fn run(way: &str, variables: &[(&str, String)]) -> Cost {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(WAY, way).envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("cost "));
    let numbers: Vec<f64> = line.into_iter().flat_map(|line| line.split(' ')).filter_map(|n| n.parse().ok()).collect();
    let [cpu_us, wall_us, memory] = *numbers else { panic!("{way} has measured nothing: {text}") };
    Cost { cpu_us, wall_us, memory_kib: memory as u64 }
}

fn median(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

/// Runs all ways, several times in turn, and prints them beside the first, the bare client. `prepare` is called before each
/// run, and gives it its variables.
pub(crate) fn compare(ways: &[&str], mut prepare: impl FnMut(&str, usize) -> Vec<(&'static str, String)>) {
    let mut costs = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        for (place, way) in ways.iter().enumerate() {
            let variables = prepare(way, round);
            costs[place].push(run(way, &variables));
        }
    }
    println!("| way | CPU us/message (least, most) | more than bare | ratio | wall us/message | memory MiB |");
    println!("|---|---|---|---|---|---|");
    let mut bare = None;
    for (way, costs) in ways.iter().zip(&costs) {
        let (cpu, least, most) = median(costs.iter().map(|cost| cost.cpu_us));
        let (wall, ..) = median(costs.iter().map(|cost| cost.wall_us));
        let (memory, ..) = median(costs.iter().map(|cost| cost.memory_kib as f64));
        let bare = *bare.get_or_insert(cpu);
        println!(
            "| {way} | {cpu:.2} ({least:.2}, {most:.2}) | {:+.2} | {:.2} | {wall:.2} | {:.1} |",
            cpu - bare,
            cpu / bare,
            memory / 1024.0
        );
    }
}
