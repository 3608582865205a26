//! The chains: the demo's own, and the one whose services do without gray-common.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    peer::Peer,
    process::Program,
    start::{Running, Site, free_ports, gateway, local, ready},
};

const PATH: &str = "/order-api/order/N0001";
/// Where the documents are, in the directory of a chain.
const CONFIG: &str = "config";

/// Gateway, order-app and user-app, one instance of each version, in a directory as registry.
pub(crate) async fn gray(site: &Site, dir: &Path, versions: &[&str]) -> Result<Running> {
    let registry = dir.join("registry");
    fs::create_dir_all(&registry)?;
    let config = documents(site, dir)?;
    let mut programs = Vec::new();
    let control = |args: &mut Vec<OsString>| {
        args.extend(["--registry-dir".into(), registry.clone().into(), "--advertise=127.0.0.1".into()]);
    };
    for name in ["user-app", "order-app"] {
        for version in versions {
            let [port] = free_ports()?;
            let mut args: Vec<OsString> =
                vec![format!("--port={port}").into(), "--bind=127.0.0.1".into(), format!("--service-version={version}").into()];
            args.extend(["--config-dir".into(), config.clone().into()]);
            control(&mut args);
            programs.push((name, Program::start(name, site.programs.join(name).as_os_str(), &args, dir)?));
        }
    }
    begin(site, dir, Peer::Chain, programs, control).await
}

/// The same gateway in front of the plain services, which it knows from its own document.
pub(crate) async fn plain(site: &Site, dir: &Path) -> Result<Running> {
    let config = documents(site, dir)?;
    let [user, order] = free_ports()?;
    let own = std::env::current_exe()?.with_file_name("plain-chain");
    let start = |name: &'static str, args: &[String]| Ok((name, Program::start(name, own.as_os_str(), args, dir)?));
    let programs: Vec<_> = [
        start("user-app", &["user".to_owned(), format!("--port={user}")]),
        start("order-app", &["order".to_owned(), format!("--port={order}"), format!("--user=127.0.0.1:{user}")]),
    ]
    .into_iter()
    .collect::<Result<_>>()?;
    let instances = format!(
        "\n---\nspring.cloud.discovery.client.simple.instances:\n  order-app:\n    - {{ uri: \"http://127.0.0.1:{order}\", \
         metadata: {{ version: V1 }} }}\n"
    );
    let own_document = config.join("gateway-app.yaml");
    let text = fs::read_to_string(&own_document)? + &instances;
    fs::write(own_document, text)?;
    begin(site, dir, Peer::PlainChain, programs, |_| ()).await
}

/// Starts the gateway in front of the services, and waits for an answer through all of them.
async fn begin(
    site: &Site,
    dir: &Path,
    peer: Peer,
    services: Vec<(&'static str, Program)>,
    control: impl Fn(&mut Vec<OsString>),
) -> Result<Running> {
    let [port, admin] = free_ports()?;
    let mut args = gateway(site, &dir.join(CONFIG), port, admin);
    control(&mut args);
    let mut program = Program::start("gateway", site.programs.join("gray-gateway").as_os_str(), &args, dir)?;
    let address = local(port);
    ready(address, PATH, &mut program).await?;
    let mut parts: Vec<(&'static str, Vec<u32>)> = vec![("gateway", program.tree())];
    parts.extend(services.iter().rev().map(|(name, service)| (*name, service.tree())));
    let programs = services.into_iter().map(|(_, program)| program).chain([program]).collect();
    Ok(Running { peer, address, http2: address, metrics: None, access_log: None, parts, programs })
}

/// The documents as shipped, in a directory of their own.
fn documents(site: &Site, dir: &Path) -> Result<PathBuf> {
    let config = dir.join(CONFIG);
    fs::create_dir_all(&config)?;
    let shipped = site.bench.join("../deploy/nacos");
    for file in fs::read_dir(&shipped).with_context(|| format!("cannot read {}", shipped.display()))? {
        let file = file?;
        fs::copy(file.path(), config.join(file.file_name()))?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_plain_services_have_the_libraries_of_the_real_ones() {
        let ours = include_str!("../../Cargo.lock");
        let products = include_str!("../../../Cargo.lock");
        let version = |lock: &str, name: &str| {
            // Of several the newest stands last.
            let (_, rest) = lock.rsplit_once(&format!("name = \"{name}\"\nversion = \""))?;
            Some(rest.split('"').next()?.to_owned())
        };
        for name in ["axum", "hyper", "hyper-util", "reqwest", "serde_json", "tokio"] {
            let wanted = version(products, name);
            assert!(wanted.is_some() && version(ours, name) == wanted, "{name}: cargo update -p {name} in bench/");
        }
    }
}
