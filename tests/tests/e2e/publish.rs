//! `grayctl publish` against a real Nacos.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Result, ensure};
use e2e_tests::{App, Documents, Stage, documents};

pub(crate) async fn publish(address: &str, namespace: &str, dir: &Path, more: &[&str]) -> Result<(bool, String)> {
    let dir = dir.display().to_string();
    let args = ["publish", "--nacos", address, "--namespace", namespace, "--dir", &dir];
    let args: Vec<String> = args.iter().chain(&["--yes"]).chain(more).map(|arg| (*arg).to_owned()).collect();
    let mut app = App::start("grayctl", &args)?;
    Ok((app.ended().await?.success(), app.log()))
}

pub(crate) async fn documents_arrive_once(stage: Arc<Stage>) -> Result<()> {
    let nacos = stage.nacos().await?;
    let (address, dir) = (nacos.address(), tempfile::tempdir()?);
    let deployed = Documents::deployed()?;
    fs::write(dir.path().join(documents::COMMON), &deployed.common)?;
    fs::write(dir.path().join(documents::GATEWAY), &deployed.gateway)?;

    // A namespace that is not there yet.
    let namespace = nacos.existing_namespace("publish-test");
    let (ok, said) = publish(&address, "publish-test", dir.path(), &[]).await?;
    ensure!(ok && said.contains("created") && said.matches("published").count() == 2, "{said}");
    ensure!(namespace.document(documents::GATEWAY).await? == deployed.gateway, "not as written");
    let (ok, said) = publish(&address, "publish-test", dir.path(), &[]).await?;
    ensure!(ok && said.matches("unchanged").count() == 2, "{said}");

    // An operator edits a document live: it is kept, unless told otherwise.
    let edited = deployed.clone().with("enabled", "false")?.gateway;
    namespace.publish(documents::GATEWAY, &edited).await?;
    e2e_tests::eventually("Nacos hands out the edit", || async {
        ensure!(namespace.document(documents::GATEWAY).await? == edited, "not yet");
        Ok(())
    })
    .await?;
    let (ok, said) = publish(&address, "publish-test", dir.path(), &[]).await?;
    ensure!(ok && said.contains("kept") && namespace.document(documents::GATEWAY).await? == edited, "{said}");
    let (ok, said) = publish(&address, "publish-test", dir.path(), &["--overwrite"]).await?;
    ensure!(
        ok && said.contains("differs") && namespace.document(documents::GATEWAY).await? == deployed.gateway,
        "{said}"
    );

    // What cannot work says so, and fails.
    let (ok, said) = publish("127.0.0.1:1", "publish-test", dir.path(), &["--wait", "1"]).await?;
    ensure!(!ok && said.contains("127.0.0.1:1"), "{said}");
    let (ok, said) = publish(&address, "publish-test", &dir.path().join("absent"), &[]).await?;
    ensure!(!ok && said.contains("absent"), "{said}");
    Ok(())
}
