//! From a request to order-app through the broker into the version of audit-app that its tag wants, with the programs as they are.

#![cfg(any(feature = "kafka", feature = "rabbitmq"))]

#[cfg(feature = "rabbitmq")]
#[path = "chain/jobs.rs"]
mod jobs;
#[cfg(feature = "kafka")]
#[path = "../../adapters/gray-kafka/tests/kafka-broker/server.rs"]
#[expect(dead_code, reason = "the adapter's tests do more with it")]
mod kafka;
#[cfg(feature = "rabbitmq")]
#[path = "../../adapters/gray-rabbitmq/tests/broker/server.rs"]
#[expect(dead_code, reason = "the adapter's tests do more with it")]
mod rabbitmq;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

const AUDIT_APP: &str = env!("CARGO_BIN_EXE_audit-app");
const LIMIT: Duration = Duration::from_secs(180);
const DOCUMENT: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, signing: { key: 'a secret of the chain' } }\n";

/// A program that registers in the folder `registry`.
struct Program {
    name: &'static str,
    child: Child,
    port: u16,
}

impl Program {
    fn start(folder: &Path, name: &'static str, version: &str, more: &[&str]) -> Self {
        // Those of other crates lie beside ours.
        let program = Path::new(AUDIT_APP).with_file_name(name);
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--advertise", "127.0.0.1", "--service-version", version])
            .args(["--port", &port.to_string()])
            .arg("--config-dir")
            .arg(folder.join("config"))
            .arg("--registry-dir")
            .arg(folder.join("registry"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; `make test-kafka` and `make test-rabbitmq` build it"));
        Self { name, child, port }
    }

    /// Status and body; `None` while it does not answer.
    fn get(&self, path: &str, headers: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    fn until<T>(&self, what: &str, mut find: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = find(self) {
                return found;
            }
            assert!(begun.elapsed() < LIMIT, "{}: not {what}", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ready(self) -> Self {
        self.until("ready", |program| program.get("/readyz", "").filter(|(status, _)| *status == 200));
        self
    }

    /// Its consumer runs: that the program is ready says nothing of it.
    fn consuming(self, what: &str) -> Self {
        self.until("consuming", |program| {
            program.get("/audits", "").filter(|(_, body)| body["data"]["consumer"] == what)
        });
        self
    }

    /// Numbers of orders and tags that it has handled, once there are so many.
    fn audits(&self, count: usize) -> Vec<(String, Option<String>)> {
        self.until("all handled", |program| {
            let (_, body) = program.get("/audits", "")?;
            let audits = body["data"]["audits"].as_array()?.clone();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let read = |audit: &Value| Some((text(&audit["orderNo"])?, text(&audit["gray"])));
            (audits.len() >= count).then(|| audits.iter().filter_map(read).collect())
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the gateway signs.
fn gray_request() -> String {
    use gray_core::{
        GrayStatus,
        lane::{Purpose, SigningKey},
    };
    let key = SigningKey::new(b"a secret of the chain").expect("long enough");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_secs();
    let signature = key.sign_for(Purpose::Call, GrayStatus::Gray, None, now + 60);
    format!("gray: GRAY\r\ngray-signature: {}\r\n", signature.to_str().expect("text"))
}

/// `broker`: where it is, as all programs are told. `phase`: that of the topic once gray messages are left to the gray version, where
/// the broker has that.
fn a_viewed_order_is_audited_by_the_version_of_its_request(broker: &[&str], phase: Option<&str>) {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in [("config", DOCUMENT), ("registry", "")] {
        fs::create_dir(folder.path().join(name)).expect("made");
        if !text.is_empty() {
            fs::write(folder.path().join(name).join("common-config.yaml"), text).expect("written");
        }
    }
    let standby = [broker, &["--standby-after", "1s"]].concat();
    let audit = |version| Program::start(folder.path(), "audit-app", version, &standby);
    // The gray one first: else the baseline stands in for it, which is right, until it is there.
    let v2 = audit("V2").consuming("gray");
    let v1 = audit("V1").consuming("baseline");
    v2.until("in the phase", |v2| v2.get("/audits", "").filter(|(_, body)| body["data"]["phase"].as_str() == phase));
    let user = Program::start(folder.path(), "user-app", "V1", &[]).ready();
    let order = Program::start(folder.path(), "order-app", "V1", broker).ready();
    let gray = gray_request();
    for (order_no, headers) in [("N0001", ""), ("N0002", gray.as_str())] {
        let status = order.until("answered", |order| order.get(&format!("/order/{order_no}"), headers)).0;
        assert_eq!(status, 200, "{order_no}");
    }
    assert_eq!(v1.audits(1), [("N0001".to_owned(), None)]);
    assert_eq!(v2.audits(1), [("N0002".to_owned(), Some("GRAY".to_owned()))]);
    // Without the gray version the baseline has it, on the lane all the same; and once more what that had not acknowledged.
    drop(v2);
    order.until("answered", |order| order.get("/order/N0001", &gray));
    let expect = ("N0001".to_owned(), Some("GRAY".to_owned()));
    v1.until("standing in", |v1| v1.audits(1).contains(&expect).then_some(()));
    drop((order, user));
}

#[cfg(feature = "rabbitmq")]
#[test]
#[ignore = "needs rabbitmq-server: make test-rabbitmq"]
fn on_rabbitmq() {
    let mut server = rabbitmq::Server::new();
    server.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(server.ready());
    a_viewed_order_is_audited_by_the_version_of_its_request(&["--amqp", &server.uri()], None);
}

#[cfg(feature = "kafka")]
#[test]
#[ignore = "needs a Kafka broker: make test-kafka"]
fn on_kafka() {
    let server = kafka::Server::started();
    // The shortest time after which brokers miss a member that was killed.
    let args = ["--kafka", &server.address(), "--kafka-set", "session.timeout.ms=6000"];
    a_viewed_order_is_audited_by_the_version_of_its_request(&args, Some("live"));
}
