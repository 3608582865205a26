//! A chain without a server: documents and instances in directories, every part a process of its own.
//!
//! A called service starts before its callers and is ready first, so that a caller knows all of them when it is ready.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Answer, App, Http,
    chain::{Service, start_service_with},
    documents::{COMMON, GATEWAY},
    eventually, ports,
    request::Headers,
};

/// Name of the document with the rules.
pub const RULES: &str = "gray-rules.yaml";
const ORDER: &str = "/order-api/order/N0001";
const ROUTES: &str = "\
kerwin.tool.gray.gateway: { enabled: true }
spring.cloud.gateway.routes:
  - { id: order-app, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }
  - { id: user-app, uri: 'lb://user-app', predicates: ['Path=/user-api/**'], filters: ['StripPrefix=1'] }
";

/// The chain.
#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
    /// Gateways, in the order of their start.
    pub gateways: Vec<Gateway>,
    /// Services, in the order of their start.
    pub services: Vec<Service>,
    /// A client.
    pub http: Http,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub app: App,
    /// Its address, as `http://host:port`.
    pub url: String,
    /// Port of its admin side.
    pub admin_port: u16,
}

impl Gateway {
    /// Its own view of itself.
    pub async fn status(&self, http: &Http) -> Result<Value> {
        http.get(&format!("http://127.0.0.1:{}/status", self.admin_port), &[]).await?.json()
    }
}

/// `common-config.yaml`: gray release on, V1 and V2, and these lines below `kerwin.tool.gray`.
pub fn common(mesh: &str) -> String {
    let head = "kerwin.tool.gray:\n  load: true\n  version: { prodVersion: V1, grayVersion: V2 }\n".to_owned();
    mesh.lines().fold(head, |text, line| format!("{text}  {line}\n"))
}

impl Lab {
    /// Documents without a reader: lines below `kerwin.tool.gray`, and the rules.
    pub fn new(mesh: &str, rules: &str) -> Result<Self> {
        let (dir, http) = (tempfile::tempdir()?, Http::kept()?);
        let lab = Self { dir, gateways: Vec::new(), services: Vec::new(), http };
        for directory in ["config", "registry"] {
            fs::create_dir(lab.dir.path().join(directory))?;
        }
        lab.publish(COMMON, &common(mesh))?;
        lab.publish(GATEWAY, ROUTES)?;
        lab.publish(RULES, rules)?;
        Ok(lab)
    }

    /// Documents, V1 and V2 of both services, and a gateway, all ready.
    pub async fn whole(mesh: &str, rules: &str) -> Result<Self> {
        let mut lab = Self::new(mesh, rules)?;
        for (program, version) in [("user-app", "V1"), ("user-app", "V2"), ("order-app", "V1"), ("order-app", "V2")] {
            lab.service(program, version, &[]).await?;
        }
        lab.gateway(&[]).await?;
        Ok(lab)
    }

    /// A directory of its own for a test's files.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Replaces a document, whole.
    pub fn publish(&self, name: &str, text: &str) -> Result<()> {
        self.put("config", name, text)
    }

    /// Replaces the routes; before a gateway starts.
    pub fn routes(&self, routes: &str) -> Result<()> {
        self.publish(GATEWAY, &format!("kerwin.tool.gray.gateway: {{ enabled: true }}\n{routes}"))
    }

    fn put(&self, directory: &str, name: &str, text: &str) -> Result<()> {
        let hidden = self.dir.path().join(directory).join(format!(".{name}.tmp"));
        fs::write(&hidden, text)?;
        fs::rename(&hidden, self.dir.path().join(directory).join(name)).with_context(|| format!("cannot put {name}"))
    }

    /// Lists an instance that registers nowhere by itself.
    pub fn list(&self, service: &str, port: u16, metadata: &Value) -> Result<()> {
        let instance = json!({ "host": "127.0.0.1", "port": port, "metadata": metadata });
        let text = json!({ "service": service, "instances": [instance] });
        self.put("registry", &format!("{service}-{port}.json"), &text.to_string())
    }

    /// The arguments that lead a program to the documents.
    pub fn config_args(&self) -> Vec<String> {
        vec!["--config-dir".into(), self.dir.path().join("config").display().to_string()]
    }

