//! The design of Gateway + Nacos + GitLab: `deploy/gitlab` with processes in place of pods, and a tag that is flipped in Nacos.
//!
//! Scripts run as the jobs of the pipeline run them, all but the one that speaks to a cluster; what is started is what they
//! rendered.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use e2e_tests::{
    App, Documents, Http, Stage, chain::registry_args, documents, documents::repository, eventually, nacos::Namespace,
    ports, process::program, request::Headers, traffic::Traffic,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const RULES: &str = "gray-rules.yaml";

/// A gateway on a namespace with the documents of this design, and what runs behind it.
struct Site {
    namespace: Namespace,
    address: String,
    gateway_document: String,
    gateway: Gateway,
    http: Http,
    dir: TempDir,
}

struct Gateway {
    _app: App,
    url: String,
    admin: String,
}

/// The services of one release.
struct Release(Vec<(App, u16)>);

impl Site {
    async fn start(stage: &Stage) -> Result<Self> {
        let nacos = stage.nacos().await?;
        let deployed = Documents::deployed()?;
        let gateway_document = format!("{}grayUids: 1001, 1002\n", deployed.gateway);
        let namespace = nacos.namespace(&Documents { gateway: gateway_document.clone(), ..deployed }).await?;
        let rules = fs::read_to_string(repository().join("deploy/gitlab/nacos").join(RULES))?;
        namespace.publish(RULES, &rules).await?;
        let address = nacos.address();
        let [port, admin] = ports::free()?;
        let own = ["--port".to_owned(), port.to_string(), "--admin-port".to_owned(), admin.to_string()];
        let app = App::start("gray-gateway", &[&own, &registry_args(&address, &namespace.name)[..]].concat())?;
        let gateway =
            Gateway { _app: app, url: format!("http://127.0.0.1:{port}"), admin: format!("http://127.0.0.1:{admin}") };
        Ok(Self { namespace, address, gateway_document, gateway, http: Http::new()?, dir: tempfile::tempdir()? })
    }

    /// The job `release`, then `deploy`: from a Git tag to what would be applied, and processes in place of pods.
    async fn deploy(&self, tag: &str) -> Result<Release> {
        let said = run("release.sh", &[tag], &[]).await?;
        ensure!(said.status.success(), "{}", text(&said));
        let mut variables: Vec<(String, String)> = Vec::new();
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            let (name, value) = line.split_once('=').with_context(|| format!("no NAME=value: {line}"))?;
            variables.push((name.to_owned(), value.to_owned()));
        }
        let image = format!("registry.example.com/gray-chain:{tag}");
        for (name, value) in
            [("IMAGE", image.as_str()), ("GRAY_NACOS", &self.address), ("GRAY_NAMESPACE", &self.namespace.name)]
        {
            variables.push((name.to_owned(), value.to_owned()));
        }
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let rendered = self.dir.path().join(tag);
        let said = run("render.sh", &[&rendered.display().to_string()], &variables).await?;
        ensure!(said.status.success(), "{}", text(&said));

