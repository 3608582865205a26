//! The program with few open files allowed: it turns clients away before the system does, its admin side answers all the
//! while, and it recovers.
#![cfg(target_os = "linux")]

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(60);
const FILES: u32 = 256;
const CLIENTS: usize = 400;

struct Gateway {
    process: Child,
    address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Gateway {
    /// Started by a shell, which lowers the limit for it.
    fn start(config: &std::path::Path) -> Self {
        let flags = "--bind 127.0.0.1 --port 0 --admin-port 0 --workers 2 --max-connections 100000 --drain 0";
        let line = format!(
            "ulimit -n {FILES}; exec '{}' {flags} --config-dir '{}' --registry-dir '{}'",
            env!("CARGO_BIN_EXE_gray-gateway"),
            config.display(),
            config.join("registry").display()
        );
        std::fs::create_dir_all(config.join("registry")).expect("made");
        let mut process = Command::new("sh")
            .args(["-c", &line])
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(process.stderr.take().expect("piped"));
        let (mut text, mut addresses) = (String::new(), [None, None]);
        while addresses.contains(&None) {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("read") > 0, "it ended:\n{text}");
            let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
            if let Some(address) = address.and_then(|address| address.parse().ok()) {
                addresses[usize::from(line.contains("admin side"))].get_or_insert(address);
            }
            text.push_str(&line);
        }
        let log = Arc::new(Mutex::new(text));
        let more = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut byte = [0; 4096];
            while let Ok(count) = lines.read(&mut byte)
                && count > 0
            {
                more.lock().expect("sound").push_str(&String::from_utf8_lossy(&byte[..count]));
            }
        });
        let [Some(address), Some(admin)] = addresses else { panic!("no addresses") };
        Self { process, address, admin, log }
    }
}

/// The status, 0 without an answer, and the whole of it.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let asked = async {
        let mut socket = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        let ended = socket.read_to_end(&mut answer).await;
        // A reset takes nothing back that was read before.
        if answer.is_empty() { ended.map(|_| answer) } else { Ok(answer) }
    };
    let answer = timeout(PATIENCE, asked).await.expect("no client waits for ever").unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

async fn until_served(address: SocketAddr) {
    let served = async {
        while get(address, "/x").await.0 != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("it is served");
}

/// Answers as soon as it has a permit, and gives that back.
#[expect(clippy::disallowed_methods, reason = "no release context in a test")]
async fn backend(permits: Arc<Semaphore>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let permits = Arc::clone(&permits);
            tokio::spawn(async move {
                let mut part = [0; 4096];
                while socket.read(&mut part).await.is_ok_and(|count| count > 0) {
                    let _permit = permits.acquire().await;
                    if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "no release context in a test")]
async fn a_flood_is_shed_before_descriptors_run_out() {
    gray_common::descriptors::raise();
    let permits = Arc::new(Semaphore::new(1));
    let instance = backend(Arc::clone(&permits)).await;
    let config = tempfile::tempdir().expect("a directory");
    let routes =
        format!("spring.cloud.gateway.routes:\n- id: app\n  uri: http://{instance}\n  predicates: [Path=/**]\n");
    std::fs::write(config.path().join("gateway-app.yaml"), routes).expect("written");
    let gateway = Gateway::start(config.path());
    let (address, admin) = (gateway.address, gateway.admin);
    let is_ready = async {
        while get(admin, "/readyz").await.0 != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, is_ready).await.unwrap_or_else(|_| panic!("not ready:\n{}", gateway.log.lock().expect("sound")));

    // One in four says nothing and takes all the places, until a client asks; three in four ask and are held.
    let silent = join_all((0..CLIENTS / 4).map(|_| TcpStream::connect(address))).await;
    until_served(address).await;
    timeout(PATIENCE, permits.acquire()).await.expect("it is given back").expect("open").forget();
    let asking = tokio::spawn(join_all((0..CLIENTS * 3 / 4).map(move |_| get(address, "/x"))));
    let (mut most, mut turn) = (0.0_f64, 0);
    loop {
        for path in ["/livez", "/readyz"] {
            let (status, answer) = get(admin, path).await;
            assert_eq!(status, 200, "{path} during the flood: {answer}");
        }
        let (status, metrics) = get(admin, "/metrics").await;
        assert_eq!(status, 200, "{metrics}");
        assert_eq!(value(&metrics, "process_max_fds"), f64::from(FILES));
        most = most.max(value(&metrics, "process_open_fds"));
        // As a connection, to make room for another one, or as a request that no instance may be called for.
        let refused = value(&metrics, "gray_gateway_refused_total{reason=\"connections\"}")
            + value(&metrics, "gray_gateway_refused_total{reason=\"evicted\"}")
            + value(&metrics, "gray_gateway_shed_total");
        if turn >= 20 && refused >= 10.0 {
            break;
        }
        turn += 1;
        assert!(turn < 3000, "no flood: {most} open, {refused} refused");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(most < f64::from(FILES), "{most} open");

    permits.add_permits(CLIENTS);
    let mut statuses = [0; 600];
    for (status, answer) in asking.await.expect("no panic") {
        assert!(matches!(status, 0 | 200 | 503), "{answer}");
        statuses[usize::from(status)] += 1;
    }
    // Refusals are said to so many at a time; the others are just closed.
    let (served, shed) = (statuses[200], statuses[503] + statuses[0]);
    assert!(served >= 20, "{served} served");
    assert!(shed >= 10, "{shed} shed, {served} served");
    drop(silent);

    // As if nothing had been.
    until_served(address).await;
    for _ in 0..20 {
        assert_eq!(get(address, "/x").await.0, 200);
    }
    let log = gateway.log.lock().expect("sound").clone();
    assert!(log.contains("more connections are wanted than open files are allowed"), "{log}");
    assert!(!log.contains("cannot accept") && !log.contains("Too many open files"), "{log}");
}
