//! What the scenarios run on: a gateway and ledger-apps behind it, on files or on a real Nacos.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    App, Documents, Http, Nacos,
    chain::{Service, registry_args, start_service},
    documents::{COMMON, GATEWAY},
    eventually,
    load::Ledger,
    nacos::Namespace,
    ports,
};

/// Who asks for the gray version.
pub const CANARY: (&str, &str) = ("x-canary", "yes");
/// The service behind `/shop/**`.
pub const SHOP: &str = "shop";

/// `common-config.yaml`. A gray request without a gray instance fails: a fallback would hide one that is lost.
pub fn common(default: &str, gray: &str) -> String {
    format!(
        "kerwin.tool.gray:\n  load: true\n  fallback: fail\n  version: {{ prodVersion: {default}, grayVersion: {gray} }}\n"
    )
}

/// `gateway-app.yaml`, with more lines below `kerwin.tool.gray.gateway` and more routes.
pub fn gateway(settings: &str, routes: &str) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!(
        "kerwin.tool.gray.gateway:\n  enabled: true\n  grayHeadKey: {}\n  grayHeadValue: '{}'\n{}\
         spring.cloud.gateway.routes:\n  - {{ id: shop, uri: 'lb://shop', predicates: ['Path=/shop/**'], \
         filters: ['StripPrefix=1'] }}\n{}",
        CANARY.0,
        CANARY.1,
        indented(settings),
        indented(routes)
    )
}

#[derive(Debug)]
enum Place {
    Files,
    Nacos(Namespace),
}

/// The parts.
#[derive(Debug)]
pub struct Site {
    place: Place,
    dir: TempDir,
    /// What leads a program to the registry.
    control: Vec<String>,
    /// But for its ports.
    gateway_args: Vec<String>,
    gateway_env: Vec<(String, String)>,
    /// The gateway.
    pub gateway: App,
    /// Its address, as `http://host:port`.
    pub url: String,
    port: u16,
    /// Port of its admin side.
    pub admin_port: u16,
    /// The ledger-apps.
    pub shops: Vec<Service>,
    /// A client.
    pub http: Http,
    next: AtomicU32,
}

/// What is special about a site.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// More lines below `kerwin.tool.gray.gateway`.
    pub settings: String,
    /// More routes.
    pub routes: String,
    /// More arguments for the gateway.
    pub gateway_args: Vec<String>,
    /// What is in the gateway's environment.
    pub gateway_env: Vec<(String, String)>,
    /// Where Nacos is reached, if not at its own address.
    pub nacos_address: Option<String>,
}