        let mut release = Release(Vec::new());
        // A called service first: its caller is ready once it knows all that it calls.
        for service in ["user-app", "order-app"] {
            let mut variables = environment(&rendered.join(format!("{service}.yml")))?;
            let [port] = ports::free()?;
            // What the cluster would fill in, and the volume.
            variables.extend(
                [("GRAY_ADVERTISE", "127.0.0.1".to_owned()), ("GRAY_PORT", port.to_string())]
                    .map(|(name, value)| (name.to_owned(), value)),
            );
            variables.remove("GRAY_SNAPSHOT_DIR");
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            release.0.push((App::start_with(service, &[], &variables)?, port));
        }
        for (app, port) in &mut release.0 {
            app.wait_ready(*port).await?;
        }
        Ok(release)
    }

    /// The job `gate`; its exit code, and what it said.
    async fn gate(&self, wait: &str) -> Result<(Option<i32>, String)> {
        let variables = [
            ("GATEWAY", self.gateway.url.as_str()),
            ("GATEWAY_ADMIN", &self.gateway.admin),
            ("GATE_WAIT", wait),
            ("GATE_COUNT", "10"),
        ];
        let said = run("gate.sh", &[], &variables).await?;
        Ok((said.status.code(), text(&said)))
    }

    /// Waits until both services answer such requests at this version, and nothing else does.
    async fn settles(&self, version: &str, headers: Headers<'_>) -> Result<()> {
        eventually(&format!("{headers:?} is answered by {version}"), || async {
            for _ in 0..6 {
                let (order, user) = self.http.order(&self.gateway.url, headers).await?;
                ensure!(order == version && user == version, "{order} {user}");
            }
            Ok(())
        })
        .await
    }

    /// Ports of the order-app and of the user-app that answered.
    async fn ports(&self, headers: Headers<'_>) -> Result<[u16; 2]> {
        let answer =
            self.http.get(&format!("{}/order-api/order/N0001", self.gateway.url), headers).await?.expect(200)?;
        let data = answer.json()?["data"].clone();
        let user = data["userName"].as_str().and_then(|name| name.split("port=").nth(1)?.split(' ').next());
        let ports = [data["port"].as_str(), user].map(|port| port.and_then(|port| port.parse().ok()));
        let [Some(order), Some(user)] = ports else { bail!("no ports in {}", answer.text) };
        Ok([order, user])
    }
}

impl Release {
    async fn stop(self) -> Result<()> {
        let stops = self.0.into_iter().map(|(mut app, _)| async move { app.stop().await });
        for stopped in join_all(stops).await {
            ensure!(stopped?.success(), "a service did not stop in order");
        }
        Ok(())
    }

    /// Ports of order-app and user-app.
    fn ports(&self) -> Result<[u16; 2]> {
        let [(_, user), (_, order)] = &self.0[..] else { bail!("not both services") };
        Ok([*order, *user])
    }
}

/// A script of the pipeline, with `grayctl` where it looks for it.
async fn run(script: &str, args: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    let programs = program("grayctl")?;
    let programs = programs.parent().context("a directory")?.display().to_string();
    let path = format!("{programs}:{}", env::var("PATH").unwrap_or_default());
    let mut command = Command::new(repository().join("deploy/gitlab/scripts").join(script));
    command.args(args).env("PATH", path).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(90), command.output()).await;
    output.with_context(|| format!("{script} does not end"))?.with_context(|| format!("cannot run {script}"))
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// The variables with values of their own in what was rendered.
fn environment(rendered: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(rendered).with_context(|| format!("{}", rendered.display()))?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("- name: GRAY_")?;
        let value = pair[1].strip_prefix("value: ")?;
        Some((format!("GRAY_{name}"), value.trim_matches('"').to_owned()))
    });
    let found: BTreeMap<_, _> = pairs.collect();
    for needed in ["GRAY_TAG", "GRAY_SERVICE_VERSION", "GRAY_NACOS", "GRAY_NAMESPACE"] {
        ensure!(found.contains_key(needed), "{needed} is not in {found:?}");
    }
    Ok(found)
}

