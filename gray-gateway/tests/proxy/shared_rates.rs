//! Rates that gateways count together in a Redis: one that is made up here, and a real one where there is `redis-server`.

mod real;

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use gray_gateway::{
    rates::{Missed, RedisKeys, SharedRates, WhenDown},
    tls::UpstreamTls,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::support::{Backend, Gateway, Setup, spawn, until};

/// How it behaves.
const GOOD: u8 = 0;
const SILENT: u8 = 1;
const REFUSING: u8 = 2;

/// As much of a Redis as the gateway asks for.
#[derive(Default)]
struct Store {
    mode: AtomicU8,
    scripts: Mutex<HashSet<String>>,
    /// Tokens, and when that was.
    buckets: Mutex<HashMap<String, (i64, i64)>>,
    asked: Mutex<Vec<Vec<String>>>,
}

impl Store {
    async fn serve() -> (Arc<Self>, SocketAddr) {
        let (store, listener) =
            (Arc::<Self>::default(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound"));
        let (shared, address) = (Arc::clone(&store), listener.local_addr().expect("bound"));
        spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let store = Arc::clone(&shared);
                spawn(async move { store.answer(socket).await });
            }
        });
        (store, address)
    }

    async fn answer(&self, socket: TcpStream) {
        let mut socket = BufReader::new(socket);
        while let Some(words) = command(&mut socket).await {
            if self.mode.load(SeqCst) == SILENT {
                continue;
            }
            let answer = self.judge(&words);
            self.asked.lock().expect("no panic").push(words);
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn judge(&self, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut scripts = self.scripts.lock().expect("no panic");
        match words[..] {
            ["INFO", "server"] => "$26\r\nredis_mode:standalone\r\nx:y\r\n".into(),
            ["PING"] => "+PONG\r\n".into(),
            ["AUTH" | "SELECT", ..] => "+OK\r\n".into(),
            ["EVALSHA", ..] if self.mode.load(SeqCst) == REFUSING => "-READONLY not here\r\n".into(),
            ["EVALSHA", hash, ..] if scripts.insert(hash.into()) => "-NOSCRIPT no such script\r\n".into(),
            ["SCRIPT", "LOAD", _] => {
                let hash = scripts.iter().next().cloned().unwrap_or_default();
                format!("${}\r\n{hash}\r\n", hash.len())
            }
            ["EVALSHA", _, "2", tokens, _, rate, most, cost] => {
                let number = |text: &str| text.parse::<i64>().expect("a number");
                let (rate, most, cost, now) = (number(rate), number(most), number(cost), now());
                let mut buckets = self.buckets.lock().expect("no panic");
                let (left, since) = buckets.get(tokens).copied().unwrap_or((most, 0));
                let left = most.min(left + (now - since).max(0) * rate);
                let (passes, left) = if left >= cost { (1, left - cost) } else { (0, left) };
                buckets.insert(tokens.into(), (left, now));
                format!("*2\r\n:{passes}\r\n:{left}\r\n")
            }
            _ => panic!("{words:?}"),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.buckets.lock().expect("no panic").keys().cloned().collect();
        names.sort();
        names
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_secs().try_into().expect("not that late")
}

/// One command: a list of texts.
async fn command(socket: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = line(socket).await?;
    let mut words = Vec::new();
    for _ in 0..count.strip_prefix('*')?.parse::<usize>().ok()? {
        let length = line(socket).await?.strip_prefix('$')?.parse::<usize>().ok()?;
        let mut word = vec![0; length + 2];
        socket.read_exact(&mut word).await.ok()?;
        word.truncate(length);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

async fn line(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    Some(line.trim_end().to_owned())
}

/// One that waits for as long as a busy machine may take: how long that is, is not what most tests are about.
fn gateway(backend: &Backend, filters: &str, url: &str, keys: RedisKeys, when_down: WhenDown) -> Gateway {
    gateway_by(&Arc::default(), backend, filters, url, keys, when_down)
}

/// The same by the certificates that are believed.
fn gateway_by(
    tls: &Arc<UpstreamTls>,
    backend: &Backend,
    filters: &str,
    url: &str,
    keys: RedisKeys,
    when_down: WhenDown,
) -> Gateway {
    let shared = SharedRates::new(url.parse().expect("a URL of Redis"), keys, when_down, Arc::clone(tls));
    sharing(shared.waiting(Duration::from_secs(10)), backend, filters)
}

fn sharing(shared: SharedRates, backend: &Backend, filters: &str) -> Gateway {
    let routes = format!("[{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: [{filters}] }}]");
    let mut setup = Setup::with_routes(&routes, &[backend.instance("V1")]);
    setup.workers = 1;
    setup.shared_rates = Some(Arc::new(shared));
    setup.start()
}

async fn connected(gateway: &Gateway) {
    until("connected", || gateway.stats.snapshot().redis_connections == 1).await;
}

/// Hardly anything comes back while a test runs.
const THREE: &str = "'RequestRateLimiter=1, 300, 100'";

#[tokio::test]
async fn gateways_count_together_under_springs_names() {
    let (store, address) = Store::serve().await;
    let backend = Backend::named("v1").await;
    let url = format!("redis://me:secret@{address}/3");
    let make = || gateway(&backend, THREE, &url, RedisKeys::Route, WhenDown::Local);
    let (one, other) = (make(), make());
    connected(&one).await;
    connected(&other).await;
    for (gateway, left) in [(&one, 200), (&other, 100), (&one, 0)] {
        let passed = gateway.get("").await;
        let said = passed.header("x-ratelimit-remaining").and_then(|left| left.parse::<i64>().ok());
        assert_eq!(passed.status, 200);
        assert!(said.is_some_and(|said| (left..left + 30).contains(&said)), "{said:?}");
        assert_eq!(passed.header("x-ratelimit-burst-capacity"), Some("300"));
    }
    let refused = other.get("").await;
    assert_eq!((refused.status, refused.header("x-ratelimit-replenish-rate")), (429, Some("1")));
    let wait = refused.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (60..=100).contains(&wait)), "{wait:?}");
    assert_eq!(store.names(), ["request_rate_limiter.{app.127.0.0.1}.tokens"]);
    let asked = store.asked.lock().expect("no panic").clone();
    let said = |words: &[&str]| asked.iter().any(|asked| asked == words);
    assert!(said(&["AUTH", "me", "secret"]) && said(&["SELECT", "3"]), "{asked:?}");
    let call = asked.iter().rfind(|words| words[0] == "EVALSHA").expect("asked");
    let timestamp = "request_rate_limiter.{app.127.0.0.1}.timestamp";
    assert_eq!((&*call[2], &*call[4], &call[5..]), ("2", timestamp, &["1", "300", "100"].map(String::from)[..]));
    for gateway in [&one, &other] {
        assert_eq!(gateway.stats.snapshot().rates_missed, [0; Missed::ALL.len()]);
    }
    assert_eq!(backend.seen().len(), 3);
}

#[tokio::test]
async fn names_are_those_of_the_release_and_bounded() {
    let (store, address) = Store::serve().await;
    let backend = Backend::named("v1").await;
    let url = format!("redis://{address}");
    let filters = "'RequestRateLimiter=1, 9, 1, header.X-Key', 'RequestRateLimiter=1, 9, 1, route'";
    let gateway = gateway(&backend, filters, &url, RedisKeys::Client, WhenDown::Local);
    connected(&gateway).await;
    for key in ["alice", "}.tokens{", &"x".repeat(257)] {
        assert_eq!(gateway.get(&format!("X-Key: {key}\r\n")).await.status, 200, "{key}");
    }
    let names = store.names();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in ["{alice}.tokens", "{}.tokens{}.tokens", "{app}.2.tokens"] {
        assert!(names.contains(&format!("request_rate_limiter.{name}")), "{names:?} lack {name}");
    }
    assert!(names.iter().any(|name| name.contains("{sha256:") && name.len() < 120), "{names:?}");
}

#[tokio::test]
async fn while_redis_does_not_count_the_gateway_does_or_all_pass() {
    for (mode, why) in [(SILENT, Missed::Late), (REFUSING, Missed::Refused)] {
        let (store, address) = Store::serve().await;
        let backend = Backend::named("v1").await;
        let made = |when_down| {
            let url = format!("redis://{address}").parse().expect("a URL of Redis");
            sharing(SharedRates::new(url, RedisKeys::Route, when_down, Arc::default()), &backend, THREE)
        };
        let (local, open) = (made(WhenDown::Local), made(WhenDown::Open));
        connected(&local).await;
        connected(&open).await;
        store.mode.store(mode, SeqCst);
        let (mut soonest, mut latest) = (Duration::MAX, Duration::ZERO);
        for (gateway, expect) in [(&local, [200, 200, 200, 429]), (&open, [200; 4])] {
            for status in expect {
                let began = Instant::now();
                assert_eq!(gateway.get("").await.status, status, "{why:?}");
                (soonest, latest) = (soonest.min(began.elapsed()), latest.max(began.elapsed()));
            }
        }
        // 20 ms and no more, as far as a busy machine can tell.
        assert!(mode != SILENT || soonest >= Duration::from_millis(20), "{soonest:?}");
        assert!(soonest < Duration::from_millis(200) && latest < Duration::from_secs(2), "{soonest:?} {latest:?}");
        assert_eq!(open.get("").await.header("x-ratelimit-remaining"), Some("-1"));
        let missed = local.stats.snapshot().rates_missed;
        assert!(missed[why as usize] >= 1 && missed.iter().sum::<u64>() == 4, "{missed:?}");
        store.mode.store(GOOD, SeqCst);
        counted_again(&open).await;
    }
}

/// Requests are counted in Redis again, within seconds.
async fn counted_again(gateway: &Gateway) {
    let began = Instant::now();
    while gateway.get("").await.header("x-ratelimit-remaining") == Some("-1") {
        assert!(began.elapsed() < Duration::from_secs(20), "never counted again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_a_redis_nothing_waits() {
    let backend = Backend::named("v1").await;
    let nobody = crate::support::nobody().await;
    let gateway = gateway(&backend, THREE, &format!("redis://{nobody}"), RedisKeys::Route, WhenDown::Local);
    for status in [200, 200, 200, 429] {
        assert_eq!(gateway.get("").await.status, status);
    }
    assert_eq!(gateway.stats.snapshot().rates_missed[Missed::Unconnected as usize], 4);
}