impl Site {
    /// A gateway on the file registry, and a ledger-app of each version, all ready.
    pub async fn on_files(plot: Plot, versions: &[&'static str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let control =
            ["--config-dir", &path("config"), "--registry-dir", &path("registry"), "--advertise", "127.0.0.1"];
        let control = control.map(str::to_owned).to_vec();
        for name in ["config", "registry"] {
            fs::create_dir(dir.path().join(name))?;
        }
        fs::write(dir.path().join("config").join(COMMON), common("V1", "V2"))?;
        fs::write(dir.path().join("config").join(GATEWAY), gateway(&plot.settings, &plot.routes))?;
        Self::begin(Place::Files, dir, control, plot, versions).await
    }

    /// The same on a Nacos.
    pub async fn on_nacos(nacos: &Arc<Nacos>, plot: Plot, versions: &[&'static str]) -> Result<Self> {
        let documents = Documents { common: common("V1", "V2"), gateway: gateway(&plot.settings, &plot.routes) };
        let namespace = nacos.namespace(&documents).await?;
        let address = plot.nacos_address.clone().unwrap_or_else(|| nacos.address());
        let control = registry_args(&address, &namespace.name);
        Self::begin(Place::Nacos(namespace), tempfile::tempdir()?, control, plot, versions).await
    }

    async fn begin(
        place: Place,
        dir: TempDir,
        control: Vec<String>,
        plot: Plot,
        versions: &[&'static str],
    ) -> Result<Self> {
        fs::create_dir(dir.path().join("ledgers"))?;
        let [port, admin_port] = ports::free()?;
        let gateway_args = [&control[..], &plot.gateway_args].concat();
        let gateway_env = plot.gateway_env;
        let gateway = start_gateway(port, admin_port, &gateway_args, &gateway_env)?;
        let (url, http) = (format!("http://127.0.0.1:{port}"), Http::kept()?);
        let (shops, next) = (Vec::new(), AtomicU32::new(0));
        let mut site =
            Self { place, dir, control, gateway_args, gateway_env, gateway, url, port, admin_port, shops, http, next };
        for version in versions {
            site.shops.push(site.start(version, &[])?);
        }
        site.gateway.wait_ready(admin_port).await?;
        for shop in &mut site.shops {
            shop.app.wait_ready(shop.port).await?;
        }
        site.knows(&site.shops.iter().map(|shop| shop.port).collect::<Vec<_>>()).await?;
        Ok(site)
    }

    /// Starts a ledger-app; it may not be ready yet.
    pub fn start(&self, version: &'static str, more: &[&str]) -> Result<Service> {
        self.start_with(version, &self.control, more)
    }

    /// The same, led to the registry by other arguments.
    pub fn start_with(&self, version: &'static str, control: &[String], more: &[&str]) -> Result<Service> {
        let ledger = self.ledgers().join(self.next.fetch_add(1, Relaxed).to_string());
        let own = ["--ledger".to_owned(), ledger.display().to_string()];
        let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
        start_service("ledger-app", version, &[control, &own, &more].concat())
    }

    /// Starts one more ledger-app and waits until the gateway knows it.
    pub async fn add(&mut self, version: &'static str) -> Result<()> {
        let mut shop = self.start(version, &[])?;
        shop.app.wait_ready(shop.port).await?;
        self.knows(&[shop.port]).await?;
        self.shops.push(shop);
        Ok(())
    }

    /// Starts the gateway once more with the same arguments and waits until it serves; returns the old one if that
    /// still runs, as with a handover.
    pub async fn succeed(&mut self) -> Result<Option<App>> {
        let mut next = start_gateway(self.port, self.admin_port, &self.gateway_args, &self.gateway_env)?;
        if self.gateway.pid().is_some() {
            eventually("the new gateway takes over", || async {
                ensure!(next.log().contains("taken over"), "{}", next.log());
                Ok(())
            })
            .await?;
        }
        next.wait_ready(self.admin_port).await?;
        let old = std::mem::replace(&mut self.gateway, next);
        Ok(old.pid().is_some().then_some(old))
    }

    /// One more gateway beside the first, with its URL and the port of its admin side.
    pub async fn second_gateway(&self) -> Result<(App, String, u16)> {
        let [port, admin_port] = ports::free()?;
        let mut gateway = start_gateway(port, admin_port, &self.gateway_args, &self.gateway_env)?;
        gateway.wait_ready(admin_port).await?;
        Ok((gateway, format!("http://127.0.0.1:{port}"), admin_port))
    }

    /// What leads a program to the registry.
    pub fn control(&self) -> &[String] {
        &self.control
    }

    fn ledgers(&self) -> PathBuf {
        self.dir.path().join("ledgers")
    }

    /// A path in a directory that goes with the site.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What all backends wrote down so far.
    pub fn ledger(&self) -> Result<Ledger> {
        Ledger::read(&self.ledgers())
    }

    /// Its namespace.
    pub fn namespace(&self) -> Result<&Namespace> {
        match &self.place {
            Place::Nacos(namespace) => Ok(namespace),
            Place::Files => anyhow::bail!("this site is on files"),
        }
    }

    /// Replaces a document.
    pub async fn publish(&self, name: &str, text: &str) -> Result<()> {
        match &self.place {
            Place::Nacos(namespace) => namespace.publish(name, text).await,
            Place::Files => {
                let hidden = self.path("config").join(format!(".{name}"));
                fs::write(&hidden, text)?;
                fs::rename(&hidden, self.path("config").join(name)).with_context(|| format!("cannot put {name}"))
            }
        }
    }

    /// Lists an instance in the file registry that registers nowhere by itself.
    pub fn list(&self, service: &str, port: u16, version: &str) -> Result<()> {
        let instance = json!({ "host": "127.0.0.1", "port": port, "metadata": { "version": version } });
        let text = json!({ "service": service, "instances": [instance] }).to_string();
        let hidden = self.path("registry").join(format!(".{service}-{port}"));
        fs::write(&hidden, text)?;
        Ok(fs::rename(&hidden, self.path("registry").join(format!("{service}-{port}.json")))?)
    }

    /// The gateway's view of itself.
    pub async fn status(&self) -> Result<Value> {
        self.http.get(&format!("http://127.0.0.1:{}/status", self.admin_port), &[]).await?.json()
    }

    /// The ports of the shops that the gateway knows.
    pub async fn known(&self) -> Result<Vec<u64>> {
        self.known_at(self.admin_port).await
    }

    /// Those that the gateway with this admin port knows.
    pub async fn known_at(&self, admin_port: u16) -> Result<Vec<u64>> {
        let status = self.http.get(&format!("http://127.0.0.1:{admin_port}/status"), &[]).await?.json()?;
        let instances = status["services"][SHOP]["instances"].as_array().cloned().unwrap_or_default();
        Ok(instances.iter().filter_map(port_of).collect())
    }

    /// Waits until the gateway knows these shops.
    pub async fn knows(&self, ports: &[u16]) -> Result<()> {
        eventually("the gateway knows the instances", || async {
            let known = self.known().await?;
            ensure!(ports.iter().all(|port| known.contains(&u64::from(*port))), "{known:?} of {ports:?}");
            Ok(())
        })
        .await
        .with_context(|| format!("the gateway's log:\n{}", self.gateway.log()))
    }

    /// Makes other versions the default and the gray one, and waits until the gateway follows.
    pub async fn switch(&self, default: &str, gray: &str) -> Result<()> {
        self.publish_followed(COMMON, &common(default, gray)).await
    }

    /// Replaces a document by one that says something else, and waits until the gateway follows it.
    pub async fn publish_followed(&self, name: &str, text: &str) -> Result<()> {
        let before = self.status().await?["revision"].clone();
        self.publish(name, text).await?;
        eventually("the gateway follows the new settings", || async {
            let status = self.status().await?;
            ensure!(status["revision"] != before, "{}", status["refused"]);
            Ok(())
        })
        .await
    }

    /// The gateway's metrics, as lines.
    pub async fn metrics(&self) -> Result<Vec<String>> {
        let answer = self.http.get(&format!("http://127.0.0.1:{}/metrics", self.admin_port), &[]).await?.expect(200)?;
        Ok(answer.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect())
    }

    /// The sum of a metric over its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let lines = self.metrics().await?;
        let of = |line: &&String| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        Ok(lines.iter().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

fn start_gateway(port: u16, admin_port: u16, args: &[String], env: &[(String, String)]) -> Result<App> {
    let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin_port.to_string()];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    App::start_with("gray-gateway", &[&own[..], args].concat(), &env)
}

fn port_of(instance: &Value) -> Option<u64> {
    instance["port"].as_u64().or_else(|| instance["address"].as_str()?.rsplit(':').next()?.parse().ok())
}
