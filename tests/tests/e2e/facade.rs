//! Our programs at Nacos 3, in three of its versions. Its HTTP API is imitated, in front of a real 2.3.2 with authentication on.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{
    App, Chain, Documents, Nacos, Setup, Stage, documents, eventually, eventually_within,
    nacos::{
        Namespace,
        facade::{Facade, Mode},
    },
};

use crate::{
    nacos_login::{SECRETS, add_user, guarded, user},
    publish::publish,
};

const GRAY: [(&str, &str); 1] = [("gray", "gray-996")];
/// An instance that is only missing is kept for 10 s; of these Nacos takes a part before it tells anybody.
const AT_ONCE: Duration = Duration::from_secs(2);
/// A user is not let in by all parts of Nacos at once, and programs wait between their attempts.
const AGAIN: Duration = Duration::from_secs(45);
const DETAIL: &str = "GET v3/admin/ns/instance 200";

pub(crate) async fn three_versions(_: Arc<Stage>) -> Result<()> {
    let nacos = Arc::new(Nacos::start_with(guarded(SECRETS[0])).await?);
    nacos.log_in("nacos", "nacos").await?;
    for mode in [Mode::V30, Mode::V32, Mode::V33] {
        one_version(&nacos, mode).await.with_context(|| format!("{mode:?}"))?;
    }
    Arc::into_inner(nacos).context("Nacos is still in use")?.remove().await
}

async fn one_version(nacos: &Arc<Nacos>, mode: Mode) -> Result<()> {
    let facade = Facade::start(nacos.port(), mode).await?;
    documents_arrive(nacos, &facade, mode).await.context("publish")?;

    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    let name = format!("chain-{mode:?}");
    add_user(nacos, &name, &namespace.name, "rw").await?;
    a_user_without_administrators_rights_publishes(&facade, &namespace, &name).await.context("rights")?;
    let setup = Setup { services_as: user(&name), gateway_as: user(&name), ..Setup::new()? };
    let chain = Chain::start_in(namespace, &facade.address(), setup).await?;
    // The three scenarios.
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await?;
    chain.set("grayUserNoList", "[U0001]").await?;
    chain.settles_on("V2", &[("userNo", "U0001")]).await?;
    chain.settles_on("V1", &[("userNo", "U0002")]).await?;

    a_disabled_instance_is_left_out_at_once(&chain, &facade).await.context("disable")?;
    a_wrong_password_is_said(&chain, &facade, &name).await.context("wrong password")?;
    if mode == Mode::V33 {
        a_restart_is_survived(nacos, &chain).await.context("restart")?;
    }
    let old = |seen: &String| seen.contains(" v1/") && !seen.contains("auth/login");
    let old: Vec<_> = facade.log().into_iter().filter(old).collect();
    ensure!(old.is_empty(), "asked in v1: {old:?}");
    Ok(())
}

async fn documents_arrive(nacos: &Arc<Nacos>, facade: &Facade, mode: Mode) -> Result<()> {
    let (address, dir, deployed) = (facade.address(), tempfile::tempdir()?, Documents::deployed()?);
    fs::write(dir.path().join(documents::COMMON), &deployed.common)?;
    fs::write(dir.path().join(documents::GATEWAY), &deployed.gateway)?;
    let name = format!("published-{mode:?}");
    let admin = ["--username", "nacos", "--password", "nacos"];

    facade.trouble(Some("naming not ready"));
    let (ok, said) = publish(&address, &name, dir.path(), &["--wait", "1"]).await?;
    ensure!(!ok && said.contains("was not ready within 1s") && said.contains("naming not ready"), "{said}");
    facade.trouble(None);

    let (ok, said) = publish(&address, &name, dir.path(), &[]).await?;
    ensure!(!ok && said.contains("wants a login") && said.contains("GRAY_NACOS_PASSWORD"), "{said}");
    let wrong = ["--username", "nacos", "--password", "wr0ng"];
    let (ok, said) = publish(&address, &name, dir.path(), &wrong).await?;
    let status = if mode == Mode::V33 { "403" } else { "500" };
    ensure!(!ok && said.contains(status) && said.contains("check --username and --password"), "{said}");
    let context = [&admin[..], &["--nacos-context", "/other", "--wait", "1"]].concat();
    let (ok, said) = publish(&address, &name, dir.path(), &context).await?;
    ensure!(!ok && said.contains("--nacos-context"), "{said}");

    let (ok, said) = publish(&address, &name, dir.path(), &admin).await?;
    ensure!(ok && said.contains("created") && said.matches("published  ").count() == 2, "{said}");
    let (ok, said) = publish(&address, &name, dir.path(), &admin).await?;
    ensure!(ok && said.matches("unchanged").count() == 2, "{said}");
    let written = nacos.existing_namespace(&name).document(documents::GATEWAY).await?;
    ensure!(written == deployed.gateway, "not as written: {written}");
    // The built-in namespace has a name in v3 and an empty ID in v1.
    let (ok, said) = publish(&address, "public", dir.path(), &admin).await?;
    ensure!(ok && !said.contains("created"), "{said}");
    let written = nacos.existing_namespace("").document(documents::GATEWAY).await?;
    ensure!(written == deployed.gateway, "not as written: {written}");
    Ok(())
}

