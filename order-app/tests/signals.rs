//! The process of a service and signals: only those that stop it end it, and in order.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(60);

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn until<T>(what: &str, log: &Path, mut is: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = is() {
            return found;
        }
        let said = || fs::read_to_string(log).unwrap_or_default();
        assert!(begin.elapsed() < LIMIT, "{what}: not within {LIMIT:?}:\n{}", said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_ready(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(address)?;
        write!(socket, "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

#[test]
fn only_what_stops_it_ends_it() {
    let directory = std::env::temp_dir().join(format!("order-app-signals-{}", std::process::id()));
    drop(fs::remove_dir_all(&directory));
    let (config, registry, log) = (directory.join("config"), directory.join("registry"), directory.join("log"));
    fs::create_dir_all(&config).expect("made");
    fs::write(config.join("common-config.yaml"), "kerwin.tool.gray.load: false\n").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_order-app"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRAY_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(["--bind", "127.0.0.1", "--port", "0", "--drain-wait", "50ms", "--config-dir"]).arg(&config);
    command.arg("--registry-dir").arg(&registry).stdin(Stdio::null()).stdout(Stdio::null());
    let mut service = Service(command.stderr(File::create(&log).expect("made")).spawn().expect("started"));
    let signal = |name: &str| {
        let command = format!("kill -{name} {}", service.0.id());
        assert!(Command::new("sh").args(["-c", &command]).status().expect("ran").success(), "{command}");
    };
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let says = |words: &str| until(words, &log, || said().contains(words).then_some(()));

    until("a first line", &log, || (!said().is_empty()).then_some(()));
    ["HUP", "USR1", "USR2"].iter().for_each(|name| signal(name));
    let address = until("bound", &log, || {
        let log = said();
        let line = log.lines().find(|line| line.contains("advertised="))?.to_owned();
        Some(line.split("listening=").nth(1)?.split_whitespace().next()?.to_owned())
    });
    until("ready", &log, || is_ready(&address).then_some(()));
    for (name, words) in
        [("HUP", "SIGHUP: reading the files again"), ("USR1", "SIGUSR1: ignored"), ("USR2", "SIGUSR2: ignored")]
    {
        signal(name);
        says(words);
        assert!(is_ready(&address), "{name}");
    }
    signal("QUIT");
    let status = until("its end", &log, || service.0.try_wait().expect("asked"));
    let log = said();
    assert!(status.success() && log.contains("SIGQUIT") && log.contains("stopped"), "{status}\n{log}");
    assert_eq!(fs::read_dir(&registry).expect("listed").count(), 0, "it has left the registry");
    fs::remove_dir_all(&directory).expect("removed");
}
