//! The gateway's process and signals: only those that stop it end it, and in order.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use self::certificates::Ca;

#[expect(dead_code, reason = "shared with other tests, which use more of it")]
#[path = "proxy/certificates.rs"]
mod certificates;

const LIMIT: Duration = Duration::from_secs(60);

struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Gateway {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let log = directory.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gray-gateway"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRAY_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--workers",
            "1",
            "--drain-wait",
            "50ms",
        ]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).expect("made"));
        Self { child: command.spawn().expect("started"), log }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("read")).into_owned()
    }

    fn signal(&self, name: &str) {
        // Of the shell: there is no program of that name everywhere.
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().expect("ran").success(), "{command}");
    }

    fn until<T>(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = is(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("asked") {
                panic!("{what}: it has ended ({status}):\n{}", self.log());
            }
            assert!(begin.elapsed() < LIMIT, "{what}: not within {LIMIT:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn says(&mut self, words: &str) {
        self.until(words, |gateway| gateway.log().contains(words).then_some(()));
    }

    /// The address in the line of the log that says this.
    fn address(&mut self, words: &str) -> String {
        self.until(words, |gateway| {
            let log = gateway.log();
            let line = log.lines().find(|line| line.contains(words))?.to_owned();
            Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
        })
    }

    fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("asked") {
                return status;
            }
            assert!(begin.elapsed() < LIMIT, "still running:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The status of an answer; 0 when there is none.
fn get(address: &str, path: &str) -> u16 {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(address)?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().ok().and_then(|answer| answer.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

fn files(directory: &Path) -> usize {
    fs::read_dir(directory).expect("listed").count()
}

#[test]
fn only_what_stops_it_ends_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (config, registry, log) = (path("config"), path("registry"), path("access.log"));
    fs::create_dir(&config).expect("made");
    let ca = Ca::new("ca");
    let pair = ca.sign(&["localhost"]);
    let (certificate, key) = (ca.write("cert.pem", &pair.certificate), ca.write("key.pem", &pair.key));
    fs::write(Path::new(&config).join("common-config.yaml"), "kerwin.tool.gray.load: false\n").expect("written");
    let routes =
        format!("spring.cloud.gateway.routes: [{{ id: site, uri: 'file://{config}', predicates: ['Path=/**'] }}]\n");
    fs::write(Path::new(&config).join("gateway-app.yaml"), routes).expect("written");
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let mut gateway = Gateway::start(
        directory.path(),
        &[
            "--config-dir",
            &config,
            "--registry-dir",
            &registry,
            "--access-log",
            &log,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
            "--tls-port",
            "0",
        ],
    );
    // Its first line is written before anything is done that takes time: it starts in spite of all of them.
    gateway.until("a first line", |gateway| (!gateway.log().is_empty()).then_some(()));
    ["HUP", "USR1", "USR2"].iter().for_each(|name| gateway.signal(name));
    let (proxy, admin) = (gateway.address(" listening address="), gateway.address("admin side listening"));
    gateway.until("ready", |_| (get(&admin, "/readyz") == 200).then_some(()));
    assert_eq!((get(&proxy, "/gateway-app.yaml"), files(Path::new(&registry))), (200, 1));

    gateway.signal("HUP");
    gateway.says("SIGHUP: reading the files again");
    gateway.says("the gateway's certificate: unchanged");
    gateway.signal("USR2");
    gateway.says("SIGUSR2: ignored");

    // Without a request: rotation waits for no client.
    fs::remove_file(&log).expect("it was there");
    gateway.signal("USR1");
    gateway.until("a new log", |_| Path::new(&log).exists().then_some(()));
    assert_eq!(get(&proxy, "/gateway-app.yaml"), 200);
    gateway.until("a line", |_| fs::read_to_string(&log).ok().filter(|text| text.contains("GET /gateway-app.yaml")));

    gateway.signal("QUIT");
    let status = gateway.ended();
    let said = gateway.log();
    assert!(status.success() && said.contains("SIGQUIT") && said.contains("no longer accepting"), "{status}\n{said}");
    assert_eq!(files(Path::new(&registry)), 0, "it has left the registry");
}
