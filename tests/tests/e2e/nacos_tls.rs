//! A Nacos that speaks nothing but TLS, on both ports.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{Stage, eventually_within, nacos, ports};
use gray_core::Instance;
use gray_nacos::{NacosConfigSource, NacosOptions, NacosRegistry, NacosTls};
use gray_registry::{ConfigSource as _, DocumentText, Health, Registry as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testcontainers::{ImageExt as _, core::Mount, runners::AsyncRunner as _};

use crate::publish::publish;

const START: Duration = Duration::from_secs(120);
const WAIT: Duration = Duration::from_secs(20);

pub(crate) async fn instances_and_documents_travel_over_tls(_: Arc<Stage>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let ca = certificates(directory.path())?;
    let port = ports::nacos_pair()?;
    let properties = [
        "nacos.remote.server.rpc.tls.enableTls=true",
        "nacos.remote.server.rpc.tls.compatibility=false",
        "nacos.remote.server.rpc.tls.certChainFile=file:/certs/cert.pem",
        "nacos.remote.server.rpc.tls.certPrivateKey=file:/certs/key.pem",
        "server.ssl.enabled=true",
        "server.ssl.certificate=/certs/cert.pem",
        "server.ssl.certificate-private-key=/certs/key.pem",
    ];
    let java = properties.map(|property| format!(" -D{property}")).concat();
    let starting = nacos::starting().await;
    let server = nacos::container(port)
        .with_mount(Mount::bind_mount(directory.path().display().to_string(), "/certs"))
        .with_env_var("JAVA_TOOL_OPTIONS", format!("-XX:TieredStopAtLevel=1 -XX:+UseSerialGC{java}"))
        .start()
        .await
        .context("cannot start Nacos")?;

    let options = NacosOptions::new(format!("127.0.0.1:{port}"));
    let mut trusting = options.clone();
    trusting.tls = Some(NacosTls::new(Some(&ca))?);
    let registry = NacosRegistry::connect(trusting.clone());
    let up =
        tokio::time::timeout(START, async { registry.health().wait_for(|health| *health == Health::Up).await.is_ok() });
    ensure!(up.await.is_ok_and(|up| up), "never connected: {:?}", registry.health().borrow());
    drop(starting);

    let instance = Instance::new("127.0.0.1", 9).with_version("V1");
    registry.register("tls-app", &instance).await?;
    let mut list = registry.watch("tls-app");
    let listed = list.wait_for(|list| list.as_deref().is_some_and(|list| list.iter().any(|one| one.port == 9)));
    tokio::time::timeout(WAIT, listed).await.context("not listed")??;

    // The HTTP port is for grayctl, and for what the gRPC port cannot tell.
    let (dir, text) = (tempfile::tempdir()?, "a: 1\n");
    std::fs::write(dir.path().join("tls.yaml"), text)?;
    let more = ["--nacos-ca", &ca.display().to_string()];
    let (ok, said) = publish(&trusting.server, "public", dir.path(), &more).await?;
    ensure!(ok && said.contains("published"), "{said}");
    let source = NacosConfigSource::connect(trusting);
    let mut document = source.watch("tls.yaml");
    let present = document.wait_for(|now| matches!(now, DocumentText::Present(now) if **now == *text));
    tokio::time::timeout(WAIT, present).await.context("the document does not arrive")??;

    // Who does not trust it, or does not speak TLS, is told what to do.
    for (tls, expect) in [(Some(NacosTls::new(None)?), "--nacos-ca"), (None, "--nacos-tls")] {
        let mut options = options.clone();
        options.tls = tls;
        let stranger = NacosRegistry::connect(options);
        let health = stranger.health();
        eventually_within(WAIT, expect, || async {
            let health = health.borrow().clone();
            ensure!(matches!(&health, Health::Down(reason) if reason.contains(expect)), "{health:?}");
            Ok(())
        })
        .await?;
    }
    registry.deregister("tls-app", &instance).await?;
    Ok(server.rm().await?)
}

/// Writes `cert.pem` and `key.pem` for this machine, and returns where the CA is that signed them.
fn certificates(directory: &std::path::Path) -> Result<std::path::PathBuf> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let ca = directory.join("ca.pem");
    std::fs::write(&ca, issuer.pem())?;
    std::fs::write(directory.join("cert.pem"), certificate.pem())?;
    std::fs::write(directory.join("key.pem"), key.serialize_pem())?;
    Ok(ca)
}
