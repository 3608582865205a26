//! Consumers as processes that are killed with SIGKILL, and started again, at random, while messages flow.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use gray_core::Side;
use tempfile::TempDir;

use super::*;

/// Where a consumer process writes, what it is, and where its broker is.
const ENV: [&str; 3] = ["GRAY_TEST_FILE", "GRAY_TEST_VERSION", "GRAY_TEST_BROKER"];
const MESSAGES: usize = 10_000;
const QUEUE: &str = "chaos";

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("now").as_millis()).expect("small")
}

fn note(file: &mut fs::File, line: &str) {
    file.write_all(format!("{line}\n").as_bytes()).expect("written");
}

/// Writes `handled ID VERSION TIME` for each message, and `gray TIME` once it takes gray ones.
pub(crate) fn consumer_process(runtime: &tokio::runtime::Runtime) {
    let Some([file, version, broker]) = ENV
        .map(|name| env::var(name).ok())
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .and_then(|all| <[String; 3]>::try_from(all).ok())
    else {
        return;
    };
    let file = Arc::new(Mutex::new(fs::OpenOptions::new().append(true).create(true).open(file).expect("a file")));
    runtime.block_on(async {
        let instance = Instance::new("127.0.0.1", 1).with_version(version.as_str());
        let mut options =
            ConsumerOptions::new(broker.parse().expect("an address"), format!("{QUEUE}-x"), QUEUE, SERVICE, instance);
        options.declare = Some(Exchange::Topic);
        options.routing_key = "order.#".to_owned();
        options.standby_after = STANDBY;
        options.in_flight = 8;
        let handled = Arc::clone(&file);
        let of = version.clone();
        let handler = move |message: Message| {
            let line = format!("handled {} {of} {}", message.id.as_deref().unwrap_or("-"), now_ms());
            let file = Arc::clone(&handled);
            async move {
                tokio::time::sleep(Duration::from_millis(u64::from(message.payload[0] % 4))).await;
                note(&mut file.lock().expect("lock"), &line);
                Ok::<(), BoxError>(())
            }
        };
        let rules = Arc::new(rules("V1", "V2"));
        let consumer = Consumer::start(options, move || Some(Arc::clone(&rules)), handler).expect("options");
        let mut state = consumer.state();
        loop {
            if matches!(*state.borrow_and_update(), ConsumerState::Running { side: Some(Side::Gray), .. }) {
                note(&mut file.lock().expect("lock"), &format!("gray {}", now_ms()));
            }
            state.changed().await.expect("runs until it is killed");
        }
    });
}

struct Process {
    child: Child,
    version: &'static str,
    file: PathBuf,
    killed_ms: Option<u64>,
}

impl Process {
    fn start(server: &Server, folder: &Path, number: usize, version: &'static str) -> Self {
        let file = folder.join(format!("{number}-{version}"));
        let broker = server.uri();
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "consumer_process", "--ignored", "--nocapture"])
            .envs(ENV.into_iter().zip([file.to_str().expect("text"), version, &broker]))
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        Self { child, version, file, killed_ms: None }
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
        self.killed_ms = Some(now_ms());
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.killed_ms.is_none() {
            self.kill();
        }
    }
}

fn is_gray(number: usize) -> bool {
    number % 5 < 2
}

/// What was handled, by ID: version and time of each.
fn handled(processes: &[Process]) -> BTreeMap<usize, Vec<(String, u64)>> {
    let mut all: BTreeMap<usize, Vec<(String, u64)>> = BTreeMap::new();
    for line in processes.iter().flat_map(Process::lines) {
        if let [what, id, version, time] = &*line
            && what == "handled"
            && let (Ok(id), Ok(time)) = (id.parse(), time.parse())
        {
            all.entry(id).or_default().push((version.clone(), time));
        }
    }
    all
}

pub(crate) async fn nothing_is_lost_while_versions_come_and_go(server: &Server) {
    let messages = env::var("GRAY_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(MESSAGES);
    let folder = TempDir::new().expect("a folder");
    let document = Document::new(rules("V1", "V2"));
    // The queues are there before the first message.
    let first = consumer(options(server, QUEUE, "V1"), &document, &Seen::default());
    until(&first, Role::Baseline, false).await;
    first.stop().await;
    let start = |number, version| Process::start(server, folder.path(), number, version);
    let mut processes = vec![start(0, "V1"), start(1, "V1"), start(2, "V2")];
    let producer = Arc::new(producer(server, QUEUE, &document));
    let begun = Instant::now();
    let publishing = gray_context::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for chunk in (0..messages).collect::<Vec<_>>().chunks(20) {
            ticks.tick().await;
            let sends = chunk.iter().map(|number| {
                let producer = Arc::clone(&producer);
                let context = if is_gray(*number) { gray() } else { ReleaseContext::default() };
                let id = number.to_string();
                async move { publish(&producer, context, &id).await }
            });
            futures_util::future::join_all(sends).await;
        }
    });
    let mut kills = 0;
    let mut seed = fastrand::Rng::with_seed(env::var("GRAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7));
    while !publishing.is_finished() {
        tokio::time::sleep(Duration::from_millis(seed.u64(300..2500))).await;
        let version = *seed.choice(&["V1", "V2", "V2"]).expect("one");
        let alive = processes.iter().filter(|one| one.killed_ms.is_none() && one.version == version).count();
        // One of the baseline stays; of the gray version there may be none.
        if alive > usize::from(version == "V1") && (alive > 2 || seed.bool()) {
            let one = processes.iter_mut().find(|one| one.killed_ms.is_none() && one.version == version);
            one.expect("alive").kill();
            kills += 1;
        } else if alive < 3 {
            processes.push(start(processes.len(), version));
        }
    }
    publishing.await.expect("published");
    let published = begun.elapsed();
    let deadline = Instant::now() + LIMIT;
    while handled(&processes).len() < messages && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let done = now_ms();
    let handled = handled(&processes);
    // When a gray process has been there for longer than T, from then until it was killed.
    let standby = u64::try_from(STANDBY.as_millis()).expect("small");
    let settled: Vec<(u64, u64)> = processes
        .iter()
        .filter_map(|process| {
            let since =
                process.lines().iter().find(|line| line[0] == "gray").and_then(|line| line[1].parse::<u64>().ok())?;
            Some((since + standby, process.killed_ms.unwrap_or(done)))
        })
        .collect();
    let is_settled = |time: u64| settled.iter().any(|(from, to)| (*from..*to).contains(&time));
    let (mut wrong, mut duplicates, mut stood_in) = (0, 0, 0);
    for (id, times) in &handled {
        duplicates += times.len() - 1;
        for (version, time) in times {
            match (is_gray(*id), version.as_str()) {
                (true, "V1") if is_settled(*time) => wrong += 1,
                (true, "V1") => stood_in += 1,
                (false, "V2") => wrong += 1,
                _ => {}
            }
        }
    }
    let lost = messages - handled.len();
    eprintln!(
        "{messages} messages in {published:?}, {} processes, {kills} killed: {lost} lost, {wrong} wrong, {duplicates} \
         duplicates, {stood_in} gray ones by the baseline",
        processes.len()
    );
    assert_eq!((lost, wrong), (0, 0));
    assert!(kills > 3 && duplicates <= kills * 8, "{kills} kills, {duplicates} duplicates");
}
