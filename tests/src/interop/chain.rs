//! A chain whose services are written in this or that: our gateway, order-app, beside it an egress, and user-app.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use super::Stack;
use crate::{
    App, Documents, Eureka, Http, Nacos,
    chain::{registry_args, start_service},
    documents::{COMMON, GATEWAY, repository},
    eventually_within,
    lab::RULES,
    nacos::Namespace,
    ports,
};

/// A JVM with an agent, on a machine where others work.
const START: Duration = Duration::from_secs(300);
/// Spring finishes what is in flight for up to 30 s.
const STOP: Duration = Duration::from_secs(90);

/// Which of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls the other one.
    Order,
    /// Is called.
    User,
}

impl Role {
    /// As `run.sh` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::User => "user",
        }
    }
}

/// One of the two services of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// What it is written in.
    pub stack: Stack,
    /// How many instances of V1 it has; of V2 there is one.
    pub old: usize,
}

/// What stands beside an order service that is not ours.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// What passes the lane on: OpenTelemetry, mostly.
    pub agent: bool,
    /// The egress, which picks the instance.
    pub egress: bool,
}

/// Both: what docs/interop.md says is needed.
pub(crate) const BOTH: Beside = Beside { agent: true, egress: true };

/// An instance, and what belongs to it.
#[derive(Debug)]
struct Part {
    app: App,
    /// With the port of its admin side.
    egress: Option<(App, u16)>,
    port: u16,
}

/// Where a chain has its instances and its documents.
#[derive(Debug)]
pub struct Home {
    /// What leads our programs there.
    args: Vec<String>,
    /// What leads the services there, as `run.sh` takes it.
    environment: Vec<(&'static str, String)>,
    /// Which metadata key says the version, if it is not `version`.
    version_key: Option<&'static str>,
    /// Ends with the chain.
    _namespace: Option<Namespace>,
}

impl Home {
    /// A namespace of Nacos, with the documents of `examples/nacos`.
    pub async fn on_nacos(nacos: &Arc<Nacos>) -> Result<Self> {
        let read = |name: &str| {
            let path = repository().join("examples/nacos").join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let namespace = nacos.namespace(&Documents { common: read(COMMON)?, gateway: read(GATEWAY)? }).await?;
        namespace.publish(RULES, &read(RULES)?).await?;
        let environment = vec![("NACOS", nacos.address()), ("NAMESPACE", namespace.name.clone())];
        let args = registry_args(&nacos.address(), &namespace.name);
        Ok(Self { args, environment, version_key: None, _namespace: Some(namespace) })
    }

    /// A Eureka server, with the documents of `examples/eureka`, which are files.
    pub fn on_eureka(eureka: &Eureka) -> Self {
        let documents = repository().join("examples/eureka").display().to_string();
        let args = ["--eureka", &eureka.url(), "--config-dir", &documents, "--advertise", "127.0.0.1"];
        let args = args.map(str::to_owned).to_vec();
        Self { args, environment: vec![("EUREKA", eureka.url())], version_key: Some("versionId"), _namespace: None }
    }

    /// What leads a service of ours there, in this version.
    fn args_of(&self, version: &str) -> Vec<String> {
        let key = self.version_key.map(|key| ["--metadata".to_owned(), format!("{key}={version}")]);
        self.args.iter().cloned().chain(key.into_iter().flatten()).collect()
    }
}

/// A running chain.
#[derive(Debug)]
pub struct Mixed {
    home: Home,
    gateway: App,
    admin_port: u16,
    hops: [Stack; 2],
    orders: Vec<Part>,
    users: Vec<Part>,
    /// Spring's gateway, if requests go to that one.
    java_gateway: Option<App>,
    /// The gateway's address, as `http://host:port`.
    pub url: String,
    /// A client.
    pub http: Http,
}

impl Mixed {
    /// Starts a chain and waits until every part of it answers.
    pub async fn start(home: Home, order: Hop, user: Hop, beside: Beside) -> Result<Self> {
        let [port, admin_port] = ports::free()?;
        let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin_port.to_string()];
        let gateway = App::start("gray-gateway", &[&own, &home.args[..]].concat())?;
        let mut chain = Self {
            home,
            gateway,
            admin_port,
            hops: [order.stack, user.stack],
            orders: Vec::new(),
            users: Vec::new(),
            java_gateway: None,
            url: format!("http://127.0.0.1:{port}"),
            http: Http::kept()?,
        };
        chain.gateway.wait_ready(admin_port).await?;
        let versions = |hop: Hop| vec!["V1"; hop.old].into_iter().chain(["V2"]);
        for version in versions(user) {
            let part = chain.launch(Role::User, version, beside).await?;
            chain.users.push(part);
        }
        for version in versions(order) {
            let part = chain.launch(Role::Order, version, beside).await?;
            chain.orders.push(part);
        }
        chain.wait().await?;
        Ok(chain)
    }

    /// From now on requests go through Spring Cloud Gateway, which knows nothing of lanes. Ours goes on, for what it knows of instances.
    pub async fn through_java(&mut self) -> Result<()> {
        let [port] = ports::free()?;
        let mut command = Command::new(repository().join("examples/java-gateway/run.sh"));
        command.arg(port.to_string()).envs(self.home.environment.iter().map(|(name, value)| (name, value)));
        let mut app = App::spawn("java-gateway", command)?;
        app.wait_answer(port, "/order-api/order/N0001", START).await?;
        self.url = format!("http://127.0.0.1:{port}");
        self.java_gateway = Some(app);
        Ok(())
    }

