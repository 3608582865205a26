//! The compose file, once for real, as a project of its own on ports of its own.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{Http, Stage, documents::repository, nacos::starting, ports};
use tokio::process::Command;

const UP: Duration = Duration::from_secs(180);

struct Project {
    name: String,
    env: Vec<(&'static str, String)>,
}

impl Project {
    async fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("docker");
        command.args(["compose", "--project-name", &self.name]).args(args).kill_on_drop(true);
        let output = command.current_dir(repository()).envs(self.env.iter().cloned()).output();
        let output = tokio::time::timeout(UP, output).await.with_context(|| format!("{args:?} did not end"))??;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(output.status.success(), "docker compose {args:?} failed:\n{said}");
        Ok(said)
    }
}

pub(crate) async fn three_scenarios(_: Arc<Stage>) -> Result<()> {
    let nacos = ports::nacos_pair()?;
    let [gateway, order_v1, order_v2, user_v1, user_v2] = ports::free()?;
    let env = [
        ("NACOS_PORT", nacos),
        ("NACOS_GRPC_PORT", nacos + 1000),
        ("GATEWAY_PORT", gateway),
        ("ORDER_V1_PORT", order_v1),
        ("ORDER_V2_PORT", order_v2),
        ("USER_V1_PORT", user_v1),
        ("USER_V2_PORT", user_v2),
    ];
    let env = env.into_iter().map(|(name, port)| (name, port.to_string())).collect();
    let project = Project { name: format!("gray-e2e-compose-{}", std::process::id()), env };
    let outcome = scenarios(&project, gateway).await;
    let logs = match &outcome {
        Ok(()) => String::new(),
        Err(_) => project.run(&["logs", "--tail", "30"]).await.unwrap_or_default(),
    };
    let down = project.run(&["down", "--volumes", "--timeout", "5"]).await;
    outcome.context(logs)?;
    down.map(drop)
}

async fn scenarios(project: &Project, port: u16) -> Result<()> {
    let one_at_a_time = starting().await;
    project.run(&["up", "--detach", "--wait", "--no-build"]).await?;
    drop(one_at_a_time);
    // Healthy is healthy: the README's requests work at once.
    let (http, url) = (Http::new()?, format!("http://127.0.0.1:{port}"));
    http.orders(&url, 24, &[]).await?.only("V1")?;
    http.orders(&url, 24, &[("gray", "gray-996")]).await?.only("V2")?;
    http.orders(&url, 24, &[("gray", "GRAY")]).await?.only("V1")
}