    /// The arguments that lead a program to documents and instances.
    pub fn control_args(&self) -> Vec<String> {
        let registry = self.dir.path().join("registry").display().to_string();
        let own = ["--registry-dir".to_owned(), registry, "--advertise".into(), "127.0.0.1".into()];
        [self.config_args(), own.to_vec(), vec!["--drain-wait".into(), "0".into()]].concat()
    }

    /// Starts a service and waits until it is ready; returns its port.
    pub async fn service(&mut self, program: &str, version: &'static str, more: &[&str]) -> Result<u16> {
        self.service_in(program, version, more, &[]).await
    }

    /// The same with these variables in its environment.
    pub async fn service_in(
        &mut self,
        program: &str,
        version: &'static str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<u16> {
        let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
        self.start(program, version, &[self.control_args(), more].concat(), variables).await
    }

    /// Starts a service with these arguments alone, and waits until it is ready; returns its port.
    pub async fn start(
        &mut self,
        program: &str,
        version: &'static str,
        args: &[String],
        variables: &[(&str, &str)],
    ) -> Result<u16> {
        let mut service = start_service_with(program, version, args, variables)?;
        service.app.wait_ready(service.port).await?;
        let port = service.port;
        self.services.push(service);
        Ok(port)
    }

    /// Starts a gateway and waits until it is ready.
    pub async fn gateway(&mut self, more: &[&str]) -> Result<()> {
        let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
        self.gateway_with(&[self.control_args(), more].concat()).await
    }

    /// Starts a gateway with these arguments alone, and waits until it is ready.
    pub async fn gateway_with(&mut self, args: &[String]) -> Result<()> {
        let [port, admin_port] = ports::free()?;
        let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin_port.to_string()];
        let mut app = App::start("gray-gateway", &[&own, args].concat())?;
        app.wait_ready(admin_port).await?;
        self.gateways.push(Gateway { app, url: format!("http://127.0.0.1:{port}"), admin_port });
        Ok(())
    }

    /// The address of the first gateway.
    pub fn url(&self) -> Result<&str> {
        Ok(&self.gateways.first().context("no gateway was started")?.url)
    }

    /// A request through the first gateway.
    pub async fn get(&self, path: &str, headers: Headers<'_>) -> Result<Answer> {
        self.http.get(&format!("{}{path}", self.url()?), headers).await
    }

    /// A request for an order through the first gateway.
    pub async fn order(&self, headers: Headers<'_>) -> Result<Answer> {
        self.get(ORDER, headers).await
    }

    /// The versions of order-app and user-app that answer a request for an order, as `V1 V2`.
    pub async fn way(&self, headers: Headers<'_>) -> Result<String> {
        let (order, user) = self.http.order(self.url()?, headers).await?;
        Ok(format!("{order} {user}"))
    }

    /// Fails unless every one of some requests for an order takes this way.
    pub async fn takes(&self, way: &str, headers: Headers<'_>) -> Result<()> {
        for _ in 0..4 {
            let seen = self.way(headers).await.with_context(|| format!("{headers:?}"))?;
            ensure!(seen == way, "{headers:?} took {seen} instead of {way}");
        }
        Ok(())
    }

    /// Waits until requests for an order take this way: for changes that services hear of by themselves.
    pub async fn comes_to_take(&self, way: &str, headers: Headers<'_>) -> Result<()> {
        eventually(&format!("{headers:?} takes {way}"), || self.takes(way, headers)).await
    }

    /// The revision of the rules that every gateway follows.
    async fn revisions(&self) -> Result<Vec<Value>> {
        let mut revisions = Vec::new();
        for gateway in &self.gateways {
            let status = gateway.status(&self.http).await?;
            ensure!(status["refused"].is_null(), "refused: {}", status["refused"]);
            revisions.push(status["rulesRevision"].clone());
        }
        Ok(revisions)
    }

    /// Publishes other rules and waits until every gateway follows them.
    pub async fn rules(&self, rules: &str) -> Result<()> {
        let before = self.revisions().await?;
        self.publish(RULES, rules)?;
        eventually("every gateway follows the new rules", || async {
            let now = self.revisions().await?;
            ensure!(before.iter().zip(&now).all(|(before, now)| before != now), "{now:?}");
            Ok(())
        })
        .await
    }
}