    /// Starts one more instance; [`wait`](Self::wait) waits for it.
    async fn launch(&self, role: Role, version: &'static str, beside: Beside) -> Result<Part> {
        let stack = self.hops[role as usize];
        if stack == Stack::Rust {
            let service = start_service(&format!("{}-app", role.name()), version, &self.home.args_of(version))?;
            return Ok(Part { app: service.app, egress: None, port: service.port });
        }
        let [port] = ports::free()?;
        let script = repository().join("examples").join(stack.name()).join("run.sh");
        let mut command = Command::new(&script);
        command.args([role.name(), version, &port.to_string()]).env_remove("EGRESS").env("AGENT", "off");
        command.envs(self.home.environment.iter().map(|(name, value)| (name, value)));
        // user-app calls no one.
        let (mut egress, calls) = (None, role == Role::Order);
        if calls && beside.agent {
            command.env("AGENT", "on");
        }
        if calls && beside.egress {
            let (app, admin_port, address) = egress_of("order-app", version, &self.home.args).await?;
            command.env("EGRESS", address);
            egress = Some((app, admin_port));
        }
        let app = App::spawn(&format!("{stack} {} {version}", role.name()), command)?;
        Ok(Part { app, egress, port })
    }

    /// Waits until every instance answers, each in every way that it can call others, and the gateway knows them all; the egresses
    /// those that are called.
    async fn wait(&mut self) -> Result<()> {
        for part in &mut self.users {
            part.app.wait_answer(part.port, "/user/U0001", START).await?;
        }
        for part in &mut self.orders {
            for via in self.hops[0].ways() {
                part.app.wait_answer(part.port, &format!("/order/N0001?via={via}"), START).await?;
            }
        }
        let status = format!("http://127.0.0.1:{}/status", self.admin_port);
        eventually_within(START, "the gateway knows every instance", || async {
            let status = self.http.get(&status, &[]).await?.json()?;
            for (name, parts) in [("order-app", &self.orders), ("user-app", &self.users)] {
                // What was stopped or killed has to be gone as well.
                let known: BTreeSet<u64> = ports_of(&status["services"][name]["instances"]);
                let there: BTreeSet<u64> = parts.iter().map(|part| u64::from(part.port)).collect();
                ensure!(known == there, "{name}: {known:?} instead of {there:?}");
            }
            Ok(())
        })
        .await?;
        eventually_within(START, "each egress knows every instance of user-app", || async {
            for (_, admin_port) in self.orders.iter().filter_map(|part| part.egress.as_ref()) {
                let status = format!("http://127.0.0.1:{admin_port}/status?service=user-app");
                let known = ports_of(&self.http.get(&status, &[]).await?.json()?["services"]["user-app"]["instances"]);
                let there: BTreeSet<u64> = self.users.iter().map(|part| u64::from(part.port)).collect();
                ensure!(known == there, "{known:?} instead of {there:?}");
            }
            Ok(())
        })
        .await
    }

    /// What the order service is written in.
    pub fn order(&self) -> Stack {
        self.hops[0]
    }

    fn parts(&mut self, role: Role) -> &mut Vec<Part> {
        match role {
            Role::Order => &mut self.orders,
            Role::User => &mut self.users,
        }
    }

    /// Puts order services with something else beside them in place of those that are there: one of each version.
    pub async fn replace_orders(&mut self, beside: Beside) -> Result<()> {
        for mut part in std::mem::take(&mut self.orders) {
            stop(&mut part).await?;
        }
        for version in ["V1", "V2"] {
            let part = self.launch(Role::Order, version, beside).await?;
            self.orders.push(part);
        }
        self.wait().await
    }

    /// Kills the first instance of V1 (SIGKILL).
    pub async fn kill(&mut self, role: Role) -> Result<()> {
        self.parts(role).remove(0).app.kill().await
    }

    /// Stops the first instance of V1 (SIGTERM), and waits for its end.
    pub async fn stop(&mut self, role: Role) -> Result<()> {
        let mut part = self.parts(role).remove(0);
        stop(&mut part).await
    }

    /// Starts another instance of V1 and waits until the gateway knows it.
    pub async fn join(&mut self, role: Role) -> Result<()> {
        let part = self.launch(role, "V1", BOTH).await?;
        self.parts(role).insert(0, part);
        self.wait().await
    }

    /// What gateway and services have logged.
    pub fn logs(&self) -> String {
        let services = self.orders.iter().chain(&self.users);
        let logs = services
            .flat_map(|part| std::iter::once(&part.app).chain(part.egress.as_ref().map(|(app, _)| app)))
            .chain(self.java_gateway.as_ref())
            .map(App::log);
        std::iter::once(self.gateway.log()).chain(logs).collect::<Vec<_>>().join("\n---\n")
    }
}

/// The ports of the instances of a service, as `/status` lists them.
fn ports_of(instances: &Value) -> BTreeSet<u64> {
    let addresses = instances.as_array().into_iter().flatten().filter_map(|instance| instance["address"].as_str());
    addresses.filter_map(|address| address.rsplit_once(':')?.1.parse().ok()).collect()
}

async fn stop(part: &mut Part) -> Result<()> {
    part.app.signal(Signal::TERM)?;
    tokio::time::timeout(STOP, part.app.gone()).await.context("a service did not end after SIGTERM")?
}

/// A gateway in egress mode beside an instance; returns the port of its admin side, and where it listens.
async fn egress_of(service: &str, version: &str, registry: &[String]) -> Result<(App, u16, String)> {
    let [port, admin_port] = ports::free()?;
    let address = format!("127.0.0.1:{port}");
    let own = ["--egress", &address, "--service", service, "--service-version", version, "--admin-port"];
    let own: Vec<String> = own.map(str::to_owned).into_iter().chain([admin_port.to_string()]).collect();
    let mut app = App::start("gray-gateway", &[&own, registry].concat())?;
    app.wait_ready(admin_port).await?;
    Ok((app, admin_port, address))
}