/// From a tag to gray, through the gate to normal, and back; only the intended users notice.
pub(crate) async fn a_release_by_its_tag_and_back(stage: Arc<Stage>) -> Result<()> {
    let site = Site::start(&stage).await?;
    let (tester, other): (Headers<'static>, Headers<'static>) = (&[("uid", "1001")], &[("uid", "1003")]);
    let first = site.deploy("tag_normal_1.3.0").await?;
    for headers in [&[], tester, other] {
        site.settles("1.3.0", headers).await?;
    }
    // Nothing is gray yet: the gate says so, by the exit code of grayctl.
    let (code, said) = site.gate("0").await?;
    ensure!(code == Some(1) && said.contains("lane-without-instance"), "{code:?} {said}");

    let gray = site.deploy("tag_gray_1.4.0").await?;
    let (code, said) = site.gate("20").await?;
    ensure!(code == Some(0) && said.contains("the gate is open"), "{code:?} {said}");
    site.settles("1.4.0", tester).await?;
    for headers in [&[], other] {
        site.settles("1.3.0", headers).await?;
    }
    // The list of users is edited where it always was.
    site.namespace.publish(documents::GATEWAY, &site.gateway_document.replace("1001, 1002", "[1003]")).await?;
    site.settles("1.4.0", other).await?;
    site.settles("1.3.0", tester).await?;

    // Promoted: the same version untagged, the one before leaves, gray ends.
    let traffic = [Traffic::start(&site.gateway.url, &[])?, Traffic::start(&site.gateway.url, other)?];
    let second = site.deploy("tag_normal_1.4.0").await?;
    first.stop().await?;
    site.settles("1.4.0", &[]).await?;
    gray.stop().await?;
    site.settles("1.4.0", other).await?;
    // And back.
    let back = site.deploy("tag_normal_1.3.0").await?;
    second.stop().await?;
    for headers in [&[], tester, other] {
        site.settles("1.3.0", headers).await?;
    }
    for traffic in traffic {
        traffic.stop().await?;
    }
    back.stop().await
}

/// `gray-tag` edited in Nacos' console, while the instances run: how long until it counts on both hops.
pub(crate) async fn a_tag_flipped_in_nacos_counts_within_two_seconds(stage: Arc<Stage>) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(2);
    let site = Site::start(&stage).await?;
    let tester: Headers<'static> = &[("uid", "1002")];
    let (one, two) = (site.deploy("tag_normal_1").await?, site.deploy("tag_normal_2").await?);
    for headers in [&[], tester] {
        eventually("both versions answer", || async {
            let (mut orders, all) = (Vec::new(), [one.ports()?[0], two.ports()?[0]]);
            for _ in 0..8 {
                orders.push(site.ports(headers).await?[0]);
            }
            ensure!(all.iter().all(|port| orders.contains(port)), "{orders:?}");
            Ok(())
        })
        .await?;
    }
    let flipped = two.ports()?;
    let edit = async |tagged: bool| -> Result<()> {
        for (service, port) in ["order-app", "user-app"].iter().zip(flipped) {
            let listed = site.namespace.instances(service).await?;
            let listed = listed.iter().find(|instance| instance.port == port).context("not listed")?;
            let mut metadata: Value = listed.json["metadata"].clone();
            match tagged {
                true => metadata["gray-tag"] = json!("true"),
                false => drop(metadata.as_object_mut().context("no metadata")?.remove("gray-tag")),
            }
            site.namespace.edit_metadata(service, port, &metadata).await?;
        }
        Ok(())
    };
    let mut times = Vec::new();
    for _ in 0..3 {
        edit(true).await?;
        let began = Instant::now();
        eventually("testers reach what is tagged, others do not", || async {
            for _ in 0..4 {
                let (gray, ordinary) = (site.ports(tester).await?, site.ports(&[]).await?);
                ensure!(gray == flipped, "{gray:?}");
                ensure!(ordinary.iter().zip(flipped).all(|(seen, tagged)| *seen != tagged), "{ordinary:?}");
            }
            Ok(())
        })
        .await?;
        times.push(began.elapsed());
        edit(false).await?;
        let began = Instant::now();
        eventually("it is one of the ordinary ones again", || async {
            let mut seen = Vec::new();
            for _ in 0..4 {
                seen.push(site.ports(&[]).await?);
            }
            ensure!((0..2).all(|hop| seen.iter().any(|ports| ports[hop] == flipped[hop])), "{seen:?}");
            Ok(())
        })
        .await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    eprintln!("gray-tag edited in Nacos counted after {times:?}");
    // A machine that stands still for a moment is not what is measured.
    let median = times.get(times.len() / 2).context("nothing was measured")?;
    ensure!(*median < LIMIT, "after {times:?}");
    Ok(())
}
