//! A RabbitMQ of the test's own: Debian's rabbitmq-server in a folder, on ports and under a node name of its own.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gray_rabbitmq::BrokerAddress;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where Debian's package has its programs. These do not change to another user, unlike those on the path.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
const START_LIMIT: Duration = Duration::from_secs(180);

pub(crate) struct Server {
    pub(crate) folder: TempDir,
    /// The last one is for TLS.
    pub(crate) ports: [u16; 4],
    child: Option<Child>,
}

impl Server {
    /// Ports and a folder; nothing runs yet.
    pub(crate) fn new() -> Self {
        assert!(Path::new(PROGRAMS).is_dir(), "rabbitmq-server is not installed: `make test-rabbitmq` does it");
        let listeners = [0; 4].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports = listeners.each_ref().map(|listener| listener.local_addr().expect("bound").port());
        Self { folder: TempDir::new().expect("a folder"), ports, child: None }
    }

    pub(crate) fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports[0])
    }

    pub(crate) fn address(&self) -> BrokerAddress {
        self.uri().parse().expect("an address")
    }

    fn command(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(format!("{PROGRAMS}/{program}"));
        fs::write(folder.join("plugins"), "[].").expect("written");
        command
            .env("HOME", folder)
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("db"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_NODENAME", format!("gray{}@localhost", self.ports[0]))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.ports[0].to_string())
            .env("RABBITMQ_DIST_PORT", self.ports[1].to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.ports[2].to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none")
            .stdin(Stdio::null());
        command
    }

    /// Starts it, on what an earlier one has left. Does not wait.
    pub(crate) fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("stdout")).expect("a file");
        let child = self.command("rabbitmq-server").stdout(log).stderr(Stdio::null()).spawn().expect("starts");
        self.child = Some(child);
    }

    /// Waits until it takes connections.
    pub(crate) async fn ready(&self) {
        let begun = Instant::now();
        while self.connect().await.is_err() {
            assert!(begun.elapsed() < START_LIMIT, "no broker: {}", self.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn connect(&self) -> lapin::Result<lapin::Connection> {
        lapin::Connection::connect(&self.uri(), lapin::ConnectionProperties::default()).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// A virtual host.
    pub(crate) fn add_vhost(&self, name: &str) {
        for words in [&["add_vhost", name][..], &["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]] {
            let done = self.command("rabbitmqctl").args(words).output().expect("runs");
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// As a crash does it.
    pub(crate) fn kill(&mut self) {
        let pid = fs::read_to_string(self.folder.path().join("pid")).ok();
        let pid = pid.and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
        if let (Some(pid), Some(mut child)) = (pid, self.child.take()) {
            kill_process(pid, Signal::KILL).ok();
            child.wait().expect("waited for");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // It outlives the node otherwise.
        let mut epmd = Command::new("epmd");
        epmd.env("ERL_EPMD_PORT", self.ports[2].to_string()).arg("-kill").stdout(Stdio::null()).stderr(Stdio::null());
        epmd.status().ok();
    }
}
