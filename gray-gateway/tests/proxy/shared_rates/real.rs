//! A real Redis, where there is `redis-server`.

use std::{
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use gray_gateway::{
    rates::{Missed, RedisKeys, WhenDown},
    tls::UpstreamTls,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{THREE, connected, gateway, gateway_by, line, now};
use crate::{certificates::Ca, support::Backend};

/// A real one, for as long as it is held; `None` where there is none.
struct Real {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Real {
    async fn start() -> Option<Self> {
        let port = crate::support::nobody().await.port();
        Self::start_with(port, &["--port", &port.to_string()])
    }

    fn start_with(port: u16, args: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let started = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(args)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn();
        match started {
            Ok(process) => Some(Self { process, port, _directory: directory }),
            Err(error) => {
                eprintln!("skipped: no redis-server ({error})");
                None
            }
        }
    }

    /// Asks it, and returns the answer's one line, or the text that it announces.
    async fn ask(&self, words: &str) -> String {
        let mut socket = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.expect("connected"));
        socket.write_all(format!("{words}\r\n").as_bytes()).await.expect("asked");
        let said = line(&mut socket).await.expect("answered");
        match said.strip_prefix('$') {
            Some("-1") => "(nothing)".into(),
            Some(_) => line(&mut socket).await.expect("announced"),
            None => said,
        }
    }
}

impl Real {
    /// How often `INFO` was asked for before; `None`: it does not listen yet.
    async fn asked_for_information(&self) -> Option<usize> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        let mut socket = BufReader::new(socket);
        socket.write_all(b"INFO commandstats\r\n").await.expect("asked");
        let length = line(&mut socket).await.expect("answered").trim_start_matches('$').parse().expect("a length");
        let mut said = vec![0; length];
        socket.read_exact(&mut said).await.expect("announced");
        let said = String::from_utf8_lossy(&said).into_owned();
        let calls = said.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls=")?.split(',').next());
        Some(calls.map_or(0, |calls| calls.parse().expect("a number")))
    }
}

#[tokio::test]
async fn a_real_redis_holds_what_spring_would() {
    let Some(redis) = Real::start().await else { return };
    let backend = Backend::named("v1").await;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let made = |filters| gateway(&backend, filters, &url, RedisKeys::Route, WhenDown::Local);
    let (one, other) = (made("'RequestRateLimiter=1, 300, 100'"), made("'RequestRateLimiter=1, 300, 100'"));
    connected(&one).await;
    connected(&other).await;
    let before = now();
    let statuses = [one.get("").await.status, other.get("").await.status, one.get("").await.status];
    assert_eq!((statuses, other.get("").await.status), ([200; 3], 429));
    assert_eq!(one.stats.snapshot().rates_missed, [0; Missed::ALL.len()]);
    let name = |what: &str| format!("request_rate_limiter.{{app.127.0.0.1}}.{what}");
    let tokens: i64 = redis.ask(&format!("GET {}", name("tokens"))).await.parse().expect("a number");
    let timestamp: i64 = redis.ask(&format!("GET {}", name("timestamp"))).await.parse().expect("a number");
    assert!((0..30).contains(&tokens) && (before..before + 30).contains(&timestamp), "{tokens} {timestamp}");
    for what in ["tokens", "timestamp"] {
        let left = redis.ask(&format!("TTL {}", name(what))).await;
        let left: u64 = left.trim_start_matches(':').parse().expect("a number");
        assert!((570..=600).contains(&left), "twice the time that it takes to be full: {left}");
    }
    // As Spring's script has left it, and what is full within a second is not kept.
    redis.ask(&format!("SETEX {} 600 250", name("tokens"))).await;
    redis.ask(&format!("SETEX {} 600 {}", name("timestamp"), now() + 100)).await;
    let passed = other.get("").await;
    assert_eq!((passed.status, passed.header("x-ratelimit-remaining")), (200, Some("150")));
    let quick = made("'RequestRateLimiter=100, 40, 40'");
    connected(&quick).await;
    redis.ask("FLUSHALL").await;
    for _ in 0..3 {
        let passed = quick.get("").await;
        assert_eq!((passed.status, passed.header("x-ratelimit-remaining")), (200, Some("0")));
    }
    assert_eq!(redis.ask("DBSIZE").await, ":0");
    // It goes and comes back without what it knew: scripts included.
    redis.ask("SCRIPT FLUSH").await;
    assert_eq!((one.get("").await.status, one.stats.snapshot().rates_missed), (200, [0; Missed::ALL.len()]));
}

/// Over TLS with a trusted certificate; with another one this gateway counts by itself.
#[tokio::test]
async fn a_real_redis_over_tls() {
    let (ca, port) = (Ca::new("redis"), crate::support::nobody().await.port());
    let pair = ca.sign(&["127.0.0.1"]);
    let (certificate, key) = (ca.write("redis.pem", &pair.certificate), ca.write("redis.key", &pair.key));
    let file = ca.file();
    let [certificate, key, root] = [&certificate, &key, &file].map(|path| path.to_str().expect("text"));
    let port_text = port.to_string();
    let args = [
        "--port",
        "0",
        "--tls-port",
        &port_text,
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        root,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "a-password",
    ];
    let Some(_redis) = Real::start_with(port, &args) else { return };
    let backend = Backend::named("v1").await;
    let url = format!("rediss://:a-password@127.0.0.1:{port}/1");
    let trusting = Arc::new(UpstreamTls::new(Some(&file)).expect("a CA"));
    let made = |tls| gateway_by(tls, &backend, THREE, &url, RedisKeys::Route, WhenDown::Local);
    let (one, other, doubting) = (made(&trusting), made(&trusting), made(&Arc::default()));
    connected(&one).await;
    connected(&other).await;
    let statuses = [one.get("").await.status, other.get("").await.status, one.get("").await.status];
    assert_eq!((statuses, other.get("").await.status), ([200; 3], 429), "together");
    assert_eq!(one.stats.snapshot().rates_missed, [0; Missed::ALL.len()]);
    assert_eq!(doubting.get("").await.status, 200, "by itself");
    assert_eq!(doubting.stats.snapshot().redis_connections, 0);
    assert_eq!(doubting.stats.snapshot().rates_missed[Missed::Unconnected as usize], 1);
}

/// A node of a cluster would know some of the counters alone: nothing is counted there.
#[tokio::test]
async fn a_node_of_a_cluster_is_not_used() {
    let port = crate::support::nobody().await.port();
    let Some(redis) = Real::start_with(port, &["--port", &port.to_string(), "--cluster-enabled", "yes"]) else {
        return;
    };
    let backend = Backend::named("v1").await;
    let gateway = gateway(&backend, THREE, &format!("redis://127.0.0.1:{port}"), RedisKeys::Route, WhenDown::Local);
    // It was asked what it is: more often than from here.
    let (deadline, mut own) = (Instant::now() + Duration::from_secs(20), 1);
    loop {
        match redis.asked_for_information().await {
            Some(asked) if asked >= own => break,
            Some(_) => own += 1,
            None => {}
        }
        assert!(Instant::now() < deadline, "it is never asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((gateway.get("").await.status, gateway.stats.snapshot().redis_connections), (200, 0));
    assert_eq!(gateway.stats.snapshot().rates_missed[Missed::Unconnected as usize], 1);
}