async fn a_user_without_administrators_rights_publishes(
    facade: &Facade,
    namespace: &Namespace,
    name: &str,
) -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("other.yaml"), "a: 1\n")?;
    let (name, password) = user(name).context("a user")?;
    let login = ["--username", &name, "--password", &password];
    // Nacos knows a new user only after some seconds.
    eventually_within(AGAIN, "the user publishes", || async {
        let (ok, said) = publish(&facade.address(), &namespace.name, dir.path(), &login).await?;
        ensure!(ok && said.contains("may not see which namespaces there are"), "{said}");
        Ok(())
    })
    .await?;
    ensure!(namespace.document("other.yaml").await? == "a: 1\n", "not as written");
    Ok(())
}

async fn a_disabled_instance_is_left_out_at_once(chain: &Chain, facade: &Facade) -> Result<()> {
    let port = chain.users[1].port;
    let candidate = async || -> Result<bool> {
        let status = chain.status().await?;
        let instances = status["services"]["user-app"]["instances"].as_array().context("instances")?.clone();
        let own = instances
            .iter()
            .find(|instance| instance["address"].as_str().is_some_and(|at| at.ends_with(&port.to_string())));
        Ok(own.is_some_and(|own| own["candidate"] == true))
    };
    ensure!(candidate().await?, "it is a candidate: {}", chain.status().await?);
    let before = facade.seen(DETAIL);
    chain.namespace.change("user-app", port, "V2", 1.0, false).await?;
    let changed = Instant::now();
    eventually("the gateway leaves it out", || async {
        ensure!(!candidate().await?, "it is a candidate");
        Ok(())
    })
    .await?;
    let took = changed.elapsed();
    ensure!(took < AT_ONCE, "after {took:?}");
    // Three callers asked, and the service itself keeps asking: it would say on the third time that it is lost.
    eventually("the service has asked often enough", || async {
        let asked = facade.seen(DETAIL) - before;
        ensure!(asked >= 3 + 4, "{asked} times");
        Ok(())
    })
    .await?;
    let log = chain.users[1].app.log();
    ensure!(!log.contains("lost"), "{log}");
    chain.namespace.change("user-app", port, "V2", 1.0, true).await?;
    eventually("the gateway takes it back", || async {
        ensure!(candidate().await?, "it is not a candidate");
        Ok(())
    })
    .await
}

async fn a_wrong_password_is_said(chain: &Chain, facade: &Facade, name: &str) -> Result<()> {
    let args = ["--nacos", &facade.address(), "--namespace", &chain.namespace.name, "--advertise", "127.0.0.1"];
    let [port] = e2e_tests::ports::free()?;
    let port = port.to_string();
    let own = ["--port", &port, "--nacos-username", name, "--nacos-password", "wr0ng"];
    let args: Vec<String> = args.iter().chain(&own).map(|arg| (*arg).to_owned()).collect();
    let service = App::start("user-app", &args)?;
    eventually("it says that the login is refused", || async {
        let log = service.log();
        ensure!(log.contains("does not let in the user") && log.contains("GRAY_NACOS_PASSWORD"), "{log}");
        ensure!(!log.contains("wr0ng"), "{log}");
        Ok(())
    })
    .await
}

async fn a_restart_is_survived(nacos: &Arc<Nacos>, chain: &Chain) -> Result<()> {
    nacos.kill().await?;
    nacos.revive().await?;
    nacos.log_in("nacos", "nacos").await?;
    eventually_within(AGAIN, "all are registered again", || async {
        for (service, expect) in [("order-app", &chain.orders), ("user-app", &chain.users)] {
            let listed = chain.namespace.instances(service).await?;
            let missing: Vec<_> = expect
                .iter()
                .filter(|own| !listed.iter().any(|other| other.port == own.port))
                .map(|own| own.port)
                .collect();
            ensure!(missing.is_empty(), "{service}: {missing:?} are missing");
        }
        Ok(())
    })
    .await?;
    chain.settles_on("V1", &[]).await?;
    chain.settles_on("V2", &GRAY).await
}

/// With the right to read alone the list says what the detail does not.
pub(crate) async fn a_reader_sees_what_is_disabled(_: Arc<Stage>) -> Result<()> {
    let nacos = Arc::new(Nacos::start_with(guarded(SECRETS[0])).await?);
    nacos.log_in("nacos", "nacos").await?;
    let namespace = nacos.namespace(&Documents::deployed()?).await?;
    add_user(&nacos, "writer", &namespace.name, "rw").await?;
    add_user(&nacos, "reader", &namespace.name, "r").await?;
    let facade = Facade::start(nacos.port(), Mode::V32).await?;
    facade.reads_only("reader");
    let setup = Setup { services_as: user("writer"), gateway_as: user("reader"), ..Setup::new()? };
    let chain = Chain::start_in(namespace, &facade.address(), setup).await?;
    chain.settles_on("V2", &GRAY).await?;
    a_disabled_instance_is_left_out_at_once(&chain, &facade).await?;
    ensure!(facade.seen("GET v3/admin/ns/instance 403") > 0 && facade.seen("GET v3/admin/ns/instance/list 200") > 0);
    drop((chain, facade));
    Arc::into_inner(nacos).context("Nacos is still in use")?.remove().await
}
