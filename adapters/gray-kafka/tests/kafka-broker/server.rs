//! A broker of its own for each test, in a temporary directory.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord},
};

/// A broker that can be killed and started again; ends with the test.
pub(crate) struct Server {
    directory: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

/// Polls until that is so.
pub(crate) fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Server {
    /// A broker that is not started yet.
    pub(crate) fn prepare() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, controller) = (free_port(), free_port());
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            directory.path().join("data").display()
        );
        fs::write(directory.path().join("server.properties"), properties).expect("written");
        let server = Self { directory, port, process: None };
        let id = server.java("kafka.tools.StorageTool").arg("random-uuid").output().expect("Java");
        let id = String::from_utf8(id.stdout).expect("text");
        let mut format = server.java("kafka.tools.StorageTool");
        format.args(["format", "-t", id.trim(), "-c"]).arg(server.directory.path().join("server.properties"));
        assert!(format.stdout(Stdio::null()).status().expect("Java").success(), "the storage could not be formatted");
        server
    }

    pub(crate) fn started() -> Self {
        let mut server = Self::prepare();
        server.start();
        server
    }

    fn java(&self, class: &str) -> Command {
        let libraries = PathBuf::from(std::env::var_os("GRAY_KAFKA_LIB").expect("GRAY_KAFKA_LIB: see make test-kafka"));
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(libraries.join("*")).arg(class);
        java.stderr(Stdio::null()).stdin(Stdio::null()).current_dir(self.directory.path());
        java
    }

    pub(crate) fn start(&mut self) {
        let mut java = self.java("kafka.Kafka");
        let log = fs::File::create(self.directory.path().join("broker.log")).expect("a log");
        java.arg(self.directory.path().join("server.properties")).stdout(log);
        self.process = Some(java.spawn().expect("Java"));
        let port = self.port;
        until("the broker listens", Duration::from_secs(90), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn config(&self) -> ClientConfig {
        config(&self.address())
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match admin
                .create_topics([&topic], &AdminOptions::new().operation_timeout(Some(Duration::from_secs(10))))
                .await
            {
                Ok(results) if results.iter().all(Result::is_ok) => return,
                other => assert!(Instant::now() < deadline, "no topic: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn producer(&self) -> FutureProducer {
        self.config().set("linger.ms", "5").set("enable.idempotence", "true").create().expect("a producer")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "500");
    config.set("topic.metadata.refresh.interval.ms", "2000").set("reconnect.backoff.max.ms", "1000");
    config
}

/// Sends a message; its headers have been made already.
pub(crate) async fn send(producer: &FutureProducer, topic: &str, payload: &str, headers: OwnedHeaders) {
    let record: FutureRecord<'_, str, str> = FutureRecord::to(topic).payload(payload).key(payload).headers(headers);
    producer.send(record, Duration::from_secs(60)).await.expect("sent");
}
