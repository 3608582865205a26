//! Consumers as processes: this test program again, as `consumer`.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gray_context::{MessageRules, ReleaseContext};
use gray_core::{
    balance::{Fallback, VersionPolicy},
    tag::{GrayStatus, VERSION_KEY},
};
use gray_kafka::{GrayConsumer, Message, Options};

use crate::server::config;

/// How long the gray group may be without a member, here.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

pub(crate) fn rules(prod: &str, gray: &str) -> MessageRules {
    MessageRules::new(VersionPolicy::new(true, prod, gray, Fallback::Prod))
}

/// Where the processes get their settings, and write down what they handle.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) address: String,
    pub(crate) topic: String,
}

impl Place {
    pub(crate) fn new(address: &str, topic: &str) -> Self {
        let place =
            Self { directory: tempfile::tempdir().expect("a directory"), address: address.into(), topic: topic.into() };
        place.publish("V1", "V2");
        place
    }

    /// Which versions there are.
    pub(crate) fn publish(&self, prod: &str, gray: &str) {
        let file = self.directory.path().join("versions");
        fs::write(file.with_extension("new"), format!("{prod} {gray}")).expect("written");
        fs::rename(file.with_extension("new"), file).expect("renamed");
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("handled")
    }
}

/// A process that consumes.
pub(crate) struct Consumer {
    pub(crate) version: &'static str,
    pub(crate) begin_ms: u64,
    child: Child,
}

impl Consumer {
    pub(crate) fn start(place: &Place, version: &'static str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["tests::consumer", "--exact", "--ignored", "--nocapture"]);
        command.env("CONSUMER", version).env("TOPIC", &place.topic).env("BROKER", &place.address);
        command.env("PLACE", place.directory.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().expect("a process");
        Self { version, begin_ms: now_ms(), child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it; returns when.
    pub(crate) fn kill(mut self) -> u64 {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        now_ms()
    }

    /// Stops it as a deployment does; returns when.
    pub(crate) fn stop(mut self) -> u64 {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("ended").success(), "a consumer of {} did not stop well", self.version);
        now_ms()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What such a process does until its input ends.
pub(crate) fn consume() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is missing"));
    let (version, place) = (variable("CONSUMER"), PathBuf::from(variable("PLACE")));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let log = OpenOptions::new().create(true).append(true).open(place.join("handled")).expect("a log");
    let log = Arc::new(std::sync::Mutex::new(log));
    let metadata = [(VERSION_KEY, version.as_str())].into_iter().collect();
    let mut options = Options::new(config(&variable("BROKER")), variable("TOPIC"), "audit", "audit-app", metadata);
    options.grace = GRACE;
    let settings = move || settings(&place.join("versions"));
    let handler = move |message: Arc<Message>| {
        let (log, version) = (Arc::clone(&log), version.clone());
        async move {
            let tag = ReleaseContext::current().tag.map_or("-", GrayStatus::as_str);
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            let line = format!("{} {version} {} {text} {tag} {}\n", now_ms(), std::process::id(), message.id());
            log.lock().expect("no panic").write_all(line.as_bytes())?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        }
    };
    let consumer = runtime.block_on(async { GrayConsumer::start(options, settings, handler).expect("a consumer") });
    std::io::stdin().read_to_end(&mut Vec::new()).expect("the end");
    consumer.stop();
}

fn settings(file: &Path) -> Option<Arc<MessageRules>> {
    let text = fs::read_to_string(file).ok()?;
    let (prod, gray) = text.split_once(' ')?;
    Some(Arc::new(rules(prod, gray)))
}
